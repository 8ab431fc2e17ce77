"""Ends a run as ``failed`` with a sentence; what was written of it stays readable and can be rolled back."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import replace

from shared.azure.table import Versioned
from shared.azure.work_queue import WorkStep
from shared.errors import RealignError
from shared.model.run import Event, RemapState, Run, RunStatus
from shared.runs.access import SERVICE
from shared.runs.draft import kept_profile
from shared.runs.later import FIRST_LOOK_SECONDS
from shared.runs.notifying.announce import announce
from shared.runs.resources import Resources
from shared.runs.rows.departures import keep_departures
from shared.runs.rows.remap_rows import RemapRows

SOON = 5  # seconds

log = logging.getLogger(__name__)


def fail_run(resources: Resources, found: Versioned[Run], reason: str) -> None:
    """``reason`` is for people. Remaps that were approved and did not come to their end fail with it as well.

    Raises ``EditedElsewhere`` or ``StorageError``.
    """
    run, now = found.value, resources.now()
    states = run.states
    if run.status is RunStatus.APPLYING:
        states = _fail_remaps(resources, run, reason)
    steps = run.steps
    if steps and steps[-1].status in ("running", "waiting"):
        steps = (*steps[:-1], replace(steps[-1], status="failed", at=now, detail=reason))
    failed = replace(
        run,
        status=RunStatus.FAILED,
        error=reason,
        ended_at=now,
        updated_at=now,
        not_before=None,
        steps=steps,
        states=states,
    )
    resources.events.append(run.id, Event(now, SERVICE.name, "failed", reason))
    with suppress(RealignError):  # the reason may be that nothing of the run can be read, or storage is down
        announce(resources, run.id, kept_profile(resources, run.id))
    resources.runs.update(failed, found)
    log.error("run failed run=%s profile=%s reason=%s", run.id, run.profile, reason)


def _fail_remaps(resources: Resources, run: Run, reason: str) -> dict[str, int]:
    """Those that were not begun are untouched; of one that was sent it is not known, and a roll back looks."""
    rows = RemapRows(resources.remaps, run.id, lambda: None)
    untouched = {remap.machine: f"Nothing was written for it: {reason}" for remap in rows.of({RemapState.APPROVED})}
    unknown = {
        remap.machine: f"It is not known whether it was written: {reason} Roll it back, or start a new run."
        for remap in rows.of({RemapState.APPLYING, RemapState.APPLIED})
    }
    rows.move_to(RemapState.FAILED, untouched | unknown)
    keep_departures(resources, run, rows.every())
    if rows.of({RemapState.VERIFIED}) and run.writing_since is not None:
        # what did go through needs its connections reset as much as in a run that ended well
        resources.queue.send(run.id, WorkStep.RESET_AGAIN, delay_seconds=SOON)
        resources.queue.send(run.id, WorkStep.OBSERVE, delay_seconds=FIRST_LOOK_SECONDS)
    return rows.counts()
