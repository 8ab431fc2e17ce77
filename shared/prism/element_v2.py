"""Prism Element, API v2.0: one cluster, its VMs and its protection domains (contract ``prism.md``, section 3)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import Any
from urllib.parse import quote

import requests

from shared.errors import PrismError
from shared.http import Limits
from shared.model.nutanix import PowerState, ProtectedVm, ProtectionDomain, RecoveryJob, RegisteredCluster, Vm, VmUuid
from shared.prism.client import Listing
from shared.prism.endpoint import Endpoint
from shared.prism.entity import BadEntity, entries, mac, member, present, required_uuid, text, uuid
from shared.prism.sign_in import PrismCredential

BASE = "/PrismGateway/services/rest/v2.0"
PAGE = 500
_POWER = {"on": PowerState.ON, "off": PowerState.OFF}


class ElementV2:
    """A ``PrismClient`` for one Prism Element. ``cluster`` is the profile's name for it, put on every ``Vm``."""

    api = "element-v2"

    def __init__(self, session: requests.Session, base_url: str, credential: PrismCredential, *, cluster: str) -> None:
        self._endpoint = Endpoint(session, base_url, credential, cluster, "Prism Element")

    def clusters(self, limits: Limits) -> Listing[RegisteredCluster]:
        credential = self._endpoint.credential
        if credential.api_key:
            raise PrismError(
                f"{self._endpoint.title} cannot sign in with an API key: Prism Element has none. Store a user name "
                f"and a password in secret {credential.secret}.",
                kind="misconfigured",
                system=self._endpoint.title,
            )
        body = self._endpoint.get(f"{BASE}/cluster", limits)
        try:
            cluster = cluster_from_v2(body)
        except BadEntity as error:
            raise self._endpoint.malformed(str(error)) from error
        return Listing((cluster,), 1, 1)

    def vms(self, clusters: Iterable[RegisteredCluster], limits: Limits) -> Listing[Vm]:
        own = next(iter(clusters))
        found: dict[str, Vm] = {}
        listed, total, page = 0, 0, 0
        params: dict[str, str | int] = {"include_vm_nic_config": "true"}
        while True:
            body = self._endpoint.get(f"{BASE}/vms", limits, params)
            total = self._total(body, "vms")
            try:
                page = 0
                for page, entity in enumerate(entries(body.get("entities")), start=1):  # noqa: B007
                    vm = vm_from_v2(entity, cluster=self._endpoint.cluster, cluster_uuid=own.uuid)
                    found[vm.uuid] = vm
            except BadEntity as error:
                raise self._endpoint.malformed(f"entity {listed + page} of vms is {error}") from error
            listed += page
            if page == 0 or listed >= total:
                return Listing(tuple(found.values()), len(found), total)
            # Nobody documents whether a list without a length can be cut, so what is missing is asked for.
            params = {"include_vm_nic_config": "true", "offset": listed, "length": PAGE}

    def sample(self, limits: Limits) -> None:
        self._endpoint.get(f"{BASE}/vms", limits, {"offset": 0, "length": 1})

    def domains(self, limits: Limits) -> Listing[ProtectionDomain]:
        body = self._endpoint.get(f"{BASE}/protection_domains/", limits)
        try:
            domains = {domain.name: domain for domain in map(domain_from_v2, entries(body.get("entities")))}
        except BadEntity as error:
            raise self._endpoint.malformed(f"protection_domains has {error}") from error
        for domain in tuple(domains.values()):
            if domain.active and domain.vms:
                domains[domain.name] = replace(domain, snapshots=self._snapshots(domain.name, limits))
        return Listing(tuple(domains.values()), len(domains), self._total(body, "protection_domains"))

    def jobs(self, since: datetime, limits: Limits) -> tuple[RecoveryJob, ...]:
        """Recovery plans are Prism Central's."""
        return ()

    def decoupled(self, vms: Iterable[VmUuid], limits: Limits) -> frozenset[VmUuid]:
        """Only Prism Central v4 tells."""
        return frozenset()

    def _snapshots(self, domain: str, limits: Limits) -> tuple[ProtectedVm, ...]:
        body = self._endpoint.get(f"{BASE}/protection_domains/{quote(domain, safe='')}/dr_snapshots", limits)
        vms = (vm for snapshot in entries(body.get("entities")) for vm in protected_from_v2(snapshot))
        return tuple(dict.fromkeys(vm for vm in vms if vm.name))

    def _total(self, body: dict[str, Any], what: str) -> int:
        # Never "count": it has been seen to hold the size asked for instead of the number sent.
        total = member(body, "metadata").get("grand_total_entities")
        if not isinstance(total, int):
            raise self._endpoint.malformed(f"{what} has no metadata.grand_total_entities")
        return total


def cluster_from_v2(body: dict[str, Any]) -> RegisteredCluster:
    """The answer of ``GET /cluster``. Raises ``BadEntity``. Nothing else is kept: the answer may hold keys."""
    found = required_uuid(body, "uuid", "a cluster")
    return RegisteredCluster(found, text(body.get("name")) or found)


def vm_from_v2(entity: dict[str, Any], *, cluster: str, cluster_uuid: str) -> Vm:
    """An entity of ``GET /vms``. Raises ``BadEntity``.

    A VM without a name gets an empty one: it matches no machine by name, but can still be a machine's own VM.
    """
    nics = entity.get("vm_nics") or ()
    return Vm(
        uuid=VmUuid(required_uuid(entity, "uuid", "a VM")),
        name=text(entity.get("name")) or "",
        cluster=cluster,
        cluster_uuid=cluster_uuid,
        power=_POWER.get(str(entity.get("power_state")).lower(), PowerState.OTHER),
        addresses=_addresses(nics) if nics else (),
        macs=present(mac(nic.get("mac_address")) for nic in entries(nics)) if nics else (),
        agent=member(entity, "vm_features").get("AGENT_VM") is True,
    )


def _addresses(nics: Any) -> tuple[str, ...]:
    found: list[str | None] = []
    for nic in entries(nics):
        several = nic.get("ip_addresses")
        found.append(text(nic.get("ip_address")))
        found.extend(map(text, several if isinstance(several, list) else ()))
    return present(address and address.lower() for address in found)


def domain_from_v2(entity: dict[str, Any]) -> ProtectionDomain:
    """An entity of ``GET /protection_domains/``, without snapshots. Raises ``BadEntity``."""
    name = text(entity.get("name"))
    if name is None:
        raise BadEntity("a protection domain without a name")
    if not isinstance(entity.get("active"), bool):
        raise BadEntity(f"protection domain {name} without active")
    return ProtectionDomain(name, entity["active"], protected_from_v2(entity))


def protected_from_v2(entity: dict[str, Any]) -> tuple[ProtectedVm, ...]:
    """The ``vms`` of a protection domain or of a snapshot; entries without a VM UUID name nothing and are left out."""
    pairs = ((uuid(vm.get("vm_id")), text(vm.get("vm_name")) or "") for vm in entries(entity.get("vms")))
    return tuple(ProtectedVm(VmUuid(found), name) for found, name in pairs if found)
