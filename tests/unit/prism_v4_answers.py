"""A Prism Central v4 in memory, with the shapes of the contract; v3 and v2 answer only what a test gives them."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import requests

from shared.model.nutanix import ClusterReading
from shared.prism.central_v4 import CentralV4
from shared.prism.client import PrismClient
from shared.prism.pace import Paces
from shared.prism.reading import read_cluster
from shared.prism.sign_in import PrismCredential
from tests.unit.answers import Reply, answering, quick

BASE = "https://pc-ams.corp.example:9440"
CREDENTIAL = PrismCredential("prism-ams", username="svc", password="s3cret")
AMS = "00061f7f-44f7-19dc-3be1-7cc25586ee44"
ROT = "0005b0f1-8f43-a0f2-02b7-3cecef193712"
SINCE = datetime(2025, 11, 20, tzinfo=UTC)
TITLE = "Prism Central pc-ams.corp.example (cluster amsterdam)"
VMS = "/api/vmm/v4.{}/ahv/config/vms"
JOBS = "/api/dataprotection/v4.{}/config/recovery-plan-jobs"
NAMESPACES = ("vmm", "clustermgmt", "prism", "dataprotection")

_LISTS = {
    "ahv/config/vms": ("vmm", 0),
    "config/clusters": ("clustermgmt", 0),
    "config/categories": ("prism", 0),
    "config/recovery-plan-jobs": ("dataprotection", 2),
}
_V4 = re.compile(r"/api/(\w+)/v4\.(\d+)/(.+)").fullmatch

Override = Reply | Exception | Callable[[requests.PreparedRequest], Reply | Exception]


def uid(number: int) -> str:
    return f"00000000-0000-0000-0000-{number:012x}"


def cluster(ext_id: str = AMS, name: str = "AMS-CL01", function: str = "AOS", **config: Any) -> dict[str, Any]:
    return {"extId": ext_id, "name": name, "config": {"clusterFunction": [function], "isAvailable": True, **config}}


PRISM_CENTRAL = cluster(
    "00000000-1111-2222-3333-444444444444", "Unnamed", "PRISM_CENTRAL", hypervisorTypes=["$UNKNOWN"]
)


def vm(number: int, *, on: str | None = AMS, without: tuple[str, ...] = (), **members: Any) -> dict[str, Any]:
    entity = {
        "extId": uid(number),
        "name": f"W11-{number:04}",
        "createTime": "2025-05-29T05:59:01.36383Z",
        "powerState": "ON",
        "biosUuid": uid(number),
        "cluster": {"extId": on} if on else None,
        "isAgentVm": False,
        "isCrossClusterMigrationInProgress": False,
        "protectionType": "UNPROTECTED",
        **members,
    }
    return {name: value for name, value in entity.items() if value is not None and name not in without}


def error(group: str, message: str = "no", *, status: int = 404) -> Reply:
    """The first form of a v4 error."""
    return Reply({"data": {"error": [{"message": message, "errorGroup": group}]}}, status=status)


class CentralInMemory:
    """Serves minors from 0 up to ``minors[namespace]``; ``announces`` says whether OPTIONS answers."""

    def __init__(
        self,
        vms: list[dict[str, Any]] | None = None,
        clusters: list[dict[str, Any]] | None = None,
        *,
        minors: dict[str, int] | None = None,
        announces: bool = True,
    ) -> None:
        self.lists: dict[str, list[dict[str, Any]]] = {
            "ahv/config/vms": vms or [],
            "config/clusters": [cluster(), PRISM_CENTRAL] if clusters is None else clusters,
            "config/categories": [],
            "config/recovery-plan-jobs": [],
        }
        self.minors = dict.fromkeys(NAMESPACES, 2) if minors is None else minors
        self.announces = announces
        self.totals: dict[str, int | None] = {}
        self.flags: dict[str, list[dict[str, Any]]] = {}
        self.steps: dict[str, list[dict[str, Any]]] = {}
        self.override: dict[str, Override] = {}
        self.headers: dict[str, str] = {}
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self.session, self.answers = answering(self)

    def __call__(self, request: requests.PreparedRequest) -> Reply | Exception:
        parts = urlsplit(str(request.url))
        query = dict(parse_qsl(parts.query))
        self.asked.append((str(request.method), parts.path, query))
        given = self.override.get(parts.path)
        if given is not None:
            return given(request) if callable(given) and not isinstance(given, Exception) else given
        if request.method == "OPTIONS":
            namespace = parts.path.split("/")[2]
            if self.announces and namespace in self.minors:
                return Reply({"data": f"v4.{self.minors[namespace]}"})
            return Reply(status=404)
        found = _V4(parts.path)
        if found is None or int(found[2]) > self.minors.get(found[1], -1):
            return Reply(status=404)
        return self._serve(found[3], int(found[2]), query)

    def _serve(self, path: str, minor: int, query: dict[str, str]) -> Reply:
        if path.endswith("/execution-steps"):
            return self._page(path, self.steps.get(path.split("/")[-2], []), query)
        if path not in self.lists or minor < _LISTS[path][1]:
            return Reply(status=404)
        entities = self.lists[path]
        if "$filter" in query:
            wanted = query["$filter"].split("'")[1]
            entities = [entity for entity in entities if entity.get("cluster", {}).get("extId") == wanted]
        return self._page(path, entities, query)

    def _page(self, path: str, entities: list[dict[str, Any]], query: dict[str, str]) -> Reply:
        size = int(query["$limit"])
        assert 1 <= size <= 100
        start = int(query.get("$page", 0)) * size
        page = entities[start : start + size]
        total = self.totals.get(path, len(entities))
        metadata: dict[str, Any] = {
            "flags": self.flags.get(path, [{"name": "hasError", "value": False}]),
            "links": [{"href": "http://192.168.1.150/api/nowhere?$page=1", "rel": "next"}],
        }
        if total is not None:
            metadata["totalAvailableResults"] = total
        return Reply({**({"data": page} if page else {}), "metadata": metadata}, headers=self.headers)

    def client(self, *narrowed: str, credential: PrismCredential = CREDENTIAL) -> CentralV4:
        return CentralV4(self.session, BASE, credential, cluster="amsterdam", prism_clusters=narrowed, paces=Paces())

    def read(self, *narrowed: str) -> ClusterReading:
        return self.read_by(self.client(*narrowed))

    def read_by(self, client: PrismClient) -> ClusterReading:
        return read_cluster(client, name="amsterdam", hosting_connection="AHV", since=SINCE, limits=quick())

    def asked_for(self, path: str, method: str = "GET") -> list[dict[str, str]]:
        return [query for verb, where, query in self.asked if (verb, where) == (method, path)]

    @property
    def paths(self) -> list[str]:
        return [path for _, path, _ in self.asked]
