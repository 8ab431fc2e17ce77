"""Orders to write: apply what is approved, and take back what was written."""

from __future__ import annotations

from shared.azure.work_queue import WorkStep
from shared.errors import NotWaiting
from shared.model.remap import ZoneMoveState
from shared.model.run import Event, RemapState, Run, RunId, RunStatus
from shared.runs.access import Caller
from shared.runs.deciding.busy import check_idle
from shared.runs.deciding.review import REVIEWABLE, check_open, remaps_named
from shared.runs.deciding.review_request import MachinesRequest
from shared.runs.deciding.sent_to_work import send_to_work
from shared.runs.resources import Resources
from shared.runs.roll_back import can_be_rolled_back
from shared.runs.rows.remap_rows import RemapRows

ROLLABLE = (
    RunStatus.AWAITING_REVIEW,
    RunStatus.COMPLETED,
    RunStatus.COMPLETED_WITH_ERRORS,
    RunStatus.FAILED,
    RunStatus.CANCELLED,
    RunStatus.ROLLED_BACK,
)


def order_apply(resources: Resources, run_id: RunId, request: MachinesRequest, caller: Caller) -> Run:
    """Apply the approved remaps of a run, or those of some machines.

    Raises ``NotFound``, ``NotWaiting``, ``PlanOutdated``, ``RemapNotOpen`` and ``ProfileBusy``; then nothing has
    changed.
    """
    run = resources.runs.get(run_id).value
    check_open(resources, run)
    check_idle(resources, run.profile, run_id, request.if_busy)
    rows = RemapRows(resources.remaps, run_id, lambda: None)
    machines = None
    if request.machines is not None:
        named = remaps_named(resources, rows, run, request.machines, lambda each: each.state is RemapState.APPROVED)
        machines = [remap.machine for remap in named]
    elif not rows.of({RemapState.APPROVED}):
        raise NotWaiting(f"Run {run_id} has no approved remap. Approve some first.")
    _tell(resources, run_id, caller, "apply-requested", len(machines or rows.of({RemapState.APPROVED})), request)
    return send_to_work(resources, run_id, WorkStep.APPLY, REVIEWABLE, machines)


def order_roll_back(resources: Resources, run_id: RunId, request: MachinesRequest, caller: Caller) -> Run:
    """Take back what a run wrote, or what it wrote to some machines.

    Raises ``NotFound``, ``NotWaiting``, ``RemapNotOpen`` and ``ProfileBusy``; then nothing has changed.
    """
    run = resources.runs.get(run_id).value
    if run.status not in ROLLABLE:
        raise NotWaiting(f"Run {run_id} is {run.status.value}, so it cannot be rolled back now. Wait until it rests.")
    check_idle(resources, run.profile, run_id, request.if_busy)
    rows = RemapRows(resources.remaps, run_id, lambda: None)
    if request.machines is not None:
        chosen = remaps_named(resources, rows, run, request.machines, can_be_rolled_back)
    else:
        chosen = [remap for remap in rows.every() if can_be_rolled_back(remap)]
    if not chosen and not (request.machines is None and _catalogs_away(resources, run_id)):
        raise NotWaiting(f"Run {run_id} has written nothing that could be rolled back.")
    _tell(resources, run_id, caller, "rollback-requested", len(chosen), request)
    return send_to_work(resources, run_id, WorkStep.ROLLBACK, ROLLABLE, [remap.machine for remap in chosen])


def _catalogs_away(resources: Resources, run_id: RunId) -> bool:
    """True where a catalog that the run moved was not moved back, although its machines were."""
    return any(move.state is not ZoneMoveState.MOVED_BACK for move in resources.zone_moves.of(run_id))


def _tell(
    resources: Resources, run_id: RunId, caller: Caller, action: str, number: int, request: MachinesRequest
) -> None:
    comment = f" Comment: {request.comment}" if request.comment else ""
    machines = "1 machine" if number == 1 else f"{number} machines"
    resources.events.append(run_id, Event(resources.now(), caller.name, action, f"{machines}.{comment}"))
