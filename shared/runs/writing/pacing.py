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
