"""The estate that the simulators show: Nutanix clusters with their VMs, and the Citrix site that stands over them.

Plain mutable data, on purpose: a test changes a field and the next answer shows it. A VM lives on one Nutanix cluster;
a Prism endpoint shows the VMs of its cluster (Element) or of all its registered clusters (Central), so that one VM can
be seen through two endpoints.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from sandbox.citrix_site import CitrixSite, SimConnection, SimMachine, Write
from sandbox.relayed import Relayed

AHV_PLUGIN_ELEMENT = "AcropolisFactory"
MINORS = {"vmm": 2, "clustermgmt": 2, "prism": 2, "dataprotection": 2, "datapolicies": 2}


def stable_uuid(*parts: object) -> str:
    """The same parts give the same UUID in every run."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, "realign-sandbox:" + "/".join(str(part) for part in parts)))


def cluster_uuid(*parts: object) -> str:
    """A cluster UUID in the shape of real ones: no valid RFC 4122 version (contract ``prism.md``, section 0)."""
    text = stable_uuid("cluster", *parts).replace("-", "")
    return f"0006{text[:4]}-{text[4:8]}-{text[8:12]}-0000-{text[12:24]}"


@dataclass(slots=True)
class SimVm:
    """A VM on one Nutanix cluster. ``power`` is ``on``, ``off`` or ``paused``; ``created`` RFC 3339, whole seconds.

    ``migrating``: a cross-cluster migration is under way. ``role`` is the synchronous replication role (``PRIMARY``,
    ``SECONDARY``, ``INDEPENDENT``, ``DECOUPLED``), None for a VM that is not so protected. ``late`` is the number of
    readings of a Prism Central that still leave it out: each one counts down. Of several ``nics`` the first is
    connected and has the address.
    """

    uuid: str
    name: str
    power: str = "on"
    bios_uuid: str | None = None
    parent_uuid: str | None = None
    agent: bool = False
    state: str = "COMPLETE"
    hypervisor: str = "AHV"
    created: str = "2025-05-29T05:59:01Z"
    ip: str | None = None
    mac: str | None = None
    categories: dict[str, str] = field(default_factory=dict)
    migrating: bool = False
    role: str | None = None
    late: int = 0
    nics: int = 1


@dataclass(slots=True)
class SimRecovered:
    """A VM that a recovery plan job moved: ``source`` and ``recovered`` are UUIDs; ``failed``: it did not come over."""

    source: str
    recovered: str
    name: str
    failed: bool = False


@dataclass(slots=True)
class SimJob:
    """A recovery plan job. ``action`` and ``status`` are v3's words; v4's follow from them. ``live``: LIVE_MIGRATE.

    ``started`` and ``ended`` are RFC 3339, whole seconds; ``ended`` is None while it runs. ``plan`` is the name of the
    recovery plan that it runs.
    """

    uuid: str
    name: str
    action: str
    started: str
    ended: str | None
    status: str = "COMPLETED"
    recovered: list[SimRecovered] = field(default_factory=list)
    plan: str = "VDI"


@dataclass(slots=True)
class DomainEntry:
    """A VM in a protection domain or in a snapshot: its UUID at that time and its name."""

    uuid: str
    name: str


@dataclass(slots=True)
class SimDomain:
    """A protection domain as one cluster sees it."""

    name: str
    active: bool
    vms: list[DomainEntry] = field(default_factory=list)
    snapshots: list[list[DomainEntry]] = field(default_factory=list)
    remote_sites: list[str] = field(default_factory=list)


@dataclass(slots=True)
class NutanixCluster:
    """One Nutanix cluster. ``available`` is what a Prism Central says about it."""

    uuid: str
    name: str
    available: bool = True
    vms: dict[str, SimVm] = field(default_factory=dict)
    domains: dict[str, SimDomain] = field(default_factory=dict)

    def protected(self) -> set[str]:
        """The UUIDs of what is in its protection domains."""
        return {entry.uuid for domain in self.domains.values() for entry in domain.vms}

    def add(self, vm: SimVm) -> SimVm:
        self.vms[vm.uuid] = vm
        return vm


