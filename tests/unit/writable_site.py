"""A site in memory behind the interface of ``SiteWriter``: what it was sent, and the trouble that a test gives it.

Jobs need no time: one has ended at its n-th look. Nothing sleeps; pauses are only noted down.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, cast

from shared.azure.batches import Batches
from shared.citrix.writer import SiteWriter
from shared.errors import CitrixError
from shared.model.citrix import Hosting, Machine, MachineId
from shared.model.finding import Confidence
from shared.model.job import ItemOutcome, Job, JobStatus
from shared.model.nutanix import VmUuid
from shared.model.remap import Batch, Change, Remap, SendingStep
from shared.model.run import RemapState, RunId
from shared.runs.writing.outcome import Outcome
from shared.runs.writing.sending import Sending

RUN = RunId("0a")
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
BEFORE = Hosting("Paris", VmUuid("00000000-0000-4000-8000-000000000001"), "c-par")
AFTER = Hosting("Amsterdam", VmUuid("00000000-0000-4000-8000-000000000002"), "c-ams")
TRANSACTION = "transaction 7f3a"


class Fate(StrEnum):
    """What becomes of a call that submits a batch."""

    FINE = "fine"
    THROTTLED = "throttled"
    REFUSED = "refused"
    FORBIDDEN = "forbidden"
    ANSWER_LOST = "executed, and the answer is lost"
    LOST_ON_THE_WAY = "never executed, and nobody answers"


def refusal(code: int = 403) -> ItemOutcome:
    return ItemOutcome(code, error=f"Citrix answered HTTP {code} for this machine ({TRANSACTION}).")


@dataclass
class MemoryJob:
    """``looks`` are those that it still takes to end; None: it never does."""

    id: str
    changes: Sequence[Change]
    looks: int | None
    type: str = "Batch"
    status: JobStatus = JobStatus.IN_PROGRESS
    created_at: datetime | None = NOON


@dataclass
class WritableSite:
    """``submits`` are the fates of the next submits; then all is fine.

    By machine: ``refuses`` answers for it and does nothing, ``lies`` says done and does nothing, ``silent`` does it and
    keeps it out of the results, ``nested`` is done by a job of its own that takes so many looks (None: it never ends).
    ``alone`` holds the errors of the next single changes of a machine. ``looks`` is what a batch takes, None for one
    that never ends; ``vanish``: Citrix forgets its batches once they are done.
    """

    batches_taken: bool = True
    submits: deque[Fate] = field(default_factory=deque)
    retry_after: float | None = None
    looks: int | None = 1
    cancellable: bool = True
    vanish: bool = False
    results_missing: bool = False
    refuses: dict[MachineId, ItemOutcome] = field(default_factory=dict)
    lies: set[MachineId] = field(default_factory=set)
    silent: set[MachineId] = field(default_factory=set)
    nested: dict[MachineId, int | None] = field(default_factory=dict)
    alone: dict[MachineId, list[CitrixError | str]] = field(default_factory=dict)
    hosting: dict[MachineId, Hosting] = field(default_factory=dict)
    jobs: dict[str, MemoryJob] = field(default_factory=dict)
    submitted: list[tuple[MachineId, ...]] = field(default_factory=list)
    sent_alone: list[MachineId] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    looked_at: list[str] = field(default_factory=list)
    on_submit: Callable[[], None] = lambda: None
    under_way: int = 0
    most_under_way: int = 0
    read_by_pages: int = 0
    read_alone: list[MachineId] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._guard = threading.RLock()

    # what the app calls

    def takes_batches(self) -> bool:
        return self.batches_taken

    def submit(self, changes: Sequence[Change]) -> str:
        self.on_submit()
        with self._guard:
            fate = self.submits.popleft() if self.submits else Fate.FINE
            if fate is Fate.THROTTLED:
                raise trouble("throttled", 429, unsent=True, retry_after=self.retry_after)
            if fate in (Fate.REFUSED, Fate.FORBIDDEN):
                raise trouble("forbidden" if fate is Fate.FORBIDDEN else "failed", _CODES[fate], unsent=True)
            if fate is Fate.LOST_ON_THE_WAY:
                raise trouble("timeout", None)
            self.submitted.append(tuple(change.machine for change in changes))
            job = MemoryJob(f"job-{len(self.jobs) + 1}", changes, self.looks)
            self.jobs[job.id] = job
            self.under_way += 1
            self.most_under_way = max(self.most_under_way, self.under_way)
            if fate is Fate.ANSWER_LOST:
                raise trouble("timeout", None)
            return job.id

    def job(self, job_id: str) -> Job:
        with self._guard:
            self.looked_at.append(job_id)
            job = self.jobs.get(job_id)
            if job is None:
                raise trouble("missing", 404)
            if job.status is JobStatus.IN_PROGRESS and job.looks is not None:
                job.looks -= 1
                if job.looks <= 0:
                    self._end(job)
            if job_id not in self.jobs:
                raise trouble("missing", 404)
            return _shown(job)

    def batch_jobs(self, since: datetime) -> tuple[Job, ...]:
        with self._guard:
            return tuple(_shown(job) for job in self.jobs.values() if job.created_at is None or job.created_at >= since)

    def results(self, job_id: str) -> Mapping[MachineId, ItemOutcome]:
        with self._guard:
            if self.results_missing:
                raise trouble("missing", 303)
            return {
                change.machine: self._result(change.machine, job_id)
                for change in reversed(self.jobs[job_id].changes)
                if change.machine not in self.silent
            }

    def cancel(self, job_id: str) -> bool:
        with self._guard:
            self.cancelled.append(job_id)
            if not self.cancellable:
                return False
            job = self.jobs[job_id]
            job.status = JobStatus.CANCELED
            self.under_way -= job.type == "Batch"
            return True

    def change(self, change: Change) -> str | None:
        with self._guard:
            self.sent_alone.append(change.machine)
            answers = self.alone.get(change.machine, [])
            answer = answers.pop(0) if answers else None
            if isinstance(answer, CitrixError):
                raise answer
            if answer is not None:
                self.jobs[answer] = MemoryJob(answer, [change], self.looks, "UpdateMachine")
                return answer
            self.hosting[change.machine] = change.hosting
            return None

    def machine(self, machine: MachineId) -> Machine | None:
        with self._guard:
            self.read_alone.append(machine)
            return self._machine(machine) if machine in self.hosting else None

    @property
    def site(self) -> WritableSite:
        return self

    def machines(self) -> Iterator[Machine]:
        self.read_by_pages += 1
        return iter([self._machine(machine) for machine in list(self.hosting)])

    # for the test

    def as_writer(self) -> SiteWriter:
        return cast(SiteWriter, self)

    def _machine(self, machine: MachineId) -> Machine:
        return Machine(machine, f"CORP\\{machine}", None, self.hosting[machine])

    def _end(self, job: MemoryJob) -> None:
        job.status = JobStatus.COMPLETE
        self.under_way -= job.type == "Batch"
        undone = {*self.refuses, *self.lies, *self.nested} if job.type == "Batch" else set()
        for change in job.changes:
            if change.machine not in undone:
                self.hosting[change.machine] = change.hosting
            elif change.machine in self.nested:
                name = f"{job.id}-{change.machine}"
                self.jobs[name] = MemoryJob(name, [change], self.nested[change.machine], "UpdateMachine")
        if self.vanish and job.type == "Batch":
            del self.jobs[job.id]

    def _result(self, machine: MachineId, job_id: str) -> ItemOutcome:
        if machine in self.nested:
            return ItemOutcome(202, job=f"{job_id}-{machine}")
        return self.refuses.get(machine, ItemOutcome(204))


_CODES = {Fate.REFUSED: 400, Fate.FORBIDDEN: 403}


def _shown(job: MemoryJob) -> Job:
    return Job(job.id, job.type, job.status, cancellable=True, created_at=job.created_at)


def trouble(kind: str, code: int | None, *, unsent: bool = False, retry_after: float | None = None) -> CitrixError:
    return CitrixError(
        f"Citrix said {code or 'nothing'} ({TRANSACTION}).",
        kind=kind,
        http_status=code,
        unsent=unsent,
        retry_after=retry_after,
        retryable=kind in ("throttled", "timeout"),
    )


class MemoryBatches:
    """The rows of the batches of ``RUN``, and of ``others`` at its site; ``kept`` tells every write of one."""

    def __init__(self, *known: Batch, others: Mapping[RunId, Sequence[Batch]] | None = None) -> None:
        self._guard = threading.Lock()
        self._rows = {RUN: {batch.number: batch for batch in known}}
        self._rows |= {run: {batch.number: batch for batch in rows} for run, rows in (others or {}).items()}
        self._begun = list(self._rows)
        self.kept: list[Batch] = []

    def put(self, run_id: RunId, batch: Batch) -> None:
        with self._guard:
            self._rows[run_id][batch.number] = batch
            self.kept.append(batch)

    def begun(self, site_id: str) -> list[RunId]:
        return list(self._begun)

    def rest(self, site_id: str, run_id: RunId) -> None:
        if all(batch.ended for batch in self.of(run_id)):
            self._begun.remove(run_id)

    def of(self, run_id: RunId) -> list[Batch]:
        with self._guard:
            return [self._rows[run_id][number] for number in sorted(self._rows[run_id])]

    def as_batches(self) -> Batches:
        return cast(Batches, self)


class Heard:
    """What the one who sends was told on the way; ``stop`` answers as a test wants."""

    def __init__(self) -> None:
        self.before: list[MachineId] = []
        self.undone: list[MachineId] = []
        self.after: dict[MachineId, Outcome] = {}
        self.pauses: list[float] = []
        self.checks = 0
        self.stop: Callable[[], bool] = lambda: False
        self.check: Callable[[], None] = lambda: None
        self._guard = threading.Lock()

    def sending(self, site: WritableSite, batches: MemoryBatches, **changes: Any) -> Sending:
        made = Sending(
            writer=site.as_writer(),
            batches=batches.as_batches(),
            run_id=RUN,
            step=SendingStep.APPLY,
            now=lambda: NOON,
            pause=self.pauses.append,
            check=self._checked,
            stop=lambda: self.stop(),
            before=self._noted(self.before),
            undo=self._noted(self.undone),
            after=self._told,
        )
        return replace(made, **changes)

    def _checked(self) -> None:
        with self._guard:
            self.checks += 1
        self.check()

    def _noted(self, where: list[MachineId]) -> Callable[[Sequence[MachineId]], None]:
        def note(machines: Sequence[MachineId]) -> None:
            with self._guard:
                where.extend(machines)

        return note

    def _told(self, outcomes: Mapping[MachineId, Outcome]) -> None:
        with self._guard:
            self.after.update(outcomes)


def machines(number: int) -> list[MachineId]:
    return [MachineId(f"m-{index:04d}") for index in range(1, number + 1)]


def changes(number: int) -> list[Change]:
    return [Change(machine, AFTER) for machine in machines(number)]


def remap(machine: MachineId, state: RemapState = RemapState.APPLYING) -> Remap:
    return Remap(machine, f"CORP\\{machine}", BEFORE, AFTER, Confidence.STRONG, state)
