"""What a run has read, and where it is kept while the run settles.

A worker of another process does not have it, and reads all of it again.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from shared.model.citrix import Site
from shared.model.nutanix import ClusterReading
from shared.model.run import RunId

MOST_KEPT = 4  # runs; one holds a whole site
KEPT_SECONDS = 900.0  # a look comes 15 s after the one before, and may take ten minutes


@dataclass(frozen=True, slots=True)
class Gathered:
    """``readings`` has one entry a cluster, in the profile's order."""

    site: Site
    readings: tuple[ClusterReading, ...]


class Settling:
    """What settling runs have read so far. Safe to use from several threads; ``clock`` is monotonic, in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._guard = threading.Lock()
        self._kept: OrderedDict[RunId, tuple[float, Gathered]] = OrderedDict()

    def keep(self, run_id: RunId, gathered: Gathered) -> None:
        with self._guard:
            self._kept[run_id] = (self._clock(), gathered)
            self._kept.move_to_end(run_id)
            while len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)

    def take(self, run_id: RunId) -> Gathered | None:
        """What was kept for the run, if anything; it is kept no longer, nor what another process has gone on with."""
        with self._guard:
            since, found = self._kept.pop(run_id, (0.0, None))
            now = self._clock()
            for old in [other for other, (kept, _) in self._kept.items() if now - kept > KEPT_SECONDS]:
                del self._kept[old]
            return found if now - since <= KEPT_SECONDS else None
