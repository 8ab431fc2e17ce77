"""The step ``plan``: read everything, make the plan, write the findings, and leave the run where its mode says.

Safe to repeat. A worker that takes over after a crash plans anew, and its findings replace those of the attempt
before it row by row; nothing is written without the profile's lock.
"""

from __future__ import annotations

import json
import logging
import math
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

from shared.azure.work_queue import WorkStep
from shared.errors import EditedElsewhere, LockLost, NotActiveYet, RealignError, StorageError
from shared.model.finding import Confidence, Finding, FindingKind, Plan
from shared.model.nutanix import ClusterReading, ReadStatus
from shared.model.run import ClusterSummary, Event, Mode, RemapState, RunId, RunStatus, Step
from shared.planning.names import fold
from shared.planning.plan import fingerprint
from shared.planning.undecided import unsettled
from shared.runs.access import SCHEDULE, SERVICE
from shared.runs.deciding.precedence import clear_the_way
from shared.runs.deciding.resolve import keep_connections
from shared.runs.draft import Basis, basis_of, plan_from, without_doubts
from shared.runs.fail import fail_run
from shared.runs.locked import MOST_ATTEMPTS, Check, Next, locked
from shared.runs.notifying.announce import announce
from shared.runs.resources import Resources
from shared.runs.rows.record import RunRecord
from shared.runs.settle import next_look

log = logging.getLogger(__name__)

TELL_EVERY = timedelta(seconds=1)

_PLANNABLE = (RunStatus.QUEUED, RunStatus.PLANNING)


def plan_run(resources: Resources, run_id: RunId) -> None:
    """Take a run from ``queued`` to the end of its plan, whatever of it is done already.

    A run that needs no plan any more, or that another worker plans, is left alone. A failure that can be explained
    ends the run as ``failed``; a fault of the storage account is raised, so that the message comes again.
    """
    clear_the_way(resources, resources.runs.get(run_id).value)

    work = partial(_plan_locked, resources)
    locked(resources, run_id, _PLANNABLE, WorkStep.PLAN, work, site=False)


def _plan_locked(resources: Resources, record: RunRecord, check: Check) -> Next | None:
    run = record.run
    if run.attempts >= MOST_ATTEMPTS:
        reason = f"Planning was begun {MOST_ATTEMPTS} times and never came to its end. Start it anew."
        fail_run(resources, record.versioned, reason)
        return None
    # a settling run goes on with its step "settle"; the looks before it stay recorded
    record.begin(
        "plan",
        status=RunStatus.PLANNING,
        started_at=run.started_at or resources.now(),
        progress=max(5, run.progress),
    )
    try:
        return _plan(resources, record, check)
    except (LockLost, EditedElsewhere):
        raise
    except RealignError as error:
        if isinstance(error, StorageError) and error.retryable:
            raise  # nothing could be recorded now; the message comes again
        fail_run(resources, record.versioned, str(error))
        return None


