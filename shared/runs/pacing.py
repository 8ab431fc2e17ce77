"""How many batches are under way at once: up to four, fewer after Citrix said 429, and more again when it is quiet."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

MOST_AT_ONCE = 4
QUIET = 8  # batches without a 429, before one more may run beside the others
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0  # seconds


class Pacing:
    """Safe to use from several threads. ``pause`` sleeps for seconds; ``jitter`` is from 0 to 1."""

    def __init__(
        self,
        most: int = MOST_AT_ONCE,
        *,
        pause: Callable[[float], None] = time.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._most = most
        self._allowed = most
        self._running = 0
        self._quiet = 0
        self._turn = threading.Condition()
        self._pause = pause
        self._jitter = jitter

    @property
    def allowed(self) -> int:
        return self._allowed

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Waits until one more may be under way."""
        with self._turn:
            self._turn.wait_for(lambda: self._running < self._allowed)
            self._running += 1
        try:
            yield
        finally:
            with self._turn:
                self._running -= 1
                self._turn.notify_all()

    def went_well(self) -> None:
        with self._turn:
            self._quiet += 1
            if self._quiet >= QUIET and self._allowed < self._most:
                self._allowed, self._quiet = self._allowed + 1, 0
                self._turn.notify_all()

    def throttled(self, attempt: int, retry_after: float | None) -> None:
        """Citrix said 429: fewer at once from now on, and this one waits. ``attempt`` counts from 1."""
        with self._turn:
            self._allowed, self._quiet = max(1, self._allowed // 2), 0
        backoff = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (attempt - 1))
        # Citrix promises no Retry-After (contract citrix.md, 9.3)
        wait = backoff * (0.5 + self._jitter() / 2) if retry_after is None else retry_after + self._jitter()
        self._pause(min(wait, LONGEST_PAUSE))


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
