"""How large a batch is, learnt from how soon the batches before it had ended."""

from __future__ import annotations

import threading

from shared.runs.writing.pacing import MOST_AT_ONCE


class Sizes:
    """How many changes the next batch holds.

    It starts by spreading what there is over the batches that may run at once, within 50 and 100. A batch is looked at
    after one second for the first time: one that has ended by then could have been larger, and one that has not waits
    for the next look. So one batch at a time tries a quarter more than the others, and what it met with decides for
    all; where even the usual size misses its first look again and again, it shrinks.
    """

    LEAST, FIRST_MOST, MOST = 50, 100, 400
    MISSES = 3  # in a row

    def __init__(self, changes: int, at_once: int = MOST_AT_ONCE) -> None:
        self._size = max(self.LEAST, min(self.FIRST_MOST, -(-changes // at_once)))
        self._ceiling = self.MOST + 1
        self._trial: int | None = None
        self._misses = 0
        self._lock = threading.Lock()

    def next(self) -> int:
        with self._lock:
            larger = self._size * 5 // 4
            if self._trial is None and larger < self._ceiling:
                self._trial = larger
                return larger
            return self._size

    def learn(self, size: int, looks: int) -> None:
        """A batch of ``size`` changes had ended at its ``looks``-th look."""
        with self._lock:
            if size == self._trial:
                self._trial = None
                if looks == 1:
                    self._size = size
                else:
                    self._ceiling = size
            elif looks == 1:
                self._misses = 0
            else:
                self._misses += 1
                if self._misses >= self.MISSES:
                    self._size, self._misses = max(self.LEAST, self._size * 4 // 5), 0
