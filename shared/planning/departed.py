"""VMs that an earlier verified remap moved a machine away from (design, section 4, rule 3).

The original of a failed-over VM comes back with its site, powered on and under the machine's name. Nobody moves back to
it by mistake: it is no candidate, unless a target names its cluster.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace

from shared.model.citrix import Machine
from shared.model.finding import Evidence, Finding, FindingKind
from shared.model.nutanix import ClusterReading
from shared.model.remap import DepartedVm, Remap
from shared.model.run import RemapState
from shared.planning.estate import Copy, Estate
from shared.planning.match import Roster, lineage_of
from shared.planning.names import fold, vm_names
from shared.planning.target import Target, at_target


def vms_left(remaps: Sequence[Remap]) -> frozenset[DepartedVm]:
    """What the verified remaps of a run moved their machines away from, out of all ``remaps`` of the run.

    A VM that another remap of the run leads to is left out: in a swap, the VM that one machine leaves is the other's.
    """
    wanted = {
        fold(remap.after.machine_id or "") for remap in remaps if remap.after.machine_id != remap.before.machine_id
    }
    return frozenset(
        DepartedVm(before.connection, before.machine_id)
        for before in (remap.before for remap in remaps if remap.state is RemapState.VERIFIED)
        if before.connection is not None and before.machine_id is not None and fold(before.machine_id) not in wanted
    )


def left_behind(
    departed: Collection[DepartedVm],
    machines: Iterable[Machine],
    readings: Iterable[ClusterReading],
    target: Target | None,
) -> Callable[[Copy], bool] | None:
    """Tells the copies that machines have left for good; None where there is none.

    A copy that some cluster also sees under a connection that nobody left is the VM itself, seen from elsewhere. One
    that a machine holds now, under a connection that sees it, was taken up again: by a roll back, a person, or the
    machine whose VM it really is. ``machines`` are all of the site's.
    """
    if not departed:
        return None
    left: dict[str, set[str]] = defaultdict(set)
    for vm in departed:
        left[fold(vm.uuid)].add(fold(vm.connection))
    held: dict[str, set[str]] = defaultdict(set)
    for machine in machines:
        uuid = fold(machine.hosting.machine_id or "")
        if uuid in left and machine.hosting.connection is not None:
            held[uuid].add(fold(machine.hosting.connection))
    connections = {reading.name: fold(reading.hosting_connection) for reading in readings}

    def is_left_behind(copy: Copy) -> bool:
        known = left.get(copy.vm.uuid)
        if known is None:
            return False
        seen = {connections[cluster] for cluster in copy.seen_by}
        if not seen <= known or not seen.isdisjoint(held.get(copy.vm.uuid, ())):
            return False
        return target is None or not at_target(copy, target)

    return is_left_behind


def with_departures(finding: Finding, estate: Estate, roster: Roster) -> Finding:
    """The finding with what was left behind and would else have been a candidate, for the person who looks at it."""
    copies = _of(finding.machine, estate, roster) if estate.departed else ()
    if not copies:
        return finding
    facts = tuple(
        Evidence(
            "lineage",
            f"Prism, cluster {copy.vm.cluster}",
            f"An earlier run moved a machine away from {copy.vm.name} ({copy.vm.uuid}), so it is no candidate here.",
        )
        for copy in copies
    )
    text = finding.explanation
    if finding.kind is FindingKind.MISSING:
        text += (
            f" An earlier run moved a machine away from {copies[0].vm.name} on {copies[0].vm.cluster}, so that one "
            "does not count. If it is live again, run with its cluster as the target."
        )
    return replace(finding, explanation=text, evidence=(*finding.evidence, *facts))


def _of(machine: Machine, estate: Estate, roster: Roster) -> list[Copy]:
    """What would have been the machine's own VM, the end of its lineage, or a VM of its name."""
    held = machine.hosting.machine_id
    keys = (held, *sorted(lineage_of(machine, estate, roster).ends), *vm_names(machine))
    found = {
        (copy.vm.uuid, copy.vm.cluster_uuid): copy
        for key in keys
        if key is not None
        for copy in estate.departed.get(key, ())
        if machine.id in roster.bearers.get(copy.name, (machine.id,))
    }
    return [found[key] for key in sorted(found)]
