"""The scenarios are the same in every run, and the planner draws from each what its file says."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from sandbox.large_world import large_world
from sandbox.scenario import DEFAULT, Endpoints, Scenario, answering_api, load, names
from sandbox.world import NutanixCluster, Prism, SimJob, SimMachine, SimVm, World
from sandbox.world_builder import ScenarioError, WorldBuilder
from shared.model.citrix import Folder, Hosting, HostingConnection, Machine, MachineId, Provisioning, Site
from shared.model.finding import Finding, Plan
from shared.model.nutanix import (
    ClusterReading,
    PowerState,
    ProtectedVm,
    ProtectionDomain,
    ReadStatus,
    RecoveredVm,
    RecoveryJob,
    RegisteredCluster,
    Vm,
    VmUuid,
)
from shared.model.run import Limits
from shared.planning.plan import make_plan, parse_target
from shared.planning.undecided import doubtful_vms, unsettled
from shared.profile.profile import Profile
from shared.profile.scope import Scope

POWER = {"on": PowerState.ON, "off": PowerState.OFF}
NOW = datetime(2026, 3, 1, 8, 30, tzinfo=UTC)
MOVES = ("FAILOVER", "MIGRATE", "LIVE_MIGRATE")
ENDPOINTS = ("https://127.0.0.1:1", ("127.0.0.1", 2))


def test_every_scenario_of_the_plan_is_there() -> None:
    wanted = {
        "planned-migration", "activation-old-cluster-dead", "activation-stale-copies-off", "failback", "healthy",
        "activation-old-cluster-dead-no-target", "duplicates-and-conflicts", "central-v3",
        "migrate-in-between", "test-failover", "test-failover-target", "central-two-clusters", "partial-failover",
        "schedule-mid-failover", "activation-stale-copies-on", "activation-stale-copies-on-target",
        "recovery-plan-central-v4", "live-migration-halfway", "failback-central", "metro-decoupled", "cluster-split",
        "late-vm", "cloned-for-test", "renamed-vm", "recreated-machine", "element-and-central", "element-to-central",
        "same-host-two-domains", "a-third-unknown", "eight-clusters", "category-scope", "cvad-activation",
    }  # fmt: skip
    assert wanted <= set(names())
    assert DEFAULT in wanted


@pytest.mark.parametrize("name", names())
def test_a_scenario_is_the_same_in_every_run(name: str) -> None:
    assert load(name, NOW) == load(name, NOW)


def test_only_the_times_of_jobs_follow_the_clock() -> None:
    first, second = load("failback-central", NOW), load("failback-central", NOW + timedelta(hours=9))
    for prism in (*first.world.prisms.values(), *second.world.prisms.values()):
        assert prism.jobs
        for job in prism.jobs:
            assert (job.started < job.ended) if job.ended else job.started
            job.started, job.ended = "", None
    assert first == second


@pytest.mark.parametrize("name", names())
def test_a_scenario_names_a_right_finding_for_every_machine(name: str) -> None:
    scenario = load(name)
    assert scenario.name == name
    assert scenario.describes
    assert len(scenario.expected) + scenario.out_of_scope == len(scenario.world.site.machines)
    for expected in scenario.expected.values():
        is_remap = expected.finding == "remap"
        assert is_remap == (expected.confidence is not None) == (expected.to_uuid is not None)


@pytest.mark.parametrize("name", names())
def test_a_scenarios_profile_is_valid(name: str) -> None:
    profile = profile_of(load(name))
    assert [cluster.name for cluster in profile.clusters] == list(load(name).world.prisms)


@pytest.mark.parametrize("name", names())
def test_the_planner_finds_what_the_scenario_says(name: str) -> None:
    scenario = load(name, NOW)
    plan = plan_of(scenario)
    assert {key_of(finding.machine): told(finding) for finding in plan.findings} == right(scenario)
    assert tuple(guard.name for guard in plan.guards) == scenario.guards
    assert plan.out_of_scope == scenario.out_of_scope
    assert {key: value for key, value in plan.unmatched.items() if value} == scenario.unmatched


def test_a_late_vm_is_found_at_the_third_reading_and_not_before() -> None:
    scenario = load("late-vm", NOW)
    first, second, third = (findings_of(scenario, readings_of(scenario, reads)) for reads in range(3))
    assert unsettled(first.findings, "pc") == unsettled(second.findings, "pc") == 2
    assert unsettled(third.findings, "pc") == 0
    late = {key_of(f.machine)[0] for f in first.findings if f.kind.value == "missing"}
    assert late == {"CORP\\W11-006", "CORP\\W11-007"}


def test_prisms_word_on_a_decoupled_leftover_is_what_decides() -> None:
    scenario = load("metro-decoupled", NOW)
    before = findings_of(scenario, readings_of(scenario))
    kinds = {key_of(f.machine)[0]: (f.kind.value, f.confidence and f.confidence.value) for f in before.findings}
    assert kinds["CORP\\W11-001"] == kinds["CORP\\W11-003"] == ("ambiguous", None)
    assert kinds["CORP\\W11-002"] == ("remap", "weak")


def test_a_scenario_whose_machine_names_an_unknown_job_says_which() -> None:
    machine = {"names": "A", "catalog": "C", "recovered": [{"job": "lost", "from": "a", "to": "b"}]}
    data = {"name": "x", "connections": [], "clusters": [], "catalogs": [{"name": "C"}], "machines": [machine]}
    with pytest.raises(ScenarioError, match="lost"):
        WorldBuilder(data, NOW).build()


def test_the_secrets_fit_the_profile() -> None:
    scenario = load("central-v3")
    secrets = scenario.secrets("-----BEGIN CERTIFICATE-----")
    profile = profile_of(scenario)
    assert {profile.site.credential, *(c.credential for c in profile.clusters), "corp-root-ca"} == set(secrets)
    assert set(json.loads(secrets[profile.site.credential])) == {"clientId", "clientSecret"}


def test_a_scenario_that_does_not_exist_lists_those_that_do() -> None:
    with pytest.raises(ScenarioError, match="healthy"):
        load("no-such-thing")


def test_a_large_world_is_the_same_for_the_same_seed_and_another_for_another() -> None:
    assert large_world(300, seed=7) == large_world(300, seed=7)
    assert large_world(300, seed=7).expected != large_world(300, seed=8).expected


def test_a_large_world_has_as_many_machines_and_vms_as_asked_for() -> None:
    world = large_world(500, seed=3, vms=900).world
    assert len(world.site.machines) == 500
    assert sum(len(prism.clusters[0].vms) for prism in world.prisms.values()) == 900


def test_the_planner_finds_what_a_large_world_says() -> None:
    scenario = large_world(1_000, seed=5)
    plan = plan_of(scenario)
    assert {key_of(finding.machine): told(finding) for finding in plan.findings} == right(scenario)
    assert len({expected.finding for expected in scenario.expected.values()}) == 5


def told(finding: Finding) -> tuple[object, ...]:
    after = finding.after
    to = (after.connection, after.machine_id) if after else (None, None)
    return (finding.kind.value, finding.reason, finding.confidence and finding.confidence.value, *to)


def key_of(machine: Machine | SimMachine) -> tuple[str, str]:
    """The name for whoever reads a failure; it alone may be two machines'."""
    return machine.name, machine.id


