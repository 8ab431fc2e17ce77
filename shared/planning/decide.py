"""What a run concludes about one machine on its own (design, section 4, rules 4 to 7).

What only the whole shows, two machines on one VM, is settled afterwards in ``conflict``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from shared.model.citrix import Hosting, HostingConnection, Machine
from shared.model.finding import Confidence, Evidence, Finding, FindingKind
from shared.model.nutanix import ClusterReading, ReadStatus, Vm
from shared.planning.confidence import confidence_in
from shared.planning.departed import with_departures
from shared.planning.estate import Copy, Estate
from shared.planning.match import Candidate, Ground, Roster, candidates_of, evidence_of, lineage_of
from shared.planning.names import fold
from shared.planning.target import Target, at_target

# Contract citrix.md, section 7.3: the four plug-ins that talk to Nutanix, folded.
NUTANIX_PLUGINS = frozenset(
    {"acropolisfactory", "acropolispcfactory", "acropolisxifactory", "acropolishypervisorpcfactory"}
)


@dataclass(slots=True)
class Situation:
    """All that deciding about one machine looks at besides the machine. ``split`` collects what the guard reports."""

    estate: Estate
    roster: Roster
    connections: Mapping[str, HostingConnection]
    target: Target | None
    bypass_type_check: bool
    named_connections: frozenset[str]
    silent: tuple[ClusterReading, ...] = ()
    split: set[str] = field(default_factory=set)


def decide(machine: Machine, situation: Situation) -> Finding:
    """The finding about one machine that is in scope, in reach, and power-managed."""
    return with_departures(_decide(machine, situation), situation.estate, situation.roster)


def _decide(machine: Machine, situation: Situation) -> Finding:
    connection = machine.hosting.connection
    known = bool(situation.estate.of_connection(connection))
    if not known and situation.target is None and fold(connection or "") not in situation.named_connections:
        return _finding(
            machine,
            FindingKind.EXCLUDED,
            "connection-not-in-profile",
            f"Its hosting connection {connection} belongs to no cluster of the profile, so nothing is known of its VM.",
        )
    candidates = candidates_of(machine, situation.estate, situation.roster)
    moving = next((candidate for candidate in candidates if candidate.copy.vm.in_flux), None)
    if moving is not None:
        text = (
            f"{moving.copy.vm.name} is being moved or created on {moving.copy.vm.cluster}. Run again when it is done."
        )
        return _finding(machine, FindingKind.UNKNOWN, "vm-in-flux", text, candidates, situation)
    if situation.target is not None:
        return _decide_with_target(machine, candidates, situation, situation.target)
    return _decide_without_target(machine, candidates, situation)


def _decide_without_target(machine: Machine, candidates: list[Candidate], situation: Situation) -> Finding:
    estate = situation.estate
    split = _split(candidates, situation)
    if split is not None:
        text = f"Protection domain {split} is active on several clusters. Deactivate one side, or name a target."
        return _finding(machine, FindingKind.AMBIGUOUS, "split-brain", text, candidates, situation)
    home = estate.of_connection(machine.hosting.connection)
    own_here = [c for c in candidates if c.own and any(r.name in c.copy.seen_by for r in home)]
    live = choose(candidates, estate)
    if live is not None and live.copy.on and any(live is candidate for candidate in own_here):
        return _aligned(machine, live, candidates, situation)
    # a home that is silent in part may still have shown the own VM; one that is dead may be where it runs
    silent_home = [reading for reading in home if reading.dead or not (own_here or reading.whole)]
    if silent_home:
        return _silence(machine, silent_home, candidates, situation)
    if live is None and candidates:
        return _several(machine, candidates, situation)
    elsewhere = situation.silent
    if elsewhere and (live is None or live.by_name_only or any(live is candidate for candidate in own_here)):
        return _silence(machine, elsewhere, candidates, situation)
    if live is None:
        text = (
            f"Every cluster answered whole, and none has a VM named like {machine.name} or with its hosted machine id."
        )
        return _finding(machine, FindingKind.MISSING, "no-vm", text)
    return _settle(machine, live, candidates, situation, weak=_leaves_for_little(machine, live, candidates, estate))


def _leaves_for_little(machine: Machine, live: Candidate, candidates: list[Candidate], estate: Estate) -> bool:
    """Rule 5: its own VM still exists, if only as a leftover or under another machine's name, and no more than name
    and power state speak for the live one.
    """
    held = machine.hosting.machine_id
    if held is None or live.own or Ground.JOB in live.grounds:
        return False
    left = estate.by_uuid.get(held, [])
    if not left and held not in estate.left_out:
        return False
    return estate.one_sided(live.copy, (*left, *_copies(candidates))) is None


def _decide_with_target(machine: Machine, candidates: list[Candidate], situation: Situation, target: Target) -> Finding:
    estate = situation.estate
    reading = estate.readings[target.cluster]
    down = target.registered in {c.uuid for c in reading.registered if not c.available}
    if reading.dead or down:
        return _silence(machine, (reading,), candidates, situation)
    there = [c for c in candidates if at_target(c.copy, target)]
    _split(there, situation)
    live = choose(there, estate)
    if there and live is None:
        return _several(machine, there, situation)
    own_on = [c for c in candidates if c.own and c.copy.on]
    if live is not None:
        runs_elsewhere = any(not at_target(own.copy, target) for own in own_on)
        # a stopped copy is no better a reason than a name for leaving a VM that runs
        weak = runs_elsewhere and (live.by_name_only or not live.copy.on)
        return _settle(machine, live, there, situation, weak=weak, shown=candidates)
    if not (reading.whole if target.registered is None else reading.status is ReadStatus.ANSWERED):
        return _silence(machine, (reading,), candidates, situation)
    home = {r.name for r in estate.of_connection(machine.hosting.connection)}
    for own in own_on:
        if not home.isdisjoint(own.copy.seen_by):
            return _aligned(machine, own, candidates, situation)
    if own_on:
        where = own_on[0].copy.vm.cluster
        seen = f"Its VM runs on {where}, under another hosting connection: run again without a target."
    else:
        seen = "No other cluster shows its VM powered on."
    text = f"The target {target.label} answered and has no VM for {machine.name}. {seen}"
    return _finding(machine, FindingKind.MISSING, "not-on-target", text, candidates, situation)


def choose(candidates: list[Candidate], estate: Estate) -> Candidate | None:
    """Rule 4, live beats stale: the one powered on, else the one in a domain that is active on one side only."""
    if len(candidates) == 1:
        return candidates[0]
    on = [candidate for candidate in candidates if candidate.copy.on]
    if len(on) == 1:
        return on[0]
    among = _copies(candidates)
    protected = [candidate for candidate in on or candidates if estate.one_sided(candidate.copy, among) is not None]
    return protected[0] if len(protected) == 1 else None


def _copies(candidates: list[Candidate]) -> list[Copy]:
    return [candidate.copy for candidate in candidates]


def _settle(
    machine: Machine,
    live: Candidate,
    candidates: list[Candidate],
    situation: Situation,
    *,
    weak: bool,
    shown: list[Candidate] | None = None,
) -> Finding:
    estate = situation.estate
    shown = candidates if shown is None else shown
    connection = connection_for(machine, live.copy, situation)
    held = machine.hosting.machine_id
    if live.copy.vm.uuid == held and fold(connection) == fold(machine.hosting.connection or ""):
        return _aligned(machine, live, shown, situation)
    to = situation.connections[fold(connection)]
    if not situation.bypass_type_check and fold(to.plugin_id) not in NUTANIX_PLUGINS:
        text = f"It would move to {to.name}, whose plug-in {to.plugin_id} is not one of Nutanix's."
        return _finding(machine, FindingKind.EXCLUDED, "hypervisor-type", text, shown, situation)
    if to.in_maintenance:
        text = f"It would move to {to.name}, which is in maintenance mode. End that in Citrix and run again."
        return _finding(machine, FindingKind.EXCLUDED, "connection-in-maintenance", text, shown, situation)
    confidence = confidence_in(
        live,
        among=candidates,
        shown=shown,
        held=held,
        lineage=lineage_of(machine, estate, situation.roster),
        estate=estate,
        weak=weak,
    )
    after = Hosting(to.name, live.copy.vm.uuid, to.id)
    moved = fold(to.name) != fold(machine.hosting.connection or "")
    return _finding(
        machine,
        FindingKind.REMAP,
        "vm-moved" if moved else "vm-replaced",
        _remap_sentence(machine, live, to, moved=moved, weak=confidence is Confidence.WEAK),
        shown,
        situation,
        confidence=confidence,
        after=after,
    )


def _remap_sentence(machine: Machine, live: Candidate, to: HostingConnection, *, moved: bool, weak: bool) -> str:
    vm = live.copy.vm
    where = f"on {vm.cluster}, under the hosting connection {to.name}" if moved else f"on {vm.cluster}"
    which = "Its VM" if live.own else f"Its live VM is {vm.name} ({vm.uuid})"
    verb = "now stands" if live.own else "and stands"
    doubt = " The evidence is weak, so a person has to look." if weak else ""
    record = f"{machine.hosting.connection} and {machine.hosting.machine_id}"
    return f"{which} {verb} {where}; Citrix still names {record}.{doubt}"


def connection_for(machine: Machine, copy: Copy, situation: Situation) -> str:
    """The hosting connection for a copy: the target's, else the present one if it sees the copy, else profile order."""
    estate, target = situation.estate, situation.target
    if target is not None and at_target(copy, target):
        return estate.readings[target.cluster].hosting_connection
    names = [estate.readings[name].hosting_connection for name in estate.readings if name in copy.seen_by]
    present = fold(machine.hosting.connection or "")
    return next((name for name in names if fold(name) == present), names[0])


