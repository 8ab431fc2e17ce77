"""What a plan leaves open that one more question to Prism, or a little time, may decide."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from shared.model.finding import Confidence, Finding, FindingKind
from shared.model.nutanix import ClusterReading, VmUuid
from shared.planning.names import fold

MOST_ASKED = 100  # VMs a Prism Central: it is one call a VM, and Prism allows about one a second
FEW = 10  # VMs to which a remap leads by name alone, and about which nothing else is doubtful


def doubtful_vms(findings: Iterable[Finding], readings: Sequence[ClusterReading]) -> dict[str, tuple[VmUuid, ...]]:
    """The VMs, by cluster of the profile, that could be leftovers of a Metro failover and keep a machine undecided.

    Those of ambiguous machines go first, then those of weak remaps between several, then those that a remap would lead
    to by name alone, as long as these are few: after a large failover nobody waits for thousands of answers. Only a VM
    that a protection policy protects can be one, and only Prism Central v4 can tell (contract ``prism.md``, 5.6).
    """
    ranks: dict[int, list[VmUuid]] = {0: [], 1: [], 2: []}
    for finding in findings:
        rank = _doubt(finding)
        if rank is not None:
            ranks[rank].extend(vm.uuid for vm in finding.candidates if vm.by_rule)
    if len(set(ranks[2])) > FEW:
        ranks[2].clear()
    wanted = dict.fromkeys(uuid for rank in sorted(ranks) for uuid in ranks[rank])
    asked: dict[str, tuple[VmUuid, ...]] = {}
    for reading in readings:
        if reading.api == "central-v4" and not reading.dead:
            there = {vm.uuid for vm in reading.vms if vm.by_rule}
            found = tuple(uuid for uuid in wanted if uuid in there)[:MOST_ASKED]
            if found:
                asked[reading.name] = found
    return asked


def _doubt(finding: Finding) -> int | None:
    """0 is the gravest doubt, None no doubt at all."""
    if finding.kind is FindingKind.AMBIGUOUS:
        return 0
    if finding.after is None or finding.confidence is Confidence.PROVEN:
        return None
    if finding.after.machine_id == finding.machine.hosting.machine_id:
        return None
    return 1 if finding.confidence is Confidence.WEAK and len(finding.candidates) > 1 else 2


def unsettled(findings: Iterable[Finding], target: str) -> int:
    """How many machines of a DR run are neither seen on nor found at the target: time may still bring their VMs.

    ``target`` is the cluster of the profile that the run's target names.
    """
    return sum(finding.kind in _OPEN and not _turned_up(finding, fold(target)) for finding in findings)


_OPEN = frozenset({FindingKind.MISSING, FindingKind.UNKNOWN, FindingKind.CONFLICT})


def _turned_up(finding: Finding, target: str) -> bool:
    held = finding.machine.hosting.machine_id
    return any(fold(vm.cluster) == target or (vm.uuid == held and vm.power == "on") for vm in finding.candidates)
