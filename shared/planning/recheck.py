"""What becomes of each approved remap once everything was read again, right before the write (design, section 5).

Approval was given for what was seen then. What Citrix and Prism say now decides: a remap goes ahead only where it would
be planned the same way again, and a VM that another machine still holds is given to nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from shared.model.citrix import Hosting, Machine, MachineId, Site
from shared.model.finding import Confidence, Finding, FindingKind, Plan
from shared.model.nutanix import ClusterReading
from shared.model.remap import Remap
from shared.planning.holders import named, still_held
from shared.planning.names import fold
from shared.planning.standing import Connections, described, same


class Action(StrEnum):
    """What is to be done with a remap."""

    GO = "go"
    DONE = "done"
    SUPERSEDED = "superseded"
    FAILED = "failed"
    ASK = "ask"


@dataclass(frozen=True, slots=True)
class Verdict:
    """``sentence`` says to an operator why it does not go ahead; ``hosting`` is what to send where it does.

    Its connection has the name that Citrix knows it by now.
    """

    action: Action
    sentence: str = ""
    hosting: Hosting | None = None


@dataclass(frozen=True, slots=True)
class _Now:
    """What was read again."""

    machines: Mapping[MachineId, Machine]
    connections: Connections
    findings: Mapping[MachineId, Finding]
    readings: Sequence[ClusterReading] | None
    least: Confidence | None


def recheck(
    remaps: Sequence[Remap],
    site: Site,
    plan: Plan,
    *,
    automatic: bool,
    least: Confidence,
    readings: Sequence[ClusterReading] | None = None,
) -> dict[MachineId, Verdict]:
    """A verdict for every remap that is about to be written; all that are must be asked about together.

    ``site`` and ``plan`` are made from what was read just now. ``automatic``: no person approved, so a remap that is
    less sure than ``least`` by now has to be asked about. With ``readings``, those of ``plan``, a VM that a person
    chose has to be seen under the very connection that it was chosen at.
    """
    now = _Now(
        {machine.id: machine for machine in site.machines},
        Connections(site.connections),
        {finding.machine.id: finding for finding in plan.findings},
        readings,
        least if automatic else None,
    )
    verdicts = {remap.machine: _alone(remap, now) for remap in remaps}
    verdicts.update(_sharing(verdicts, now.machines))
    verdicts.update(held(verdicts, site.machines))
    return verdicts


def _alone(remap: Remap, now: _Now) -> Verdict:
    """The verdict as far as the other remaps do not matter."""
    machine = now.machines.get(remap.machine)
    if machine is None:
        return Verdict(Action.SUPERSEDED, f"{remap.machine_name} is no machine of the site any more.")
    if same(machine.hosting, remap.after):
        return Verdict(Action.DONE)
    there = destination(remap.after, now.connections)
    if there.action is not Action.GO:
        return there
    if not same(machine.hosting, remap.before):
        text = f"It was changed since the plan: Citrix now has {described(machine.hosting)}. Run again."
        return Verdict(Action.SUPERSEDED, text)
    finding = now.findings.get(remap.machine)
    if finding is None:
        return Verdict(Action.SUPERSEDED, "It is out of the run's scope now. Run again with a scope that covers it.")
    planned = finding.kind is FindingKind.REMAP and finding.after is not None and same(finding.after, remap.after)
    if remap.confidence is Confidence.CHOSEN:
        return there if planned else (_choice(remap, finding, now.readings) or there)
    if not planned:
        return Verdict(Action.SUPERSEDED, f"It would now be planned differently: {finding.explanation}")
    sure = finding.confidence
    if now.least is not None and (sure is None or not sure.reaches(now.least)):
        text = f"The evidence for it is {sure} now, and mode auto applies what is at least {now.least}. Review it."
        return Verdict(Action.ASK, text)
    return there


def destination(after: Hosting, connections: Connections) -> Verdict:
    """Whether the connection that a remap leads to can still be named in a write: ``GO`` or ``FAILED``."""
    there = connections.of(after)
    if there is None:
        text = (
            f"The hosting connection {after.connection} was deleted in Citrix since the plan. "
            "Correct hostingConnection in the profile and run again."
        )
        return Verdict(Action.FAILED, text)
    if fold(there.name) != fold(after.connection or ""):
        text = (
            f"The hosting connection was renamed from {after.connection} to {there.name} since the plan; "
            "correct hostingConnection in the profile and run again."
        )
        return Verdict(Action.FAILED, text)
    if there.in_maintenance:
        text = f"The hosting connection {there.name} is in maintenance mode. End that in Citrix and run again."
        return Verdict(Action.FAILED, text)
    return Verdict(Action.GO, hosting=Hosting(there.name, after.machine_id, there.id))


def _choice(remap: Remap, finding: Finding, readings: Sequence[ClusterReading] | None) -> Verdict | None:
    """Why what a person chose does not hold any more, None where it does."""
    if finding.kind in (FindingKind.EXCLUDED, FindingKind.UNKNOWN):
        return Verdict(Action.SUPERSEDED, f"What was chosen cannot be checked now: {finding.explanation}")
    uuid = fold(remap.after.machine_id or "")
    copies = {(vm.uuid, vm.cluster_uuid) for vm in finding.candidates if fold(vm.uuid) == uuid}
    if copies and readings is not None:
        copies &= _seen_under(remap.after, readings)
    if copies:
        return None
    text = (
        f"The chosen VM {remap.after.machine_id} is no longer a candidate under {remap.after.connection}. "
        f"Run again and choose anew: {finding.explanation}"
    )
    return Verdict(Action.SUPERSEDED, text)


def _seen_under(hosting: Hosting, readings: Iterable[ClusterReading]) -> set[tuple[str, str]]:
    """The copies of the hosting's VM that the clusters behind its connection list."""
    connection, uuid = fold(hosting.connection or ""), fold(hosting.machine_id or "")
    behind = [each for each in readings if fold(each.hosting_connection) == connection and not each.dead]
    return {(vm.uuid, vm.cluster_uuid) for reading in behind for vm in reading.vms if fold(vm.uuid) == uuid}


