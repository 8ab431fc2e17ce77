"""A job of Citrix: work that goes on after its call was answered (contract ``citrix.md``, section 6.2)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class JobStatus(StrEnum):
    """Citrix's words. ``NonTerminatingError`` and what is not known count as still running (contract, section 6.2)."""

    UNKNOWN = "Unknown"
    NOT_STARTED = "NotStarted"
    IN_PROGRESS = "InProgress"
    COMPLETE = "Complete"
    COMPLETE_WITH_WARNING = "CompleteWithWarning"
    FAILED = "Failed"
    CANCELED = "Canceled"
    NON_TERMINATING_ERROR = "NonTerminatingError"


ENDED = frozenset({JobStatus.COMPLETE, JobStatus.COMPLETE_WITH_WARNING, JobStatus.FAILED, JobStatus.CANCELED})


@dataclass(frozen=True, slots=True)
class Job:
    """``created_at`` is None where Citrix tells no time that can be read; ``error`` is what Citrix says, cut."""

    id: str
    type: str
    status: JobStatus
    cancellable: bool = False
    created_at: datetime | None = None
    error: str | None = None

    @property
    def ended(self) -> bool:
        return self.status in ENDED


@dataclass(frozen=True, slots=True)
class ItemOutcome:
    """What became of one item of a batch.

    ``code`` is the item's HTTP status. ``job``: a nested job that has only begun (202). ``error`` is a sentence with
    what Citrix says, None for an item that was done or has begun.
    """

    code: int
    job: str | None = None
    error: str | None = None
