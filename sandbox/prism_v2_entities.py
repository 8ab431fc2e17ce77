"""Entities of Prism Element v2.0, shaped like recorded ones, and what the v3 entities share with them."""

from __future__ import annotations

import hashlib
from typing import Any

from sandbox.world import DomainEntry, NutanixCluster, SimDomain, SimVm, stable_uuid

Json = Any
SNAPSHOT_USECS = 1_760_000_000_000_000
DAY_USECS = 86_400_000_000
MACHINE_TYPE = "q35"


def state_of(vm: SimVm) -> tuple[object, ...]:
    """Everything that the entity of a VM is made of. Faster than ``dataclasses.astuple``, which copies deeply."""
    return (
        vm.name, vm.power, vm.bios_uuid, vm.parent_uuid, vm.agent, vm.state, vm.hypervisor, vm.created, vm.ip, vm.mac,
        vm.migrating, vm.role, vm.nics, tuple(vm.categories.items()),
    )  # fmt: skip


def host_uuid(cluster: NutanixCluster, vm: SimVm) -> str:
    return stable_uuid("host", cluster.uuid, int(vm.uuid[:2], 16) % 4)


def address_of(vm: SimVm) -> str:
    digest = hashlib.blake2s(vm.uuid.encode(), digest_size=3).digest()
    return vm.ip or f"10.{digest[0]}.{digest[1]}.{digest[2] or 1}"


def mac_of(vm: SimVm, index: int = 0) -> str:
    """Of the NIC with that ``index``."""
    if vm.mac and index == 0:
        return vm.mac
    text = f"{vm.uuid}/{index}" if index else vm.uuid
    digest = hashlib.blake2s(text.encode(), digest_size=3).digest()
    return "50:6b:8d:" + ":".join(f"{each:02x}" for each in digest)


def nic_uuid(vm: SimVm, index: int) -> str:
    return stable_uuid("nic", vm.uuid, index) if index else stable_uuid("nic", vm.uuid)


def cluster_entity(cluster: NutanixCluster) -> Json:
    numbers = {"hypervisor_cpu_usage_ppm": "184032", "num_iops": "211", "avg_io_latency_usecs": "-1"}
    return {
        "id": f"{cluster.uuid}::{int(cluster.uuid[-8:], 16)}",
        "uuid": cluster.uuid,
        "cluster_uuid": cluster.uuid,
        "cluster_incarnation_id": int(cluster.uuid[-8:], 16),
        "name": cluster.name,
        "version": "6.10.1",
        "full_version": "el8.5-release-ganges-6.10.1-stable",
        "cluster_external_ipaddress": "10.10.0.10",
        "cluster_external_data_services_ipaddress": None,
        "external_subnet": "10.10.0.0/255.255.255.0",
        "internal_subnet": "192.168.5.0/255.255.255.128",
        "hypervisor_types": ["kKvm"],
        "cluster_functions": ["NDFS"],
        "num_nodes": 4,
        "timezone": "UTC",
        "operation_mode": "Normal",
        "storage_type": "mixed",
        "is_lts": True,
        "name_servers": ["10.10.0.2"],
        "ntp_servers": ["10.10.0.3"],
        "stats": numbers,
        "usage_stats": {"storage.usage_bytes": "7696581394432", "storage.capacity_bytes": "30996581394432"},
    }


def filter_fields(vm: SimVm) -> dict[str, str]:
    """The values that a filter on VMs compares (contract, section 3.3), as they stand in the entity."""
    return {
        "vm_name": vm.name,
        "machine_type": MACHINE_TYPE,
        "power_state": vm.power,
        "ha_priority": "0",
        "uefi_boot": "true",
    }


