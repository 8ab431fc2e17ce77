"""The estate of the stateful test, in memory: what Citrix and two Nutanix clusters hold, and what others change in it.

Nine machines of a site that believes all of them in Paris, while their VMs run in Amsterdam: some under the UUID that
Citrix knows, some under a new one, two whose records were mixed up, one with a namesake, one that is right already.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from shared.model.citrix import Folder, Hosting, HostingConnection, Machine, MachineId, Provisioning
from shared.model.nutanix import PowerState, Vm, VmUuid
from shared.model.remap import Change

PARIS, AMSTERDAM = "paris", "amsterdam"
PLUGIN = "AcropolisFactory"
SOMEBODY = "somebody"


def uuid_of(number: int, kind: int = 0) -> VmUuid:
    return VmUuid(f"{kind:08x}-0000-4000-8000-{number:012x}")


@dataclass(frozen=True)
class Place:
    """A machine's hosting as Citrix keeps it: a connection by its id, and a hosted machine id."""

    connection_id: str | None
    machine_id: str | None


def place_of(hosting: Hosting) -> Place:
    return Place(hosting.connection_id, hosting.machine_id.lower() if hosting.machine_id else None)


class Meddling(StrEnum):
    """What others do to the estate."""

    EDIT = "edit"
    EDIT_BACK = "edit-back"
    MACHINE_GONE = "machine-gone"
    VM_GONE = "vm-gone"
    VM_MOVES = "vm-moves"
    VM_OFF = "vm-off"
    NAMESAKE = "namesake"
    RENAME = "rename"
    MAINTENANCE = "maintenance"
    DELETE = "delete"
    MEND = "mend"


