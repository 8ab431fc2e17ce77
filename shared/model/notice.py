"""What a profile's webhook is told of a run: when, and whether it has arrived."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class NoticeEvent(StrEnum):
    """``drift``: the schedule found machines whose records are wrong."""

    AWAITING_REVIEW = "awaiting-review"
    COMPLETED = "completed"
    COMPLETED_WITH_ERRORS = "completed-with-errors"
    FAILED = "failed"
    DRIFT = "drift"


class NoticeState(StrEnum):
    OPEN = "open"
    SENT = "sent"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Notice:
    """One message to a webhook. ``key`` is unique within the run, ``body`` its JSON text, the same at each attempt.

    ``due``: not to be tried before.
    """

    key: str
    event: NoticeEvent
    body: str
    made_at: datetime
    due: datetime
    attempts: int = 0
    state: NoticeState = NoticeState.OPEN