def _moves(verdicts: Mapping[MachineId, Verdict]) -> dict[MachineId, str]:
    return {
        machine: fold(verdict.hosting.machine_id or "")
        for machine, verdict in verdicts.items()
        if verdict.action is Action.GO and verdict.hosting is not None
    }


def _sharing(verdicts: Mapping[MachineId, Verdict], machines: Mapping[MachineId, Machine]) -> dict[MachineId, Verdict]:
    """The remaps of which several lead to one VM: none of them goes ahead."""
    onto: dict[str, list[MachineId]] = {}
    for mover, uuid in _moves(verdicts).items():
        onto.setdefault(uuid, []).append(mover)
    found: dict[MachineId, Verdict] = {}
    for uuid, movers in onto.items():
        if len(movers) > 1:
            everyone = named(sorted((machines[mover] for mover in movers), key=lambda each: (each.name, each.id)))
            text = (
                f"Several machines would be put on the VM {uuid}: {everyone}. "
                "Start a new run, and approve only one of them."
            )
            found.update(dict.fromkeys(movers, Verdict(Action.FAILED, text)))
    return found


def held(verdicts: Mapping[MachineId, Verdict], machines: Iterable[Machine]) -> dict[MachineId, Verdict]:
    """The remaps to a VM that another machine holds and does not leave together with them.

    To be asked again whenever one that was to go does not.
    """
    moves = _moves(verdicts)
    found: dict[MachineId, Verdict] = {}
    for mover, holders in still_held(moves, machines).items():
        text = f"The VM {moves[mover]} is still held by {named(holders)}; "
        if any(holder.id in verdicts for holder in holders):
            text += "the remap of that machine does not go ahead either. Settle it first, then run again."
        else:
            text += "approve its remap too, or settle that machine in Citrix, then run again."
        found[mover] = Verdict(Action.FAILED, text)
    return found
