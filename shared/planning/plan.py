"""Makes the plan of a run from what was read. Pure: the same input gives the same plan, in any order of the input."""

from __future__ import annotations

import gc
import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager

from shared.errors import PlanImpossible
from shared.model.citrix import Hosting, Machine, MachineId, Provisioning, Site
from shared.model.finding import Finding, FindingKind, Plan
from shared.model.nutanix import ClusterReading
from shared.model.remap import DepartedVm
from shared.model.run import Limits
from shared.planning.conflict import settle_conflicts
from shared.planning.decide import Situation, decide
from shared.planning.departed import left_behind
from shared.planning.estate import build_estate
from shared.planning.guard import guards
from shared.planning.match import build_roster
from shared.planning.names import fold
from shared.planning.scope import Selection, select
from shared.planning.target import Target
from shared.profile.policy import Policy
from shared.profile.scope import Scope


def make_plan(
    site: Site,
    readings: Sequence[ClusterReading],
    *,
    scopes: Sequence[Scope],
    policy: Policy,
    limits: Limits,
    target: Target | None = None,
    departed: Collection[DepartedVm] = (),
) -> Plan:
    """One finding for every machine in scope, and the guards that the whole passes.

    ``readings`` come in the order of the profile's clusters, one a cluster; one whose hosting connection the site does
    not have must come as ``misconfigured``. ``scopes`` all hold; ``target`` is what ``parse_target`` made of these
    readings; ``departed`` are the VMs that earlier verified remaps moved machines of the site away from. Raises
    ``PlanImpossible`` where a scope fails.
    """
    with _without_cycle_search():
        return _plan(site, readings, scopes, policy, limits, target, departed)


def _plan(
    site: Site,
    readings: Sequence[ClusterReading],
    scopes: Sequence[Scope],
    policy: Policy,
    limits: Limits,
    target: Target | None,
    departed: Collection[DepartedVm],
) -> Plan:
    estate = build_estate(readings, left_behind(departed, site.machines, readings, target))
    selection = select(site, scopes, readings, target)
    situation = Situation(
        estate=estate,
        roster=build_roster(site.machines),
        connections={fold(connection.name): connection for connection in site.connections},
        target=target,
        bypass_type_check=policy.bypass_hypervisor_type_check,
        named_connections=frozenset(fold(n) for scope in scopes for n in scope.hosting_connections or ()),
        silent=estate.silent(),
    )
    first = {
        machine.id: _out_of_reach(machine, selection) or decide(machine, situation) for machine in selection.inside
    }
    settled = settle_conflicts(first, site.machines, estate)
    findings = tuple(settled[machine.id] for machine in sorted(selection.inside, key=lambda machine: machine.id))
    return Plan(
        findings=findings,
        guards=guards(
            findings,
            len(selection.inside),
            limits,
            estate.readings,
            estate.clusters_of,
            situation.split,
            site.catalogs if policy.switch_catalog_zone else (),
        ),
        out_of_scope=selection.out_of_scope,
        machines_in_scope=len(selection.inside),
        unmatched=selection.unmatched,
    )


def parse_target(text: str, readings: Iterable[ClusterReading]) -> Target:
    """A target as a caller names it: a cluster, or ``cluster/registeredCluster`` by name or UUID, ignoring case.

    Raises ``PlanImpossible`` for one that is not there.
    """
    cluster, _, registered = text.partition("/")
    reading = next((reading for reading in readings if fold(reading.name) == fold(cluster)), None)
    if reading is None:
        raise PlanImpossible(f"target: '{cluster}' is no cluster of the profile.")
    if not registered or reading.dead:
        return Target(reading.name, registered or None)
    meant = [known for known in reading.registered if fold(registered) in (fold(known.name), fold(known.uuid))]
    if len(meant) > 1:
        uuids = ", ".join(sorted(known.uuid for known in meant))
        raise PlanImpossible(f"target: {reading.name} has several clusters '{registered}'. Name one by UUID: {uuids}.")
    if meant:
        return Target(reading.name, meant[0].uuid)
    names = ", ".join(sorted(known.name for known in reading.registered))
    raise PlanImpossible(f"target: {reading.name} has no registered cluster '{registered}'. There are: {names}.")


def fingerprint(findings: Iterable[Finding]) -> str:
    """A hash over the remaps alone: machine, from and to. Whoever approves names the fingerprint of what they saw."""
    return fingerprint_of(
        (finding.machine.id, finding.machine.hosting, finding.after)
        for finding in findings
        if finding.kind is FindingKind.REMAP and finding.after is not None
    )


def fingerprint_of(remaps: Iterable[tuple[MachineId, Hosting, Hosting]]) -> str:
    """The same hash over remaps as (machine, from, to), in any order."""
    told = sorted(
        (
            machine,
            before.connection_id or before.connection,
            before.machine_id,
            after.connection_id or after.connection,
            after.machine_id,
        )
        for machine, before, after in remaps
    )
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:32]


@contextmanager
def _without_cycle_search() -> Iterator[None]:
    # A plan is a million small values without a cycle. The collector walks all of them again and again while they are
    # made, finds nothing, and takes two fifths of the time (tests/bench/planning.py).
    searching = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if searching:
            gc.enable()


def _out_of_reach(machine: Machine, selection: Selection) -> Finding | None:
    if machine.id in selection.excluded:
        reason, text = "excluded-by-scope", "An exclusion of the scope names it."
    elif machine.provisioning is not Provisioning.MANUAL:
        reason = "not-manual"
        text = f"Its provisioning type is {machine.provisioning}; only Manual machines may be remapped."
    elif machine.hosting.connection is None or machine.hosting.machine_id is None:
        reason = "not-power-managed"
        text = "Citrix does not power-manage it: it has no hosting connection or no hosted machine id."
    else:
        return None
    return Finding(machine, FindingKind.EXCLUDED, reason, text)
