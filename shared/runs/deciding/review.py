"""Approving and rejecting remaps: a person's word on a plan, by the fingerprint of what that person saw."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

from shared.azure.work_queue import WorkStep
from shared.errors import (
    EditedElsewhere,
    NotAllowed,
    NotFound,
    NotWaiting,
    PlanChanged,
    PlanOutdated,
    RemapNotOpen,
)
from shared.model.citrix import MachineId
from shared.model.remap import Remap
from shared.model.run import Event, RemapState, Run, RunId, RunStatus
from shared.planning.plan import fingerprint_of
from shared.runs.access import Caller
from shared.runs.deciding.busy import check_idle
from shared.runs.deciding.review_request import ApproveRequest, ReviewRequest
from shared.runs.deciding.sent_to_work import change_run, not_waiting, send_to_work
from shared.runs.draft import kept_profile
from shared.runs.finish import status_after
from shared.runs.notifying.announce import announce
from shared.runs.resources import Resources
from shared.runs.rows.remap_rows import RemapRows

REVIEWABLE = (RunStatus.AWAITING_REVIEW, RunStatus.COMPLETED, RunStatus.COMPLETED_WITH_ERRORS)
MOST_NAMED = 10
MOST_TOLD = 100


def approve(resources: Resources, run_id: RunId, request: ApproveRequest, caller: Caller) -> Run:
    """Approve remaps, and start to apply what is approved unless the request says otherwise.

    What is approved already may be approved again. Raises ``NotFound``, ``NotAllowed``, ``NotWaiting``,
    ``PlanOutdated``, ``PlanChanged``, ``RemapNotOpen`` and ``ProfileBusy``; then nothing has changed. Raises
    ``EditedElsewhere`` where somebody else decided at the same time, and ``StorageError``.
    """
    run = resources.runs.get(run_id).value
    check_open(resources, run)
    check_four_eyes(resources, run, caller)
    if request.apply:
        check_idle(resources, run.profile, run_id, request.if_busy)
    rows, chosen = _chosen(resources, run, request, frozenset({RemapState.PROPOSED, RemapState.APPROVED}))
    fresh = [remap for remap in chosen if remap.state is RemapState.PROPOSED]
    decided = [replace(remap, state=RemapState.APPROVED, approved_by=caller.name, error=None) for remap in fresh]
    rows.move(decided)
    approved = len(rows.of({RemapState.APPROVED}))
    _tell(resources, run, caller, "approved", request, of=len(chosen), fresh=len(fresh))
    changes: dict[str, Any] = {"states": rows.counts(), "approved_by": caller.name}
    try:
        if request.apply and approved:
            return send_to_work(resources, run_id, WorkStep.APPLY, REVIEWABLE, None, **changes)
        return change_run(resources, run_id, REVIEWABLE, lambda found: replace(found, **changes)).value
    except NotWaiting:
        _take_back(resources, run, rows, decided, caller)
        raise


def reject(resources: Resources, run_id: RunId, request: ReviewRequest, caller: Caller) -> Run:
    """Reject remaps; a run that has nothing left to decide is completed. Raises as ``approve`` does."""
    run = resources.runs.get(run_id).value
    check_open(resources, run, outdated=True)
    open_states = frozenset({RemapState.PROPOSED, RemapState.APPROVED, RemapState.REJECTED})
    rows, chosen = _chosen(resources, run, request, open_states)
    fresh = [remap for remap in chosen if remap.state is not RemapState.REJECTED]
    rows.move([replace(remap, state=RemapState.REJECTED, approved_by=None) for remap in fresh])
    _tell(resources, run, caller, "rejected", request, of=len(chosen), fresh=len(fresh))
    left = rows.of({RemapState.PROPOSED, RemapState.APPROVED})
    if not left and run.status is RunStatus.AWAITING_REVIEW:
        announce(resources, run_id, kept_profile(resources, run_id))

    def rejected(found: Run) -> Run:
        if left or found.status is not RunStatus.AWAITING_REVIEW:
            return replace(found, states=rows.counts())
        status, error = status_after(found, rows.every(), well=True)
        return replace(found, states=rows.counts(), status=status, error=error, ended_at=resources.now())

    return change_run(resources, run_id, REVIEWABLE, rejected).value


def _take_back(resources: Resources, run: Run, rows: RemapRows, decided: Sequence[Remap], caller: Caller) -> None:
    """The run went to work at this very moment, without these: nobody would come back for them."""
    with suppress(EditedElsewhere):  # or it has found them, and applies them
        rows.move(replace(remap, state=RemapState.PROPOSED, approved_by=None) for remap in decided)
    text = "The run went to work at the same moment, so this approval does not count."
    resources.events.append(run.id, Event(resources.now(), caller.name, "approval-too-late", text))


def check_open(resources: Resources, run: Run, *, outdated: bool = False) -> None:
    """Raise unless the plan of a run may still be decided on; ``outdated``: its age does not matter."""
    if run.status not in REVIEWABLE or run.fingerprint is None:
        raise not_waiting(run)
    if outdated:
        return
    hours = kept_profile(resources, run.id).policy.plan_max_age_hours
    made = run.planned_at or run.created_at
    if resources.now() - made > timedelta(hours=hours):
        raise PlanOutdated(
            f"The plan of run {run.id} was made at {made:%Y-%m-%d %H:%M} UTC and is older than the {hours} hours "
            "of planMaxAgeHours. Start a new run."
        )
    newest = resources.runs.newest_plan(run.profile)
    if newest is not None and newest.id != run.id:
        raise PlanOutdated(
            f"Run {newest.id} of profile {run.profile} has a newer plan than run {run.id}. Decide on that one."
        )


def check_four_eyes(resources: Resources, run: Run, caller: Caller) -> None:
    """Raise ``NotAllowed`` where the policy wants somebody else to decide than who started the run."""
    if caller.name == run.requested_by and kept_profile(resources, run.id).policy.four_eyes:
        raise NotAllowed(
            f"{caller.name} started run {run.id}, and the profile's fourEyes wants somebody else to decide on it."
        )


def _chosen(
    resources: Resources, run: Run, request: ReviewRequest, allowed: frozenset[RemapState]
) -> tuple[RemapRows, list[Remap]]:
    """The remaps that a request means, all of them in an ``allowed`` state; nothing was changed."""
    rows = RemapRows(resources.remaps, run.id, lambda: None)
    now = fingerprint_of((remap.machine, remap.before, remap.after) for remap in rows.every())
    if request.fingerprint != now:
        raise PlanChanged(
            f"The plan of run {run.id} has the fingerprint {now} now, and the request names {request.fingerprint}. "
            "Look at the run again and decide on what it says now.",
            fingerprint=now,
        )
    if request.machines is None:
        chosen = rows.of(allowed - {RemapState.REJECTED})
        if not chosen:
            raise NotWaiting(f"Run {run.id} has no remap left to decide on.")
        return rows, chosen
    return rows, remaps_named(resources, rows, run, request.machines, lambda remap: remap.state in allowed)


def remaps_named(
    resources: Resources, rows: RemapRows, run: Run, machines: Sequence[str], allowed: Callable[[Remap], bool]
) -> list[Remap]:
    """The remaps of ``machines``. Raises ``NotFound`` or ``RemapNotOpen`` with the names of those that are none."""
    wanted = [MachineId(machine) for machine in dict.fromkeys(machines)]
    known = {remap.machine for remap in rows.every()}
    strangers = [machine for machine in wanted if machine not in known]
    if strangers:
        findings = resources.remaps.findings_of(run.id, strangers)
        unknown = [machine for machine in strangers if machine not in findings]
        if unknown:
            raise NotFound(f"Run {run.id} has no finding for: {_named(unknown)}. Nothing was changed; correct the ids.")
        kinds = ", ".join(f"{machine} ({findings[machine].value.kind.value})" for machine in strangers[:MOST_NAMED])
        raise RemapNotOpen(
            f"Not a remap: {kinds}. Nothing was changed; leave them out, or resolve those that can be resolved.",
            machines=tuple(strangers[:MOST_NAMED]),
        )
    closed = [machine for machine in wanted if not allowed(rows[machine])]
    if closed:
        states = ", ".join(f"{machine} ({rows[machine].state.value})" for machine in closed[:MOST_NAMED])
        raise RemapNotOpen(
            f"Not possible for: {states}. Nothing was changed; leave them out.", machines=tuple(closed[:MOST_NAMED])
        )
    return [rows[machine] for machine in wanted]


def _named(machines: Sequence[str]) -> str:
    more = f" and {len(machines) - MOST_NAMED} more" if len(machines) > MOST_NAMED else ""
    return f"{', '.join(machine[:80] for machine in machines[:MOST_NAMED])}{more}"


def _tell(
    resources: Resources, run: Run, caller: Caller, action: str, request: ReviewRequest, *, of: int, fresh: int
) -> None:
    comment = f" Comment: {request.comment}" if request.comment else ""
    remaps = "1 remap" if of == 1 else f"{of} remaps"
    before = f", {of - fresh} of them before" if fresh < of else ""
    detail = f"{remaps} of the plan {request.fingerprint} {action}{before}.{comment}"
    now = resources.now()
    events = [Event(now, caller.name, action, detail)]
    named = (request.machines or ())[:MOST_TOLD]
    events += [Event(now, caller.name, action, detail, MachineId(machine)) for machine in named]
    resources.events.append_all(run.id, events)
