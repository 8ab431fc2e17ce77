"""Entities of Prism Central v3, shaped like real ones: ``metadata``, ``status`` and the ``spec`` that resembles it."""

from __future__ import annotations

from typing import Any

from sandbox.prism_v2_entities import address_of, host_uuid, mac_of, nic_uuid
from sandbox.world import NutanixCluster, Prism, SimVm, cluster_uuid, stable_uuid

Json = Any
POWER = {"on": "ON", "off": "OFF", "paused": "PAUSED"}


def vm_entity(vm: SimVm, cluster: NutanixCluster, *, protected: bool) -> Json:
    """About 4 kB, as in recordings. A VM that is still being created has little more than its state.

    ``protected``: it is in a protection domain of its cluster.
    """
    metadata = metadata_of("vm", vm.uuid, vm.created)
    metadata["categories"] = dict(vm.categories)
    metadata["categories_mapping"] = {key: [value] for key, value in vm.categories.items()}
    if vm.state == "PENDING" and not vm.name:
        context = {"task_uuid": [stable_uuid("task", vm.uuid)]}
        return {"metadata": metadata, "status": {"state": vm.state, "execution_context": context}, "spec": {}}
    reference = {"kind": "cluster", "uuid": cluster.uuid, "name": cluster.name}
    hardware = _hardware(vm, cluster)
    return {
        "status": {
            "name": vm.name,
            "description": None,
            "state": vm.state,
            "cluster_reference": reference,
            "execution_context": {"task_uuid": [stable_uuid("task", vm.uuid)]},
            "resources": hardware | _observed(vm, cluster, protected),
        },
        "metadata": metadata,
        "spec": {
            "name": vm.name,
            "description": "",
            "cluster_reference": reference,
            "resources": hardware | {"power_state": "ON"},
        },
    }


def metadata_of(kind: str, uuid_text: str, created: str) -> Json:
    return {
        "uuid": uuid_text,
        "kind": kind,
        "spec_hash": "0" * 50,
        "spec_version": 0,
        "entity_version": "1",
        "owner_reference": {"kind": "user", "uuid": stable_uuid("user", "admin"), "name": "admin"},
        "project_reference": {"kind": "project", "name": "_internal", "uuid": stable_uuid("project")},
        "categories": {},
        "categories_mapping": {},
        "creation_time": created,
        "last_update_time": created,
    }


def _observed(vm: SimVm, cluster: NutanixCluster, protected: bool) -> Json:
    observed: Json = {
        "power_state": POWER.get(vm.power, "UNKNOWN"),
        "hypervisor_type": vm.hypervisor,
        "generation_uuid": stable_uuid("generation", vm.uuid),
        "bios_uuid": vm.bios_uuid or vm.uuid,
        "protection_type": protection_of(vm, in_domain=protected),
        "storage_config": {},
    }
    if vm.power == "on":
        observed["host_reference"] = {"kind": "host", "uuid": host_uuid(cluster, vm), "name": f"{cluster.name}-A"}
    if vm.parent_uuid:
        observed["parent_reference"] = {"kind": "vm", "uuid": vm.parent_uuid, "name": vm.name}
    if vm.role is not None:
        status = "OUT_OF_SYNC" if vm.role == "DECOUPLED" else "SYNCED"
        observed["protection_policy_state"] = {"policy_info": {"replication_status": status}}
    return observed


def protection_of(vm: SimVm, *, in_domain: bool) -> str:
    """Who protects a VM: Prism Element by a domain, Prism Central by a rule (v3 and v4 say it in the same words)."""
    if in_domain:
        return "PD_PROTECTED"
    return "UNPROTECTED" if vm.role is None else "RULE_PROTECTED"


def _hardware(vm: SimVm, cluster: NutanixCluster) -> Json:
    return {
        "num_sockets": 2,
        "num_vcpus_per_socket": 2,
        "num_threads_per_core": 1,
        "memory_size_mib": 8192,
        "memory_overcommit_enabled": False,
        "gpu_console_enabled": False,
        "is_vcpu_hard_pinned": False,
        "power_state_mechanism": {
            "mechanism": "HARD",
            "guest_transition_config": {"enable_script_exec": False, "should_fail_on_script_failure": False},
        },
        "hardware_clock_timezone": "UTC",
        "is_agent_vm": vm.agent,
        "disable_branding": False,
        "enable_cpu_passthrough": False,
        "machine_type": "Q35",
        "hardware_virtualization_enabled": False,
        "vga_console_enabled": True,
        "vnuma_config": {"num_vnuma_nodes": 0},
        "serial_port_list": [],
        "cpu_hotplug_enabled": True,
        "scsi_controller_enabled": True,
        "gpu_list": [],
        "boot_config": {"boot_device_order_list": ["CDROM", "DISK", "NETWORK"], "boot_type": "UEFI"},
        "disk_list": [_disk(vm, cluster)],
        "nic_list": [_nic(vm, cluster, index) for index in range(vm.nics)],
    }


