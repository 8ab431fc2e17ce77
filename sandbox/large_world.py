"""An estate of any size with mixed content, for trying things at scale. The same numbers give the same estate."""

from __future__ import annotations

import random
from collections.abc import Callable

from sandbox.citrix_site import SimCatalog, SimConnection, SimGroup, SimMachine, SimZone
from sandbox.scenario import Expected, Scenario
from sandbox.world import AHV_PLUGIN_ELEMENT, NutanixCluster, Prism, SimVm, World, cluster_uuid, stable_uuid
from sandbox.world_builder import DNS_SUFFIX, DOMAIN, empty_site

NAME = "large"
HOME, AWAY = "paris", "amsterdam"
CATALOGS = ("Persistent W11", "Developers", "Finance", "Pooled W11")


def large_world(machines: int, seed: int = 1, vms: int | None = None) -> Scenario:
    """``machines`` records in four catalogs over two Prism Elements that answer, and ``vms`` VMs (else a fifth more).

    Of 100 machines about 72 are aligned, 14 moved under their own UUID, 7 were recreated under a new one, and the rest
    is ambiguous, missing or out of reach.
    """
    return _Large(machines, seed, machines + machines // 5 if vms is None else vms).build()


class _Large:
    def __init__(self, machines: int, seed: int, vms: int) -> None:
        self._count = machines
        self._vms = vms
        # Only what varies is drawn; ids come from names, so that a machine keeps its id when the number grows.
        self._random = random.Random(seed)
        self._site = empty_site(NAME)
        self._clusters = {
            HOME: NutanixCluster(cluster_uuid(NAME, "PAR-CL01"), "PAR-CL01"),
            AWAY: NutanixCluster(cluster_uuid(NAME, "AMS-CL01"), "AMS-CL01"),
        }
        self._connections = {name: self._connection(name) for name in self._clusters}
        self._expected: dict[str, Expected] = {}
        self._made: list[SimVm] = []

    def build(self) -> Scenario:
        catalogs = [self._catalog(name) for name in CATALOGS]
        group = SimGroup(stable_uuid(NAME, "group"), 1, "W11 Desktops")
        self._site.groups[group.id] = group
        kinds: list[tuple[Callable[[SimMachine, str], Expected], int]] = [
            (self._aligned, 72), (self._moved, 14), (self._replaced, 7), (self._ambiguous, 1), (self._missing, 1),
            (self._unmanaged, 1), (self._pooled, 4),
        ]  # fmt: skip
        drawn = self._random.choices([kind for kind, _ in kinds], [weight for _, weight in kinds], k=self._count)
        for number, kind in enumerate(drawn, start=1):
            catalog = catalogs[-1] if kind == self._pooled else catalogs[number % (len(catalogs) - 1)]
            self._machine(number, catalog, group, kind)
        self._fill_up()
        prisms = {name: self._prism(name, cluster) for name, cluster in self._clusters.items()}
        world = World(prisms, self._site)
        world.refresh_all_power()
        return Scenario(
            name=NAME,
            describes=f"{self._count} machines and {self._vms} VMs on two Prism Elements",
            world=world,
            profile_parts={
                "name": "emea-vdi",
                "policy": {"maxChanges": 100_000, "maxChangePercent": 100},
            },
            run={"mode": "review"},
            expected=self._expected,
        )

    def _machine(
        self, number: int, catalog: SimCatalog, group: SimGroup, kind: Callable[[SimMachine, str], Expected]
    ) -> None:
        host = f"W11-{number:06d}"
        machine = SimMachine(
            id=stable_uuid(NAME, "machine", host),
            uid=number,
            name=f"{DOMAIN}\\{host}",
            dns_name=f"{host.lower()}.{DNS_SUFFIX}",
            catalog_id=catalog.id,
            group_id=group.id,
            provisioning=catalog.provisioning,
            connection_id=self._connections[HOME].id,
            hosted_machine_id=stable_uuid(NAME, "vm", host),
            hosted_name=host,
        )
        self._site.machines[machine.id] = machine
        self._expected[machine.id] = kind(machine, host)

    def _vm(self, cluster: str, host: str, key: str = "") -> SimVm:
        identifier = stable_uuid(NAME, "vm", host, key) if key else stable_uuid(NAME, "vm", host)
        vm = self._clusters[cluster].add(SimVm(identifier, host))
        self._made.append(vm)
        return vm

    def _aligned(self, machine: SimMachine, host: str) -> Expected:
        place = AWAY if self._random.random() < 0.3 else HOME
        machine.connection_id = self._connections[place].id
        self._vm(place, host)
        return Expected("aligned", "own-vm-live")

    def _moved(self, machine: SimMachine, host: str) -> Expected:
        return self._to("vm-moved", "proven", AWAY, self._vm(AWAY, host))

    def _replaced(self, machine: SimMachine, host: str) -> Expected:
        return self._to("vm-moved", "strong", AWAY, self._vm(AWAY, host, "new"))

    def _ambiguous(self, machine: SimMachine, host: str) -> Expected:
        self._vm(HOME, host, "a")
        self._vm(AWAY, host, "b")
        return Expected("ambiguous", "several-candidates")

    def _missing(self, machine: SimMachine, host: str) -> Expected:
        return Expected("missing", "no-vm")

    def _unmanaged(self, machine: SimMachine, host: str) -> Expected:
        machine.connection_id = machine.hosted_machine_id = machine.hosted_name = None
        return Expected("excluded", "not-power-managed")

    def _pooled(self, machine: SimMachine, host: str) -> Expected:
        self._vm(HOME, host)
        return Expected("excluded", "not-manual")

    def _to(self, reason: str, confidence: str, cluster: str, vm: SimVm) -> Expected:
        return Expected("remap", reason, confidence, cluster, self._connections[cluster].name, vm.uuid)

    def _fill_up(self) -> None:
        for number in range(1, self._vms - len(self._made) + 1):
            name = f"SRV-{number:06d}"
            self._clusters[AWAY if number % 2 else HOME].add(SimVm(stable_uuid(NAME, "vm", name), name))

    def _connection(self, cluster: str) -> SimConnection:
        connection = SimConnection(
            id=stable_uuid(NAME, "connection", cluster),
            uid=1 if cluster == HOME else 2,
            name=f"Nutanix AHV {cluster.title()}",
            plugin_id=AHV_PLUGIN_ELEMENT,
            zone_id=stable_uuid(NAME, "zone", cluster),
            zone=cluster.title(),
            address=f"prism-{cluster[:3]}.corp.example",
        )
        self._site.connections[connection.id] = connection
        self._site.zones[connection.zone_id] = SimZone(connection.zone_id, connection.zone)
        return connection

    def _catalog(self, name: str) -> SimCatalog:
        zone = self._connections[HOME]
        catalog = SimCatalog(
            id=stable_uuid(NAME, "catalog", name),
            uid=len(self._site.catalogs) + 1,
            name=name,
            folder="EMEA",
            zone_id=zone.zone_id,
            zone=zone.zone,
            provisioning="MCS" if name == "Pooled W11" else "Manual",
        )
        self._site.catalogs[catalog.id] = catalog
        return catalog

    def _prism(self, name: str, cluster: NutanixCluster) -> Prism:
        password = stable_uuid(NAME, name, "password")
        return Prism(name, "element-v2", self._connections[name].name, [cluster], password=password)
