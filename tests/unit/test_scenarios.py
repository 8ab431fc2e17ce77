"""The scenarios are the same in every run, and the planner draws from each what its file says."""

from __future__ import annotations

import json
from datetime import datetime

import pytest

from sandbox.large_world import large_world
from sandbox.scenario import DEFAULT, Endpoints, Scenario, load, names
from sandbox.world import NutanixCluster, Prism, SimMachine, SimVm, World
from sandbox.world_builder import ScenarioError
from shared.model import (
    ClusterReading,
    Finding,
    Folder,
    Hosting,
    HostingConnection,
    Limits,
    Machine,
    MachineId,
    Plan,
    PowerState,
    ProtectedVm,
    ProtectionDomain,
    Provisioning,
    ReadStatus,
    RegisteredCluster,
    Site,
    Vm,
    VmUuid,
)
from shared.planning.plan import make_plan, parse_target
from shared.profile import Profile, Scope

POWER = {"on": PowerState.ON, "off": PowerState.OFF}
ENDPOINTS = ("https://127.0.0.1:1", ("127.0.0.1", 2))


def test_every_scenario_of_the_plan_is_there() -> None:
    wanted = {
        "planned-migration", "activation-old-cluster-dead", "activation-stale-copies-off", "failback", "healthy",
        "activation-old-cluster-dead-no-target", "duplicates-and-conflicts", "central-v3",
    }  # fmt: skip
    assert wanted <= set(names())
    assert DEFAULT in wanted


@pytest.mark.parametrize("name", names())
def test_a_scenario_is_the_same_in_every_run(name: str) -> None:
    assert load(name) == load(name)


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
    scenario = load(name)
    plan = plan_of(scenario)
    assert {finding.machine.name: told(finding) for finding in plan.findings} == right(scenario)
    assert tuple(guard.name for guard in plan.guards) == scenario.guards
    assert plan.out_of_scope == scenario.out_of_scope
    assert {key: value for key, value in plan.unmatched.items() if value} == scenario.unmatched


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
    assert {finding.machine.name: told(finding) for finding in plan.findings} == right(scenario)
    assert len({expected.finding for expected in scenario.expected.values()}) == 5


def told(finding: Finding) -> tuple[object, ...]:
    after = finding.after
    to = (after.connection, after.machine_id) if after else (None, None)
    return (finding.kind.value, finding.reason, finding.confidence and finding.confidence.value, *to)


def right(scenario: Scenario) -> dict[str, tuple[object, ...]]:
    machines = scenario.world.site.machines
    return {
        machines[identifier].name: (e.finding, e.reason, e.confidence, e.to_connection, e.to_uuid)
        for identifier, e in scenario.expected.items()
    }


def profile_of(scenario: Scenario) -> Profile:
    citrix, prism = ENDPOINTS
    document = scenario.profile_document(Endpoints(citrix, dict.fromkeys(scenario.world.prisms, prism)))
    return Profile.model_validate_json(json.dumps(document))


def plan_of(scenario: Scenario) -> Plan:
    profile = profile_of(scenario)
    readings = [reading_of(prism) for prism in scenario.world.prisms.values()]
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


def reading_of(prism: Prism) -> ClusterReading:
    if not prism.up:
        return ClusterReading(prism.name, prism.api, prism.hosting_connection, ReadStatus.UNREACHABLE, error="down")
    return ClusterReading(
        name=prism.name,
        api=prism.api,
        hosting_connection=prism.hosting_connection,
        status=ReadStatus.ANSWERED,
        vms=tuple(vm_of(prism, cluster, vm) for cluster, vm in prism.vms()),
        domains=tuple(
            ProtectionDomain(
                name=domain.name,
                active=domain.active,
                vms=tuple(ProtectedVm(VmUuid(entry.uuid), entry.name) for entry in domain.vms),
                snapshots=tuple(ProtectedVm(VmUuid(e.uuid), e.name) for e in (domain.snapshots or [[]])[0]),
            )
            for domain in prism.clusters[0].domains.values()
        ),
        registered=tuple(RegisteredCluster(c.uuid, c.name, c.available) for c in prism.clusters),
    )


def vm_of(prism: Prism, cluster: NutanixCluster, vm: SimVm) -> Vm:
    central = prism.api != "element-v2"
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
        in_flux=central and vm.state != "COMPLETE",
    )
