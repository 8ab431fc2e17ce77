"""A simulated Prism Element, v2.0 (contract ``prism.md``, section 3)."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from sandbox import contract
from sandbox.entity_cache import EntityCache, listing
from sandbox.faults import Faults
from sandbox.front import Answer, Call, Handler
from sandbox.prism_sign_in import basic_matches
from sandbox.world import DomainEntry, NutanixCluster, Prism, SimDomain, SimVm, stable_uuid

Json = Any
SNAPSHOT_USECS = 1_760_000_000_000_000
DAY_USECS = 86_400_000_000


class ElementV2:
    """Shows the one cluster of ``prism``."""

    def __init__(self, prism: Prism, faults: Faults) -> None:
        self.system = f"prism/{prism.name}"
        self.contract = contract.prism()
        self._prism = prism
        self._faults = faults
        self._cache = EntityCache()
        self._short = False
        self.handlers: Mapping[str, Handler] = {
            "v2GetCluster": self._cluster,
            "v2ListVms": self._vms,
            "v2GetVm": self._vm,
            "v2ListProtectionDomains": self._domains,
            "v2GetProtectionDomain": self._domain,
            "v2ListDrSnapshots": self._snapshots,
        }

    async def trouble(self, call: Call) -> Answer | None:
        await asyncio.sleep(self._faults.delay("prism-slow", self._prism.name))
        if self._faults.hits("prism-500", self._prism.name):
            return self._error(500, 1000, "Internal Server Error: the service is not ready")
        return None

    def admit(self, call: Call) -> Answer | None:
        if basic_matches(self._prism, call):
            return None
        # The body of a 401 is not documented; a page is what a gateway in front of a service answers.
        page = b"<html><head><title>Error 401</title></head><body>An Authentication object was not found</body></html>"
        return Answer(401, payload=page, media_type="text/html", headers={"WWW-Authenticate": 'Basic realm="Prism"'})

    def prepare(self, call: Call) -> None:
        pass

    def refuse(self, status: int, problems: list[str]) -> Answer:
        return self._error(status, 1001, "; ".join(problems))

    def finish(self, call: Call, answer: Answer) -> Answer:
        large = call.operation.id == "v2ListVms" and answer.status == 200
        if large and self._faults.hits("prism-truncated", self._prism.name):
            answer.cut = True
        return answer

    @property
    def _nutanix(self) -> NutanixCluster:
        return self._prism.clusters[0]

    def _cluster(self, call: Call) -> Answer:
        return Answer(body=cluster_entity(self._nutanix))

    def _vms(self, call: Call) -> Answer:
        vms = list(self._nutanix.vms.values())
        total = len(vms)
        offset = call.query.get("offset", 0)
        length = call.query.get("length", total)
        # A short list announces the total and leaves its last VM out, in the whole of one reading.
        if offset == 0:
            self._short = bool(vms) and self._faults.hits("prism-short", self._prism.name)
        if self._short:
            vms = vms[:-1]
        page = vms[offset : offset + length]
        nics = call.query.get("include_vm_nic_config", False)
        texts = [self._text(vm, nics) for vm in page]
        judged, payload = listing({"metadata": _list_metadata(total, len(page), offset)}, "entities", texts)
        return Answer(body=judged, payload=payload)

    def _text(self, vm: SimVm, nics: bool) -> bytes:
        build: Callable[[], Json] = lambda: vm_entity(vm, self._nutanix, nics=nics)  # noqa: E731 - typed for mypy
        return self._cache.text((vm.uuid, nics), state_of(vm), build)

    def _vm(self, call: Call) -> Answer:
        vm = self._nutanix.vms.get(call.path["uuid"].lower())
        if vm is None:
            return self._error(404, 1202, f"VM {call.path['uuid']} does not exist")
        return Answer(body=vm_entity(vm, self._nutanix, nics=call.query.get("include_vm_nic_config", False)))

    def _domains(self, call: Call) -> Answer:
        wanted = call.query.get("names")
        found = [each for each in self._nutanix.domains.values() if wanted in (None, each.name)]
        metadata = _list_metadata(len(found), len(found), 1)
        return Answer(body={"metadata": metadata, "entities": [domain_entity(each) for each in found]})

    def _domain(self, call: Call) -> Answer:
        domain = self._nutanix.domains.get(call.path["name"])
        if domain is None:
            return self._no_domain(call)
        return Answer(body=domain_entity(domain))

    def _snapshots(self, call: Call) -> Answer:
        domain = self._nutanix.domains.get(call.path["name"])
        if domain is None:
            return self._no_domain(call)
        entities = [snapshot_entity(domain, index, entries) for index, entries in enumerate(domain.snapshots)]
        return Answer(body={"metadata": _list_metadata(len(entities), len(entities), 1), "entities": entities})

    def _no_domain(self, call: Call) -> Answer:
        return self._error(404, 1301, f"Protection domain {call.path['name']} does not exist")

    @staticmethod
    def _error(status: int, code: int, message: str) -> Answer:
        detail = (
            f"com.nutanix.prism.exception.GatewayException: {message}\n\tat com.nutanix.prism.services.Gateway.call"
        )
        body = {
            "message": message,
            "detailed_message": detail,
            "error_code": {"code": code, "help_url": "http://my.nutanix.com"},
        }
        return Answer(status, body=body)


def state_of(vm: SimVm) -> tuple[object, ...]:
    """Everything that the entity of a VM is made of. Faster than ``dataclasses.astuple``, which copies deeply."""
    return (
        vm.name, vm.power, vm.bios_uuid, vm.parent_uuid, vm.agent, vm.state, vm.hypervisor, vm.created, vm.ip, vm.mac
    )  # fmt: skip


def host_uuid(cluster: NutanixCluster, vm: SimVm) -> str:
    return stable_uuid("host", cluster.uuid, int(vm.uuid[:2], 16) % 4)


def address_of(vm: SimVm) -> str:
    digest = hashlib.blake2s(vm.uuid.encode(), digest_size=3).digest()
    return vm.ip or f"10.{digest[0]}.{digest[1]}.{digest[2] or 1}"


def mac_of(vm: SimVm) -> str:
    digest = hashlib.blake2s(vm.uuid.encode(), digest_size=3).digest()
    return vm.mac or "50:6b:8d:" + ":".join(f"{each:02x}" for each in digest)


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


def vm_entity(vm: SimVm, cluster: NutanixCluster, *, nics: bool) -> Json:
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
        "machine_type": "q35",
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
        entity["vm_nics"] = [_nic(vm, cluster)]
    return entity


def _nic(vm: SimVm, cluster: NutanixCluster) -> Json:
    address = address_of(vm) if vm.power == "on" else None
    return {
        "mac_address": mac_of(vm),
        "ip_address": address,
        "ip_addresses": [] if address is None else [address],
        "requested_ip_address": None,
        "network_uuid": stable_uuid("network", cluster.uuid),
        "nic_uuid": stable_uuid("nic", vm.uuid),
        "port_id": None,
        "model": "",
        "vlan_mode": "Access",
        "is_connected": True,
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


def _list_metadata(total: int, returned: int, start: int) -> Json:
    return {
        "grand_total_entities": total,
        "total_entities": total,
        "count": returned,
        "start_index": start,
        "end_index": start + returned - (1 if start else 0),
    }