def _disk(vm: SimVm, cluster: NutanixCluster) -> Json:
    container = {"kind": "storage_container", "uuid": stable_uuid("container", cluster.uuid), "name": "VDI"}
    return {
        "uuid": stable_uuid("disk", vm.uuid),
        "disk_size_bytes": 85_899_345_920,
        "disk_size_mib": 81_920,
        "device_properties": {"disk_address": {"device_index": 0, "adapter_type": "SCSI"}, "device_type": "DISK"},
        "data_source_reference": {"kind": "image", "uuid": stable_uuid("image", cluster.uuid)},
        "storage_config": {"flash_mode": "DISABLED", "storage_container_reference": container},
        "is_migration_in_progress": False,
    }


def _nic(vm: SimVm, cluster: NutanixCluster, index: int) -> Json:
    return {
        "uuid": nic_uuid(vm, index),
        "nic_type": "NORMAL_NIC",
        "vlan_mode": "ACCESS",
        "trunked_vlan_list": [],
        "num_queues": 1,
        "mac_address": mac_of(vm, index),
        "ip_endpoint_list": [{"ip": address_of(vm), "type": "ASSIGNED"}] if index == 0 else [],
        "subnet_reference": {"kind": "subnet", "name": "vdi", "uuid": stable_uuid("network", cluster.uuid)},
        "is_connected": index == 0,
    }


def cluster_entity(cluster: NutanixCluster) -> Json:
    return _cluster(cluster.uuid, cluster.name, "AOS", "6.10.1", "6.10.1", available=cluster.available)


def central_entity(prism: Prism) -> Json:
    """Prism Central lists itself among its clusters."""
    return _cluster(cluster_uuid_of_central(prism), prism.name, "PRISM_CENTRAL", "pc", "2024.3.1.1", available=True)


def cluster_uuid_of_central(prism: Prism) -> str:
    return cluster_uuid("prism-central", prism.name)


def _cluster(uuid_text: str, name: str, service: str, build: str, nos: str, *, available: bool) -> Json:
    software = {
        "NOS": {"software_type": "NOS", "status": "INSTALLED", "version": nos},
        "NCC": {"software_type": "NCC", "status": "INSTALLED", "version": "ncc-5.0.0"},
    }
    servers = [{"ip": ip, "type": "AHV", "version": "el8.nutanix" if ip != "127.0.0.1" else ""} for ip in _SERVER_IPS]
    resources = {
        "config": {
            "software_map": software,
            "encryption_status": "NOT_SUPPORTED",
            "service_list": [service],
            "redundancy_factor": 2,
            "enabled_feature_list": ["SHADOW_CLONES_ENABLED"],
            "is_available": available,
            "timezone": "UTC",
            "cluster_arch": "X86_64",
            "authorized_public_key_list": [{"name": "admin", "key": "ssh-rsa none"}],
            "domain_awareness_level": "NODE",
            "build": {"build_type": "release", "version": build, "full_version": f"el8.5-release-{build}-stable"},
            "operation_mode": "NORMAL",
        },
        "nodes": {"hypervisor_server_list": servers},
        "network": {
            "external_ip": "10.10.0.10",
            "external_data_services_ip": "10.10.0.11",
            "external_subnet": "10.10.0.0/255.255.255.0",
            "internal_subnet": "192.168.5.0/255.255.255.128",
            "name_server_ip_list": ["10.10.0.2"],
            "ntp_server_ip_list": ["10.10.0.3"],
        },
    }
    metadata = metadata_of("cluster", uuid_text, "2024-02-05T21:15:17Z")
    status = {"name": name, "state": "COMPLETE", "resources": resources}
    return {"status": status, "metadata": metadata, "spec": {"name": name, "resources": {}}}


_SERVER_IPS = ("10.10.0.21", "127.0.0.1", "10.10.0.22")
