"""Limits that stop a run from changing too much without a person (design, section 4, "Guards")."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from shared.model.citrix import Folder, Provisioning
from shared.model.finding import Confidence, Finding, FindingKind, Guard
from shared.model.nutanix import ClusterReading
from shared.model.run import Limits

PERCENT_COUNTS_FROM = 20


def guards(
    findings: Iterable[Finding],
    machines_in_scope: int,
    limits: Limits,
    readings: Mapping[str, ClusterReading],
    connections_of: Mapping[str, Sequence[ClusterReading]],
    split_domains: Iterable[str],
    zone_catalogs: Iterable[Folder] = (),
) -> tuple[Guard, ...]:
    """Every guard that the plan passes, in a fixed order.

    ``connections_of`` gives the clusters behind a hosting connection, by its folded name. ``zone_catalogs`` are the
    site's catalogs where the policy asks for their zones to move, none where it does not.
    """
    remaps = [finding for finding in findings if finding.kind is FindingKind.REMAP]
    return tuple(
        guard
        for guard in (
            _count(len(remaps), limits),
            _share(len(remaps), machines_in_scope, limits),
            _split_brain(sorted(split_domains)),
            _incomplete(remaps, readings, connections_of),
            _provisioned(remaps, zone_catalogs),
        )
        if guard is not None
    )


def _count(remaps: int, limits: Limits) -> Guard | None:
    if remaps <= limits.max_changes:
        return None
    return Guard("max-changes", f"{remaps} remaps, and maxChanges allows {limits.max_changes} without a person.")


def _share(remaps: int, machines: int, limits: Limits) -> Guard | None:
    if machines < PERCENT_COUNTS_FROM or remaps * 100 <= limits.max_change_percent * machines:
        return None
    share = remaps * 100 / machines
    return Guard(
        "max-change-percent",
        f"{remaps} remaps are {share:.0f} % of the {machines} machines in scope, and maxChangePercent allows "
        f"{limits.max_change_percent} % without a person.",
    )


def _split_brain(domains: Sequence[str]) -> Guard | None:
    if not domains:
        return None
    names = ", ".join(domains)
    return Guard("split-brain", f"Active on several clusters at once: protection domain {names}. Deactivate one side.")


def _incomplete(
    remaps: Iterable[Finding],
    readings: Mapping[str, ClusterReading],
    connections_of: Mapping[str, Sequence[ClusterReading]],
) -> Guard | None:
    incomplete = {name for name, reading in readings.items() if reading.status == "incomplete"}
    untold = [reading for reading in readings.values() if reading.jobs is None and not reading.dead]
    if not incomplete and not untold:
        return None
    behind: set[str] = set()
    for finding in remaps:
        behind |= {reading.name for reading in untold if _may_be_a_copy(finding, reading)}
        ends = (finding.machine.hosting, finding.after)
        names = {
            r.name for end in ends if end and end.connection for r in connections_of.get(end.connection.casefold(), ())
        }
        behind |= names & incomplete
    if not behind:
        return None
    return Guard("incomplete-read", f"Remaps rest on clusters that did not answer whole: {', '.join(sorted(behind))}.")


def _may_be_a_copy(finding: Finding, reading: ClusterReading) -> bool:
    """True where only the jobs that ``reading`` did not tell could say whether a test failover made the VM."""
    if finding.after is None or finding.confidence is Confidence.PROVEN:
        return False
    registered = {cluster.uuid for cluster in reading.registered}
    return any(vm.uuid == finding.after.machine_id and vm.cluster_uuid in registered for vm in finding.candidates)


def _provisioned(remaps: Iterable[Finding], catalogs: Iterable[Folder]) -> Guard | None:
    """Moving a catalog's zone moves every machine in it, and only those of a ``Manual`` catalog are in reach."""
    touched = {finding.machine.catalog_id for finding in remaps}
    others = [each for each in catalogs if each.id in touched and each.provisioning is not Provisioning.MANUAL]
    if not others:
        return None
    names = ", ".join(sorted(f"{catalog.path} ({catalog.provisioning})" for catalog in others))
    return Guard(
        "catalog-provisioning", f"The zone of a catalog moves only where it is Manual; these are not: {names}."
    )
