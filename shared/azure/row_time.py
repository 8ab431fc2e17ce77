"""Times in table rows: ISO text in UTC, to the microsecond.

The SDK reads a naive time as local time and gives back a type of its own; text has neither trap.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import overload


@overload
def to_text(at: datetime) -> str: ...
@overload
def to_text(at: None) -> None: ...
def to_text(at: datetime | None) -> str | None:
    """Raises ``ValueError`` for a naive time."""
    if at is None:
        return None
    if at.tzinfo is None:
        raise ValueError("a time without a time zone cannot be stored")
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def to_time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text is not None else None
