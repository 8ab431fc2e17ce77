"""Sends a run that rests on its way to be applied or rolled back: all of it at once, or nothing where it is refused."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

from shared.azure.table import Versioned
from shared.azure.work_queue import WorkStep
from shared.errors import EditedElsewhere, NotWaiting, StorageError
from shared.model.citrix import MachineId
from shared.model.run import Run, RunId, RunStatus
from shared.runs.resources import Resources

_TRIES = 4
_STATUS = {WorkStep.APPLY: RunStatus.APPLYING, WorkStep.ROLLBACK: RunStatus.ROLLING_BACK}

log = logging.getLogger(__name__)


def send_to_work(
    resources: Resources,
    run_id: RunId,
    step: WorkStep,
    allowed: Collection[RunStatus],
    machines: Collection[MachineId] | None,
    **changes: Any,
) -> Run:
    """Let a run in one of the ``allowed`` states do ``step`` for ``machines``, or for all that it concerns.

    ``changes`` are fields of the run that change with its state.

    The machines are durable before the state that names them, and the state before the message: the sweeper sends one
    that is missing. Raises ``NotWaiting``, ``EditedElsewhere`` and ``StorageError``.
    """
    selection = None
    if machines is not None:
        # of this request alone: another one may be refused at the same time, and must leave no trace
        selection = f"{step.value}-{resources.random_bytes(6).hex()}"
        resources.inputs.put_names(run_id, selection, sorted(machines))

    def at_work(found: Run) -> Run:
        return replace(
            found,
            status=_STATUS[step],
            selection=selection,
            attempts=0,
            progress=0,
            not_before=None,
            ended_at=None,
            error=None,
            writing_since=None,
            cancelled_by=None,
            **changes,
        )

    started = change_run(resources, run_id, allowed, at_work).value
    try:
        resources.queue.send(run_id, step)
    except StorageError as error:
        log.warning("message not sent, left to the sweeper run=%s step=%s: %s", run_id, step.value, error)
    return started


def change_run(
    resources: Resources, run_id: RunId, allowed: Collection[RunStatus], change: Callable[[Run], Run]
) -> Versioned[Run]:
    """Change a run's row as it is now. Raises ``NotWaiting`` where it has left the ``allowed`` states."""
    for _ in range(_TRIES):
        found = resources.runs.get(run_id)
        if found.value.status not in allowed:
            raise not_waiting(found.value)
        changed = replace(change(found.value), updated_at=resources.now())
        try:
            return resources.runs.update(changed, found)
        except EditedElsewhere:
            continue
    raise EditedElsewhere(f"Run {run_id} is changed by others at the same time. Look at it again.")


def not_waiting(run: Run) -> NotWaiting:
    """The error for a run that does not wait for a decision, with what can be done."""
    remedy = {
        RunStatus.PLANNED: "It was made to report only: start a run in mode review.",
        RunStatus.CANCELLED: "Start a new run.",
        RunStatus.FAILED: "Start a new run.",
        RunStatus.ROLLED_BACK: "Start a new run.",
    }.get(run.status, "Wait until it rests, then look at it again.")
    return NotWaiting(f"Run {run.id} is {run.status.value}, so this is not possible now. {remedy}")


def selected_machines(resources: Resources, run: Run) -> frozenset[MachineId] | None:
    """The machines that a run at work is about; None: all that it concerns. Raises ``StorageError``."""
    if run.selection is None:
        return None
    return frozenset(MachineId(name) for name in resources.inputs.names(run.id, run.selection) or ())