def vm_entity(vm: SimVm, cluster: NutanixCluster, *, nics: bool, disks: bool = False) -> Json:
    entity: Json = {
        "affinity": {"policy": "AFFINITY", "host_uuids": []},
        "allow_live_migrate": True,
        "boot": {
            "boot_device_order": ["CDROM", "DISK", "NIC"],
            "boot_device_type": "BOOT_ORDER",
            "uefi_boot": True,
            "secure_boot": False,
        },
        "gpus_assigned": False,
        "ha_priority": 0,
        "host_uuid": host_uuid(cluster, vm) if vm.power == "on" else None,
        "machine_type": MACHINE_TYPE,
        "memory_mb": 8192,
        "name": vm.name,
        "num_cores_per_vcpu": 1,
        "num_vcpus": 4,
        "power_state": vm.power,
        "timezone": "UTC",
        "uuid": vm.uuid,
        "vm_features": {"AGENT_VM": vm.agent, "VGA_CONSOLE": True},
        "vm_logical_timestamp": 7,
    }
    if nics:
        entity["vm_nics"] = [_nic(vm, cluster, index) for index in range(vm.nics)]
    if disks:
        address = {"device_bus": "scsi", "device_index": 0, "disk_label": "scsi.0"}
        address["vmdisk_uuid"] = stable_uuid("disk", vm.uuid)
        entity["vm_disk_info"] = [{"disk_address": address, "is_cdrom": False, "is_empty": False}]
    return entity


def _nic(vm: SimVm, cluster: NutanixCluster, index: int) -> Json:
    address = address_of(vm) if vm.power == "on" and index == 0 else None
    return {
        "mac_address": mac_of(vm, index),
        "ip_address": address,
        "ip_addresses": [] if address is None else [address],
        "requested_ip_address": None,
        "network_uuid": stable_uuid("network", cluster.uuid),
        "nic_uuid": nic_uuid(vm, index),
        "port_id": None,
        "model": "",
        "vlan_mode": "Access",
        "is_connected": index == 0,
    }


def domain_entity(domain: SimDomain) -> Json:
    return {
        "name": domain.name,
        "active": domain.active,
        "marked_for_removal": False,
        "annotations": [],
        "cron_schedules": [],
        "hybrid_schedules_count": None,
        "metro_avail": None,
        "min_snapshot_to_retain": None,
        "next_snapshot_time_usecs": SNAPSHOT_USECS + DAY_USECS if domain.active else None,
        "pending_replication_count": 0,
        "ongoing_replication_count": 0,
        "total_user_written_bytes": 121_641_153_105,
        "remote_site_names": list(domain.remote_sites),
        "replication_links": [{"remote_site_name": each} for each in domain.remote_sites],
        "nfs_files": [],
        "volume_groups": [],
        "stats": {"replication_received_bandwidth_kBps": "0"},
        "usage_stats": {"dr.exclusive_snapshot_usage_bytes": "220155904", "hydration_space_bytes": "-1"},
        "vms": [_protected(domain, entry) for entry in domain.vms],
    }


def snapshot_entity(domain: SimDomain, index: int, entries: list[DomainEntry]) -> Json:
    created = SNAPSHOT_USECS - index * DAY_USECS
    return {
        "snapshot_id": str(10_000 + index),
        "snapshot_uuid": stable_uuid("snapshot", domain.name, index),
        "snapshot_create_time_usecs": created,
        "snapshot_expiry_time_usecs": created + 30 * DAY_USECS,
        "state": "AVAILABLE",
        "consistency_groups": [domain.name],
        "located_remote_site_name": None,
        "remote_site_names": list(domain.remote_sites),
        "size_in_bytes": 34_359_738_368,
        "exclusive_usage_in_bytes": 0,
        "vms": [_protected(domain, entry) for entry in entries],
    }


def _protected(domain: SimDomain, entry: DomainEntry) -> Json:
    return {
        "vm_id": entry.uuid,
        "vm_name": entry.name,
        "vm_handle": int(entry.uuid[:8], 16),
        "vm_power_state_on_recovery": "Powered On",
        "consistency_group": domain.name,
        "app_consistent_snapshots": False,
    }


def list_metadata(total: int, returned: int, start: int) -> Json:
    return {
        "grand_total_entities": total,
        "total_entities": total,
        "count": returned,
        "start_index": start,
        "end_index": start + returned - (1 if start else 0),
    }