def _plan(resources: Resources, record: RunRecord, check: Check) -> Next | None:
    told_at = resources.now()

    def read(done: int, total: int) -> None:
        nonlocal told_at
        now = resources.now()
        if now - told_at >= TELL_EVERY:
            record.write(progress=max(record.run.progress, 5 + 55 * done // total))
            told_at = now

    basis = basis_of(resources, record.run, read)
    # before planning, which may fail: the clusters tell why
    record.write(progress=60, clusters=tuple(_summary(reading) for reading in basis.gathered.readings))
    plan, awaited = _first_plan(basis)
    again = next_look(record.run, resources.now()) if awaited is not None else None
    if awaited is not None and again is not None:
        resources.settling.keep(record.run.id, basis.gathered)
        return _look_again(resources, record, awaited, again)
    plan = without_doubts(resources, basis, plan or plan_from(basis))
    run = record.run
    rows = (
        finding for finding in plan.findings if run.trigger != "schedule" or finding.kind is not FindingKind.ALIGNED
    )
    alone = _applied_alone(run.mode, plan, basis.profile.policy.least_confidence)
    written = resources.remaps.replace(
        run.id, rows, check, lambda finding: RemapState.APPROVED if alone(finding) else RemapState.PROPOSED
    )
    if plan.unmatched:
        resources.inputs.put_text(run.id, "unmatched", json.dumps(plan.unmatched))
    keep_connections(resources, basis, plan)
    check()
    status = _finish(resources, record, basis, plan, sum(alone(finding) for finding in plan.findings))
    log.info("planned run=%s profile=%s findings=%s rows=%s", run.id, run.profile, len(plan.findings), written)
    return Next(WorkStep.APPLY) if status is RunStatus.APPLYING else None


def _first_plan(basis: Basis) -> tuple[Plan | None, str | None]:
    """The plan, and what time may still bring, if anything; no plan where its scope has not come up yet."""
    main = basis.wanted.main
    if main is None:
        return plan_from(basis), None
    target = next(reading for reading in basis.gathered.readings if fold(reading.name) == fold(main))
    heals = target.status not in (ReadStatus.REFUSED, ReadStatus.MISCONFIGURED)
    try:
        plan = plan_from(basis)
    except NotActiveYet:
        return None, "the protection domain of the scope" if heals else None
    missing = unsettled(plan.findings, main) if heals else 0
    if not missing:
        return plan, None
    return plan, "1 machine in scope" if missing == 1 else f"{missing} machines in scope"


def _look_again(resources: Resources, record: RunRecord, awaited: str, again: datetime) -> Next:
    run, now = record.run, resources.now()
    detail = f"At {now:%H:%M:%S} UTC {awaited} had not shown up at {run.target}, so it is read again."
    step = Step("settle", "waiting", now, detail)
    before = tuple(each for each in run.steps if each.name != "settle" and each.status != "running")
    # every look that comes to its end is a fresh start: the limit on attempts is for crashes
    record.write(
        not_before=again,
        attempts=0,
        steps=(*before, step),
    )
    log.info("settling run=%s profile=%s awaits=%s again=%s", run.id, run.profile, awaited, again.isoformat())
    return Next(WorkStep.PLAN, math.ceil((again - now).total_seconds()))


def _applied_alone(mode: Mode, plan: Plan, least: Confidence) -> Callable[[Finding], bool]:
    """Which remaps need no person: in mode ``auto``, where no guard speaks, those that are sure enough."""

    def alone(finding: Finding) -> bool:
        return (
            mode is Mode.AUTO
            and not plan.guards
            and finding.kind is FindingKind.REMAP
            and finding.confidence is not None
            and finding.confidence.reaches(least)
        )

    return alone


def _finish(resources: Resources, record: RunRecord, basis: Basis, plan: Plan, approved: int) -> RunStatus:
    run, now = record.run, resources.now()
    kinds = Counter(finding.kind.value for finding in plan.findings)
    remaps = kinds[FindingKind.REMAP.value]
    status = _status_after(run.mode, remaps, approved)
    detail = f"{len(plan.findings)} machines in scope, {remaps} remaps, {plan.out_of_scope} machines out of scope."
    # events first: a run at rest whose story lacks its end could not be mended, an event told twice does no harm
    told = [Event(now, SERVICE.name, "planned", detail)]
    told += [Event(now, SERVICE.name, "guard", f"{guard.name}: {guard.explanation}") for guard in plan.guards]
    if approved:
        why = f"Mode auto: {approved} of {remaps} remaps are at least {basis.profile.policy.auto_confidence}."
        told.append(Event(now, SERVICE.name, "approved", why))
    resources.events.append_all(run.id, told)
    states = {RemapState.APPROVED.value: approved, RemapState.PROPOSED.value: remaps - approved}
    at_work = status is RunStatus.APPLYING
    # a night that finds nothing costs nothing
    if not at_work and (remaps or run.trigger != SCHEDULE.name):
        announce(resources, run.id, basis.profile)
    record.step(
        "plan",
        "done",
        detail,
        status=status,
        progress=0 if at_work else 100,
        attempts=0 if at_work else run.attempts,
        ended_at=None if at_work or status is RunStatus.AWAITING_REVIEW else now,
        planned_at=now,
        site_id=basis.gathered.site.id,
        approved_by=SERVICE.name if approved else None,
        fingerprint=fingerprint(plan.findings),
        guards=plan.guards,
        findings=dict(sorted(kinds.items())),
        states={state: number for state, number in states.items() if number},
        out_of_scope=plan.out_of_scope,
        unmatched=sum(len(names) for names in plan.unmatched.values()),
    )
    return status


def _status_after(mode: Mode, remaps: int, approved: int) -> RunStatus:
    if mode is Mode.REPORT:
        return RunStatus.PLANNED
    if approved:
        return RunStatus.APPLYING
    return RunStatus.AWAITING_REVIEW if remaps else RunStatus.COMPLETED


def _summary(reading: ClusterReading) -> ClusterSummary:
    return ClusterSummary(reading.name, reading.api, reading.status.value, len(reading.vms), reading.error)
