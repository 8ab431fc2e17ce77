"""Items of the Citrix API as the site answers them (contract ``citrix.md``, sections 3, 4.5, 4.7, 7.2 and 8)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sandbox.citrix_site import CitrixSite, SimCatalog, SimConnection, SimGroup, SimMachine, SimZone
from sandbox.world import stable_uuid

Json = Any
Property = Callable[[CitrixSite, SimMachine], Json]
SEEN = "2026-07-20T10:15:00Z"
NOT_FOUND = "VirtualMachineNotFound"


def _ref(identifier: str, uid: int, name: str) -> Json:
    return {"Id": identifier, "Uid": uid, "Name": name}


def _connection_ref(site: CitrixSite, machine: SimMachine) -> Json:
    connection = site.connections.get(machine.connection_id or "")
    return None if connection is None else _ref(connection.id, connection.uid, connection.name)


def _catalog_ref(site: CitrixSite, machine: SimMachine) -> Json:
    catalog = site.catalogs[machine.catalog_id]
    return _ref(catalog.id, catalog.uid, catalog.name)


def _group_ref(site: CitrixSite, machine: SimMachine) -> Json:
    group = site.groups.get(machine.group_id or "")
    return None if group is None else _ref(group.id, group.uid, group.name)


def _zone_ref(site: CitrixSite, machine: SimMachine) -> Json:
    catalog = site.catalogs[machine.catalog_id]
    return {"Id": catalog.zone_id, "Uid": None, "Name": catalog.zone}


def _hosting(site: CitrixSite, machine: SimMachine) -> Json:
    return {
        "HostedMachineId": machine.hosted_machine_id,
        "HostedMachineName": machine.hosted_name,
        "HostingServerName": "NTNX-A" if machine.power_state == "On" else None,
        "LastHostingUpdateTime": "7/20/2026 10:15:00 AM",
        "FormattedLastHostingUpdateTime": SEEN,
        "HypervisorConnection": _connection_ref(site, machine),
        "ImageOutOfDate": False,
    }


def _users(site: CitrixSite, machine: SimMachine) -> Json:
    short = machine.name.rpartition("\\")[2].lower()
    return [
        {
            "DisplayName": f"User {number} of {short}",
            "SamName": f"CORP\\u{number}-{short}",
            "SamAccountName": f"u{number}-{short}",
            "PrincipalName": f"u{number}-{short}@corp.example",
            "Sid": f"S-1-5-21-1004336348-1177238915-682003330-{machine.uid * 10 + number}",
            "Oid": stable_uuid("user", machine.id, number),
            "Domain": "CORP",
            "Mail": f"u{number}-{short}@corp.example",
        }
        for number in range(1, 4)
    ]


def _metadata(site: CitrixSite, machine: SimMachine) -> Json:
    # Tags of inventory and monitoring tools make up most of a real item; 1,000 machines are about 7 MB.
    tools = {f"Inventory.Attribute{number:02d}": stable_uuid(machine.id, number) * 3 for number in range(1, 28)}
    return [{"Name": name, "Value": value} for name, value in (tools | machine.metadata).items()]


def _on(machine: SimMachine, yes: Json, no: Json) -> Json:
    return yes if machine.power_state == "On" else no


MACHINE_PROPERTIES: Mapping[str, Property] = {
    "Id": lambda site, m: m.id,
    "Uid": lambda site, m: m.uid,
    "Name": lambda site, m: m.name,
    "DnsName": lambda site, m: m.dns_name,
    "Sid": lambda site, m: f"S-1-5-21-1004336348-1177238915-682003330-{m.uid}",
    "IPAddress": lambda site, m: _on(m, f"10.20.{m.uid // 250 % 250}.{m.uid % 250 + 1}", None),
    "Description": lambda site, m: None,
    "AgentVersion": lambda site, m: "2407.0.100.136",
    "OSType": lambda site, m: "Windows 11",
    "OSVersion": lambda site, m: "10.0.26100.0",
    "FunctionalLevel": lambda site, m: "L7_34",
    "ProvisioningType": lambda site, m: m.provisioning,
    "AllocationType": lambda site, m: "Static",
    "PersistUserChanges": lambda site, m: "OnLocal",
    "MachineType": lambda site, m: "Virtual" if m.connection_id else "Physical",
    "SessionSupport": lambda site, m: site.catalogs[m.catalog_id].session_support,
    "Hosting": _hosting,
    "MachineCatalog": _catalog_ref,
    "DeliveryGroup": _group_ref,
    "Zone": _zone_ref,
    "ControllerDnsName": lambda site, m: None,
    "PublishedName": lambda site, m: None,
    "PowerState": lambda site, m: m.power_state if m.connection_id else "Unmanaged",
    "PowerActionPending": lambda site, m: False,
    "SupportedPowerActions": lambda site, m: ["PowerOn", "PowerOff", "Restart", "Reset", "Shutdown"],
    "FaultState": lambda site, m: NOT_FOUND if m.power_state == NOT_FOUND and m.connection_id else "None",
    "SummaryState": lambda site, m: _on(m, "Available", "Unregistered"),
    "RegistrationState": lambda site, m: _on(m, "Registered", "Unregistered"),
    "InMaintenanceMode": lambda site, m: m.in_maintenance,
    "MaintenanceModeReason": lambda site, m: "Administrator" if m.in_maintenance else "None",
    "DrainingUntilShutdown": lambda site, m: False,
    "IsAssigned": lambda site, m: True,
    "SessionCount": lambda site, m: 0,
    "AssociatedUsers": _users,
    "AssignedUsers": _users,
    "LastConnectionTime": lambda site, m: "7/20/2026 9:00:00 AM",
    "FormattedLastConnectionTime": lambda site, m: "2026-07-20T09:00:00Z",
    "LastDeregistrationTime": lambda site, m: None,
    "FormattedLastDeregistrationTime": lambda site, m: None,
    "Tags": lambda site, m: ["wave1"],
    "Metadata": _metadata,
}


def machine_item(site: CitrixSite, machine: SimMachine, names: tuple[str, ...]) -> Json:
    return {name: MACHINE_PROPERTIES[name](site, machine) for name in names}


def machine_state(site: CitrixSite, machine: SimMachine) -> tuple[object, ...]:
    """Everything that an item of the machine is made of."""
    connection = site.connections.get(machine.connection_id or "")
    catalog = site.catalogs[machine.catalog_id]
    group = site.groups.get(machine.group_id or "")
    return (
        machine.name, machine.dns_name, machine.provisioning, machine.connection_id, machine.hosted_machine_id,
        machine.hosted_name, machine.power_state, machine.in_maintenance, tuple(machine.metadata.items()),
        connection.name if connection else None, catalog.name, catalog.zone, catalog.session_support,
        group.name if group else None,
    )  # fmt: skip


def machine_detail(site: CitrixSite, machine: SimMachine, names: tuple[str, ...]) -> Json:
    """The detail form, with what only it has (section 4.6)."""
    item = machine_item(site, machine, names)
    if len(names) == len(MACHINE_PROPERTIES):
        item |= {
            "AssignedClientName": None,
            "AssignedIPAddress": None,
            "IsReserved": False,
            "SessionsEstablished": 0,
            "SessionsPending": 0,
            "VMToolsState": "Running",
        }
    return item


def catalog_item(site: CitrixSite, catalog: SimCatalog) -> Json:
    return {
        "Id": catalog.id,
        "Uid": catalog.uid,
        "Name": catalog.name,
        "FullName": catalog.full_name,
        "Description": None,
        "ProvisioningType": catalog.provisioning,
        "AllocationType": "Static",
        "SessionSupport": catalog.session_support,
        "MachineType": "Virtual",
        "PersistChanges": "OnLocal",
        "SharingKind": "Private",
        "MinimumFunctionalLevel": "L7_20",
        "IsPowerManaged": True,
        "IsRemotePC": False,
        "IsBroken": False,
        "TotalCount": sum(1 for machine in site.machines.values() if machine.catalog_id == catalog.id),
        "Zone": {"Id": catalog.zone_id, "Uid": None, "Name": catalog.zone},
        "AdminFolder": _folder(catalog.folder),
        "Scopes": [],
        "JobsInProgress": [],
        "Metadata": [],
    }


def catalog_detail(site: CitrixSite, catalog: SimCatalog) -> Json:
    """The detail form. Its one hosting connection is that of its first machine, while others may be on another."""
    machines = (each for each in site.machines.values() if each.catalog_id == catalog.id)
    first = next((each for each in machines if each.connection_id), None)
    return catalog_item(site, catalog) | {
        "HypervisorConnection": None if first is None else _connection_ref(site, first),
        "AgentVersion": "2407.0.100.136",
        "OSType": "Windows 11",
        "OSVersion": "10.0.26100.0",
        "DeliveryGroups": [],
    }


def zone_item(site: CitrixSite, zone: SimZone) -> Json:
    return {
        "Id": zone.id,
        "Name": zone.name,
        "Description": None,
        "IsPrimary": zone is next(iter(site.zones.values())),
        "IsHealthy": True,
        "ResourceLocation": None,
        "Metadata": [],
    }


def zone_detail(site: CitrixSite, zone: SimZone) -> Json:
    return zone_item(site, zone) | {"Controllers": []}


def group_item(group: SimGroup) -> Json:
    return {
        "Id": group.id,
        "Name": group.name,
        "FullName": group.full_name,
        "Enabled": True,
        "InMaintenanceMode": False,
        "IsPowerManaged": True,
        "AutoscalingEnabled": False,
        "SessionSupport": "SingleSession",
        "SharingKind": "Private",
        "AdminFolder": _folder(group.folder),
    }


def _folder(path: str) -> Json:
    # The folder's name is a path with a trailing backslash; the root has no folder.
    return {"Id": folder_id(path), "Uid": 1, "Name": f"{path}\\"} if path else None


def folder_id(path: str) -> str:
    return stable_uuid("folder", path)


def connection_item(connection: SimConnection) -> Json:
    return {
        "Id": connection.id,
        "Name": connection.name,
        "Uid": connection.uid,
        "XDPath": f"XDHyp:\\Connections\\{connection.name}",
        "ConnectionType": connection.connection_type,
        "PluginId": connection.plugin_id,
        "Addresses": [connection.address],
        "InMaintenanceMode": connection.in_maintenance,
        "Zone": {"Id": connection.zone_id, "Uid": None, "Name": connection.zone},
        "Fault": {"State": "None", "Reason": None, "TimeEntered": None, "DurationInSeconds": None},
        "UsesCloudInfrastructure": False,
        "Unentitled": False,
        "IsVirtual": True,
        "CustomProperties": None,
    }


def connection_detail(connection: SimConnection) -> Json:
    return connection_item(connection) | {
        "Capabilities": ["DiskSize", "PowerManagement"],
        "PluginRevision": "2.7.1.0",
        "MaxAbsoluteActiveActions": 100,
        "MaxAbsoluteNewActionsPerMinute": 10,
        "MaxPowerActionsPercentageOfMachines": 20,
        "ConnectionOptions": "",
        "UserName": "svc-citrix",
        "SslThumbprints": None,
        "Metadata": [],
    }


def site_detail(site: CitrixSite, zone_id: str, zone: str) -> Json:
    return {
        "Id": site.id,
        "Name": site.name,
        "OrchestationApiVersion": 231,
        "ProductVersion": "7.45",
        "ProductCode": "XDT",
        "ProductEdition": "PLT",
        "PrimaryZone": {"Id": zone_id, "Uid": None, "Name": zone},
        "SiteConfigurationComplete": True,
        "EnabledFeatures": [],
        "LicenseServerName": None,
        "Metadata": [],
    }
