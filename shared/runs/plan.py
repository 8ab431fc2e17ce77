"""The step ``plan``: read everything, make the plan, write the findings, and leave the run where its mode says.

Safe to repeat. A worker that takes over after a crash plans anew, and its findings replace those of the attempt
before it row by row; nothing is written without the profile's lock.
"""

from __future__ import annotations

import json
import logging
import math
from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from shared.azure.lock import Held, Lock
from shared.azure.table import Versioned
from shared.azure.work_queue import WorkStep
from shared.errors import EditedElsewhere, LockLost, NotActiveYet, RealignError, StorageError
from shared.model.finding import FindingKind, Plan
from shared.model.nutanix import ClusterReading, ReadStatus
from shared.model.run import ClusterSummary, Event, Mode, RemapState, Run, RunId, RunStatus, Step
from shared.planning.names import fold
from shared.planning.plan import fingerprint
from shared.planning.undecided import unsettled
from shared.runs.access import SERVICE
from shared.runs.draft import Basis, basis_of, plan_from, without_doubts
from shared.runs.resources import Resources
from shared.runs.settle import next_look

MOST_ATTEMPTS = 5
WAIT_FOR_LOCK = timedelta(seconds=5)
CLOCKS_DIFFER = timedelta(seconds=2)

log = logging.getLogger(__name__)

_PLANNABLE = (RunStatus.QUEUED, RunStatus.PLANNING)


def plan_run(resources: Resources, run_id: RunId) -> None:
    """Take a run from ``queued`` to the end of its plan, whatever of it is done already.

    A run that needs no plan any more, or that another worker plans, is left alone. A failure that can be explained
    ends the run as ``failed``; a fault of the storage account is raised, so that the message comes again.
    """
    found = resources.runs.get(run_id)
    if found.value.status not in _PLANNABLE:
        log.info("nothing to plan run=%s status=%s", run_id, found.value.status.value)
        return
    if _settles(resources, found.value):
        log.info("not before %s run=%s", found.value.not_before, run_id)
        return  # a duplicate: the message that waits until then goes on with it
    token = resources.random_bytes(16).hex()
    lock = resources.locks.acquire(found.value.profile, run_id, token, resources.now())
    try:
        if isinstance(lock, Held):
            _wait_for(resources, found, lock)
        else:
            with lock:
                _plan_locked(resources, run_id, lock)
    except (LockLost, EditedElsewhere) as error:
        log.warning("another worker has the run, run=%s: %s", run_id, error)


def _settles(resources: Resources, run: Run) -> bool:
    """True for a run that waits to look again. A little early is on time: clocks of two workers differ."""
    if run.status is not RunStatus.PLANNING or run.not_before is None:
        return False
    return resources.now() < run.not_before - CLOCKS_DIFFER


def _wait_for(resources: Resources, found: Versioned[Run], held: Held) -> None:
    run = found.value
    if held.run_id == run.id:
        log.info("already being planned run=%s until=%s", run.id, held.until.isoformat())
        return
    if run.not_before is not None and resources.now() < run.not_before:
        return  # a duplicate: the message that waits until then goes on with it
    not_before = resources.now() + WAIT_FOR_LOCK
    step = Step("wait", "waiting", resources.now(), f"Run {held.run_id} of the profile is at work.")
    steps = run.steps if run.steps and run.steps[-1].name == "wait" else (*run.steps, step)
    resources.runs.update(replace(run, not_before=not_before, steps=steps, updated_at=resources.now()), found.etag)
    resources.queue.send(run.id, WorkStep.PLAN, delay_seconds=int(WAIT_FOR_LOCK.total_seconds()))


def _plan_locked(resources: Resources, run_id: RunId, lock: Lock) -> None:
    found = resources.runs.get(run_id)
    if found.value.status not in _PLANNABLE:
        return
    record = _Record(resources, found)
    if found.value.attempts >= MOST_ATTEMPTS:
        fail_run(
            resources, found, f"Planning was begun {MOST_ATTEMPTS} times and never came to its end. Start it anew."
        )
        return
    record.begin()
    try:
        _plan(resources, record, lock)
    except (LockLost, EditedElsewhere):
        raise
    except RealignError as error:
        if isinstance(error, StorageError) and error.retryable:
            raise  # nothing could be recorded now; the message comes again
        fail_run(resources, record.versioned, str(error))


