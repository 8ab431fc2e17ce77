"""The entities of Prism Central v4 (contract ``prism.md``, sections 5.4 and 5.5).

Members without a value are absent, any enum may be ``$UNKNOWN`` or ``$REDACTED``, and ``$objectType`` stands on some
entities only: nothing is chosen by it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import Any

from shared.model.nutanix import PowerState, RegisteredCluster, Vm, VmUuid
from shared.prism.entity import entries, mac, member, present, required_uuid, text, time_utc, uuid

_POWER = {"ON": PowerState.ON, "OFF": PowerState.OFF}


def cluster_from_v4(entity: dict[str, Any]) -> RegisteredCluster | None:
    """An entity of the list of clusters; None for Prism Central itself. Raises ``BadEntity``.

    Only these fields are kept: the answer holds public keys, too.
    """
    found = sys.intern(required_uuid(entity, "extId", "a cluster"))
    config = member(entity, "config")
    functions = config.get("clusterFunction")
    if not isinstance(functions, list) or "AOS" not in functions:
        return None
    return RegisteredCluster(found, text(entity.get("name")) or found, config.get("isAvailable") is not False)


def vm_from_v4(entity: dict[str, Any], *, cluster: str) -> Vm:
    """An entity of the list of VMs, without its categories. Raises ``BadEntity``.

    A VM on its way between two clusters, or without one, is ``in_flux``. A VM without a name gets an empty one: it
    matches no machine by name, but can still be a machine's own VM.
    """
    found = VmUuid(required_uuid(entity, "extId", "a VM"))
    cluster_uuid = sys.intern(uuid(member(entity, "cluster").get("extId")) or "")
    bios, source = uuid(entity.get("biosUuid")), member(entity, "source")
    parent = uuid(source.get("extId")) if source.get("entityType") == "VM" else None
    nics = tuple(entries(entity.get("nics")))
    return Vm(
        uuid=found,
        name=text(entity.get("name")) or "",
        cluster=cluster,
        cluster_uuid=cluster_uuid,
        power=_POWER.get(str(entity.get("powerState")), PowerState.OTHER),
        bios_uuid=found if bios == found else VmUuid(bios) if bios else None,  # equal text is kept once
        parent_uuid=VmUuid(parent) if parent else None,
        created=time_utc(entity.get("createTime")),
        addresses=present(address and address.lower() for nic in nics for address in _addresses(nic)),
        macs=present(mac(_newer(nic, "nicBackingInfo", "backingInfo").get("macAddress")) for nic in nics),
        agent=entity.get("isAgentVm") is True,
        in_flux=entity.get("isCrossClusterMigrationInProgress") is True or not cluster_uuid,
        by_rule=entity.get("protectionType") == "RULE_PROTECTED",
    )


def category_ids(entity: dict[str, Any]) -> tuple[str, ...]:
    """The categories of a VM, which names them by ``extId`` alone."""
    return present(uuid(category.get("extId")) for category in entries(entity.get("categories")))


def category_from_v4(entity: dict[str, Any]) -> tuple[str, str | None]:
    """A category's ``extId`` and its ``Key:Value``, None without either part. Raises ``BadEntity``."""
    found = required_uuid(entity, "extId", "a category")
    key, value = text(entity.get("key")), text(entity.get("value"))
    return found, f"{key}:{value}" if key and value else None


def _newer(nic: dict[str, Any], new: str, old: str) -> dict[str, Any]:
    """From v4.1 on a NIC may be there in both shapes; the new one wins."""
    return member(nic, new) or member(nic, old)


def _addresses(nic: dict[str, Any]) -> Iterator[str | None]:
    network = _newer(nic, "nicNetworkInfo", "networkInfo")
    managed = member(network, "ipv4Config")
    yield text(member(managed, "ipAddress").get("value"))
    yield from _values(entries(managed.get("secondaryIpAddressList")))
    yield from _values(entries(member(network, "ipv4Info").get("learnedIpAddresses")))
    yield from _values(entries(member(network, "ipv6Info").get("learnedIpv6Addresses")))


def _values(addresses: Iterable[dict[str, Any]]) -> Iterator[str | None]:
    return (text(address.get("value")) for address in addresses)
