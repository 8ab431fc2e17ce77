"""What was read from a Prism host lately, and one reader a host within the process (design, section 8).

A Prism Central allows its readers about two calls a second between them, so two of them side by side are no faster than
one after the other. Of several scheduled runs that need the same listing, one reads it and the others take it over.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from shared.model.nutanix import ClusterReading
from shared.runs.reading.turns import Turns

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


@dataclass(frozen=True, slots=True)
class Wish:
    """``shared``: a listing under 60 s old will do. ``keep``: it may serve others. ``urgent``: people wait for it."""

    shared: bool = False
    keep: bool = False
    urgent: bool = False


class Listings:
    """``clock`` is monotonic, in seconds. Safe to use from several threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._guard = threading.Lock()
        self._turns: dict[str, Turns] = {}
        self._kept: dict[Source, tuple[float, ClusterReading]] = {}

    def read(
        self, source: Source, read: Callable[[], ClusterReading], wish: Wish, *, name: str, patience: float
    ) -> ClusterReading | None:
        """The listing of ``source``, as cluster ``name`` of a profile; None where others read for ``patience`` s."""
        with self._guard:
            turns = self._turns.setdefault(source.host, Turns())
        with turns.take(urgent=wish.urgent, patience=patience) as mine:
            if not mine:
                return None
            found = self._fresh(source, name) if wish.shared else None
            if found is None:
                found = read()
                if wish.keep:
                    self._keep(source, found)
        return found if found.name == name else _renamed(found, name)

    def _fresh(self, source: Source, name: str) -> ClusterReading | None:
        now = self._clock()
        with self._guard:
            for old in [key for key, (since, _) in self._kept.items() if now - since >= FRESH_SECONDS]:
                del self._kept[old]
            found = self._kept.get(source, (0.0, None))[1]
        if found is None:
            return None
        # the sentence of an error calls the cluster by the name that it has in the profile it was read for
        return found if found.error is None or found.name == name else None

    def _keep(self, source: Source, found: ClusterReading) -> None:
        now = self._clock()
        with self._guard:
            self._kept[source] = (now, found)


def _renamed(reading: ClusterReading, name: str) -> ClusterReading:
    return replace(reading, name=name, vms=tuple(replace(vm, cluster=name) for vm in reading.vms))
