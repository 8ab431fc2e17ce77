"""Which run the present context works on, and the log lines that say so without being told.

A context is a thread, a task, or what was copied of one; ``Threads`` copies it into pools. The platform's threads serve
one invocation after another, so a subject is always set for a ``with`` block and never for good.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from shared.telemetry.invocation import name_invocation

if TYPE_CHECKING:
    from shared.model.run import Run

# a message of the queue may name anything, and a log line must not be forged
_NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z-]{0,63}")


@dataclass(slots=True)
class Subject:
    """What is known so far, empty where it is not; ``began`` is when the work on it began, UTC."""

    run: str = ""
    profile: str = ""
    mode: str = ""
    trigger: str = ""
    began: datetime = field(default_factory=lambda: datetime.now(UTC))


_subject: ContextVar[Subject | None] = ContextVar("subject", default=None)


@contextmanager
def working_on(run: str = "", profile: str = "") -> Iterator[Subject]:
    """Everything in the block, and in what copies its context, is about this run or profile."""
    subject = Subject(_named(run), _named(profile))
    token = _subject.set(subject)
    try:
        yield subject
    finally:
        _subject.reset(token)


def present() -> Subject:
    """The subject of this context; one that knows nothing where there is none."""
    return _subject.get() or Subject()


def met(run: Run) -> None:
    """A run was read: where it is the one that this context works on, more is known of it now."""
    subject = _subject.get()
    if subject is not None and subject.run == run.id:
        _take(subject, run)


def turned_to(run: Run) -> None:
    """From here on this context works on ``run``: it has just been made."""
    subject = _subject.get()
    if subject is not None:
        subject.run = _named(run.id)
        _take(subject, run)


def mark_log_lines() -> None:
    """Let every log record of this process name run and profile, where its context has them and its text does not.

    They stand at the end of the text and as the attributes ``realign_run`` and ``realign_profile``. A factory and not
    a filter: filters of a logger do not see the records of those below it, and handlers belong to the platform. Each
    record is made in the thread that logs it, so the platform is told there whose it is.
    """
    make = logging.getLogRecordFactory()
    if getattr(make, "marks", False):
        return

    def marking(*args: Any, **kwargs: Any) -> logging.LogRecord:
        return _marked(make(*args, **kwargs))

    marking.marks = True  # type: ignore[attr-defined]
    logging.setLogRecordFactory(marking)


def _marked(record: logging.LogRecord) -> logging.LogRecord:
    name_invocation()
    subject = _subject.get()
    if subject is None:
        return record
    record.realign_run, record.realign_profile = subject.run, subject.profile
    text = str(record.msg)
    for name, value in (("run", subject.run), ("profile", subject.profile)):
        if value and f"{name}=" not in text:
            text += f" {name}={value}"
    record.msg = text
    return record


def _take(subject: Subject, run: Run) -> None:
    subject.profile, subject.mode, subject.trigger = run.profile, run.mode.value, run.trigger


def _named(text: str) -> str:
    return text if _NAME.fullmatch(text) else ""
