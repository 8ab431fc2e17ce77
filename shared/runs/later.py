"""What the steps after a run's end have in common: they hold no lock, and leave a run alone that is at work again."""

from __future__ import annotations

import logging
from dataclasses import replace

from shared.azure.table import Versioned
from shared.azure.work_queue import WorkStep
from shared.errors import EditedElsewhere
from shared.model.run import Run, RunId, RunStatus, Step
from shared.runs.resources import Resources
from shared.runs.rows.record import with_step

WAIT_SECONDS = 15
FIRST_LOOK_SECONDS = 20  # until somebody looks whether Citrix sees power states
_TRIES = 5

log = logging.getLogger(__name__)

# the run goes on with what it was approved for, and comes to its end after that
_NOT_YET = (RunStatus.APPLYING,)
_NO_MORE = (RunStatus.ROLLING_BACK, RunStatus.ROLLED_BACK)


def at_rest(resources: Resources, run_id: RunId, step: WorkStep) -> Run | None:
    """The run, if the step's time has come; one that is at work is looked at again later, one rolled back never."""
    run = resources.runs.get(run_id).value
    if run.status in _NOT_YET:
        resources.queue.send(run_id, step, delay_seconds=WAIT_SECONDS)
        return None
    if run.status in _NO_MORE:
        log.info("nothing to do run=%s step=%s status=%s", run_id, step.value, run.status.value)
        return None
    return run


def told_since_applying(run: Run, name: str) -> Step | None:
    """The finished step of that name that came after the last writes; None while there is none."""
    for step in reversed(run.steps):
        if step.name == "apply":
            return None
        if step.name == name and step.status != "waiting":
            return step
    return None


def note(resources: Resources, run_id: RunId, name: str, status: str, detail: str) -> None:
    """Record a step of a run that is at rest; nothing where it went to work meanwhile."""
    for _ in range(_TRIES):
        found: Versioned[Run] = resources.runs.get(run_id)
        run = found.value
        if run.status in (*_NOT_YET, *_NO_MORE):
            return
        now = resources.now()
        steps = with_step(run.steps, Step(name, status, now, detail))
        try:
            resources.runs.update(replace(run, steps=steps, updated_at=now), found)
        except EditedElsewhere:
            continue
        return
    raise EditedElsewhere(f"Run {run_id} is changed by others all the time. Try again.")