def _split(candidates: list[Candidate], situation: Situation) -> str | None:
    first: str | None = None
    for candidate in candidates:
        domain = situation.estate.split(candidate.copy)
        if domain is not None:
            situation.split.add(domain)
            first = first or domain
    return first


def _aligned(machine: Machine, live: Candidate, candidates: list[Candidate], situation: Situation) -> Finding:
    text = f"Citrix names its VM {live.copy.vm.name} on {live.copy.vm.cluster}, and that is the live one."
    return _finding(machine, FindingKind.ALIGNED, "own-vm-live", text, candidates, situation)


def _several(machine: Machine, candidates: list[Candidate], situation: Situation) -> Finding:
    on = sum(candidate.copy.on for candidate in candidates)
    text = (
        f"{len(candidates)} VMs could be {machine.name}'s, {on} of them powered on, and nothing decides between them."
    )
    return _finding(machine, FindingKind.AMBIGUOUS, "several-candidates", text, candidates, situation)


def _silence(
    machine: Machine,
    readings: list[ClusterReading] | tuple[ClusterReading, ...],
    candidates: list[Candidate],
    situation: Situation,
) -> Finding:
    reading = readings[0]
    down = situation.estate.unavailable.get(reading.name)
    if reading.dead:
        reason, what = "cluster-unreachable", f"Cluster {reading.name} did not answer"
    elif down:
        reason, what = "cluster-unreachable", f"{reading.name} reports its cluster {', '.join(down)} as unavailable"
    else:
        reason, what = "cluster-incomplete", f"Cluster {reading.name} did not answer whole"
    text = f"{what}, so nothing is known of what it holds for {machine.name}. Run again when it answers."
    return _finding(machine, FindingKind.UNKNOWN, reason, text, candidates, situation)


def _finding(
    machine: Machine,
    kind: FindingKind,
    reason: str,
    explanation: str,
    candidates: list[Candidate] | tuple[Candidate, ...] = (),
    situation: Situation | None = None,
    *,
    confidence: Confidence | None = None,
    after: Hosting | None = None,
) -> Finding:
    evidence: list[Evidence] = []
    vms: list[Vm] = []
    if situation is not None:
        for candidate in candidates:
            evidence.extend(evidence_of(candidate, situation.estate))
            vms.append(candidate.copy.vm)
    return Finding(machine, kind, reason, explanation, tuple(evidence), tuple(vms), confidence, after)
