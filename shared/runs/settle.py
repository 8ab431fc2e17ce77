"""Settling: in the middle of a failover Prism Central learns of VMs late, so a DR run may look again (design, 4).

Between two looks no worker waits and no lock is held: a delayed message brings the run back.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from shared.model.run import Run

SOON, LATER = timedelta(seconds=5), timedelta(seconds=15)
EARLY = timedelta(seconds=30)


def next_look(run: Run, now: datetime) -> datetime | None:
    """When to read the target again, None where the time is up."""
    began = run.started_at or run.created_at
    ends = began + timedelta(seconds=run.settle_seconds)
    if now >= ends:
        return None
    return min(now + (SOON if now - began < EARLY else LATER), ends)
