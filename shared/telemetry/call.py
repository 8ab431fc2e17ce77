"""One attempt at an outside call, as telemetry tells it: never its path, query, headers or body."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

HTTPS = 443
# What the other side's support asks for. An answer may hold anything, so only a UUID counts.
_TRANSACTION_HEADERS = ("Citrix-TransactionId", "NTNX-Request-Id", "x-ms-client-request-id", "x-ms-request-id")
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


@dataclass(slots=True)
class Call:
    """``system`` is a word (``prism``, ``citrix``, ``storage``), ``attempt`` counts from 1.

    Times are nanoseconds since 1970. ``failure`` is the kind of what went wrong where no whole answer came.
    """

    system: str
    method: str
    server: str
    port: int
    attempt: int
    began: int = field(default_factory=time.time_ns)
    ended: int = 0
    status: int | None = None
    failure: str = ""
    transaction: str = ""
    repeats: int = 0

    @classmethod
    def to(cls, system: str, method: str, url: str, attempt: int) -> Call:
        """A call that begins now. Of the URL only the host is kept."""
        return cls(system, method.upper(), *_place(url), attempt, repeats=int(attempt > 1))

    @property
    def host(self) -> str:
        """The server, with its port where that is not 443."""
        return self.server if self.port == HTTPS else f"{self.server}:{self.port}"

    def took(self, attempts: int) -> None:
        """It stands for several attempts, which nobody else tells of."""
        self.attempt, self.repeats = attempts, attempts - 1

    def sent(self, headers: Mapping[str, str]) -> None:
        """It carried these headers, of which the id of the transaction is kept."""
        self.transaction = _transaction(headers)

    def answered(self, status: int, headers: Mapping[str, str]) -> None:
        """An answer came, or its head; it names the transaction where the request did not."""
        self.status = status
        self.transaction = self.transaction or _transaction(headers)

    def failed(self, kind: str) -> None:
        """No whole answer came."""
        self.failure = kind


def _transaction(headers: Mapping[str, str]) -> str:
    found = (headers.get(name) or "" for name in _TRANSACTION_HEADERS)
    return next((value for value in found if _UUID.fullmatch(value)), "")


def _place(url: str) -> tuple[str, int]:
    try:
        parts = urlsplit(url)
        return parts.hostname or "", parts.port or (80 if parts.scheme == "http" else HTTPS)
    except ValueError:
        return "", HTTPS
