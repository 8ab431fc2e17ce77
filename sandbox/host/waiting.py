"""Waiting that a stop can end: the sandbox never sleeps through the end of its process."""

from __future__ import annotations

import asyncio


async def set_within(event: asyncio.Event, seconds: float) -> bool:
    """True as soon as ``event`` is set, False if that does not happen in time."""
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return False
    return True
