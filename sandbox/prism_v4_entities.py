"""Entities of Prism Central v4, shaped like recorded ones (contract ``prism.md``, 5.4 and 5.5): VMs, about 4.4 kB each,
clusters and categories. A member without a value is left out, never null.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sandbox.prism_v2_entities import MACHINE_TYPE, address_of, host_uuid, mac_of, nic_uuid
from sandbox.prism_v3_entities import POWER, cluster_uuid_of_central, protection_of
from sandbox.prism_v4_envelope import first_typed, typed
from sandbox.world import NutanixCluster, Prism, SimVm, cluster_uuid, stable_uuid

Json = Any
VM = "vmm.v4.ahv.config"
CLUSTER = "clustermgmt.v4.config"
CATEGORY = "prism.v4.config.Category"
GIB = 1024**3
# Every Prism Central has some; so many that a list without paging does not show them all.
USUAL_CATEGORIES = (
    *(("AppType", value) for value in ("Citrix", "Default", "Microsoft_SQL")),
    *(("Environment", value) for value in ("Dev", "Production", "Staging", "Testing")),
    *(("OSType", value) for value in ("Linux", "Windows")),
    *(("CostCenter", f"CC-{number:03d}") for number in range(1, 56)),
)
SYSTEM_KEYS = ("AppType", "Environment", "OSType")


def category_uuid(key: str, value: str) -> str:
    """What the VMs of a category carry."""
    return stable_uuid("category", key, value)


def create_time(vm: SimVm) -> str:
    """With a fraction whose trailing zeros are dropped, and with none at all for some."""
    number = int(vm.uuid[:5], 16)
    fraction = "" if number % 7 == 0 else f"{number % 1_000_000:06d}".rstrip("0")
    return f"{vm.created.removesuffix('Z')}{'.' if fraction else ''}{fraction}Z"


def power_state(vm: SimVm) -> str:
    return POWER.get(vm.power, "UNDETERMINED") if vm.name or vm.state != "PENDING" else "UNDETERMINED"


def vm_entity(vm: SimVm, cluster: NutanixCluster, minor: int, *, protected: bool) -> Json:
    """``minor`` decides the shape of the NICs. ``protected``: in a protection domain of its cluster."""
    power = power_state(vm)
    entity: Json = {
        **typed(f"{VM}.Vm", minor),
        "extId": vm.uuid,
        "createTime": create_time(vm),
        "updateTime": create_time(vm),
        **_HARDWARE,
        "generationUuid": stable_uuid("generation", vm.uuid),
        "biosUuid": vm.bios_uuid or vm.uuid,
        "ownershipInfo": {**typed(f"{VM}.OwnershipInfo", minor), "owner": {"extId": stable_uuid("user", "admin")}},
        "cluster": {**typed(f"{VM}.ClusterReference", minor), "extId": cluster.uuid},
        "availabilityZone": {"extId": stable_uuid("availability-zone", cluster.uuid)},
        "bootConfig": {
            **typed(f"{VM}.UefiBoot", minor),
            "bootOrder": ["CDROM", "DISK", "NETWORK"],
            "isSecureBootEnabled": False,
        },
        "machineType": MACHINE_TYPE.title(),
        "powerState": power,
        "vtpmConfig": {**typed(f"{VM}.VtpmConfig", minor), "isVtpmEnabled": False},
        "apcConfig": {**typed(f"{VM}.ApcConfig", minor), "isApcModelEnabled": False},
        "storageConfig": {**typed(f"{VM}.ADSFVmStorageConfig", minor), "isFlashModeEnabled": False},
        "isAgentVm": vm.agent,
        "isLiveMigrateCapable": True,
        "isCrossClusterMigrationInProgress": vm.migrating,
        "disks": first_typed([_disk(vm, cluster, index, minor) for index in range(2)], f"{VM}.Disk", minor),
        "cdRoms": first_typed([_cd_rom(vm, minor)], f"{VM}.CdRom", minor),
        "nics": first_typed([_nic(vm, cluster, index, minor) for index in range(vm.nics)], f"{VM}.Nic", minor),
        "protectionType": protection_of(vm, in_domain=protected),
    }
    entity |= dict(_optional(vm, cluster, minor, power))
    return entity


def _optional(vm: SimVm, cluster: NutanixCluster, minor: int, power: str) -> Iterator[tuple[str, Json]]:
    if vm.name:
        yield "name", vm.name
    if power == "ON":
        yield "host", {**typed(f"{VM}.HostReference", minor), "extId": host_uuid(cluster, vm)}
    if vm.parent_uuid:
        yield "source", {**typed(f"{VM}.VmSourceReference", minor), "entityType": "VM", "extId": vm.parent_uuid}
    if vm.categories:
        references = [{"extId": category_uuid(key, value)} for key, value in vm.categories.items()]
        yield "categories", first_typed(references, f"{VM}.CategoryReference", minor)
    if vm.role is not None:
        policy = {"policy": {"extId": stable_uuid("protection-policy", cluster.uuid)}}
        yield "protectionPolicyState", {**typed(f"{VM}.ProtectionPolicyState", minor), **policy}


_HARDWARE: Json = {
    "numSockets": 2,
    "numCoresPerSocket": 2,
    "numThreadsPerCore": 1,
    "numNumaNodes": 0,
    "memorySizeBytes": 8 * GIB,
    "isVcpuHardPinningEnabled": False,
    "isCpuPassthroughEnabled": False,
    "isMemoryOvercommitEnabled": False,
    "isGpuConsoleEnabled": False,
    "isCpuHotplugEnabled": True,
    "isScsiControllerEnabled": True,
    "isBrandingEnabled": True,
    "isVgaConsoleEnabled": True,
    "hardwareClockTimezone": "UTC",
}


def _disk(vm: SimVm, cluster: NutanixCluster, index: int, minor: int) -> Json:
    container = {"extId": stable_uuid("container", cluster.uuid)}
    identifier = stable_uuid("disk", vm.uuid, index) if index else stable_uuid("disk", vm.uuid)
    return {
        "extId": identifier,
        "diskAddress": {**typed(f"{VM}.DiskAddress", minor), "busType": "SCSI", "index": index},
        "backingInfo": {
            **typed(f"{VM}.VmDisk", minor),
            "diskExtId": identifier,
            "diskSizeBytes": 80 * GIB,
            "storageContainer": {**typed(f"{VM}.VmDiskContainerReference", minor), **container},
            "storageConfig": {**typed(f"{VM}.VmDiskStorageConfig", minor), "isFlashModeEnabled": False},
            "isMigrationInProgress": False,
        },
    }


def _cd_rom(vm: SimVm, minor: int) -> Json:
    address = {**typed(f"{VM}.CdRomAddress", minor), "busType": "SATA", "index": 0}
    return {"extId": stable_uuid("cd-rom", vm.uuid), "diskAddress": address, "isoType": "OTHER"}


def _nic(vm: SimVm, cluster: NutanixCluster, index: int, minor: int) -> Json:
    """v4.0 has the old pair, later ones the new pair. There one in four has both: the new one is whole."""
    nic: Json = {"extId": nic_uuid(vm, index)}
    mac = {"macAddress": mac_of(vm, index), "isConnected": index == 0}
    network = {"nicType": "NORMAL_NIC", "subnet": {"extId": stable_uuid("network", cluster.uuid)}, "vlanMode": "ACCESS"}
    addresses = _addresses(vm, minor) if index == 0 else {}
    if minor == 0:
        nic["backingInfo"] = {**typed(f"{VM}.EmulatedNic", minor), **mac, "numQueues": 1}
        nic["networkInfo"] = {**typed(f"{VM}.NicNetworkInfo", minor), **network, **addresses}
        return nic
    if vm.uuid[1] in "0123":
        nic["backingInfo"] = {**typed(f"{VM}.EmulatedNic", minor), **mac, "numQueues": 1}
        nic["networkInfo"] = {**typed(f"{VM}.NicNetworkInfo", minor), **network}
    nic["nicBackingInfo"] = {**typed(f"{VM}.VirtualEthernetNic", minor), "model": "VIRTIO", **mac, "numQueues": 1}
    nic["nicNetworkInfo"] = {**typed(f"{VM}.VirtualEthernetNicNetworkInfo", minor), **network, **addresses}
    return nic


def _addresses(vm: SimVm, minor: int) -> Json:
    """Handed out by Nutanix for most, also while off. On an unmanaged network learned, from a running VM alone."""
    value = {"value": address_of(vm), "prefixLength": 32}
    if vm.ip is not None or vm.uuid[2] not in "0123":
        return {"ipv4Config": {"ipAddress": value}}
    if vm.power != "on":
        return {}
    learned: Json = {"ipv4Info": {"learnedIpAddresses": [value]}}
    if minor:
        link_local = {"value": f"fe80::526b:8dff:fe{vm.uuid[:2]}:{vm.uuid[2:6]}", "prefixLength": 64}
        learned["ipv6Info"] = {"learnedIpv6Addresses": [link_local]}
    return learned


def cluster_entity(cluster: NutanixCluster, minor: int) -> Json:
    # In a recording the number of VMs was eleven more than the list had: no proof of completeness.
    count = len(cluster.vms) + 11
    network = {"externalAddress": {**typed("common.v1.config.IPAddress", minor), "ipv4": _ipv4("10.10.0.10")}}
    entity = _cluster(cluster.uuid, cluster.name, "AOS", "AHV", minor, version="7.0", available=cluster.available)
    entity["network"] |= network
    nodes = [
        {
            "nodeUuid": stable_uuid("host", cluster.uuid, index),
            "controllerVmIp": {"ipv4": _ipv4(f"10.10.0.{30 + index}")},
            "hostIp": {"ipv4": _ipv4(f"10.10.0.{20 + index}")},
        }
        for index in range(4)
    ]
    marked = first_typed(nodes, f"{CLUSTER}.NodeListItemReference", minor)
    return {
        **entity,
        "vmCount": count,
        "inefficientVmCount": 0,
        "nodes": {**typed(f"{CLUSTER}.NodeReference", minor), "numberOfNodes": 4, "nodeList": marked},
    }


def central_entity(prism: Prism, minor: int) -> Json:
    """Prism Central lists itself; its address may come without an ``ipv4``."""
    found = cluster_uuid_of_central(prism)
    entity = _cluster(found, prism.name, "PRISM_CENTRAL", "$UNKNOWN", minor, version="pc", available=True)
    entity["network"] |= {"externalAddress": typed("common.v1.config.IPAddress", minor)}
    return entity


def _cluster(
    found: str, name: str, function: str, hypervisor: str, minor: int, *, version: str, available: bool
) -> Json:
    build = {"buildType": "release", "version": version, "fullVersion": f"el8.5-release-{version}-stable"}
    software = [{"softwareType": "NOS", "version": version}, {"softwareType": "NCC", "version": "ncc-5.1.0"}]
    keys = [{"name": "admin", "key": "ssh-rsa none"}]
    config = {
        **typed(f"{CLUSTER}.ClusterConfigReference", minor),
        "incarnationId": int(cluster_uuid("incarnation", found)[-12:], 16),
        "buildInfo": {**typed(f"{CLUSTER}.BuildReference", minor), **build},
        "hypervisorTypes": [hypervisor],
        "clusterFunction": [function],
        "timezone": "UTC",
        "authorizedPublicKeyList": first_typed(keys, f"{CLUSTER}.PublicKey", minor),
        "redundancyFactor": 2,
        "clusterSoftwareMap": first_typed(software, f"{CLUSTER}.SoftwareMapReference", minor),
        "clusterArch": "X86_64",
        "operationMode": "NORMAL",
        "isLts": False,
        "isAvailable": available,
    }
    return {
        **typed(f"{CLUSTER}.Cluster", minor),
        "extId": found,
        "name": name,
        "config": config,
        "network": {**typed(f"{CLUSTER}.ClusterNetworkReference", minor)},
        "upgradeStatus": "SUCCEEDED",
    }


def _ipv4(value: str) -> Json:
    return {"value": value, "prefixLength": 32}


def categories_of(prism: Prism) -> list[tuple[str, str]]:
    """Every key and value that a VM carries, and the usual ones, sorted."""
    used = {pair for _, vm in prism.vms() for pair in vm.categories.items()}
    return sorted(used | set(USUAL_CATEGORIES))


def category_entity(pair: tuple[str, str], minor: int) -> Json:
    key, value = pair
    return {
        **typed(CATEGORY, minor),
        "extId": category_uuid(key, value),
        "key": key,
        "value": value,
        "type": "SYSTEM" if key in SYSTEM_KEYS else "USER",
        "ownerUuid": stable_uuid("user", "admin"),
    }
