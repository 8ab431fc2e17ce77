"""One call to Prism Central v4: paced, with a request id of its own, and asked again where it came too fast."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote, urlsplit
from uuid import uuid4

import requests

from shared.http import Limits
from shared.prism.client import BudgetSpent
from shared.prism.endpoint import Endpoint, PrismCallFailed
from shared.prism.pace import Budget, OutOfTime, Pace, Paces

log = logging.getLogger(__name__)

Query = Mapping[str, str | int]


@dataclass(frozen=True, slots=True)
class Operation:
    """What has a rate budget of its own. ``budget`` holds until Prism Central has announced one."""

    name: str
    budget: Budget


class _Paced:
    """The ``Conduct`` of one call."""

    def __init__(self, pace: Pace, path: str) -> None:
        self._pace = pace
        self._path = path
        self._started = 0.0
        self.request_id: str | None = None

    def begin(self, limits: Limits) -> Limits:
        self._started = self._pace.await_turn(limits)

        def pause(seconds: float) -> None:
            limits.pause(seconds)
            self._started = self._pace.await_turn(limits)

        return replace(limits, pause=pause)

    def headers(self) -> Mapping[str, str]:
        self.request_id = str(uuid4())
        log.debug("asking path=%s request_id=%s", self._path, self.request_id)
        return {"NTNX-Request-Id": self.request_id}

    def answered(self, response: requests.Response) -> None:
        self._pace.learn(self._started, response.headers)
        if response.status_code == 429:
            self._pace.throttled()


@dataclass(frozen=True, slots=True)
class CallsV4:
    """The calls to one Prism Central. ``paces`` are shared by whoever else reads it."""

    endpoint: Endpoint
    paces: Paces

    def get(self, path: str, query: Query, operation: Operation, limits: Limits) -> dict[str, Any]:
        """The JSON object at ``path``. Raises ``PrismError``; ``PrismCallFailed`` where Prism answered an error."""
        return self._ask("GET", f"{path}?{_encoded(query)}" if query else path, operation, limits)

    def options(self, path: str, limits: Limits) -> dict[str, Any]:
        """Like ``get``."""
        return self._ask("OPTIONS", path, Operation(path, Budget(10)), limits)

    def _ask(self, method: str, path: str, operation: Operation, limits: Limits) -> dict[str, Any]:
        pace = self.paces.of(urlsplit(self.endpoint.base_url).netloc, operation.name, operation.budget)
        clock = limits.deadline.clock
        gives_up = clock() + limits.silence
        while True:
            conduct = _Paced(pace, path)
            try:
                return self.endpoint.ask(method, path, limits, conduct=conduct)
            except OutOfTime:
                raise self._too_slow(pace.budget) from None
            except PrismCallFailed as failure:
                log.info("failed path=%s kind=%s request_id=%s", path, failure.kind, conduct.request_id)
                # Another process that reads at the full rate leaves little room for long: Prism is there all the same.
                if failure.kind != "throttled" or limits.attempts == 1 or clock() >= gives_up:
                    raise
                pace.throttled()

    def _too_slow(self, budget: Budget) -> BudgetSpent:
        return BudgetSpent(
            f"{self.endpoint.title} allows {budget.calls} such calls in {budget.seconds:g} s, and the time for reading "
            "it was up before all had been made. Let fewer clients read it at the same time, or narrow the cluster "
            "with prismClusters in the profile.",
            kind="timeout",
            system=self.endpoint.title,
            retryable=True,
        )


def _encoded(query: Query) -> str:
    """Names stay as they are, with their dollar sign; a space becomes %20 (contract ``prism.md``, section 5.2)."""
    return "&".join(f"{name}={quote(str(value), safe=',/')}" for name, value in query.items())
