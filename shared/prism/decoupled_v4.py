"""Which VMs a Metro failover left behind, as v4 tells it VM by VM (contract ``prism.md``, section 5.6)."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import Any

from shared.http import Limits
from shared.model.nutanix import VmUuid
from shared.prism.client import BudgetSpent
from shared.prism.endpoint import PrismCallFailed
from shared.prism.entity import entries, member, uuid
from shared.prism.versions import CLUSTERS, ONE_VM, PROTECTED, NotServed, Versions

log = logging.getLogger(__name__)


def decoupled_v4(versions: Versions, vms: Iterable[VmUuid], limits: Limits) -> frozenset[VmUuid]:
    """One call a VM, and one more for a VM that is decoupled at one of several sites. Raises ``PrismError``.

    Only VMs that are replicated synchronously are known there; the others get an error, and are no leftovers. Where the
    time does not suffice for all, what was learnt of the first ones is the answer.
    """
    found: set[VmUuid] = set()
    try:
        for vm in _decoupled(versions, vms, limits):
            found.add(vm)
    except BudgetSpent as late:
        log.warning("not all leftovers known found=%s: %s", len(found), late)
    return frozenset(found)


def _decoupled(versions: Versions, vms: Iterable[VmUuid], limits: Limits) -> Iterator[VmUuid]:
    certain = False
    for vm in vms:
        try:
            body = versions.entity(PROTECTED, vm, limits)
        except NotServed:
            # Where no version is announced, "not protected" and "not here" may look alike; without any v4 it is plain.
            certain = certain or _has_v4(versions, limits)
            if not certain:
                return
            continue
        except PrismCallFailed as failure:
            if _unprotected(failure):
                continue
            raise
        sites = _decoupled_sites(member(body, "data"))
        if sites is None or (sites and _stands_in(versions, vm, sites, limits)):
            yield vm


def _has_v4(versions: Versions, limits: Limits) -> bool:
    try:
        versions.page(CLUSTERS, {"$limit": 1}, limits)
    except NotServed:
        return False
    return True


def _unprotected(failure: PrismCallFailed) -> bool:
    """The error for "not protected" has no documented status: a refusal of this VM counts, a server bug does not."""
    refused = failure.kind == "failed" and 400 <= (failure.http_status or 0) < 500
    return refused and "INTERNAL_ERROR" not in failure.groups


def _decoupled_sites(resource: dict[str, Any]) -> frozenset[str] | None:
    """The clusters where the VM is decoupled; None where an entry says so without a cluster: then it is everywhere."""
    infos = entries(resource.get("siteProtectionInfo"))
    told = [
        uuid(member(info, "locationReference").get("clusterExtId"))
        for info in infos
        if info.get("synchronousReplicationRole") == "DECOUPLED"
    ]
    return None if None in told else frozenset(site for site in told if site)


def _stands_in(versions: Versions, vm: VmUuid, sites: frozenset[str], limits: Limits) -> bool:
    """Whether the VM stands on one of the clusters; also where that cannot be told, since a leftover is no target."""
    try:
        body = versions.entity(ONE_VM, vm, limits)
    except PrismCallFailed as failure:
        if failure.http_status is None or failure.kind in ("sign-in", "throttled"):
            raise
        return True
    except NotServed:
        return True
    cluster = uuid(member(member(body, "data"), "cluster").get("extId"))
    return cluster is None or cluster in sites
