"""What a run has read, and where it is kept while the run settles.

A worker of another process does not have it, and reads all of it again.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass

from shared.model import ClusterReading, RunId, Site

MOST_KEPT = 4  # runs; one holds a whole site


@dataclass(frozen=True, slots=True)
class Gathered:
    """``readings`` has one entry a cluster, in the profile's order."""

    site: Site
    readings: tuple[ClusterReading, ...]


class Settling:
    """What settling runs have read so far. Safe to use from several threads."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._kept: OrderedDict[RunId, Gathered] = OrderedDict()

    def keep(self, run_id: RunId, gathered: Gathered) -> None:
        with self._guard:
            self._kept[run_id] = gathered
            self._kept.move_to_end(run_id)
            while len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)

    def take(self, run_id: RunId) -> Gathered | None:
        """What was kept for the run, if anything; it is kept no longer."""
        with self._guard:
            return self._kept.pop(run_id, None)