def right(scenario: Scenario) -> dict[tuple[str, str], tuple[object, ...]]:
    machines = scenario.world.site.machines
    return {
        key_of(machines[identifier]): (e.finding, e.reason, e.confidence, e.to_connection, e.to_uuid)
        for identifier, e in scenario.expected.items()
    }


def profile_of(scenario: Scenario) -> Profile:
    citrix, prism = ENDPOINTS
    document = scenario.profile_document(Endpoints(citrix, dict.fromkeys(scenario.world.prisms, prism), (prism,)))
    return Profile.model_validate_json(json.dumps(document))


def plan_of(scenario: Scenario) -> Plan:
    """As a run makes it: the target is read again while it settles, and what stays doubtful is asked for."""
    reads, plan = 0, findings_of(scenario, readings_of(scenario))
    while scenario.run.get("settleSeconds") and unsettled(plan.findings, scenario.run["target"]) and reads < 5:
        reads += 1
        plan = findings_of(scenario, readings_of(scenario, reads))
    readings = readings_of(scenario, reads)
    doubtful = doubtful_vms(plan.findings, readings)
    if not doubtful:
        return plan
    prisms = scenario.world.prisms
    return findings_of(scenario, [with_leftovers(r, prisms[r.name], doubtful.get(r.name, ())) for r in readings])


def with_leftovers(reading: ClusterReading, prism: Prism, asked: Sequence[VmUuid]) -> ClusterReading:
    leftovers = {vm.uuid for _, vm in prism.vms() if vm.role == "DECOUPLED"} & set(asked)
    vms = tuple(replace(vm, decoupled=vm.uuid in leftovers) for vm in reading.vms)
    return replace(reading, vms=vms)


def findings_of(scenario: Scenario, readings: Sequence[ClusterReading]) -> Plan:
    profile = profile_of(scenario)
    target = scenario.run.get("target")
    dr = bool(target)
    return make_plan(
        site_of(scenario.world),
        readings,
        scopes=[profile.scope, Scope.model_validate_json(json.dumps(scenario.run.get("scope", {})))],
        policy=profile.policy,
        limits=Limits(profile.policy.max_changes_for(dr=dr), profile.policy.max_change_percent_for(dr=dr)),
        target=parse_target(target, readings) if target else None,
    )


