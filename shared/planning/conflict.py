"""What only the whole shows: no two machines may stand on one VM after a run (design, section 4, "The whole")."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from heapq import heapify, heappop, heappush

from shared.model.citrix import Hosting, Machine, MachineId
from shared.model.finding import Evidence, Finding, FindingKind
from shared.model.nutanix import VmUuid
from shared.planning.estate import Estate

MOST_SHOWN = 20  # rivals in the evidence of one machine


def settle_conflicts(
    findings: Mapping[MachineId, Finding], machines: Iterable[Machine], estate: Estate
) -> dict[MachineId, Finding]:
    """Turn every remap and every record that would share its VM with another machine into a conflict.

    ``machines`` are all of the site's: a machine that is excluded or out of scope still owns its VM, but keeps its own
    finding. A machine that becomes a conflict stays where it is, which can put it in another's way, so this goes on
    until nothing changes; each round settles at least one machine.
    """
    result = dict(findings)
    everyone = {machine.id: machine for machine in machines}
    standing: dict[VmUuid, list[MachineId]] = {}
    for machine in everyone.values():
        held = _position(machine, result).machine_id
        if held is not None:
            standing.setdefault(held, []).append(machine.id)
    crowded = [uuid for uuid, members in standing.items() if len(members) > 1]
    heapify(crowded)
    while crowded:
        uuid = heappop(crowded)
        members = sorted(standing[uuid])
        for machine_id, rivals in _rivals([everyone[member] for member in members], result, estate).items():
            finding = result.get(machine_id)
            if finding is None or finding.kind in (FindingKind.EXCLUDED, FindingKind.CONFLICT):
                continue
            result[machine_id] = _conflict(finding, uuid, rivals)
            stays = finding.machine.hosting.machine_id
            if finding.after is not None and stays is not None:
                standing[uuid].remove(machine_id)
                standing.setdefault(stays, []).append(machine_id)
                if len(standing[stays]) > 1:
                    heappush(crowded, stays)
    return result


def _position(machine: Machine, findings: Mapping[MachineId, Finding]) -> Hosting:
    finding = findings.get(machine.id)
    return finding.after if finding is not None and finding.after is not None else machine.hosting


def _rivals(members: list[Machine], findings: Mapping[MachineId, Finding], estate: Estate) -> dict[MachineId, Rivals]:
    """Who stands on the same copy as whom. A copy that nobody sees is taken to be any copy of that UUID."""
    places = {member.id: _copies(_position(member, findings), estate) for member in members}
    beside: dict[frozenset[str], list[Machine]] = {
        place: [other for other in members if not place or not places[other.id] or place & places[other.id]]
        for place in set(places.values())
    }
    return {
        member.id: Rivals(beside[place], member) for member in members if len(beside[place := places[member.id]]) > 1
    }


@dataclass(frozen=True, slots=True)
class Rivals:
    """Everyone on one copy, ``machine`` itself among them; the list is shared by all of them."""

    everyone: list[Machine]
    machine: Machine

    def first(self, most: int) -> list[Machine]:
        return [other for other in self.everyone[: most + 1] if other.id != self.machine.id][:most]

    def more_than(self, shown: list[Machine]) -> int:
        """How many there are besides ``shown``."""
        return len(self.everyone) - 1 - len(shown)


def _copies(position: Hosting, estate: Estate) -> frozenset[str]:
    clusters = {reading.name for reading in estate.of_connection(position.connection)}
    uuid = position.machine_id
    copies = estate.by_uuid.get(uuid, ()) if uuid is not None else ()
    return frozenset(copy.vm.cluster_uuid for copy in copies if not clusters.isdisjoint(copy.seen_by))


def _conflict(finding: Finding, uuid: VmUuid, rivals: Rivals) -> Finding:
    shown = rivals.first(MOST_SHOWN)
    names = ", ".join(machine.name for machine in shown[:3])
    more = rivals.more_than(shown[:3])
    others = f"{names} and {more} more" if more else names
    verb = "would move to" if finding.after is not None else "stands on"
    text = (
        f"It {verb} the VM {uuid}, which is, or would become, the VM of {others}. A person has to decide whose it is."
    )
    evidence = [
        Evidence("machine", "Citrix", f"{rival.name} ({rival.id}) holds or would hold the VM {uuid}.")
        for rival in shown
    ]
    if rivals.more_than(shown):
        evidence.append(Evidence("machine", "Citrix", f"So do {rivals.more_than(shown)} more machines."))
    return replace(
        finding,
        kind=FindingKind.CONFLICT,
        reason="shared-vm",
        explanation=text,
        evidence=(*finding.evidence, *evidence),
        confidence=None,
        after=None,
    )
