"""What Citrix's JSON means: one function a record (contract ``citrix.md``, sections 4.5, 4.7, 7.2 and 8)."""

from __future__ import annotations

import sys
from typing import Any

from shared.model.citrix import Folder, Hosting, HostingConnection, Machine, MachineId, Provisioning
from shared.model.nutanix import VmUuid

_PROVISIONING = {kind.value.lower(): kind for kind in Provisioning}


class BadRecord(ValueError):
    """A record without a field that Realign cannot do without; the message names the field."""


def machine_from(item: dict[str, Any]) -> Machine:
    """An item of ``/Machines``. Every part of it but ``Id`` may be null or absent. Raises ``BadRecord``."""
    found = _required(item, "Id", "a machine")
    hosting = _member(item, "Hosting")
    dns_name = _text(item.get("DnsName"))
    catalog, catalog_id = _reference(item, "MachineCatalog")
    group, group_id = _reference(item, "DeliveryGroup")
    return Machine(
        id=MachineId(found),
        name=_text(item.get("Name")) or dns_name or found,
        dns_name=dns_name,
        hosting=hosting_from(hosting),
        provisioning=_provisioning(item),
        hosted_name=_text(hosting.get("HostedMachineName")),
        catalog=catalog,
        catalog_id=catalog_id,
        delivery_group=group,
        delivery_group_id=group_id,
    )


def hosting_from(hosting: dict[str, Any]) -> Hosting:
    """The ``Hosting`` of a machine. Citrix keeps the id in any case; VM UUIDs are lower case here."""
    connection, connection_id = _reference(hosting, "HypervisorConnection")
    machine_id = _text(hosting.get("HostedMachineId"))
    return Hosting(connection, VmUuid(machine_id.lower()) if machine_id else None, connection_id)


def connection_from(item: dict[str, Any]) -> HostingConnection:
    """An item of ``/hypervisors``. Raises ``BadRecord``."""
    zone, zone_id = _reference(item, "Zone")
    return HostingConnection(
        id=_required(item, "Id", "a hosting connection"),
        name=_required(item, "Name", "a hosting connection"),
        plugin_id=_text(item.get("PluginId")) or "",
        zone=zone,
        zone_id=zone_id,
        in_maintenance=item.get("InMaintenanceMode") is True,
    )


def power_state_from(item: dict[str, Any]) -> tuple[MachineId, str]:
    """An item of ``/Machines``: whose power state, and Citrix's word for it. Raises ``BadRecord``."""
    return MachineId(_required(item, "Id", "a machine")), _text(item.get("PowerState")) or "Unknown"


def folder_from(item: dict[str, Any]) -> Folder:
    """An item of ``/MachineCatalogs`` or ``/DeliveryGroups``. Raises ``BadRecord``.

    ``path`` is the unique full name with backslashes between folders, as Citrix shows it, whichever way it was sent.
    """
    name = _required(item, "Name", "a catalog or delivery group")
    folder = _text(_member(item, "AdminFolder").get("Name")) or ""
    path = _text(item.get("FullName")) or f"{folder}\\{name}"
    parts = [part for part in path.replace("|", "\\").split("\\") if part]
    zone, zone_id = _reference(item, "Zone")
    return Folder(
        id=_required(item, "Id", "a catalog or delivery group"),
        name=name,
        path="\\".join(parts),
        zone=zone,
        provisioning=_provisioning(item),
        zone_id=zone_id,
    )


def _provisioning(item: dict[str, Any]) -> Provisioning:
    return _PROVISIONING.get(str(item.get("ProvisioningType")).lower(), Provisioning.UNKNOWN)


def _required(item: dict[str, Any], field: str, what: str) -> str:
    found = _text(item.get(field))
    if found is None:
        raise BadRecord(f"{what} without {field}")
    return found


def _text(value: Any) -> str | None:
    return value.strip() or None if isinstance(value, str) else None


def _member(item: dict[str, Any], name: str) -> dict[str, Any]:
    found = item.get(name)
    return found if isinstance(found, dict) else {}


def _reference(item: dict[str, Any], name: str) -> tuple[str | None, str | None]:
    """Name and id of a reference, each of which may be null. Thousands of machines share them: interned."""
    reference = _member(item, name)
    found, found_id = _text(reference.get("Name")), _text(reference.get("Id"))
    return found and sys.intern(found), found_id and sys.intern(found_id)
