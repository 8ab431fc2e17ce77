"""Which v4 minor of a namespace one Prism Central serves (contract ``prism.md``, section 5.1).

The namespaces have versions of their own, and only newer Prism Centrals announce them. 404 on a list means "version not
here"; 404 on an entity means that the entity is gone.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from typing import Any

from shared.errors import PrismError
from shared.http import Limits
from shared.prism.calls_v4 import CallsV4, Operation, Query
from shared.prism.endpoint import PrismCallFailed
from shared.prism.pace import Budget

HIGHEST_KNOWN = 3
UNANNOUNCED = (2, 1, 0)
_ANNOUNCED = re.compile(r"v4\.(\d{1,3})").fullmatch
# After these a list would not be answered either; after a refused password it must not be asked for.
_FINAL = frozenset({"unreachable", "timeout", "tls", "sign-in", "misconfigured"})

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Resource:
    """A list. ``since`` is the first minor that has it."""

    namespace: str
    path: str
    operation: Operation
    since: int = 0

    def at(self, minor: int) -> str:
        return f"/api/{self.namespace}/v4.{minor}/{self.path}"


_DATA_PROTECTION = Operation("data-protection", Budget(1))
VMS = Resource("vmm", "ahv/config/vms", Operation("vms", Budget(2)))
ONE_VM = Resource("vmm", "ahv/config/vms", Operation("vm", Budget(2)))
CLUSTERS = Resource("clustermgmt", "config/clusters", Operation("clusters", Budget(10)))
CATEGORIES = Resource("prism", "config/categories", Operation("categories", Budget(10)))
JOBS = Resource("dataprotection", "config/recovery-plan-jobs", _DATA_PROTECTION, since=2)
PROTECTED = Resource("dataprotection", "config/protected-resources", _DATA_PROTECTION)


class NotServed(PrismError):
    """No known v4 minor of a namespace answers."""


class Versions:
    """Lists of one Prism Central, each asked in the version that it turns out to serve."""

    def __init__(self, calls: CallsV4) -> None:
        self._calls = calls
        self._minors: dict[str, int] = {}
        self._announcements: dict[str, int | None] = {}

    def page(self, resource: Resource, query: Query, limits: Limits) -> dict[str, Any]:
        """A page of a list. Raises ``NotServed`` where no version has it, and ``PrismError``."""
        known = self._minors.get(resource.namespace)
        if known is not None and known >= resource.since:
            try:
                return self._get(resource, known, query, limits)
            except PrismCallFailed as failure:
                if failure.http_status != 404:
                    raise
            log.info("gone version=v4.%s namespace=%s", known, resource.namespace)
            del self._minors[resource.namespace]
            self._announcements.pop(resource.namespace, None)
        return self._negotiated(resource, query, limits)

    def below(self, resource: Resource, rest: str, query: Query, limits: Limits) -> dict[str, Any]:
        """What lies at ``rest`` below a list that has been read. A 404 means that it is gone."""
        path = f"{resource.at(self._minors[resource.namespace])}/{rest}"
        return self._calls.get(path, query, resource.operation, limits)

    def entity(self, resource: Resource, ext_id: str, limits: Limits) -> dict[str, Any]:
        """One entity of a list that need not have been read.

        Raises ``NotServed`` or ``PrismCallFailed`` (404) where there is none, and ``PrismError``.
        """
        known = self._minors.get(resource.namespace)
        minors = self._candidates(resource, limits) if known is None else (known,)
        certain = known is not None or self._announced(resource.namespace, limits) is not None
        for minor in minors[:1] if certain else minors:
            try:
                return self._calls.get(f"{resource.at(minor)}/{ext_id}", {}, resource.operation, limits)
            except PrismCallFailed as failure:
                # Prism Central names what it has not found; a path that it does not serve has no words of its own
                if failure.http_status != 404 or failure.groups or certain:
                    raise
        raise self._not_served(resource)

    def _candidates(self, resource: Resource, limits: Limits) -> tuple[int, ...]:
        """The minors to try, the best one first."""
        announced = self._announced(resource.namespace, limits)
        minors = UNANNOUNCED if announced is None else range(min(announced, HIGHEST_KNOWN), -1, -1)
        return tuple(minor for minor in minors if minor >= resource.since)

    def _negotiated(self, resource: Resource, query: Query, limits: Limits) -> dict[str, Any]:
        candidates = self._candidates(resource, limits)
        announced = self._announced(resource.namespace, limits) is not None
        for minor in candidates:
            try:
                body = self._get(resource, minor, query if announced else {"$limit": 1}, limits)
            except PrismCallFailed as failure:
                if failure.http_status == 404:
                    continue
                if failure.http_status == 400:  # it is the query that this version does not like
                    self._minors[resource.namespace] = minor
                raise
            self._minors[resource.namespace] = minor
            log.info("chosen version=v4.%s namespace=%s announced=%s", minor, resource.namespace, announced)
            return body if announced else self._get(resource, minor, query, limits)
        raise self._not_served(resource)

    def _not_served(self, resource: Resource) -> NotServed:
        title = self._calls.endpoint.title
        words = f"{title} serves no version of {resource.namespace} v4 that has {resource.path}."
        return NotServed(words, kind="missing", system=title)

    def _announced(self, namespace: str, limits: Limits) -> int | None:
        """The highest minor as Prism Central announces it, None where it does not say."""
        if namespace not in self._announcements:
            self._announcements[namespace] = self._ask_for_version(namespace, limits)
        return self._announcements[namespace]

    def _ask_for_version(self, namespace: str, limits: Limits) -> int | None:
        try:
            body = self._calls.options(f"/api/{namespace}/unversioned/info", limits)
        except PrismError as failure:
            if failure.kind in _FINAL:
                raise
            return None
        said = body.get("data")
        found = _ANNOUNCED(said.strip()) if isinstance(said, str) else None
        return int(found[1]) if found else None

    def _get(self, resource: Resource, minor: int, query: Query, limits: Limits) -> dict[str, Any]:
        return self._calls.get(resource.at(minor), query, resource.operation, limits)
