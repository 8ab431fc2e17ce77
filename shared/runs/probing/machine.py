"""The machine that Realign itself runs on: what would spoil a run without any outside system being at fault."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from datetime import datetime, timedelta

from shared.azure.lock import MARGIN
from shared.errors import RealignError
from shared.runs.probing.check import Walk

LEAST_FREE = 100_000_000  # bytes; the Functions host keeps its keys, logs and timers' times on this disk
# Locks allow for so much between two machines, and a storage account tells whole seconds.
MOST_ASKEW = timedelta(seconds=MARGIN)


def check_clock(now: datetime, theirs: datetime) -> timedelta:
    """How far ``now``, UTC on this machine, is ahead of the storage account's time.

    Raises ``RealignError`` where it is more than locks allow for.
    """
    ahead = now - theirs
    if abs(ahead) <= MOST_ASKEW:
        return ahead
    seconds = round(abs(ahead).total_seconds())
    raise RealignError(
        f"The clock of this machine is {seconds} s {'ahead of' if ahead > timedelta() else 'behind'} the storage "
        "account's. Locks and sign-ins depend on it: have it set by NTP, and restart the app."
    )


def ask_disk(walk: Walk, free: Callable[[str], int] = lambda folder: shutil.disk_usage(folder).free) -> None:
    """Raises ``RealignError`` where there is too little room."""
    with walk.stage("space") as note:
        folder = tempfile.gettempdir()
        left = free(folder)
        note(f"{left // 1_000_000:,} MB free")
        if left < LEAST_FREE:
            raise RealignError(
                f"The disk that holds temporary files has {left // 1_000_000:,} MB left, and the Functions host needs "
                f"{LEAST_FREE // 1_000_000}. Restart the app, which clears it, or take a larger plan."
            )
