"""The estate that every contender puts right: all machines moved, none of their records followed.

Each machine's record names the old cluster's hosting connection and the VM that is switched off there. What runs is a
VM of the same name and another UUID on the target cluster, in a protection domain that is active on that side only. So
both fields of every record are wrong, and each script finds what it looks for: the one that reads a Prism Element the
domain, the one that reads a Prism Central the names. The target cluster is seen through both at the same time.
"""

from __future__ import annotations

from sandbox.certificates import ServerCertificate
from sandbox.citrix_api import BASE, CitrixApi
from sandbox.citrix_batch import gateway_form
from sandbox.citrix_daas import CitrixDaas
from sandbox.citrix_sign_in import CloudDoor
from sandbox.citrix_site import SimCatalog, SimConnection, SimGroup, SimMachine, SimZone
from sandbox.front import Origin, Simulator
from sandbox.sandbox import Sandbox
from sandbox.scenario import Endpoints, Expected, Json, Scenario
from sandbox.server import Server
from sandbox.world import (
    AHV_PLUGIN_ELEMENT,
    DomainEntry,
    NutanixCluster,
    Prism,
    SimDomain,
    SimVm,
    World,
    cluster_uuid,
    stable_uuid,
)
from sandbox.world_builder import DNS_SUFFIX, DOMAIN, empty_site

NAME = "bench"
PROFILE = "bench"
OLD, TARGET, TARGET_CENTRAL = "paris", "amsterdam", "amsterdam-pc"
PROTECTION_DOMAIN = "VDI"
CATALOG = "Persistent W11"
UNLIMITED = 1_000_000  # calls a second, tokens a minute
RESET_AGAIN_SECONDS = 1


class BenchScenario(Scenario):
    """The Prism Central shows the same cluster to the script that reads one; Realign's profile names the Elements."""

    def profile_document(self, endpoints: Endpoints) -> Json:
        document = super().profile_document(endpoints)
        document["clusters"] = [each for each in document["clusters"] if each["name"] != TARGET_CENTRAL]
        return document


def drifted(machines: int) -> Scenario:
    """``machines`` records with both fields wrong. The same number gives the same estate."""
    site = empty_site(NAME)
    clusters = {name: NutanixCluster(cluster_uuid(NAME, name), name.upper()) for name in (OLD, TARGET)}
    connections = {name: _connection(name, number) for number, name in enumerate(clusters, start=1)}
    for connection in connections.values():
        site.connections[connection.id] = connection
        site.zones[connection.zone_id] = SimZone(connection.zone_id, connection.zone)
    catalog, group = _catalog(connections[OLD]), SimGroup(stable_uuid(NAME, "group"), 1, "W11 Desktops")
    site.catalogs[catalog.id], site.groups[group.id] = catalog, group
    before, after = SimDomain(PROTECTION_DOMAIN, active=False), SimDomain(PROTECTION_DOMAIN, active=True)
    clusters[OLD].domains[PROTECTION_DOMAIN], clusters[TARGET].domains[PROTECTION_DOMAIN] = before, after
    expected: dict[str, Expected] = {}
    snapshot: list[DomainEntry] = []
    for number in range(1, machines + 1):
        host = f"W11-{number:06d}"
        old = clusters[OLD].add(SimVm(stable_uuid(NAME, "vm", host, OLD), host, power="off"))
        new = clusters[TARGET].add(SimVm(stable_uuid(NAME, "vm", host, TARGET), host))
        snapshot.append(DomainEntry(old.uuid, host))
        after.vms.append(DomainEntry(new.uuid, host))
        machine = _machine(number, host, catalog, group)
        machine.connection_id, machine.hosted_machine_id = connections[OLD].id, old.uuid
        site.machines[machine.id] = machine
        expected[machine.id] = Expected("remap", "vm-moved", "strong", TARGET, connections[TARGET].name, new.uuid)
    after.snapshots.append(snapshot)
    prisms = [_prism(name, "element-v2", connections[name], clusters[name]) for name in clusters]
    prisms.append(_prism(TARGET_CENTRAL, "central-v4", connections[TARGET], clusters[TARGET]))
    world = World({prism.name: prism for prism in prisms}, site)
    world.refresh_all_power()
    policy = {"mode": "auto", "maxChanges": 100_000, "maxChangePercent": 100}
    return BenchScenario(
        name=NAME,
        describes=f"{machines} machines, all of them drifted",
        world=world,
        profile_parts={
            "name": PROFILE,
            "policy": policy | {"resetAgainAfterSeconds": RESET_AGAIN_SECONDS},
            "schedule": True,
        },
        run={"mode": "review"},
        expected=expected,
    )


def wrong(scenario: Scenario) -> list[str]:
    """The names of the machines whose record does not name their VM."""
    site = scenario.world.site
    return [
        machine.name
        for machine in site.machines.values()
        if (machine.connection_id, machine.hosted_machine_id)
        != (stable_uuid(NAME, "connection", TARGET), scenario.expected[machine.id].to_uuid)
    ]


class BenchSandbox(Sandbox):
    """Its token service issues as many tokens as are asked for: a script asks for one before every call."""

    def _simulate(self, simulator: Simulator | Origin, certificate: ServerCertificate) -> Server:
        if isinstance(simulator, CitrixDaas):
            door = CloudDoor(self.world.site, limit=UNLIMITED)
            simulator = CitrixApi(simulator.system, self.world, self.faults, door, gateway_form(BASE))
        return super()._simulate(simulator, certificate)


def _connection(cluster: str, uid: int) -> SimConnection:
    return SimConnection(
        id=stable_uuid(NAME, "connection", cluster),
        uid=uid,
        name=f"Nutanix AHV {cluster.title()}",
        plugin_id=AHV_PLUGIN_ELEMENT,
        zone_id=stable_uuid(NAME, "zone", cluster),
        zone=cluster.title(),
        address=f"prism-{cluster[:3]}.corp.example",
    )


def _catalog(zone: SimConnection) -> SimCatalog:
    return SimCatalog(
        id=stable_uuid(NAME, "catalog", CATALOG),
        uid=1,
        name=CATALOG,
        folder="",
        zone_id=zone.zone_id,
        zone=zone.zone,
    )


def _machine(number: int, host: str, catalog: SimCatalog, group: SimGroup) -> SimMachine:
    return SimMachine(
        id=stable_uuid(NAME, "machine", host),
        uid=number,
        name=f"{DOMAIN}\\{host}",
        dns_name=f"{host.lower()}.{DNS_SUFFIX}",
        catalog_id=catalog.id,
        group_id=group.id,
        provisioning=catalog.provisioning,
        connection_id=None,
        hosted_machine_id=None,
        hosted_name=host,
    )


def _prism(name: str, api: str, connection: SimConnection, cluster: NutanixCluster) -> Prism:
    # A script's list of VMs would run into the budget of two calls a second and wait five seconds: a pause of its own.
    rates = {"v4ListVms": UNLIMITED, "whole": UNLIMITED}
    return Prism(name, api, connection.name, [cluster], password=stable_uuid(NAME, name, "password"), rates=rates)
