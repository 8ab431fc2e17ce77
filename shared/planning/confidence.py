"""How sure a remap is (design, section 4, "Confidence"). Who chose the VM, and why, is ``decide``'s matter."""

from __future__ import annotations

from shared.model.finding import Confidence
from shared.model.nutanix import VmUuid
from shared.planning.estate import Estate
from shared.planning.lineage import Lineage
from shared.planning.match import Candidate, Ground


def confidence_in(
    live: Candidate,
    *,
    among: list[Candidate],
    shown: list[Candidate],
    held: VmUuid | None,
    lineage: Lineage,
    estate: Estate,
    weak: bool,
) -> Confidence:
    """``among`` are the candidates that ``live`` was chosen from, ``shown`` all of the machine's.

    ``weak``: the rule that chose it says so already. ``held`` is the hosted machine id of the record, ``lineage``
    what the jobs say of it.
    """
    copies = [candidate.copy for candidate in among]
    unprotected = estate.one_sided(live.copy, copies) is None
    speaks_against = unprotected and any(estate.one_sided(copy, copies) is not None for copy in copies)
    # stopped, and tied to the machine by its name alone: nothing says that it is the live one
    lifeless = unprotected and live.by_name_only and not live.copy.on
    if weak or speaks_against or lifeless or _disagree(lineage, live, shown):
        return Confidence.WEAK
    told_by_jobs = lineage.ends == {live.copy.vm.uuid}
    alone = live.own and all(candidate.copy.vm.uuid == held for candidate in among)
    return Confidence.PROVEN if told_by_jobs or alone else Confidence.STRONG


def _disagree(lineage: Lineage, live: Candidate, candidates: list[Candidate]) -> bool:
    """True where the jobs' map leads to another VM than the name does. What lies on the map's way is no other VM."""
    if not lineage.ends:
        return False
    if live.copy.vm.uuid not in lineage.ends:
        return True
    way = lineage.uuids
    named = [c for c in candidates if Ground.NAME in c.grounds and c.copy.vm.uuid not in way]
    return bool(named) and Ground.NAME not in live.grounds
