"""Stopping a run: at once before it writes, between two batches while it does. What is applied stays, and is told."""

from __future__ import annotations

from dataclasses import replace

from shared.errors import NotWaiting
from shared.model.run import Event, RemapState, Run, RunId, RunStatus
from shared.runs.access import Caller
from shared.runs.deciding.review_request import CancelRequest
from shared.runs.deciding.sent_to_work import change_run
from shared.runs.resources import Resources

BEFORE_WRITING = (RunStatus.QUEUED, RunStatus.PLANNING, RunStatus.AWAITING_REVIEW)
CANCELLABLE = (*BEFORE_WRITING, RunStatus.APPLYING)


def cancel(resources: Resources, run_id: RunId, request: CancelRequest, caller: Caller) -> Run:
    """Ask a run to stop. One that is being applied stops between batches, and ends as ``cancelled`` by itself.

    Raises ``NotFound``, ``NotWaiting`` for a run that is over or rolls back, ``EditedElsewhere`` and ``StorageError``.
    """
    found = resources.runs.get(run_id).value
    if found.status not in CANCELLABLE:
        raise NotWaiting(f"Run {run_id} is {found.status.value}, so there is nothing to cancel.")
    why = f" Comment: {request.comment}" if request.comment else ""
    resources.events.append(run_id, Event(resources.now(), caller.name, "cancel-requested", f"Cancel.{why}"))
    return change_run(resources, run_id, CANCELLABLE, lambda run: stopped(resources, run, caller.name)).value


def stopped(resources: Resources, run: Run, by: str) -> Run:
    """The run as it is once somebody has asked it to stop."""
    asked = replace(run, cancelled_by=run.cancelled_by or by)
    if run.status is RunStatus.APPLYING:
        return asked  # its worker stops between two batches
    return replace(
        asked,
        status=RunStatus.CANCELLED,
        ended_at=resources.now(),
        not_before=None,
        progress=100,
        error=_told(asked),
    )


def _told(run: Run) -> str:
    decided = (RemapState.PROPOSED, RemapState.APPROVED, RemapState.REJECTED)
    if any(number for state, number in run.states.items() if state not in decided):
        return f"{run.cancelled_by} cancelled it; what was applied until then stays."
    return f"{run.cancelled_by} cancelled it before anything was written."
