"""The app in the stateful test: the use cases on real tables, with a clock that moves when told, a queue that can be
asked for any message it ever had, and workers that can die at any call.

A worker that dies leaves its locks and whatever it had begun; a step that is told of a lost lock has lost it, as the
thread that renews locks would have told it within seconds.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from shared.azure.lock import Held, Lock, LockKind, Locks
from shared.azure.table import Table
from shared.azure.vault import Secret
from shared.azure.work_queue import WorkItem, WorkStep
from shared.errors import CitrixError, IllegalMove, LockLost, RealignError, StorageError
from shared.model.citrix import Hosting, MachineId
from shared.model.remap import Change
from shared.model.run import RunId
from shared.runs.access import Caller, Role
from shared.runs.deciding.cancel import cancel
from shared.runs.deciding.review_request import CancelRequest
from shared.runs.reading.gathered import Settling
from shared.runs.reading.listings import Listings
from shared.runs.resources import Resources
from shared.runs.sweep import sweep
from shared.runs.work import do_work
from tests.stateful.citrix import MemoryCitrix
from tests.stateful.estate import Estate
from tests.stateful.mishaps import Among, Crash, Kind, Mishap, fitted

if TYPE_CHECKING:
    from tests.stateful.judge import Judge

RENEW_EVERY = 15.0  # seconds
STALL_SECONDS = 75.0
ADA = Caller("ada", Role.APPROVER)

_OF_OTHER_WORKERS = (Kind.LOCK_STOLEN, Kind.LOCK_DELETED, Kind.STALL, Kind.MEANWHILE)


class Clock:
    """UTC and monotonic time, which move when told, and by a millisecond whenever somebody looks."""

    def __init__(self) -> None:
        self._now = datetime.now(UTC)
        self._began = self._now
        self._guard = threading.Lock()

    def __call__(self) -> datetime:
        with self._guard:
            self._now += timedelta(milliseconds=1)
            return self._now

    def monotonic(self) -> float:
        return (self() - self._began).total_seconds()

    def advance(self, seconds: float) -> None:
        with self._guard:
            self._now += timedelta(seconds=seconds)


@dataclass(frozen=True)
class Message:
    run: RunId
    step: WorkStep
    due: datetime


@dataclass
class Work:
    """A worker on one message. ``reads`` and ``writes`` are by machine, with numbers that grow over all workers."""

    message: Message
    mishaps: deque[Mishap]
    counts: Counter[Among] = field(default_factory=Counter)
    locks: list[Lock] = field(default_factory=list)
    reads: dict[MachineId, list[tuple[int, Hosting | None]]] = field(default_factory=dict)
    dead: bool = False
    stalled: bool = False
    down: bool = False
    after: Kind | None = None


class MemoryVault:
    def secret(self, name: str) -> Secret:
        return Secret(name, "not asked for in memory", "1")

    def close(self) -> None:
        """Nothing is open."""


class Host:
    """``judge`` hears of each write before it is executed. ``resources`` are those that the use cases get."""

    def __init__(self, resources: Resources, site_id: str) -> None:
        self.clock = Clock()
        self.resources = resources
        self.citrix = MemoryCitrix(Estate(site_id), self)
        self.judge: Judge | None = None
        self.waiting: list[Message] = []
        self.every: list[Message] = []
        self.workers: list[Work] = []  # the last one is at work; those before it wait, in the middle of a call
        self.finished: list[Work] = []
        self.last_write: dict[tuple[RunId, MachineId], int] = {}
        self.struck: Counter[Kind] = Counter()
        self.overtaken: set[RunId] = set()  # runs that had a worker which went on after it had lost its locks
        self.side_by_side = False
        self._sequence = 0
        self._thread = threading.local()
        self._renewed = self.clock.monotonic()
        self._guard = threading.RLock()
        self._passing = threading.RLock()
        resources.now = self.clock
        resources.pause = self.pause
        resources.settling, resources.listings = Settling(), Listings()
        made: dict[str, Any] = {"vault": MemoryVault(), "queue": self, "locks": self._locks()}
        vars(resources).update(made)

    # what the use cases call

    def send(self, run_id: RunId, step: WorkStep | str, delay_seconds: int = 0) -> None:
        """The work queue."""
        self.storage_call()
        message = Message(run_id, WorkStep(step), self.clock() + timedelta(seconds=delay_seconds))
        self.waiting.append(message)
        self.every.append(message)

    def pause(self, seconds: float) -> None:
        """Time passes, for Citrix too; who works and does not stall renews its locks."""
        self._die_if_dead()
        self.citrix.go_on()
        while seconds > 0:
            step = min(seconds, RENEW_EVERY)
            seconds -= step
            with self._passing:  # side by side, too, no lock may grow older than it would in truth
                self.clock.advance(step)
                if self.clock.monotonic() - self._renewed >= RENEW_EVERY:
                    self._renew()

    def _renew(self) -> None:
        self._renewed = self.clock.monotonic()
        with self.unwatched():
            for lock in [lock for worker in self.workers if not worker.stalled for lock in worker.locks]:
                _renewed(lock)

    def storage_call(self) -> None:
        if getattr(self._thread, "unwatched", 0) or not self.workers:
            return
        self._die_if_dead()
        worker = self.workers[-1]
        for mishap in self._due(worker, Among.STORAGE):
            if mishap.kind in (Kind.CRASH_BEFORE, Kind.CRASH_AFTER):
                self._die(worker, mishap)
            elif mishap.kind in (Kind.DOWN, Kind.ANSWER_LOST, Kind.THROTTLED, Kind.REFUSED):
                self.struck[mishap.kind] += 1
                raise StorageError("The storage is busy.", kind="throttled", retryable=True)
            elif mishap.kind in (Kind.LOCK_STOLEN, Kind.LOCK_DELETED):
                self._lose_locks(worker, mishap)

    # what the client of Citrix in memory tells

    @contextmanager
    def call(self, name: str, changes: Sequence[Change] = ()) -> Iterator[None]:
        self._die_if_dead()
        worker = self.workers[-1]
        self.citrix.go_on()
        due = self._due(worker, Among.CALLS) + (self._due(worker, Among.WRITES) if changes else [])
        # a worker that is paused between its look at the lock and its write no lock can stop
        later = [mishap for mishap in due if changes and mishap.kind in _OF_OTHER_WORKERS]
        for mishap in due:
            if mishap not in later:
                self._strike(worker, mishap)
        if worker.down:
            worker.down = False
            raise CitrixError("Citrix cannot be reached.", kind="unreachable", retryable=True, unsent=True)
        if changes and worker.after in (Kind.REFUSED, Kind.THROTTLED):
            self._refuse(worker)
        if changes:
            self._judge_write(worker, changes)
        yield
        for mishap in later:
            self._strike(worker, mishap)
        if worker.after is Kind.CRASH_AFTER:
            self._gone(worker)
        if changes and worker.after is Kind.ANSWER_LOST:
            worker.after = None
            raise CitrixError("Citrix did not answer in time.", kind="timeout", retryable=True)

    def saw(self, machine: MachineId, hosting: Hosting | None) -> None:
        if self.workers:
            self.workers[-1].reads.setdefault(machine, []).append((self.number(), hosting))

    def writer_run(self) -> str:
        return self.workers[-1].message.run

    def now(self) -> datetime:
        return self.clock()

    # what the test does

    def deliver(self, message: Message, mishaps: Sequence[Mishap] = ()) -> None:
        """One worker takes a message. What it cannot do now comes again, as the platform does it."""
        worker = Work(message, deque(fitted(mishap, message.step) for mishap in mishaps))
        self.workers.append(worker)
        try:
            do_work(self.resources, WorkItem(message.run, message.step).to_json().encode())
        except Crash:
            # the process is gone, and with it what it held in memory
            self.resources.settling, self.resources.listings = Settling(), Listings()
        except IllegalMove:
            raise  # a use case tried what the table of states forbids
        except RealignError:
            self.waiting.append(Message(message.run, message.step, self.clock() + timedelta(seconds=30)))
        finally:
            self.workers.pop()
            self.finished.append(worker)

    def deliver_next(self, mishaps: Sequence[Mishap] = ()) -> None:
        """The message that is due first, when it is due."""
        message = min(self.waiting, key=lambda each: each.due)
        self.waiting.remove(message)
        self.clock.advance(max(0.0, (message.due - self.clock()).total_seconds()))
        self.deliver(message, mishaps)

    @contextmanager
    def unwatched(self) -> Iterator[None]:
        """What this thread does inside is not the worker's doing: nothing is counted, and nothing strikes."""
        before = getattr(self._thread, "unwatched", 0)
        self._thread.unwatched = before + 1
        try:
            yield
        finally:
            self._thread.unwatched = before

    def number(self) -> int:
        with self._guard:
            self._sequence += 1
            return self._sequence

    # what strikes

    def _locks(self) -> Locks:
        locks = Locks(self.resources._storage, clock=self.clock, monotonic=self.clock.monotonic)
        acquire = locks.acquire

        def acquired(kind: LockKind, key: str, owner_run: RunId, token: str, now: datetime) -> Lock | Held:
            lock = acquire(kind, key, owner_run, token, now)
            if isinstance(lock, Lock):
                self.workers[-1].locks.append(lock)
            return lock

        locks.acquire = acquired  # type: ignore[method-assign]
        return locks

    def _due(self, worker: Work, among: Among) -> list[Mishap]:
        with self._guard:
            worker.counts[among] += 1
            due = [each for each in worker.mishaps if each.among is among and each.at <= worker.counts[among]]
            for mishap in due:
                worker.mishaps.remove(mishap)
        return due

    def _strike(self, worker: Work, mishap: Mishap) -> None:
        trouble = self.citrix.next_trouble
        match mishap.kind:
            case Kind.CRASH_BEFORE:
                self._die(worker, mishap)
            case Kind.CRASH_AFTER | Kind.ANSWER_LOST | Kind.REFUSED | Kind.THROTTLED:
                worker.after = mishap.kind
            case Kind.DOWN:
                worker.down = True
            case Kind.LOCK_STOLEN | Kind.LOCK_DELETED:
                self._lose_locks(worker, mishap)
                return
            case Kind.STALL | Kind.MEANWHILE:
                if not self._others_go_on(worker, mishap):
                    return
            case Kind.CANCEL:
                with self.unwatched():
                    _allowed(lambda: cancel(self.resources, worker.message.run, CancelRequest(), ADA))
            case Kind.MEDDLING:
                self.citrix.estate.meddle(mishap.meddling, mishap.number)
            case Kind.ITEMS_FAIL:
                trouble.items_fail = 1 + mishap.number % 2
            case Kind.ITEMS_LIE:
                trouble.items_lie = 1 + mishap.number % 2
            case Kind.NESTED:
                trouble.nested = 1 + mishap.number % 2
            case Kind.JOB_STUCK:
                trouble.stuck = True
            case Kind.JOB_UNCANCELLABLE:
                trouble.stuck = trouble.uncancellable = True
            case Kind.JOB_LOST:
                trouble.lost = True
        self.struck[mishap.kind] += 1

    def _others_go_on(self, worker: Work, mishap: Mishap) -> bool:
        if self.side_by_side or len(self.workers) > 1:
            return False  # which worker a call is of could not be told
        if mishap.kind is Kind.STALL:
            worker.stalled = True
            self.overtaken.add(worker.message.run)
            self.clock.advance(STALL_SECONDS)
            with self.unwatched():
                sweep(self.resources)
        if self.waiting:
            self.deliver_next()
        return True

    def _refuse(self, worker: Work) -> None:
        kind, worker.after = worker.after, None
        if kind is Kind.THROTTLED:
            raise CitrixError("Too many requests.", kind="throttled", http_status=429, unsent=True, retryable=True)
        raise CitrixError("Citrix refuses that.", kind="forbidden", http_status=403, unsent=True)

    def _judge_write(self, worker: Work, changes: Sequence[Change]) -> None:
        with self._guard, self.unwatched():
            self._die_if_dead()  # side by side, another thread may have met the worker's end since this call began
            if self.judge is not None:
                self.judge.writes(worker, changes)
            for change in changes:
                self.last_write[worker.message.run, change.machine] = self.number()

    def _die(self, worker: Work, mishap: Mishap) -> None:
        self.struck[mishap.kind] += 1
        self._gone(worker)

    def _gone(self, worker: Work) -> NoReturn:
        with self._guard:
            worker.dead = True
        raise Crash

    def _die_if_dead(self) -> None:
        if self.workers and self.workers[-1].dead:
            raise Crash

    def _lose_locks(self, worker: Work, mishap: Mishap) -> None:
        if self.side_by_side:
            return  # another thread may be between its look at the lock and its write
        self.struck[mishap.kind] += 1
        self.overtaken.add(worker.message.run)
        with self.unwatched():
            for lock in worker.locks:
                if lock._guard.locked():
                    continue  # this very call renews it or lets it go: to look at it here would wait for itself
                row = dict(lock._row)
                if mishap.kind is Kind.LOCK_DELETED:
                    lock._table.delete(row["PartitionKey"], row["RowKey"])
                elif lock._table.get(row["PartitionKey"], row["RowKey"]) is not None:
                    lock._table.put({**row, "token": "another worker"})
                _renewed(lock)


def watch_storage(host: Callable[[], Host | None], original: Callable[[Table], Any]) -> Callable[[Table], Any]:
    """``Table._ready`` that tells the host of each call."""

    def ready(table: Table) -> Any:
        current = host()
        if current is not None:
            current.storage_call()
        return original(table)

    return ready


def _renewed(lock: Lock) -> None:
    try:
        lock.renew()
    except LockLost:
        return


def _allowed(act: Callable[[], object]) -> None:
    try:
        act()
    except RealignError:
        return
