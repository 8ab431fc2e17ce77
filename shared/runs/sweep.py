"""The sweeper: queues again what a crash left at work (design, section 5).

The platform hides the message of a crashed worker for up to ten minutes; the profile's lock is free after one.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import timedelta

from shared.azure.lock import EXPIRY, LockKind
from shared.azure.work_queue import WorkStep
from shared.errors import EditedElsewhere, NotFound, RealignError
from shared.model.run import Event, Run, RunId, RunStatus
from shared.runs.access import SERVICE
from shared.runs.resources import Resources
from shared.telemetry.subject import working_on

SWEEP_EVERY = timedelta(seconds=30)

log = logging.getLogger(__name__)

STEP_OF = {
    RunStatus.QUEUED: WorkStep.PLAN,
    RunStatus.PLANNING: WorkStep.PLAN,
    RunStatus.APPLYING: WorkStep.APPLY,
    RunStatus.ROLLING_BACK: WorkStep.ROLLBACK,
}


def sweep(resources: Resources) -> tuple[RunId, ...]:
    """Queue again every run at work that nobody works on; which ones."""
    queued = tuple(run_id for run_id in resources.runs.active() if _swept(resources, run_id))
    if queued:
        log.warning("queued again runs=%s", ",".join(queued))
    return queued


def _swept(resources: Resources, run_id: RunId) -> bool:
    with working_on(run_id):
        try:
            return _sweep_one(resources, run_id)
        except RealignError as error:
            log.error("run not swept run=%s: %s", run_id, error)  # the others must not wait for it
            return False


def _sweep_one(resources: Resources, run_id: RunId) -> bool:
    now = resources.now()
    try:
        found = resources.runs.get(run_id)
    except NotFound:
        resources.runs.forget_rested(run_id, now)
        return False
    run = found.value
    step = STEP_OF.get(run.status)
    if step is None:
        resources.runs.forget_rested(run_id, now)
        return False
    if not _is_stranded(resources, run):
        return False
    try:
        resources.runs.update(replace(run, updated_at=now, not_before=None), found)
    except EditedElsewhere:
        return False  # somebody works on it after all
    detail = f"Nobody was at work on it, and it was {run.status.value}."
    resources.events.append(run_id, Event(now, SERVICE.name, "queued-again", detail))
    resources.queue.send(run_id, step)
    return True


def _is_stranded(resources: Resources, run: Run) -> bool:
    now = resources.now()
    grace = timedelta(seconds=5)
    if run.not_before is not None and now < run.not_before + grace:
        return False
    holder = resources.locks.holder(LockKind.PROFILE, run.profile, now)
    if holder is not None and holder.run_id == run.id:
        return False
    # A queued run's message may still be on its way through a busy queue, and the message of a run that was queued
    # again just now too; sending another one does no harm, only work.
    patience = EXPIRY if run.status is RunStatus.QUEUED else SWEEP_EVERY
    return now - (run.updated_at or run.created_at) >= patience
