"""Remembers over a restart up to when each timer's schedule was served, so that what was missed can be made up for.

The real host keeps this in a blob of its storage account. Here it is one small file for each function in the folder
that ``SANDBOX_TIMER_STATUS`` names; without that setting nothing is remembered and no occurrence counts as missed.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

log = logging.getLogger(__name__)

SETTING = "SANDBOX_TIMER_STATUS"
_SHORTEST_MONITORED = 60.0


class TimerStatus:
    """The memory of one timer. ``after`` gives the first due time after a moment."""

    def __init__(self, folder: Path, function: str, after: Callable[[datetime], datetime]) -> None:
        self._file = folder / f"{function}.json"
        self._after = after

    def missed(self, now: datetime) -> bool:
        """True if the schedule named a time between what was served last and ``now``.

        A timer that was never seen has missed nothing: it is served from now on.
        """
        served = self._served()
        if served is None:
            self.record(now)
            return False
        return self._after(served) <= now

    def record(self, served: datetime) -> None:
        """Every occurrence up to ``served`` is done with."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._file.with_suffix(".new")
        fresh.write_text(json.dumps({"last": served.astimezone(UTC).isoformat()}), "utf-8")
        os.replace(fresh, self._file)

    def _served(self) -> datetime | None:
        try:
            last = datetime.fromisoformat(json.loads(self._file.read_text("utf-8"))["last"])
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            log.warning("%s is not what a timer wrote and counts as nothing: %s", self._file, error)
            return None
        return last if last.tzinfo is not None else last.replace(tzinfo=UTC)


def monitored(use_monitor: bool | None, after: Callable[[datetime], datetime], now: datetime) -> bool:
    """What ``use_monitor`` says; where it says nothing, True for a schedule of one minute or longer."""
    if use_monitor is not None:
        return use_monitor
    first = after(now)
    return (after(first) - first).total_seconds() >= _SHORTEST_MONITORED
