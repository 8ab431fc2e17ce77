"""What was read from a Prism host lately, and one reader a host within the process (design, section 8).

A Prism Central allows its readers about two calls a second between them, so two of them side by side are no faster than
one after the other. Of several scheduled runs that need the same listing, one reads it and the others take it over.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from shared.model import ClusterReading

FRESH_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Source:
    """What makes two listings the same: which Prism is asked, by whom, by which API, for which of its clusters."""

    host: str
    ca: str | None
    api: str
    secret: str
    version: str
    prism_clusters: tuple[str, ...]


class Listings:
    """``clock`` is monotonic, in seconds. Safe to use from several threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._guard = threading.Lock()
        self._readers: dict[str, threading.Lock] = {}
        self._kept: dict[Source, tuple[float, ClusterReading]] = {}

    def read(
        self,
        source: Source,
        read: Callable[[], ClusterReading],
        *,
        name: str,
        shared: bool,
        keep: bool,
        patience: float,
    ) -> ClusterReading | None:
        """The listing of ``source``, as cluster ``name`` of a profile; None where others read for ``patience`` seconds.

        ``shared``: one under 60 s old will do. ``keep``: it may serve others.
        """
        with self._guard:
            reader = self._readers.setdefault(source.host, threading.Lock())
        if not reader.acquire(timeout=max(0.0, patience)):
            return None
        try:
            found = self._fresh(source) if shared else None
            if found is None:
                found = read()
                if keep:
                    self._keep(source, found)
        finally:
            reader.release()
        return found if found.name == name else _renamed(found, name)

    def _fresh(self, source: Source) -> ClusterReading | None:
        with self._guard:
            since, found = self._kept.get(source, (0.0, None))
        return found if found is not None and self._clock() - since < FRESH_SECONDS else None

    def _keep(self, source: Source, found: ClusterReading) -> None:
        now = self._clock()
        with self._guard:
            self._kept[source] = (now, found)
            for old in [key for key, (since, _) in self._kept.items() if now - since >= FRESH_SECONDS]:
                del self._kept[old]


def _renamed(reading: ClusterReading, name: str) -> ClusterReading:
    return replace(reading, name=name, vms=tuple(replace(vm, cluster=name) for vm in reading.vms))
