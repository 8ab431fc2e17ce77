"""Tells telemetry, every five minutes, what no run and no caller would: what waits, what is overdue, what is not ready.

Unattended, so a credential that was refused is left alone for two hours and not for 20 minutes: a directory that locks
an account after a few wrong passwords forgets them in less (its usual window is half an hour).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextlib import closing
from datetime import datetime, timedelta

from shared.errors import RealignError
from shared.model.run import Run, RunStatus
from shared.profile.profile import Profile
from shared.runs.access import SCHEDULE
from shared.runs.health import check_health
from shared.runs.probing.dependencies import Thoroughness
from shared.runs.resources import Resources
from shared.telemetry import telling
from shared.telemetry.subject import working_on

HOLD_OFF = timedelta(hours=2)
PROBE_SECONDS = 240.0  # so that the next look finds this one over
_BRIEFLY = Thoroughness(rights=False, hold_off=HOLD_OFF)
LOOKED_AT = 32  # of a profile's newest runs

# what says nothing about whether the drift before it still waits
_PASSED_OVER = frozenset(
    {RunStatus.QUEUED, RunStatus.PLANNING, RunStatus.PLANNED, RunStatus.FAILED, RunStatus.CANCELLED}
)

log = logging.getLogger(__name__)


def watch(resources: Resources) -> None:
    """Look once. Without telemetry there is nobody to tell, and nothing is asked."""
    if not telling.started():
        return
    for profile in _profiles(resources):
        with working_on(profile=profile.name):
            try:
                _tell_of_runs(resources, profile)
            except RealignError as error:
                log.warning("runs not looked at profile=%s: %s", profile.name, error)
    health = check_health(resources, how=_BRIEFLY, within=PROBE_SECONDS)
    log.info("watched ready=%s of=%s", sum(check.ready for check in health.checks), len(health.checks))


def _profiles(resources: Resources) -> list[Profile]:
    """None where their place cannot be read: the look at what is ready has to tell of that, and of storage."""
    try:
        files = resources.profiles()
    except RealignError as error:
        log.warning("profiles not looked at: %s", error)
        return []
    return [file.profile for _, file in sorted(files.items()) if file.profile is not None]


def _tell_of_runs(resources: Resources, profile: Profile) -> None:
    now = resources.now()
    with closing(resources.runs.newest_first(profile.name, LOOKED_AT)) as newest:
        waits_since, scheduled_at = _looked_at(newest, resources.opened_at)
    telling.review_waits(profile.name, (now - waits_since).total_seconds() if waits_since is not None else 0.0)
    if profile.schedule and resources.holds.get(profile.name, now) is None:
        telling.schedule_age(profile.name, (now - scheduled_at).total_seconds())


def _looked_at(newest: Iterable[Run], opened_at: datetime) -> tuple[datetime | None, datetime]:
    """Since when something has awaited review without a break, and when the schedule last started a run.

    Among so many runs of other origin that none of the schedule's is in sight, the oldest one looked at counts; for a
    profile without runs it is when this process began.
    """
    waits_since = scheduled_at = oldest = None
    over = False
    for run in newest:
        oldest = run.created_at
        if not over and run.status is RunStatus.AWAITING_REVIEW:
            waits_since = run.planned_at or run.created_at
        elif run.status not in _PASSED_OVER:
            over = True
        if scheduled_at is None and run.trigger == SCHEDULE.name:
            scheduled_at = run.created_at
        if over and scheduled_at is not None:
            break
    return waits_since, scheduled_at or oldest or opened_at
