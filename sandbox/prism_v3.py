"""A simulated Prism Central, v3 (contract ``prism.md``, section 4). Lists are POST; VMs of all registered clusters."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from sandbox import contract, fiql
from sandbox.entity_cache import EntityCache, listing
from sandbox.faults import Faults
from sandbox.front import Answer, Call, Handler
from sandbox.prism_sign_in import Sessions, api_key_matches, basic_matches, central_headers
from sandbox.prism_v2_entities import state_of
from sandbox.prism_v3_entities import central_entity, cluster_entity, vm_entity
from sandbox.prism_v3_envelope import (
    API_VERSION,
    DEFAULT_LENGTH,
    error,
    list_metadata,
    missing,
    refuse_what_is_not_served,
    refused,
    v3_page,
)
from sandbox.prism_v3_recovery import RecoveryV3
from sandbox.vm_reading import VmReading
from sandbox.world import NutanixCluster, Prism, SimVm, stable_uuid

Json = Any
MAX_LENGTH = 500


class CentralV3:
    """Shows every registered cluster of ``prism``, and itself among the clusters. ``sessions`` hold for v4, too."""

    probe = "v3GetCurrentUser"

    def __init__(self, prism: Prism, faults: Faults, sessions: Sessions | None = None) -> None:
        self.system = f"prism/{prism.name}"
        self.contract = contract.prism()
        self.sessions = sessions or Sessions()
        self._prism = prism
        self._faults = faults
        self._cache = EntityCache()
        self._reading = VmReading()
        self.handlers: Mapping[str, Handler] = {
            **RecoveryV3(prism).handlers,
            "v3GetCurrentUser": self._me,
            "v3ListVms": self._vms,
            "v3GetVm": self._vm,
            "v3ListClusters": self._clusters,
            "v3GetCluster": self._cluster,
        }

    async def trouble(self, call: Call) -> Answer | None:
        await asyncio.sleep(self._faults.delay("prism-slow", self._prism.name))
        if self._faults.hits("prism-500", self._prism.name):
            return error(500, "INTERNAL_ERROR", "Internal Server Error.")
        return None

    def admit(self, call: Call) -> Answer | None:
        signed_in = basic_matches(self._prism, call) or api_key_matches(self._prism, call)
        if not signed_in and not self.sessions.known(call):
            details = 'Basic realm="Intent Gateway Login Required"'
            return error(401, "AUTHENTICATION_REQUIRED", "Authentication required.", details)
        if call.operation.id in self._prism.forbidden:
            return error(403, "ACCESS_DENIED", "No permission to access the resource.")
        return None

    def prepare(self, call: Call) -> None:
        # The document's maximum is what is served; a larger wish is cut, not refused.
        if isinstance(call.body, dict) and isinstance(call.body.get("length"), int):
            call.body["length"] = min(call.body["length"], MAX_LENGTH)

    def refuse(self, status: int, problems: list[str]) -> Answer:
        return refused(status, problems)

    def finish(self, call: Call, answer: Answer) -> Answer:
        answer.headers |= central_headers(self._prism)
        if answer.status == 200 and basic_matches(self._prism, call) and not self.sessions.known(call):
            answer.cookies = self.sessions.open()
        large = call.operation.id == "v3ListVms" and answer.status == 200
        if large and self._faults.hits("prism-truncated", self._prism.name):
            answer.cut = True
        return answer

    def _me(self, call: Call) -> Answer:
        metadata = {"kind": "user", "uuid": stable_uuid("user", self._prism.username), "spec_version": 0}
        status = {"name": self._prism.username, "state": "COMPLETE", "resources": {"user_type": "LOCAL"}}
        return Answer(body={"api_version": API_VERSION, "metadata": metadata, "status": status})

    def _vms(self, call: Call) -> Answer:
        request = call.body
        found = list(self._prism.vms())
        try:
            refuse_what_is_not_served(request, "vm")
            if "filter" in request:
                holds = fiql.parse(request["filter"], ("vm_name",))
                found = [each for each in found if holds({"vm_name": each[1].name})]
        except ValueError as wrong:
            return self.refuse(400, [str(wrong)])
        if "sort_attribute" in request:
            found.sort(key=lambda each: each[1].name, reverse=request.get("sort_order") == "DESCENDING")
        offset, length = request.get("offset", 0), request.get("length", DEFAULT_LENGTH)
        shown, total = self._reading.shown(
            found,
            first=offset == 0,
            # One VM alone is asked for to see whether the API answers.
            whole="filter" not in request and length > 1,
            short=lambda: self._faults.hits("prism-short", self._prism.name),
        )
        page = shown[offset : offset + length]
        metadata = list_metadata("vm", request, offset, len(page), total)
        protected = {each.uuid: each.protected() for each in self._prism.clusters}
        texts = [self._text(cluster, vm, vm.uuid in protected[cluster.uuid]) for cluster, vm in page]
        judged, payload = listing({"api_version": API_VERSION, "metadata": metadata}, "entities", texts)
        return Answer(body=judged, payload=payload)

    def _text(self, cluster: NutanixCluster, vm: SimVm, protected: bool) -> bytes:
        build: Callable[[], Json] = lambda: vm_entity(vm, cluster, protected=protected)  # noqa: E731 - typed for mypy
        return self._cache.text((cluster.uuid, vm.uuid), (cluster.name, protected, *state_of(vm)), build)

    def _vm(self, call: Call) -> Answer:
        found = self._prism.find(call.path["uuid"])
        if found is None:
            return missing("vm", call.path["uuid"])
        cluster, vm = found
        entity = vm_entity(vm, cluster, protected=vm.uuid in cluster.protected())
        return Answer(body={"api_version": API_VERSION, **entity})

    def _cluster_entities(self) -> list[Json]:
        return [*(cluster_entity(each) for each in self._prism.clusters), central_entity(self._prism)]

    def _clusters(self, call: Call) -> Answer:
        try:
            refuse_what_is_not_served(call.body, "cluster")
            if "filter" in call.body:
                fiql.parse(call.body["filter"], ())
        except ValueError as wrong:
            return self.refuse(400, [str(wrong)])
        entities = self._cluster_entities()
        if "sort_attribute" in call.body:
            backwards = call.body.get("sort_order") == "DESCENDING"
            entities.sort(key=lambda each: str(each["status"]["name"]), reverse=backwards)
        return v3_page("cluster", call.body, entities)

    def _cluster(self, call: Call) -> Answer:
        wanted = call.path["uuid"].lower()
        for entity in self._cluster_entities():
            if entity["metadata"]["uuid"] == wanted:
                return Answer(body={"api_version": API_VERSION, **entity})
        return missing("cluster", wanted)
