"""One attempt at a step that writes to Citrix: what fails comes again a few times, and then ends the run."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta

from shared.azure.work_queue import WorkStep
from shared.errors import EditedElsewhere, LockLost, RealignError, StorageError
from shared.runs.fail import fail_run
from shared.runs.locked import MOST_ATTEMPTS, Next
from shared.runs.resources import Resources
from shared.runs.rows.record import RunRecord

PAUSE = timedelta(seconds=10)  # times the number of the attempt

log = logging.getLogger(__name__)


def attempted(
    resources: Resources, record: RunRecord, name: str, step: WorkStep, work: Callable[[], Next | None]
) -> Next | None:
    """Do ``work``. An outside system that fails is tried again later, without a worker or a lock waiting for it.

    Raises ``LockLost``, ``EditedElsewhere``, and a ``StorageError`` that may pass: then the message comes again.
    """
    if record.run.attempts >= MOST_ATTEMPTS:
        last = next((each.detail for each in reversed(record.run.steps) if each.name == name and each.detail), "")
        reason = f"The step {name} was begun {MOST_ATTEMPTS} times and never came to its end. {last}".rstrip()
        fail_run(resources, record.versioned, reason)
        return None
    record.begin(name, started_at=record.run.started_at or resources.now())
    try:
        return work()
    except (LockLost, EditedElsewhere):
        raise
    except RealignError as error:
        if isinstance(error, StorageError) and error.retryable:
            raise
        if not error.retryable:
            fail_run(resources, record.versioned, str(error))
            return None
        wait = PAUSE * record.run.attempts
        log.warning("step comes again run=%s step=%s wait=%s: %s", record.run.id, name, wait, error)
        record.step(name, "waiting", str(error), not_before=resources.now() + wait)
        return Next(step, int(wait.total_seconds()))