def readings_of(scenario: Scenario, reads: int = 0) -> list[ClusterReading]:
    """What the clusters say after that many readings before."""
    return [reading_of(prism, reads) for prism in scenario.world.prisms.values()]


def site_of(world: World) -> Site:
    site = world.site
    return Site(
        id=site.id,
        name=site.name,
        machines=tuple(machine_of(world, machine) for machine in site.machines.values()),
        connections=tuple(
            HostingConnection(c.id, c.name, c.plugin_id, c.zone, c.zone_id, c.in_maintenance)
            for c in site.connections.values()
        ),
        catalogs=tuple(Folder(c.id, c.name, c.full_name, c.zone) for c in site.catalogs.values()),
        delivery_groups=tuple(Folder(g.id, g.name, g.full_name) for g in site.groups.values()),
    )


def machine_of(world: World, machine: SimMachine) -> Machine:
    site = world.site
    connection = site.connections.get(machine.connection_id or "")
    hosted = machine.hosted_machine_id
    group = site.groups.get(machine.group_id or "")
    return Machine(
        id=MachineId(machine.id),
        name=machine.name,
        dns_name=machine.dns_name,
        hosting=Hosting(
            connection.name if connection else None,
            VmUuid(hosted.lower()) if hosted else None,
            connection.id if connection else None,
        ),
        provisioning=Provisioning(machine.provisioning),
        hosted_name=machine.hosted_name,
        catalog=site.catalogs[machine.catalog_id].name,
        catalog_id=machine.catalog_id,
        delivery_group=group.name if group else None,
        delivery_group_id=machine.group_id,
    )


def reading_of(prism: Prism, reads: int = 0) -> ClusterReading:
    api = answering_api(prism)
    if not prism.up:
        return ClusterReading(prism.name, api, prism.hosting_connection, ReadStatus.UNREACHABLE, error="down")
    meant = {name.lower() for name in prism.prism_clusters or [cluster.name for cluster in prism.clusters]}
    clusters = [cluster for cluster in prism.clusters if cluster.name.lower() in meant]
    element = api == "element-v2"
    return ClusterReading(
        name=prism.name,
        api=api,
        hosting_connection=prism.hosting_connection,
        status=ReadStatus.ANSWERED,
        vms=tuple(
            vm_of(prism, cluster, vm)
            for cluster in clusters
            for vm in cluster.vms.values()
            if element or vm.late <= reads
        ),
        domains=tuple(
            ProtectionDomain(
                name=domain.name,
                active=domain.active,
                vms=tuple(ProtectedVm(VmUuid(entry.uuid), entry.name) for entry in domain.vms),
                snapshots=tuple(ProtectedVm(VmUuid(e.uuid), e.name) for e in (domain.snapshots or [[]])[0]),
            )
            for domain in (clusters[0].domains.values() if element else ())
        ),
        registered=tuple(RegisteredCluster(c.uuid, c.name, c.available) for c in clusters),
        jobs=tuple(job_of(job) for job in prism.jobs if is_read(job)),
    )


def is_read(job: SimJob) -> bool:
    """Moves of the last 72 hours that are over, and tests of the 30 days before."""
    at = datetime.fromisoformat(job.ended or job.started)
    if job.action == "TEST_FAILOVER":
        return at >= NOW - timedelta(hours=72, days=30)
    return job.action in MOVES and job.ended is not None and at >= NOW - timedelta(hours=72)


def job_of(job: SimJob) -> RecoveryJob:
    return RecoveryJob(
        id=job.uuid,
        name=job.name,
        action=job.action,
        at=datetime.fromisoformat(job.ended or job.started),
        test=job.action == "TEST_FAILOVER",
        recovered=tuple(
            RecoveredVm(VmUuid(each.source), VmUuid(each.recovered), each.name)
            for each in job.recovered
            if not each.failed
        ),
    )


def vm_of(prism: Prism, cluster: NutanixCluster, vm: SimVm) -> Vm:
    api = answering_api(prism)
    central = api != "element-v2"
    return Vm(
        uuid=VmUuid(vm.uuid),
        name=vm.name,
        cluster=prism.name,
        cluster_uuid=cluster.uuid,
        power=POWER.get(vm.power, PowerState.OTHER),
        bios_uuid=VmUuid(vm.bios_uuid or vm.uuid) if central else None,
        parent_uuid=VmUuid(vm.parent_uuid) if central and vm.parent_uuid else None,
        created=datetime.fromisoformat(vm.created) if central else None,
        agent=vm.agent,
        in_flux=vm.migrating if api == "central-v4" else central and vm.state != "COMPLETE",
        categories=tuple(f"{key}:{value}" for key, value in vm.categories.items()) if central else (),
        by_rule=central and vm.role is not None,
    )