@dataclass(slots=True)
class Prism:
    """A Prism endpoint of the profile: ``api`` is the profile's word, ``up`` False when it is dead.

    ``minors`` are the highest v4 minor of each namespace that a Central serves (``{}``: it has no v4), ``announces``
    whether it answers ``OPTIONS .../unversioned/info``. ``serves_v3``: the v3 API answers, too. ``prism_clusters``
    is what the profile narrows it to. ``rates`` are the v4 calls a second by operation where they are not the usual
    ones. ``select_minor`` is the lowest minor of the VM list that takes ``$select``. ``forbidden`` are the operations
    of a Central (``v4ListRecoveryPlanJobs``) for which the account lacks a right: they answer 403. ``relayed`` puts it
    behind the simulated Azure Relay.
    """

    name: str
    api: str
    hosting_connection: str
    clusters: list[NutanixCluster]
    up: bool = True
    username: str = "svc-realign"
    password: str = field(default="", repr=False)
    api_key: str | None = field(default=None, repr=False)
    minors: dict[str, int] = field(default_factory=lambda: dict(MINORS))
    announces: bool = True
    serves_v3: bool = True
    prism_clusters: list[str] | None = None
    jobs: list[SimJob] = field(default_factory=list)
    rates: dict[str, int] = field(default_factory=dict)
    select_minor: int = 0
    forbidden: set[str] = field(default_factory=set)
    relayed: Relayed | None = None

    def vms(self) -> Iterator[tuple[NutanixCluster, SimVm]]:
        for cluster in self.clusters:
            for vm in cluster.vms.values():
                yield cluster, vm

    def find(self, uuid_text: str) -> tuple[NutanixCluster, SimVm] | None:
        wanted = uuid_text.lower()
        for cluster in self.clusters:
            if wanted in cluster.vms:
                return cluster, cluster.vms[wanted]
        return None


@dataclass(slots=True)
class World:
    """Everything that the simulators know, and every write that they executed.

    ``writes`` counts a machine's PATCHes, ``history`` tells each. ``nested_items``: every n-th PATCH of a batch only
    starts a job of its own (0: none). ``seed`` draws the order in which the items of a batch are done.
    ``job_start_seconds`` is how long a job waits before it begins, ``power_lag_seconds`` how long after a reset of a
    hosting connection its machines' power states come.
    """

    prisms: dict[str, Prism]
    site: CitrixSite
    writes: Counter[str] = field(default_factory=Counter)
    history: list[Write] = field(default_factory=list)
    nested_items: int = 0
    seed: int = 1
    job_start_seconds: float = 0.0
    power_lag_seconds: float = 0.0

    def purge_jobs(self) -> None:
        """What Citrix does 48 hours after a job has ended: its record goes."""
        for job in list(self.site.jobs.values()):
            if job.ended is not None:
                self.site.jobs.pop(job.id, None)

    def refresh_power(self, connection: SimConnection) -> None:
        """What Citrix does after a reset of a connection: it asks the hypervisor again for every machine on it."""
        prisms = [p for p in self.prisms.values() if p.hosting_connection.lower() == connection.name.lower()]
        for machine in self.site.machines.values():
            if machine.connection_id == connection.id:
                machine.power_state = self._seen_power(machine, prisms)

    def refresh_all_power(self) -> None:
        for connection in self.site.connections.values():
            self.refresh_power(connection)

    @staticmethod
    def _seen_power(machine: SimMachine, prisms: list[Prism]) -> str:
        states = {"on": "On", "off": "Off", "paused": "Suspended"}
        answering = [prism for prism in prisms if prism.up]
        found = [hit for prism in answering if (hit := prism.find(machine.hosted_machine_id or "")) is not None]
        for cluster, vm in found:
            if cluster.available:
                return states.get(vm.power, "Unknown")
        # Only a hypervisor that answers whole can say that it has no such VM.
        if found or not answering or len(answering) < len(prisms) or machine.hosted_machine_id is None:
            return "Unknown"
        return "VirtualMachineNotFound"
