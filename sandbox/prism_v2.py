"""A simulated Prism Element, v2.0 (contract ``prism.md``, section 3)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from sandbox import contract, fiql
from sandbox.entity_cache import EntityCache, listing
from sandbox.faults import Faults
from sandbox.front import Answer, Call, Handler
from sandbox.prism_sign_in import basic_matches
from sandbox.prism_v2_entities import (
    cluster_entity,
    domain_entity,
    filter_fields,
    list_metadata,
    snapshot_entity,
    state_of,
    vm_entity,
)
from sandbox.world import NutanixCluster, Prism, SimVm

Json = Any
FILTER_FIELDS = ("vm_name", "machine_type", "power_state", "ha_priority", "uefi_boot")


class ElementV2:
    """Shows the one cluster of ``prism``."""

    probe = "v2GetCluster"

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
        grand_total = len(vms)
        if "filter" in call.query:
            try:
                holds = fiql.parse(call.query["filter"], FILTER_FIELDS)
            except fiql.BadFilter as error:
                return self._error(400, 1001, str(error))
            vms = [each for each in vms if holds(filter_fields(each))]
        total = len(vms)
        offset = call.query.get("offset", 0)
        length = call.query.get("length", total)
        # A short list announces the total and leaves its last VM out, in the whole of one reading.
        if offset == 0:
            self._short = bool(vms) and self._faults.hits("prism-short", self._prism.name)
        if self._short:
            vms = vms[:-1]
        page = vms[offset : offset + length]
        parts = _parts(call)
        texts = [self._text(vm, parts) for vm in page]
        # Whether the grand total counts before the filter is not known (contract, section 3.1): the reading that a
        # client must not build on is the one that is played.
        metadata = list_metadata(total, len(page), offset) | {"grand_total_entities": grand_total}
        judged, payload = listing({"metadata": metadata}, "entities", texts)
        return Answer(body=judged, payload=payload)

    def _text(self, vm: SimVm, parts: tuple[bool, bool]) -> bytes:
        build: Callable[[], Json] = lambda: _entity(vm, self._nutanix, parts)  # noqa: E731 - typed for mypy
        return self._cache.text((vm.uuid, parts), state_of(vm), build)

    def _vm(self, call: Call) -> Answer:
        vm = self._nutanix.vms.get(call.path["uuid"].lower())
        if vm is None:
            return self._error(404, 1202, f"VM {call.path['uuid']} does not exist")
        return Answer(body=_entity(vm, self._nutanix, _parts(call)))

    def _domains(self, call: Call) -> Answer:
        wanted = call.query.get("names")
        found = [each for each in self._nutanix.domains.values() if wanted in (None, each.name)]
        metadata = list_metadata(len(found), len(found), 1)
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
        return Answer(body={"metadata": list_metadata(len(entities), len(entities), 1), "entities": entities})

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


def _parts(call: Call) -> tuple[bool, bool]:
    return call.query.get("include_vm_nic_config", False), call.query.get("include_vm_disk_config", False)


def _entity(vm: SimVm, cluster: NutanixCluster, parts: tuple[bool, bool]) -> Json:
    nics, disks = parts
    return vm_entity(vm, cluster, nics=nics, disks=disks)
