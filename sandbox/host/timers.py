"""Timer triggers: fires a function when its schedule says so, or when a person asks, never twice at the same time.

An occurrence that passed while the host was away is run when it starts, once and with ``past_due``, if the timer is
monitored (contract ``azure.md``, section 3.3).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from datetime import UTC, datetime

from azure.functions.timer import TimerRequest

from sandbox.host.invoking import Invoker
from sandbox.host.loading import LoadedFunction
from sandbox.host.timer_status import TimerStatus
from sandbox.host.waiting import set_within

log = logging.getLogger(__name__)

# A machine that slept has a clock that jumped: look at it again at least this often.
_LONGEST_WAIT = 30.0


def utc_now() -> datetime:
    return datetime.now(UTC)


class TimerListener:
    """Serves one timer function. ``after`` gives the first due time after a moment; ``status`` makes it monitored."""

    def __init__(
        self,
        function: LoadedFunction,
        after: Callable[[datetime], datetime],
        invoker: Invoker,
        *,
        run_on_startup: bool = False,
        status: TimerStatus | None = None,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._function = function
        self._after = after
        self._invoker = invoker
        self._run_on_startup = run_on_startup
        self._status = status
        self._now = now
        self._stopping = asyncio.Event()
        self._one_at_a_time = asyncio.Lock()

    async def run(self) -> None:
        """Fires on schedule until ``stop`` is called, then returns when a run under way has ended.

        Like Azure, it looks for the next time when a run has ended: times that passed during the run are left out.
        """
        past_due = self._status is not None and self._status.missed(self._now())
        if past_due or self._run_on_startup:
            await self._occur(past_due)
        while not self._stopping.is_set():
            due = self._after(self._now())
            if await self._reached(due):
                await self._occur(past_due=False)

    async def _occur(self, past_due: bool) -> None:
        await self.fire(past_due=past_due)
        # Afterwards: a host that is killed meanwhile makes up for the run when it starts again.
        if self._status is not None:
            self._status.record(self._now())

    async def _reached(self, due: datetime) -> bool:
        while (left := (due - self._now()).total_seconds()) > 0:
            if await set_within(self._stopping, min(left, _LONGEST_WAIT)):
                return False
        return not self._stopping.is_set()

    async def fire(self, *, past_due: bool = False) -> None:
        """Runs the function, after the run that may be under way. A failure is in the log; a timer has no retry."""
        async with self._one_at_a_time:
            with contextlib.suppress(Exception):
                await self._invoker.invoke(self._function, TimerRequest(past_due=past_due))

    def stop(self) -> None:
        self._stopping.set()
