"""When there is something to tell: what the rest of a run means to those who wait for it. Pure."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from shared.model.finding import FindingKind
from shared.model.notice import NoticeEvent
from shared.model.run import RemapState, Run, RunStatus
from shared.runs.access import SCHEDULE, SERVICE

_OF_STATUS = {
    RunStatus.AWAITING_REVIEW: NoticeEvent.AWAITING_REVIEW,
    RunStatus.COMPLETED: NoticeEvent.COMPLETED,
    RunStatus.COMPLETED_WITH_ERRORS: NoticeEvent.COMPLETED_WITH_ERRORS,
    RunStatus.FAILED: NoticeEvent.FAILED,
}
_FOUND = (RunStatus.PLANNED, RunStatus.AWAITING_REVIEW)


def occasion(run: Run, wanted: Collection[NoticeEvent]) -> NoticeEvent | None:
    """What to tell of a run that rests: of all that it means the most telling one that is ``wanted``, if any is."""
    return next((event for event in _meanings(run) if event in wanted), None)


def _meanings(run: Run) -> tuple[NoticeEvent, ...]:
    scheduled, remaps = run.trigger == SCHEDULE.name, run.findings.get(FindingKind.REMAP.value, 0)
    own = _OF_STATUS.get(run.status)
    if scheduled and own is NoticeEvent.COMPLETED and not remaps:
        return ()  # every night that finds nothing
    meanings = (own,) if own is not None else ()
    # of what a person has decided on, people know
    decided = run.approved_by not in (None, SERVICE.name) or run.states.get(RemapState.REJECTED.value, 0)
    if not (scheduled and remaps) or decided or run.status not in (*_FOUND, *_OF_STATUS):
        return meanings
    return (NoticeEvent.DRIFT, *meanings) if run.status in _FOUND else (*meanings, NoticeEvent.DRIFT)


def moment(run: Run) -> datetime:
    """When the run came to this rest: the same whenever it is looked at, and another one for each rest."""
    if run.ended_at is not None:
        return run.ended_at
    passes = [step.at for step in run.steps if step.name in ("plan", "apply")]
    return passes[-1] if passes else run.planned_at or run.created_at
