"""NCRONTAB schedules: when a timer is due. Pure; the caller brings the time."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime

from croniter import croniter

from sandbox.host.problems import FunctionError

_NUMBERS = re.compile(r"[0-9*,/-]+")
_NAMED = re.compile(r"[0-9A-Za-z*,/-]+")
_WORD = re.compile(r"[A-Za-z]{3,}")
_NAMED_FIELDS = (4, 5)  # month and day of week, of six


def next_occurrence(expression: str) -> Callable[[datetime], datetime]:
    """A function from a time to the first time after it that the schedule names, in UTC.

    ``expression`` has six fields, ``second minute hour day month day-of-week``, or five without the second.

    Raises:
        FunctionError: it is no such schedule. What croniter would take beyond that (``@daily``, ``L``) is refused.
    """
    fields = expression.split()
    six = fields if len(fields) == 6 else ["0", *fields]
    allowed = all((_NAMED if at in _NAMED_FIELDS else _NUMBERS).fullmatch(field) for at, field in enumerate(six))
    # NCRONTAB takes whole names of months and days, croniter their first three letters.
    cron = " ".join(_WORD.sub(lambda word: word[0][:3], field) for field in six)
    if len(six) != 6 or not allowed or not croniter.is_valid(cron, second_at_beginning=True):
        raise FunctionError(
            f"its schedule {expression!r} is not NCRONTAB. Write six fields, second minute hour day month day-of-week, "
            "for example 0 */15 * * * *."
        )

    def after(moment: datetime) -> datetime:
        # day_or=False: NCRONTAB wants day and day of week both to hold, cron one of them.
        moments = croniter(cron, moment.astimezone(UTC), datetime, day_or=False, second_at_beginning=True)
        due: datetime = moments.get_next()
        return due

    return after
