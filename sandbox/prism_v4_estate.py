"""VMs, clusters and categories of a simulated Prism Central, v4 (contract ``prism.md``, 5.2 to 5.5)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sandbox import odata
from sandbox.entity_cache import EntityCache
from sandbox.faults import Faults
from sandbox.front import Answer, Call, Handler
from sandbox.odata import BadOption, Field, Kind
from sandbox.prism_v2_entities import host_uuid, state_of
from sandbox.prism_v4_entities import (
    CATEGORY,
    CLUSTER,
    GIB,
    SYSTEM_KEYS,
    VM,
    categories_of,
    category_entity,
    category_uuid,
    central_entity,
    cluster_entity,
    power_state,
    vm_entity,
)
from sandbox.prism_v4_envelope import (
    listed,
    minor_of,
    not_found,
    options_judged,
    page_of,
    single,
    vm_not_found,
)
from sandbox.vm_reading import Seen, VmOrder, VmReading
from sandbox.world import NutanixCluster, Prism, SimVm, stable_uuid

Json = Any

VM_FIELDS: Mapping[str, Field[Seen]] = {
    "extId": Field(Kind.TEXT, lambda seen: seen[1].uuid),
    "name": Field(Kind.TEXT, lambda seen: seen[1].name),
    "cluster/extId": Field(Kind.TEXT, lambda seen: seen[0].uuid),
    "host/extId": Field(Kind.TEXT, lambda seen: host_uuid(*seen) if seen[1].power == "on" else None),
    "isAgentVm": Field(Kind.BOOLEAN, lambda seen: seen[1].agent),
    "powerState": Field(Kind.ENUM, lambda seen: power_state(seen[1]), "Vmm.Ahv.Config.PowerState"),
    "machineType": Field(Kind.ENUM, lambda seen: "Q35", "Vmm.Ahv.Config.MachineType"),
    "hardwareClockTimezone": Field(Kind.TEXT, lambda seen: "UTC"),
    "memorySizeBytes": Field(Kind.NUMBER, lambda seen: 8 * GIB),
    "numSockets": Field(Kind.NUMBER, lambda seen: 2),
    "numCoresPerSocket": Field(Kind.NUMBER, lambda seen: 2),
    "numThreadsPerCore": Field(Kind.NUMBER, lambda seen: 1),
    "numNumaNodes": Field(Kind.NUMBER, lambda seen: 0),
}
VM_ORDERS = ("memorySizeBytes", "name", "numCoresPerSocket", "numNumaNodes", "numSockets", "numThreadsPerCore")
VM_SELECTS = frozenset({
    "apcConfig", "availabilityZone", "availabilityZone/extId", "biosUuid", "bootConfig", "categories", "cdRoms",
    "cluster", "cluster/extId", "createTime", "description", "disks", "extId", "generationUuid", "gpus",
    "guestCustomization", "guestTools", "hardwareClockTimezone", "host", "host/extId", "isAgentVm",
    "isBrandingEnabled", "isCpuHotplugEnabled", "isCpuPassthroughEnabled", "isCrossClusterMigrationInProgress",
    "isGpuConsoleEnabled", "isLiveMigrateCapable", "isMemoryOvercommitEnabled", "isScsiControllerEnabled",
    "isVcpuHardPinningEnabled", "isVgaConsoleEnabled", "machineType", "memorySizeBytes", "name", "nics",
    "numCoresPerSocket", "numNumaNodes", "numSockets", "numThreadsPerCore", "ownershipInfo", "ownershipInfo/owner",
    "powerState", "protectionPolicyState", "protectionType", "serialPorts", "source", "source/entityType",
    "source/extId", "storageConfig", "tenantId", "updateTime", "vtpmConfig",
})  # fmt: skip
# A filter on one of these asks for single VMs; any other is a reading of all that there are.
ONE_BY_ONE = frozenset({"name", "extId"})

CLUSTER_FIELDS: Mapping[str, Field[Json]] = {
    "extId": Field(Kind.TEXT, lambda entity: entity["extId"]),
    "name": Field(Kind.TEXT, lambda entity: entity["name"]),
    "config/isAvailable": Field(Kind.BOOLEAN, lambda entity: entity["config"]["isAvailable"]),
    "config/buildInfo/version": Field(Kind.TEXT, lambda entity: entity["config"]["buildInfo"]["version"]),
    "config/clusterFunction": Field(
        Kind.ENUMS, lambda entity: entity["config"]["clusterFunction"], "Clustermgmt.Config.ClusterFunctionRef"
    ),
    "config/hypervisorTypes": Field(
        Kind.ENUMS, lambda entity: entity["config"]["hypervisorTypes"], "Clustermgmt.Config.HypervisorType"
    ),
}
CLUSTER_SELECTS = ("backupEligibilityScore", "inefficientVmCount", "name", "upgradeStatus", "vmCount")
CLUSTER_EXPANDS = ("clusterProfile", "storageSummary")

Pair = tuple[str, str]
CATEGORY_FIELDS: Mapping[str, Field[Pair]] = {
    "extId": Field(Kind.TEXT, lambda pair: category_uuid(*pair)),
    "key": Field(Kind.TEXT, lambda pair: pair[0]),
    "value": Field(Kind.TEXT, lambda pair: pair[1]),
    "ownerUuid": Field(Kind.TEXT, lambda pair: stable_uuid("user", "admin")),
    "type": Field(Kind.ENUM, lambda pair: "SYSTEM" if pair[0] in SYSTEM_KEYS else "USER", "Prism.Config.CategoryType"),
}
CATEGORY_SELECTS = ("description", "extId", "key", "ownerUuid", "type", "value")


class EstateV4:
    """What ``prism`` shows of its registered clusters, and itself among them."""

    def __init__(self, prism: Prism, faults: Faults) -> None:
        self._prism = prism
        self._faults = faults
        self._cache = EntityCache()
        self._order = VmOrder(prism)
        self._reading = VmReading()
        self.handlers: Mapping[str, Handler] = {
            "v4ListVms": options_judged(self._vms),
            "v4GetVm": self._vm,
            "v4ListClusters": options_judged(self._clusters),
            "v4GetCluster": self._cluster,
            "v4ListCategories": options_judged(self._categories),
        }

    def _vms(self, call: Call) -> Answer:
        query, minor = call.query, minor_of(call)
        wanted = odata.condition(query.get("$filter"), VM_FIELDS)
        order = odata.order(query.get("$orderby"), VM_ORDERS)
        if "$select" in query and minor < self._prism.select_minor:
            raise BadOption("$select", "The query option $select is not supported.")
        paths = odata.selection(query.get("$select"), VM_SELECTS)
        # Without an order the recorded list was in that of creation.
        sort = [(VM_FIELDS[name].read, back) for name, back in order] or [(lambda seen: seen[1].created, False)]
        key = (query.get("$filter"), order)
        found = self._order.listed(key, lambda seen: seen[1].hypervisor == "AHV" and wanted.holds(seen), sort)
        start, end = page_of(call)
        shown, total = self._reading.shown(
            found,
            first=start == 0,
            # One VM alone is asked for to see whether the version is there.
            whole=end - start > 1 and not wanted.paths & ONE_BY_ONE,
            short=lambda: self._faults.hits("prism-short", self._prism.name),
        )
        protected = {each.uuid: each.protected() for each in self._prism.clusters}
        page = shown[start:end]
        texts = [self._text(cluster, vm, vm.uuid in protected[cluster.uuid], minor, paths) for cluster, vm in page]
        return listed(call, "ListVms", f"{VM}.Vm", texts, total)

    def _text(self, cluster: NutanixCluster, vm: SimVm, protected: bool, minor: int, paths: tuple[str, ...]) -> bytes:
        def build() -> Json:
            return odata.project(vm_entity(vm, cluster, minor, protected=protected), paths)

        return self._cache.text((cluster.uuid, vm.uuid, minor, paths), (protected, *state_of(vm)), build)

    def _vm(self, call: Call) -> Answer:
        found = self._prism.find(call.path["extId"])
        if found is None or found[1].hypervisor != "AHV":
            return vm_not_found(call.path["extId"])
        cluster, vm = found
        return single(call, "GetVm", vm_entity(vm, cluster, minor_of(call), protected=vm.uuid in cluster.protected()))

    def _cluster_entities(self, minor: int) -> list[Json]:
        return [*(cluster_entity(each, minor) for each in self._prism.clusters), central_entity(self._prism, minor)]

    def _clusters(self, call: Call) -> Answer:
        query = call.query
        wanted = odata.condition(query.get("$filter"), CLUSTER_FIELDS)
        order = odata.order(query.get("$orderby"), ("name",))
        paths = odata.selection(query.get("$select"), CLUSTER_SELECTS)
        if query.get("$expand", CLUSTER_EXPANDS[0]) not in CLUSTER_EXPANDS:
            raise BadOption("$expand", f"The property '{query['$expand']}' is not expandable.")
        found = [each for each in self._cluster_entities(minor_of(call)) if wanted.holds(each)]
        for name, back in order:
            found.sort(key=lambda each: str(each[name]), reverse=back)
        texts = [_text(odata.project(each, paths)) for each in _paged(call, found)]
        return listed(call, "ListClusters", f"{CLUSTER}.Cluster", texts, len(found))

    def _cluster(self, call: Call) -> Answer:
        wanted = call.path["extId"].lower()
        for entity in self._cluster_entities(minor_of(call)):
            if entity["extId"] == wanted:
                return single(call, "GetCluster", entity)
        return not_found(call, "cluster")

    def _categories(self, call: Call) -> Answer:
        query, minor = call.query, minor_of(call)
        wanted = odata.condition(query.get("$filter"), CATEGORY_FIELDS)
        order = odata.order(query.get("$orderby"), ("key", "value"))
        paths = odata.selection(query.get("$select"), CATEGORY_SELECTS)
        found = [each for each in categories_of(self._prism) if wanted.holds(each)]
        for name, back in reversed(order):
            found.sort(key=CATEGORY_FIELDS[name].read, reverse=back)
        texts = [_text(odata.project(category_entity(each, minor), paths)) for each in _paged(call, found)]
        return listed(call, "ListCategories", CATEGORY, texts, len(found))


def _paged(call: Call, found: Sequence[Json]) -> Sequence[Json]:
    start, end = page_of(call)
    return found[start:end]


def _text(entity: Json) -> bytes:
    return json.dumps(entity, separators=(",", ":")).encode()
