"""What Citrix reports: a site with its machines, hosting connections, catalogs and delivery groups."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NewType

from shared.model.nutanix import VmUuid

MachineId = NewType("MachineId", str)


class Provisioning(StrEnum):
    """Citrix's provisioning types; any other value counts as ``UNKNOWN`` (contract ``citrix.md``, section 4.5)."""

    UNKNOWN = "Unknown"
    MANUAL = "Manual"
    MCS = "MCS"
    MCS_IMPORT = "MCSImport"
    PVS = "PVS"
    PVS_STREAMING = "PVSStreaming"


@dataclass(frozen=True, slots=True)
class Hosting:
    """Where Citrix believes a machine is, or should believe it is. Each part may be null in Citrix."""

    connection: str | None
    machine_id: VmUuid | None
    connection_id: str | None = None


@dataclass(frozen=True, slots=True)
class Machine:
    """A Citrix machine record. ``name`` is ``DOMAIN\\host`` as Citrix writes it."""

    id: MachineId
    name: str
    dns_name: str | None
    hosting: Hosting
    provisioning: Provisioning = Provisioning.MANUAL
    hosted_name: str | None = None
    catalog: str | None = None
    catalog_id: str | None = None
    delivery_group: str | None = None
    delivery_group_id: str | None = None


@dataclass(frozen=True, slots=True)
class HostingConnection:
    """Citrix's connection to a hypervisor (``hypervisors`` in its API; contract ``citrix.md``, section 7.2)."""

    id: str
    name: str
    plugin_id: str
    zone: str | None = None
    zone_id: str | None = None
    in_maintenance: bool = False


@dataclass(frozen=True, slots=True)
class Folder:
    """A machine catalog or a delivery group: ``name`` may stand in several folders, ``path`` is unique."""

    id: str
    name: str
    path: str
    zone: str | None = None
    provisioning: Provisioning = Provisioning.UNKNOWN
    zone_id: str | None = None


@dataclass(frozen=True, slots=True)
class Site:
    """Everything that a run reads from Citrix."""

    id: str
    name: str
    machines: tuple[Machine, ...]
    connections: tuple[HostingConnection, ...]
    catalogs: tuple[Folder, ...] = ()
    delivery_groups: tuple[Folder, ...] = ()
