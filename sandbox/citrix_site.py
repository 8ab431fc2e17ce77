"""The Citrix site that the simulators show: hosting connections, zones, catalogs, machine records and jobs.

Plain mutable data, as the rest of the world: a test changes a field and the next answer shows it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from sandbox.relayed import Relayed

Json = Any


class Via(StrEnum):
    """How a machine's PATCH came: on its own, or as an item of a batch."""

    ALONE = "alone"
    BATCH = "batch"


@dataclass(frozen=True, slots=True)
class SimHosting:
    """What a machine record says of its VM: a connection's id and the hosted machine id, None where there is none."""

    connection_id: str | None
    hosted_machine_id: str | None


@dataclass(frozen=True, slots=True)
class Write:
    """One PATCH that was executed. ``sequence`` counts the writes of a world from 1, in their order."""

    sequence: int
    machine_id: str
    before: SimHosting
    after: SimHosting
    via: Via


@dataclass(slots=True)
class SiteJob:
    """A job as the site keeps it. ``owner`` is the identity that started it; nobody else sees it.

    ``of`` is the path, below the API's base, of the object that a job without a result of its own has changed.
    ``results`` are the items of a batch that have been answered. ``stuck``: it never ends. ``lost``: it does its work,
    and is never seen.
    """

    id: str
    type: str
    owner: str
    created: datetime
    parameters: tuple[tuple[str, str], ...] = ()
    of: str | None = None
    status: str = "NotStarted"
    percent: int = 0
    cancellable: bool = False
    started: datetime | None = None
    ended: datetime | None = None
    error_code: str | None = None
    error: str | None = None
    sub_jobs: list[SiteJob] = field(default_factory=list)
    results: list[Json] = field(default_factory=list)
    stuck: bool = False
    lost: bool = False


@dataclass(slots=True)
class SimZone:
    """A zone of the site; the first one is the primary zone."""

    id: str
    name: str


@dataclass(slots=True)
class SimConnection:
    """A hosting connection of the Citrix site. ``resets`` counts ``$resetConnection``."""

    id: str
    uid: int
    name: str
    plugin_id: str
    zone_id: str
    zone: str
    address: str
    in_maintenance: bool = False
    connection_type: str = "Custom"
    resets: int = 0


@dataclass(slots=True)
class SimCatalog:
    """A machine catalog; ``folder`` is its admin folder with backslashes, empty for the root.

    ``pinned``: it may not move to another zone. ``moves`` counts the moves that were executed.
    """

    id: str
    uid: int
    name: str
    folder: str
    zone_id: str
    zone: str
    provisioning: str = "Manual"
    session_support: str = "SingleSession"
    pinned: bool = False
    moves: int = 0

    @property
    def full_name(self) -> str:
        return f"{self.folder}\\{self.name}" if self.folder else self.name


@dataclass(slots=True)
class SimGroup:
    """A delivery group."""

    id: str
    uid: int
    name: str
    folder: str = ""

    @property
    def full_name(self) -> str:
        return f"{self.folder}\\{self.name}" if self.folder else self.name


@dataclass(slots=True)
class SimMachine:
    """A machine record: what Citrix believes. ``connection_id`` and ``hosted_machine_id`` are None where unmanaged."""

    id: str
    uid: int
    name: str
    dns_name: str | None
    catalog_id: str
    group_id: str | None
    provisioning: str
    connection_id: str | None
    hosted_machine_id: str | None
    hosted_name: str | None = None
    power_state: str = "Unknown"
    in_maintenance: bool = False
    metadata: dict[str, str] = field(default_factory=dict)

    @property
    def hosting(self) -> SimHosting:
        return SimHosting(self.connection_id, self.hosted_machine_id)


@dataclass(slots=True)
class CitrixSite:
    """A Citrix site, seen as that of a DaaS customer and as one on premises. ``frozen`` makes ``/Me`` answer 530.

    ``kind`` is the profile's word. ``controllers`` are the Delivery Controllers by name, True for one that is up;
    ``relayed`` has those that stand behind the simulated Azure Relay. ``old`` makes them refuse ``fields`` in a list of
    machines. ``batch_form`` is the form of a batch item's ``RelativeUrl`` that they take: ``gateway``, ``direct``, or
    ``none``; a DaaS customer's gateway takes its own.

    ``accounts`` are further callers, secret by name: API clients of the customer, or Windows accounts. ``forbidden``
    are the operations (``moveItemsIntoZone``) for which callers lack a right, ``locked`` the ids of the machines that
    they may not change: both answer 403. ``caches``: a hosting connection is shown as it was first read, unless
    ``noCache`` is asked for.
    """

    id: str
    name: str
    customer_id: str
    client_id: str
    client_secret: str = field(repr=False)
    connections: dict[str, SimConnection] = field(default_factory=dict)
    catalogs: dict[str, SimCatalog] = field(default_factory=dict)
    groups: dict[str, SimGroup] = field(default_factory=dict)
    machines: dict[str, SimMachine] = field(default_factory=dict)
    zones: dict[str, SimZone] = field(default_factory=dict)
    jobs: dict[str, SiteJob] = field(default_factory=dict)
    frozen: bool = False
    kind: str = "daas"
    username: str = "CORP\\svc-realign"
    password: str = field(default="", repr=False)
    controllers: dict[str, bool] = field(default_factory=lambda: {"ddc01": True})
    relayed: dict[str, Relayed] = field(default_factory=dict)
    old: bool = False
    batch_form: str = "gateway"
    accounts: dict[str, str] = field(default_factory=dict, repr=False)
    forbidden: set[str] = field(default_factory=set)
    locked: set[str] = field(default_factory=set)
    caches: bool = False

    def zone(self, name_or_id: str) -> SimZone | None:
        wanted = name_or_id.lower()
        return next((each for each in self.zones.values() if wanted in (each.id.lower(), each.name.lower())), None)

    def catalog(self, name_or_id: str) -> SimCatalog | None:
        """By id, or by ``Folder1|Folder2|Catalog`` (contract ``citrix.md``, section 8.1)."""
        wanted = name_or_id.replace("|", "\\").lower()
        return next((each for each in self.catalogs.values() if wanted in (each.id, each.full_name.lower())), None)

    def connection(self, name_or_id: str) -> SimConnection | None:
        wanted = name_or_id.lower()
        for connection in self.connections.values():
            if wanted in (connection.id.lower(), connection.name.lower()):
                return connection
        return None

    def machine(self, name_or_id: str) -> SimMachine | None:
        """By id, or by ``DOMAIN|host`` (contract ``citrix.md``, section 4.8)."""
        found = self.machines.get(name_or_id.lower())
        if found is not None:
            return found
        wanted = name_or_id.replace("|", "\\").lower()
        return next((each for each in self.machines.values() if each.name.lower() == wanted), None)
