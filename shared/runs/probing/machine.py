"""The machine that Realign itself runs on: what would spoil a run without any outside system being at fault."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable
from datetime import datetime, timedelta

from shared.azure.lock import MARGIN
from shared.errors import RealignError
from shared.runs.probing.check import Walk
from shared.runs.resources import Resources

LEAST_FREE = 100_000_000  # bytes; the Functions host keeps its keys, logs and timers' times on this disk
# Locks allow for so much between two machines, and a storage account tells whole seconds.
MOST_ASKEW = timedelta(seconds=MARGIN)
_FIELD = re.compile(r"[0-9A-Za-z*,/-]+")
_FIELDS = (5, 6)


def ask_clock(walk: Walk, resources: Resources) -> None:
    """Compare this machine's clock with the storage account's. Raises ``RealignError``, or ``StorageError``."""
    with walk.stage("time") as note:
        before = resources.now()
        theirs = resources.try_storage()
        note(f"{check_clock(before, theirs, resources.now()).total_seconds():+.0f} s")


def check_clock(before: datetime, theirs: datetime, after: datetime) -> timedelta:
    """How far this machine's clock is surely ahead of the storage account's, which said ``theirs`` in between.

    An account that takes its time makes no clock wrong. Raises ``RealignError`` where it is more than locks allow for.
    """
    ahead = max(before - theirs, timedelta()) + min(after - theirs, timedelta())
    if abs(ahead) <= MOST_ASKEW:
        return ahead
    seconds = round(abs(ahead).total_seconds())
    raise RealignError(
        f"The clock of this machine is {seconds} s {'ahead of' if ahead > timedelta() else 'behind'} the storage "
        "account's. Locks and sign-ins depend on it: have it set by NTP, and restart the app."
    )


def _room() -> int:
    """Bytes that are free. Raises ``OSError`` where nothing can be written: whoever looks for a place tries it."""
    return shutil.disk_usage(tempfile.gettempdir()).free


def ask_disk(walk: Walk, room: Callable[[], int] = _room) -> None:
    """Raises ``RealignError`` where there is too little room."""
    with walk.stage("space") as note:
        try:
            left = room()
        except OSError:
            left = 0
        note(f"{left // 1_000_000:,} MB free")
        if left < LEAST_FREE:
            raise RealignError(
                f"The disk that holds temporary files has {left // 1_000_000:,} MB left, and the Functions host needs "
                f"{LEAST_FREE // 1_000_000}. Restart the app, which clears it, or take a larger plan."
            )


def check_schedule(expression: str | None) -> None:
    """Raise ``RealignError`` for what the platform cannot take as a timer's schedule: it then never starts anything."""
    fields = (expression or "").split()
    if len(fields) in _FIELDS and all(_FIELD.fullmatch(field) for field in fields):
        return
    what = "is not set" if expression is None else f"is {expression[:60]!r}, which is no schedule"
    raise RealignError(
        f"REALIGN_SCHEDULE {what}, so nothing starts the runs of profiles with a schedule. Set it to six fields ("
        "second minute hour day month day-of-week), such as 0 0 3 * * *, and restart the app."
    )
