"""The scheduled start of every profile that asks for it."""

from __future__ import annotations

import logging

from shared.errors import NotFound, RealignError, StorageError
from shared.model.run import RunId, RunStatus
from shared.profile.profile import Profile
from shared.runs.access import SCHEDULE
from shared.runs.probing.check import Walk
from shared.runs.probing.machine import ask_clock, ask_disk
from shared.runs.request import RunRequest
from shared.runs.resources import Resources
from shared.runs.start import start_run
from shared.telemetry.subject import working_on

PAUSES = (10.0, 30.0, 60.0)  # seconds

log = logging.getLogger(__name__)

_NOT_BEGUN = (RunStatus.QUEUED, RunStatus.PLANNING)


def start_scheduled(resources: Resources) -> tuple[RunId, ...]:
    """Start a run of each scheduled profile; which ones. One that cannot start keeps no other from starting.

    A profile whose last scheduled run still waits or plans is left out: a late timer must not pile up work. So is one
    whose schedule is on hold.

    Raises ``RealignError`` where this machine's clock is wrong or its disk is full, and at the end with a sentence for
    each profile that was not started: the platform then counts a failure, and a schedule that went by in silence would
    be found too late.
    """
    ask_disk(Walk())
    _ask_storage_and_clock(resources)
    waiting = _profiles_waiting(resources)
    started, failures = [], []
    for name, file in sorted(resources.profiles().items()):
        try:
            if file.profile is None:
                failures.append(f"{name}: {' '.join(file.errors)}")
            elif file.profile.schedule and name not in waiting and not _on_hold(resources, name):
                started.append(_start(resources, file.profile))
        except RealignError as error:
            failures.append(f"{name}: {error}")
    log.info("schedule started=%s left_out=%s failed=%s", len(started), len(waiting), len(failures))
    if failures:
        raise RealignError(
            f"Not started by the schedule: {len(failures)} profiles; started: {len(started)}. {' '.join(failures)}"
        )
    return tuple(started)


def _ask_storage_and_clock(resources: Resources) -> None:
    """With patience: a night's runs are not to be lost for storage that was busy for a minute."""
    for pause in PAUSES:
        try:
            return ask_clock(Walk(), resources)
        except StorageError as error:
            if not error.retryable:
                raise
            log.warning("schedule waits seconds=%s: %s", pause, error)
            resources.pause(pause)
    return ask_clock(Walk(), resources)


def _start(resources: Resources, profile: Profile) -> RunId:
    with working_on(profile=profile.name):
        return start_run(resources, profile.name, RunRequest(), SCHEDULE, trigger="schedule", profile=profile).run.id


def _on_hold(resources: Resources, name: str) -> bool:
    hold = resources.holds.get(name, resources.now())
    if hold is not None:
        log.info("on hold profile=%s until=%s", name, hold.until.isoformat())
    return hold is not None


def _profiles_waiting(resources: Resources) -> frozenset[str]:
    found = set()
    for run_id in resources.runs.active():
        try:
            run = resources.runs.get(run_id).value
        except NotFound:
            continue
        except RealignError as error:
            log.error("run not looked at run=%s: %s", run_id, error)
            continue
        if run.trigger == "schedule" and run.status in _NOT_BEGUN:
            found.add(run.profile)
    return frozenset(found)
