"""Prism Central, API v3: the clusters registered with it and the VMs of all of them (contract ``prism.md``, 4)."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

import requests

from shared.http import Limits
from shared.model.nutanix import PowerState, ProtectionDomain, RecoveryJob, RegisteredCluster, Vm, VmUuid
from shared.prism.client import Listing
from shared.prism.endpoint import Endpoint
from shared.prism.entity import BadEntity, entries, mac, member, present, required_uuid, text, time_utc, uuid
from shared.prism.narrowing import narrowed
from shared.prism.recovery_jobs_v3 import jobs_v3
from shared.prism.sign_in import PrismCredential

BASE = "/api/nutanix/v3"
PAGE = 500  # the most that a list of VMs answers; the default is 20
_POWER = {"ON": PowerState.ON, "OFF": PowerState.OFF}


class CentralV3:
    """A ``PrismClient`` for one Prism Central. ``prism_clusters`` narrows it, by name or UUID, ignoring case."""

    api = "central-v3"

    def __init__(
        self,
        session: requests.Session,
        base_url: str,
        credential: PrismCredential,
        *,
        cluster: str,
        prism_clusters: tuple[str, ...] = (),
    ) -> None:
        self._endpoint = Endpoint(session, base_url, credential, cluster, "Prism Central")
        self._wanted = prism_clusters

    def clusters(self, limits: Limits) -> Listing[RegisteredCluster]:
        found: dict[str, RegisteredCluster | None] = {}
        total = 0
        for entity, announced in self._entities("clusters", {"kind": "cluster"}, limits):
            total = announced
            try:
                found[required_uuid(member(entity, "metadata"), "uuid", "metadata")] = cluster_from_v3(entity)
            except BadEntity as error:
                raise self._endpoint.malformed(f"clusters/list has a cluster with {error}") from error
        registered = tuple(cluster for cluster in found.values() if cluster is not None)
        whole = len(found) == total
        meant = narrowed(registered, self._wanted, whole=whole, title=self._endpoint.title)
        return Listing(meant, len(found), total)

    def vms(self, clusters: Iterable[RegisteredCluster], limits: Limits) -> Listing[Vm]:
        wanted = frozenset(cluster.uuid for cluster in clusters) if self._wanted else None
        found: dict[tuple[str, str], Vm] = {}
        others: set[str] = set()
        total = 0
        order = {"kind": "vm", "sort_attribute": "name", "sort_order": "ASCENDING"}
        for number, (entity, announced) in enumerate(self._entities("vms", order, limits), start=1):
            total = announced
            try:
                vm = vm_from_v3(entity, cluster=self._endpoint.cluster)
            except BadEntity as error:
                raise self._endpoint.malformed(f"entity {number} of vms/list is a VM with {error}") from error
            # A VM that is being made may not say yet where: it stays, so that nothing is concluded from its absence.
            elsewhere = wanted is not None and vm.cluster_uuid and vm.cluster_uuid not in wanted
            if elsewhere or not _on_ahv(entity):
                others.add(f"{vm.uuid} {vm.cluster_uuid}")
            else:
                found[vm.uuid, vm.cluster_uuid] = vm
        return Listing(tuple(found.values()), len(found) + len(others), total)

    def sample(self, limits: Limits) -> None:
        self._endpoint.list_by_post(f"{BASE}/vms/list", limits, {"kind": "vm", "offset": 0, "length": 1})

    def domains(self, limits: Limits) -> Listing[ProtectionDomain]:
        """Prism Central has recovery plans instead."""
        return Listing((), 0, 0)

    def jobs(self, since: datetime, limits: Limits) -> tuple[RecoveryJob, ...]:
        return jobs_v3(self._endpoint, since, limits)

    def decoupled(self, vms: Iterable[VmUuid], limits: Limits) -> frozenset[VmUuid]:
        """Only v4 tells."""
        return frozenset()

    def _entities(self, path: str, body: dict[str, Any], limits: Limits) -> Iterator[tuple[dict[str, Any], int]]:
        """Each entity of a list with the total that its page announced. Pages are held one at a time."""
        offset = 0
        while True:
            asked = {**body, "offset": offset, "length": PAGE}
            answer = self._endpoint.list_by_post(f"{BASE}/{path}/list", limits, asked)
            total = member(answer, "metadata").get("total_matches")
            if not isinstance(total, int):
                raise self._endpoint.malformed(f"{path}/list has no metadata.total_matches")
            before = offset
            for entity in entries(answer.get("entities")):
                offset += 1
                yield entity, total
            if offset == before or offset >= total:
                return


def cluster_from_v3(entity: dict[str, Any]) -> RegisteredCluster | None:
    """An entity of ``clusters/list``; None for Prism Central itself. Raises ``BadEntity``.

    Only these fields are kept: the answer holds public keys, too.
    """
    found = sys.intern(required_uuid(member(entity, "metadata"), "uuid", "metadata"))
    status = member(entity, "status")
    config = member(member(status, "resources"), "config")
    if "AOS" not in (config.get("service_list") or ()):
        return None
    return RegisteredCluster(found, text(status.get("name")) or found, config.get("is_available") is not False)


def vm_from_v3(entity: dict[str, Any], *, cluster: str) -> Vm:
    """An entity of ``vms/list`` or the answer of ``GET /vms/{uuid}``. Raises ``BadEntity``.

    Reads ``status``, never ``spec``, which is the desired state. A VM in any state but ``COMPLETE``, or without a
    cluster, is ``in_flux``. A VM without a name gets an empty one: it matches no machine by name, but can still be a
    machine's own VM.
    """
    metadata, status = member(entity, "metadata"), member(entity, "status")
    resources = member(status, "resources")
    found = VmUuid(required_uuid(metadata, "uuid", "metadata"))
    cluster_uuid = sys.intern(uuid(member(status, "cluster_reference").get("uuid")) or "")
    bios, parent = uuid(resources.get("bios_uuid")), uuid(member(resources, "parent_reference").get("uuid"))
    nics = tuple(entries(resources.get("nic_list")))
    return Vm(
        uuid=found,
        name=text(status.get("name")) or "",
        cluster=cluster,
        cluster_uuid=cluster_uuid,
        power=_POWER.get(str(resources.get("power_state")), PowerState.OTHER),
        bios_uuid=found if bios == found else VmUuid(bios) if bios else None,  # equal text is kept once
        parent_uuid=VmUuid(parent) if parent else None,
        created=time_utc(metadata.get("creation_time")),
        addresses=_addresses(nics) if nics else (),
        macs=present(mac(nic.get("mac_address")) for nic in nics) if nics else (),
        agent=resources.get("is_agent_vm") is True,
        in_flux=status.get("state") != "COMPLETE" or not cluster_uuid,
        categories=_categories(metadata),
        by_rule=resources.get("protection_type") == "RULE_PROTECTED",
    )


def _categories(metadata: dict[str, Any]) -> tuple[str, ...]:
    """From ``categories_mapping``: ``categories`` is an older view that has one value of each key only."""
    return tuple(
        sys.intern(f"{key}:{value}")
        for key, values in member(metadata, "categories_mapping").items()
        for value in (values if isinstance(values, list) else ())
        if isinstance(value, str)
    )


def _addresses(nics: Iterable[dict[str, Any]]) -> tuple[str, ...]:
    ips = (text(end.get("ip")) for nic in nics for end in entries(nic.get("ip_endpoint_list")))
    return present(address and address.lower() for address in ips)


def _on_ahv(entity: dict[str, Any]) -> bool:
    """False for a VM of another hypervisor. One that is still being made does not say, and is taken for AHV."""
    return member(member(entity, "status"), "resources").get("hypervisor_type") in (None, "", "AHV")
