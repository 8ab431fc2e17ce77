"""Prism Central, API v4: the clusters registered with it and the AHV VMs of all of them (contract ``prism.md``, 5)."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any

import requests

from shared.http import Limits
from shared.model.nutanix import ProtectionDomain, RecoveryJob, RegisteredCluster, Vm, VmUuid
from shared.prism.calls_v4 import CallsV4, Query
from shared.prism.categories_v4 import Categories
from shared.prism.client import Listing
from shared.prism.decoupled_v4 import decoupled_v4
from shared.prism.endpoint import Endpoint, PrismCallFailed
from shared.prism.entities_v4 import category_ids, cluster_from_v4, vm_from_v4
from shared.prism.list_v4 import PAGE, read_list
from shared.prism.narrowing import narrowed
from shared.prism.pace import OF_THE_PROCESS, Paces
from shared.prism.recovery_jobs_v3 import jobs_v3
from shared.prism.recovery_jobs_v4 import jobs_v4
from shared.prism.sign_in import PrismCredential
from shared.prism.versions import CLUSTERS, VMS, NotServed, Versions
from shared.prism.without_v4 import no_v4

# A VM takes 4.4 kB without it.
SELECTED = (
    "extId,name,createTime,updateTime,powerState,cluster/extId,host/extId,nics,biosUuid,generationUuid,source,"
    "categories,protectionType,isAgentVm,isCrossClusterMigrationInProgress"
)

log = logging.getLogger(__name__)


class CentralV4:
    """A ``PrismClient`` for one Prism Central. ``prism_clusters`` narrows it, by name or UUID, ignoring case.

    Where no v4 is served, ``clusters`` and ``vms`` raise ``NoV4``, which says what is. ``paces`` are shared by all
    readers of a process.
    """

    api = "central-v4"

    def __init__(
        self,
        session: requests.Session,
        base_url: str,
        credential: PrismCredential,
        *,
        cluster: str,
        prism_clusters: tuple[str, ...] = (),
        paces: Paces = OF_THE_PROCESS,
    ) -> None:
        self._endpoint = Endpoint(session, base_url, credential, cluster, "Prism Central")
        self._wanted = prism_clusters
        self._versions = Versions(CallsV4(self._endpoint, paces))
        self._categories = Categories(self._endpoint, self._versions)
        self._selects = True

    def clusters(self, limits: Limits) -> Listing[RegisteredCluster]:
        found: dict[str, RegisteredCluster] = {}

        def keep(entity: dict[str, Any]) -> Hashable:
            cluster = cluster_from_v4(entity)
            if cluster is not None:
                found[cluster.uuid] = cluster
            return str(entity["extId"]).strip().lower()

        def ask(page: int) -> dict[str, Any]:
            return self._versions.page(CLUSTERS, {"$page": page, "$limit": PAGE}, limits)

        with self._demanding_v4(limits):
            read = read_list(self._endpoint, "clusters", ask, keep)
        registered = narrowed(tuple(found.values()), self._wanted, whole=read.whole, title=self._endpoint.title)
        return Listing(registered, read.distinct, read.announced, read.cut)

    def vms(self, clusters: Iterable[RegisteredCluster], limits: Limits) -> Listing[Vm]:
        """One list of all; one a cluster where not all are wanted.

        A cluster that is not available gets none: Prism Central goes on listing its VMs, which are as good as dead.
        """
        meant = tuple(clusters)
        standing = tuple(cluster.uuid for cluster in meant if cluster.available)
        every = not self._wanted and len(standing) == len(meant)
        found: dict[tuple[str, str], tuple[Vm, tuple[str, ...]]] = {}
        with self._demanding_v4(limits):
            reads = [self._read_vms(found, only, limits) for only in ([None] if every else standing)]
            vms = tuple(self._with_categories(vm, ids, limits) for vm, ids in found.values())
        return Listing(
            vms,
            sum(read.distinct for read in reads),
            sum(read.announced for read in reads),
            any(not read.whole for read in reads),
        )

    def sample(self, limits: Limits) -> None:
        with self._demanding_v4(limits):
            self._versions.page(VMS, {"$page": 0, "$limit": 1}, limits)

    def domains(self, limits: Limits) -> Listing[ProtectionDomain]:
        """Prism Central has recovery plans instead."""
        return Listing((), 0, 0)

    def jobs(self, since: datetime, limits: Limits) -> tuple[RecoveryJob, ...]:
        try:
            return jobs_v4(self._endpoint, self._versions, since, limits)
        except NotServed:
            log.info("recovery plan jobs are read by v3 cluster=%s", self._endpoint.cluster)
        return jobs_v3(self._endpoint, since, limits)

    def decoupled(self, vms: Iterable[VmUuid], limits: Limits) -> frozenset[VmUuid]:
        return decoupled_v4(self._versions, vms, limits)

    def _read_vms(
        self, found: dict[tuple[str, str], tuple[Vm, tuple[str, ...]]], only: str | None, limits: Limits
    ) -> Listing[Hashable]:
        """Add what one list has to ``found``; ``only`` is the UUID of a cluster."""

        def keep(entity: dict[str, Any]) -> Hashable:
            vm = vm_from_v4(entity, cluster=self._endpoint.cluster)
            key = (vm.uuid, vm.cluster_uuid)
            if only is None or vm.cluster_uuid in (only, ""):
                found[key] = (vm, category_ids(entity))
            return key

        query: dict[str, str | int] = {"$limit": PAGE, "$orderby": "name"}
        if only is not None:
            query["$filter"] = f"cluster/extId eq '{only}'"
        return read_list(self._endpoint, "vms", lambda page: self._page_of_vms({"$page": page, **query}, limits), keep)

    def _page_of_vms(self, query: Query, limits: Limits) -> dict[str, Any]:
        if self._selects:
            try:
                return self._versions.page(VMS, {**query, "$select": SELECTED}, limits)
            except PrismCallFailed as failure:
                if failure.http_status != 400 or failure.kind == "throttled":
                    raise
            # Which minors can select what is not known of all of them.
            log.info("reading whole VMs cluster=%s", self._endpoint.cluster)
            self._selects = False
        return self._versions.page(VMS, query, limits)

    def _with_categories(self, vm: Vm, ids: tuple[str, ...], limits: Limits) -> Vm:
        return replace(vm, categories=self._categories.names(ids, limits)) if ids else vm

    @contextmanager
    def _demanding_v4(self, limits: Limits) -> Iterator[None]:
        try:
            yield
        except NotServed as missing:
            raise no_v4(self._endpoint, limits) from missing
