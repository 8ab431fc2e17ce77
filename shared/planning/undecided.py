"""What a plan leaves open that one more question to Prism, or a little time, may decide."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from shared.model import ClusterReading, Confidence, Finding, FindingKind, VmUuid
from shared.planning.names import fold

MOST_ASKED = 100  # VMs a Prism Central: it is one call a VM, and Prism allows about one a second


def doubtful_vms(findings: Iterable[Finding], readings: Sequence[ClusterReading]) -> dict[str, tuple[VmUuid, ...]]:
    """The VMs, by cluster of the profile, that could be leftovers of a Metro failover and keep a machine undecided.

    Those of ambiguous machines go first, then those of weak remaps between several. Only a VM that a protection policy
    protects can be one, and only Prism Central v4 can tell (contract ``prism.md``, 5.6).
    """
    ranked = sorted(
        (finding for finding in findings if _doubtful(finding)), key=lambda each: each.confidence is not None
    )
    wanted = dict.fromkeys(vm.uuid for finding in ranked for vm in finding.candidates)
    asked: dict[str, tuple[VmUuid, ...]] = {}
    for reading in readings:
        if reading.api == "central-v4" and not reading.dead:
            there = {vm.uuid for vm in reading.vms if vm.by_rule}
            found = tuple(uuid for uuid in wanted if uuid in there)[:MOST_ASKED]
            if found:
                asked[reading.name] = found
    return asked


def _doubtful(finding: Finding) -> bool:
    if len(finding.candidates) < 2:
        return False
    weak = finding.kind is FindingKind.REMAP and finding.confidence is Confidence.WEAK
    return finding.kind is FindingKind.AMBIGUOUS or weak


def unsettled(findings: Iterable[Finding], target: str) -> int:
    """How many machines of a DR run are neither seen on nor found at the target: time may still bring their VMs.

    ``target`` is the cluster of the profile that the run's target names.
    """
    return sum(finding.kind in _OPEN and not _turned_up(finding, fold(target)) for finding in findings)


_OPEN = frozenset({FindingKind.MISSING, FindingKind.UNKNOWN, FindingKind.CONFLICT})


def _turned_up(finding: Finding, target: str) -> bool:
    held = finding.machine.hosting.machine_id
    return any(fold(vm.cluster) == target or (vm.uuid == held and vm.power == "on") for vm in finding.candidates)
