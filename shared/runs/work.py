"""Takes a message of the work queue, or of its poison queue, to the use case that it names."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping

from shared.azure.lock import LockKind
from shared.azure.runs import ACTIVE
from shared.azure.work_queue import WorkItem, WorkStep
from shared.errors import InvalidRequest, NotFound
from shared.model.run import Event, RunId
from shared.runs.access import SERVICE
from shared.runs.apply import apply_run
from shared.runs.fail import fail_run
from shared.runs.later import note
from shared.runs.notifying.notify import notify
from shared.runs.observe import observe
from shared.runs.plan import plan_run
from shared.runs.reset_again import reset_again
from shared.runs.resources import Resources
from shared.runs.roll_back import roll_back_run
from shared.runs.sweep import STEP_OF
from shared.telemetry import telling
from shared.telemetry.subject import working_on

log = logging.getLogger(__name__)

_STEPS: Mapping[WorkStep, Callable[[Resources, RunId], None]] = {
    WorkStep.PLAN: plan_run,
    WorkStep.APPLY: apply_run,
    WorkStep.ROLLBACK: roll_back_run,
    WorkStep.RESET_AGAIN: reset_again,
    WorkStep.OBSERVE: observe,
    WorkStep.NOTIFY: notify,
}
_KNOWN = frozenset(step.value for step in _STEPS)
_AFTER = frozenset({WorkStep.RESET_AGAIN.value, WorkStep.OBSERVE.value})
_AGAIN_AND_AGAIN = "failed again and again with an unexpected error; the app's log tells it."


def do_work(resources: Resources, body: bytes) -> None:
    """Do the step that a message names. Raising makes the platform deliver the message again.

    A message for a run that is not there is dropped: the run was purged. A step of a later version is an error, which
    ends in the poison queue.
    """
    item = WorkItem.from_json(body)
    step = _STEPS.get(item.step)
    if step is None:
        raise InvalidRequest(f"This version does not do the step {item.step.value} of run {item.run}.", field="step")
    waited = (resources.now() - item.due).total_seconds() if item.due is not None else None
    with working_on(item.run), telling.step(item.step.value, waited):
        try:
            step(resources, item.run)
        except NotFound:
            log.warning("dropped a message for a run that is not there run=%s", item.run)


def give_up(resources: Resources, body: bytes) -> None:
    """A message that failed too often: its run ends as ``failed``, so that nothing ends in silence.

    A step that comes after the end of a run is told as failed, and one that the run has left behind is dropped.
    """
    run_id, step = _named(body)
    telling.poisoned(step if step in _KNOWN else "unknown")
    with working_on(run_id or ""):
        _give_up(resources, run_id, step)


def _give_up(resources: Resources, run_id: RunId | None, step: str) -> None:
    try:
        if run_id is None:
            raise InvalidRequest("It names no run.")
        found = resources.runs.get(run_id)
    except (InvalidRequest, NotFound) as error:
        log.error("dropped a poison message: %s", error)
        return
    run = found.value
    if step in _AFTER:
        note(resources, run.id, step, "failed", f"The step {step} {_AGAIN_AND_AGAIN}")
        return
    if step == WorkStep.NOTIFY.value:
        said = f"The webhook was not told: the step {step} {_AGAIN_AND_AGAIN}"
        resources.events.append(run.id, Event(resources.now(), SERVICE.name, "notify-failed", said))
        return
    if run.status not in ACTIVE or (step in _KNOWN and step != STEP_OF[run.status].value):
        log.warning("dropped a poison message of a step that is over run=%s step=%s", run.id, step)
        return
    holder = resources.locks.holder(LockKind.PROFILE, run.profile, resources.now())
    if holder is not None and holder.run_id == run.id:
        log.warning("a duplicate message of a run that is being worked on was dropped run=%s", run.id)
        return  # if that worker dies, the sweeper takes over
    fail_run(resources, found, f"The step {step} {_AGAIN_AND_AGAIN} Mend the cause, then start a new run.")


def _named(body: bytes) -> tuple[RunId | None, str]:
    """Run and step of a message, also of one that ``WorkItem`` cannot read: another version may have sent it."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return None, ""
    run, step = (content.get("run"), content.get("step")) if isinstance(content, dict) else (None, None)
    return RunId(run) if isinstance(run, str) and run else None, str(step)[:40]