@dataclass
class Estate:
    """``told`` names who changed a machine last, ``SOMEBODY`` or a run's id; ``site_id`` is the example's own."""

    site_id: str
    connections: dict[str, HostingConnection] = field(default_factory=dict)
    machines: dict[MachineId, Machine] = field(default_factory=dict)
    places: dict[MachineId, Place] = field(default_factory=dict)
    clusters: dict[str, dict[VmUuid, Vm]] = field(default_factory=lambda: {PARIS: {}, AMSTERDAM: {}})
    told: dict[MachineId, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in (PARIS, AMSTERDAM):
            self.connections[f"c-{name}"] = HostingConnection(f"c-{name}", f"Nutanix {name.title()}", PLUGIN)
        for number in range(1, 5):  # migrated: the VM kept its UUID
            self._machine(number, uuid_of(number))
            self._vm(AMSTERDAM, number, uuid_of(number))
        self._machine(5, uuid_of(5))  # activated: the VM has a new UUID
        self._vm(AMSTERDAM, 5, uuid_of(5, 1))
        self._machine(6, uuid_of(6))
        self._vm(AMSTERDAM, 6, uuid_of(6, 1))
        self._vm(AMSTERDAM, 6, uuid_of(6, 2))
        self._machine(7, uuid_of(7), AMSTERDAM)
        self._vm(AMSTERDAM, 7, uuid_of(7))
        for number, mixed_up in ((8, 9), (9, 8)):
            self._machine(number, uuid_of(mixed_up))
            self._vm(AMSTERDAM, number, uuid_of(number))
        self._first_places = dict(self.places)
        self._first_connections = dict(self.connections)
        self._first_machines = dict(self.machines)
        self._first_clusters = {name: dict(vms) for name, vms in self.clusters.items()}

    @property
    def catalog(self) -> Folder:
        return Folder("cat", "Persistent W11", "Persistent W11", provisioning=Provisioning.MANUAL)

    def read(self, machine: MachineId) -> Machine:
        """The record as Citrix shows it now."""
        place = self.places[machine]
        connection = self.connections.get(place.connection_id or "")
        uuid = VmUuid(place.machine_id) if place.machine_id is not None else None
        hosting = Hosting(connection.name if connection else None, uuid, connection.id if connection else None)
        return replace(self.machines[machine], hosting=hosting)

    def execute(self, change: Change, by: str) -> str | None:
        """Do a PATCH; what Citrix refuses it with, None where it was done."""
        wanted = (change.hosting.connection or "").lower()
        found = next((each for each in self.connections.values() if each.name.lower() == wanted), None)
        if found is None:
            return f"There is no hosting connection {change.hosting.connection}."
        if change.machine not in self.machines:
            return f"There is no machine {change.machine}."
        self.places[change.machine] = Place(found.id, change.hosting.machine_id)
        self.told[change.machine] = by
        return None

    def power_state(self, machine: MachineId) -> str:
        place = self.places[machine]
        cluster = (place.connection_id or "").removeprefix("c-")
        vm = self.clusters.get(cluster, {}).get(VmUuid(place.machine_id or ""))
        return "On" if vm is not None and vm.power is PowerState.ON else "Unknown"

    def meddle(self, what: Meddling, number: int) -> None:
        """Somebody else changes something; ``number`` says of which machine or connection."""
        machine = sorted(self.machines)[number % len(self.machines)] if self.machines else None
        connection = sorted(self._first_connections)[number % len(self._first_connections)]
        match what:
            case Meddling.EDIT | Meddling.EDIT_BACK | Meddling.MACHINE_GONE if machine is not None:
                self._meddle_with_machine(what, machine, number)
            case Meddling.VM_GONE | Meddling.VM_MOVES | Meddling.VM_OFF | Meddling.NAMESAKE:
                self._meddle_with_vm(what, number)
            case Meddling.RENAME | Meddling.MAINTENANCE | Meddling.DELETE:
                self._meddle_with_connection(what, connection)
            case Meddling.MEND:
                self.mend()
            case _:
                pass

    def mend(self) -> None:
        """Machines, VMs and connections are there again as they were; what Citrix has for a machine stays."""
        self.connections = dict(self._first_connections)
        self.clusters = {name: dict(vms) for name, vms in self._first_clusters.items()}
        self.machines = dict(self._first_machines)
        self.places = {machine: self.places.get(machine, self._first_places[machine]) for machine in self.machines}

    def _meddle_with_machine(self, what: Meddling, machine: MachineId, number: int) -> None:
        if what is Meddling.MACHINE_GONE:
            del self.machines[machine], self.places[machine]
            return
        before = self._first_places[machine]
        self.places[machine] = before if what is Meddling.EDIT_BACK else Place("c-paris", uuid_of(number, 77))
        self.told[machine] = SOMEBODY

    def _meddle_with_vm(self, what: Meddling, number: int) -> None:
        here = self.clusters[AMSTERDAM]
        if not here:
            return
        vm = here[sorted(here)[number % len(here)]]
        if what is Meddling.NAMESAKE:
            twin = replace(vm, uuid=uuid_of(number, 88))
            here[twin.uuid] = twin
        elif what is Meddling.VM_OFF:
            here[vm.uuid] = replace(vm, power=PowerState.OFF)
        else:
            del here[vm.uuid]
        if what is Meddling.VM_MOVES:
            self.clusters[PARIS][vm.uuid] = replace(vm, cluster=PARIS, cluster_uuid="cl-paris")

    def _meddle_with_connection(self, what: Meddling, connection: str) -> None:
        found = self.connections.get(connection)
        if found is None:
            return
        if what is Meddling.DELETE:
            del self.connections[connection]
        elif what is Meddling.RENAME:
            self.connections[connection] = replace(found, name=f"{found.name} (renamed)")
        else:
            self.connections[connection] = replace(found, in_maintenance=not found.in_maintenance)

    def _machine(self, number: int, uuid: VmUuid, at: str = PARIS) -> None:
        host = f"W11-{number:03d}"
        machine = MachineId(f"m-{number:03d}")
        self.machines[machine] = Machine(
            machine, f"CORP\\{host}", f"{host.lower()}.corp.example", Hosting(None, None), catalog="Persistent W11",
            catalog_id="cat",
        )  # fmt: skip
        self.places[machine] = Place(f"c-{at}", uuid)

    def _vm(self, cluster: str, number: int, uuid: VmUuid) -> None:
        vm = Vm(uuid, f"W11-{number:03d}", cluster, f"cl-{cluster}", PowerState.ON)
        self.clusters[cluster][uuid] = vm


def listing(vms: Mapping[VmUuid, Vm]) -> tuple[Vm, ...]:
    return tuple(vms[uuid] for uuid in sorted(vms))
