"""Keeping to the rate budgets that Prism Central v4 announces with every answer (contract ``prism.md``, section 5.9).

A budget belongs to one operation of one Prism Central, whoever reads it: so a pace is shared by all readers of a
process. Calls start evenly spaced. A burst at the start of each period would be as fast, but any second of the
server's own clock may hold no more calls than the budget says.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from shared.http import Limits

MARGIN = 1.02  # what calls may move towards each other on their way without passing the budget
TELLING = 6  # answers before their fastest one counts as what an undisturbed answer takes
LONGEST_PERIOD = 3600.0
REMEMBERED = 1000


class OutOfTime(Exception):
    """The next call would have to start after the deadline."""


@dataclass(frozen=True, slots=True)
class Budget:
    """At most ``calls`` in any ``seconds``."""

    calls: int
    seconds: float = 1.0


@dataclass(slots=True)
class _Call:
    """``took`` is how long its answer took, None as long as there is none."""

    started: float
    took: float | None = None


class Pace:
    """When the next call of one operation may start. ``budget`` holds until an answer announces another one."""

    def __init__(self, budget: Budget, clock: Callable[[], float] = time.monotonic) -> None:
        self._budget = budget
        self._clock = clock
        self._turnstile = threading.Lock()  # held while waiting: whoever passes has the next start for itself
        self._facts = threading.Lock()
        self._calls: deque[_Call] = deque(maxlen=REMEMBERED)
        self._closed_until = float("-inf")

    @property
    def budget(self) -> Budget:
        return self._budget

    def await_turn(self, limits: Limits) -> float:
        """Wait for the next start, and answer when it was. Raises ``OutOfTime`` at once where that is too late."""
        if not self._turnstile.acquire(timeout=max(0.0, limits.deadline.remaining())):
            raise OutOfTime
        try:
            wait = self._opens() - self._clock()
            if wait >= limits.deadline.remaining():
                raise OutOfTime
            if wait > 0:
                limits.pause(wait)
            started = self._clock()
            with self._facts:
                self._calls.append(_Call(started))
            return started
        finally:
            self._turnstile.release()

    def learn(self, started: float, headers: Mapping[str, str]) -> None:
        """Take in what the answer to the call that began at ``started`` announced.

        Nothing left, although our own calls do not use the budget up: others do, and a whole period has to pass.
        """
        calls = _number(headers.get("X-Api-Ratelimit-Limit"))
        seconds = _number(headers.get("X-Api-Ratelimit-Refresh-Period-Seconds"))
        left = _number(headers.get("X-Api-Ratelimit-Remaining"))
        with self._facts:
            for call in self._calls:
                if call.started == started:
                    call.took = self._clock() - started
            known = self._budget
            self._budget = Budget(
                int(calls) if calls is not None and calls >= 1 else known.calls,
                seconds if seconds and seconds <= LONGEST_PERIOD else known.seconds,
            )
            if left == 0 and self._own(started) < self._budget.calls:
                self._close(started)

    def throttled(self) -> None:
        """A call was refused for its rate: none starts before a whole period has passed."""
        with self._facts:
            self._close(self._clock())

    def _opens(self) -> float:
        with self._facts:
            budget, calls = self._budget, self._calls
            opens = self._closed_until
            if calls:
                opens = max(opens, calls[-1].started + budget.seconds / budget.calls * MARGIN)
            if len(calls) >= budget.calls:
                # The call that has to leave the window first. If its answer took longer than others do, it may have
                # been counted as much later, and the next one, in no such trouble, would run into it.
                first = calls[-budget.calls]
                times = [call.took for call in calls if call.took is not None]
                usual = min(times) if len(times) >= TELLING else 0.0
                late = max(0.0, first.took - usual) if first.took is not None else 0.0
                opens = max(opens, first.started + late + budget.seconds * MARGIN)
            return opens

    def _own(self, started: float) -> int:
        return sum(started - self._budget.seconds < call.started <= started for call in self._calls)

    def _close(self, since: float) -> None:
        self._closed_until = max(self._closed_until, since + self._budget.seconds * MARGIN)


class Paces:
    """The paces of a process, by host (with its port) and operation."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: dict[tuple[str, str], Pace] = {}
        self._lock = threading.Lock()

    def of(self, netloc: str, operation: str, budget: Budget) -> Pace:
        """``budget`` is what holds for a pace that nobody has asked for before."""
        with self._lock:
            return self._known.setdefault((netloc.lower(), operation), Pace(budget, self._clock))


OF_THE_PROCESS = Paces()


def _number(text: str | None) -> float | None:
    """A number from 0 up, None for anything else."""
    try:
        number = float(text) if text is not None else -1.0
    except ValueError:
        return None
    return number if 0 <= number < float("inf") else None