class _Record:
    """The run's row while it is being planned: each change goes through the ETag of the one before."""

    def __init__(self, resources: Resources, versioned: Versioned[Run]) -> None:
        self._resources = resources
        self.versioned = versioned

    @property
    def run(self) -> Run:
        return self.versioned.value

    def write(self, **changes: Any) -> None:
        changed = replace(self.run, updated_at=self._resources.now(), **changes)
        self.versioned = self._resources.runs.update(changed, self.versioned.etag)

    def begin(self) -> None:
        now = self._resources.now()
        again = f"Attempt {self.run.attempts + 1}." if self.run.attempts else ""
        before = tuple(replace(step, status="done") if step.status == "waiting" else step for step in self.run.steps)
        self.write(
            status=RunStatus.PLANNING,
            started_at=self.run.started_at or now,
            attempts=self.run.attempts + 1,
            not_before=None,
            progress=max(5, self.run.progress),
            steps=(*before, Step("plan", "running", now, again)),
        )

    def read(self, done: int, total: int) -> None:
        self.write(progress=max(self.run.progress, 5 + 55 * done // total))


def _plan(resources: Resources, record: _Record, lock: Lock) -> None:
    basis = basis_of(resources, record.run, record.read)
    # before planning, which may fail: the clusters tell why
    record.write(progress=60, clusters=tuple(_summary(reading) for reading in basis.gathered.readings))
    plan, awaited = _first_plan(basis)
    again = next_look(record.run, resources.now()) if awaited is not None else None
    if awaited is not None and again is not None:
        resources.settling.keep(record.run.id, basis.gathered)
        _look_again(resources, record, awaited, again)
        return
    plan = without_doubts(resources, basis, plan or plan_from(basis))
    record.write(progress=70)
    run = record.run
    rows = (
        finding for finding in plan.findings if run.trigger != "schedule" or finding.kind is not FindingKind.ALIGNED
    )
    written = resources.remaps.replace(run.id, rows, lock.check)
    if plan.unmatched:
        resources.inputs.put_text(run.id, "unmatched", json.dumps(plan.unmatched))
    lock.check()
    _finish(resources, record, plan)
    log.info("planned run=%s profile=%s findings=%s rows=%s", run.id, run.profile, len(plan.findings), written)


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


def _look_again(resources: Resources, record: _Record, awaited: str, again: datetime) -> None:
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
    resources.queue.send(run.id, WorkStep.PLAN, delay_seconds=math.ceil((again - now).total_seconds()))
    log.info("settling run=%s profile=%s awaits=%s again=%s", run.id, run.profile, awaited, again.isoformat())


def _finish(resources: Resources, record: _Record, plan: Plan) -> None:
    run, now = record.run, resources.now()
    kinds = Counter(finding.kind.value for finding in plan.findings)
    remaps = kinds[FindingKind.REMAP.value]
    status = _status_after(run.mode, remaps)
    detail = f"{len(plan.findings)} machines in scope, {remaps} remaps, {plan.out_of_scope} machines out of scope."
    # events first: a run at rest whose story lacks its end could not be mended, an event told twice does no harm
    resources.events.append(run.id, Event(now, SERVICE.name, "planned", detail))
    for guard in plan.guards:
        # a later time than the event before: events are ordered by it
        told = Event(resources.now(), SERVICE.name, "guard", f"{guard.name}: {guard.explanation}")
        resources.events.append(run.id, told)
    record.write(
        status=status,
        progress=100,
        ended_at=None if status is RunStatus.AWAITING_REVIEW else now,
        fingerprint=fingerprint(plan.findings),
        guards=plan.guards,
        findings=dict(sorted(kinds.items())),
        states={RemapState.PROPOSED.value: remaps} if remaps else {},
        out_of_scope=plan.out_of_scope,
        unmatched=sum(len(names) for names in plan.unmatched.values()),
        steps=(*run.steps[:-1], replace(run.steps[-1], status="done", at=now, detail=detail)),
    )


def _status_after(mode: Mode, remaps: int) -> RunStatus:
    if mode is Mode.REPORT:
        return RunStatus.PLANNED
    return RunStatus.AWAITING_REVIEW if remaps else RunStatus.COMPLETED


def fail_run(resources: Resources, found: Versioned[Run], reason: str) -> None:
    """End a run as ``failed`` with a sentence. What was written of its plan stays readable."""
    run, now = found.value, resources.now()
    steps = run.steps
    if steps and steps[-1].status in ("running", "waiting"):
        steps = (*steps[:-1], replace(steps[-1], status="failed", at=now, detail=reason))
    failed = replace(
        run, status=RunStatus.FAILED, error=reason, ended_at=now, updated_at=now, not_before=None, steps=steps
    )
    resources.events.append(run.id, Event(now, SERVICE.name, "failed", reason))
    resources.runs.update(failed, found.etag)
    log.error("run failed run=%s profile=%s reason=%s", run.id, run.profile, reason)


def _summary(reading: ClusterReading) -> ClusterSummary:
    return ClusterSummary(reading.name, reading.api, reading.status.value, len(reading.vms), reading.error)
