"""Sends changes to Citrix: in batches that are known before they are sent, a few at once, each followed to its end.

What Citrix reports of a change is never taken for the truth: an outcome says what was told, and the caller reads back.
A batch whose answer was lost is looked for among the caller's own jobs and never sent again before a read-back.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from shared.azure.batches import Batches
from shared.citrix.jobs import wait_for_job
from shared.citrix.writer import SiteWriter
from shared.errors import CitrixError
from shared.model.citrix import MachineId
from shared.model.remap import Batch, Change, SendingStep
from shared.model.run import RunId
from shared.runs.pacing import MOST_AT_ONCE, Pacing, Sizes

MOST_LOOKS = 24  # at a batch: about 3.5 minutes
LOOKS_AFTER_CANCEL = 3
MOST_SUBMITS = 8  # of one batch that Citrix answers with 429
ALONE_AT_ONCE = 4
CLOCKS_DIFFER = timedelta(minutes=5)
FORBIDDEN = 403

log = logging.getLogger(__name__)


class Told(StrEnum):
    """What Citrix told of a change. ``KEPT``: it was not sent. ``STUCK``: its job does not end, and may still do it."""

    DONE = "done"
    REFUSED = "refused"
    UNKNOWN = "unknown"
    STUCK = "stuck"
    KEPT = "kept"


@dataclass(frozen=True, slots=True)
class Outcome:
    """``sentence`` tells why a change was refused or is not known; ``code`` is the HTTP status behind it."""

    told: Told
    sentence: str | None = None
    code: int | None = None


@dataclass(frozen=True, slots=True)
class Sending:
    """What sending needs besides the changes. ``check`` raises where this worker may no longer write; ``stop`` is
    asked between batches; ``before`` hears which machines are about to be sent, ``after`` what became of them, and
    ``undo`` which of them were not sent after all: all three are called by several threads.
    """

    writer: SiteWriter
    batches: Batches
    run_id: RunId
    step: SendingStep
    now: Callable[[], datetime]
    pause: Callable[[float], None]
    check: Callable[[], None]
    stop: Callable[[], bool]
    before: Callable[[Sequence[MachineId]], None]
    undo: Callable[[Sequence[MachineId]], None]
    after: Callable[[Mapping[MachineId, Outcome]], None]


def send(sending: Sending, changes: Sequence[Change]) -> dict[MachineId, Outcome]:
    """Send the changes, each at most once. Every machine has an outcome; what ``stop`` kept from being sent, ``KEPT``.

    Raises ``LockLost``, ``StorageError``, and ``CitrixError`` where nobody can tell whether a batch is under way; then
    what was under way is known by its batches.
    """
    if not changes:
        return {}
    return _Round(sending, changes).run()


class _Round:
    def __init__(self, sending: Sending, changes: Sequence[Change]) -> None:
        self._s = sending
        self._waiting = deque(changes)
        self._outcomes = {change.machine: Outcome(Told.KEPT) for change in changes}
        self._pacing = Pacing(pause=sending.pause)
        self._sizes = Sizes(len(changes))
        self._guard = threading.Lock()
        known = sending.batches.of(sending.run_id)
        self._number = max((batch.number for batch in known), default=0)
        self._known_jobs = {batch.job for batch in known if batch.job is not None}
        self._over = False
        self._no_right: Outcome | None = None

    def run(self) -> dict[MachineId, Outcome]:
        in_batches = self._s.writer.takes_batches()
        # more lanes than may be under way: while some wait for Citrix, others note what was done or is to be done next
        with ThreadPoolExecutor(2 * MOST_AT_ONCE, thread_name_prefix="send") as pool:
            lanes = [pool.submit(self._lane, in_batches) for _ in range(2 * MOST_AT_ONCE)]
        for lane in lanes:
            lane.result()
        if self._no_right is not None:
            # the next batch would be refused like the one before it
            self._outcomes |= {change.machine: self._no_right for change in self._waiting}
        return self._outcomes

    def _lane(self, in_batches: bool) -> None:
        try:
            while changes := self._take(in_batches):
                told = self._in_batch(changes) if in_batches else self._one_by_one(changes)
                machines = [change.machine for change in changes]
                outcomes = dict.fromkeys(machines, _NOT_TOLD) | dict(told)
                self._outcomes |= outcomes
                self._s.after(outcomes)
        except BaseException:
            self._over = True
            raise

    def _take(self, in_batches: bool) -> list[Change]:
        with self._guard:
            if self._over or not self._waiting or self._s.stop():
                return []
            size = self._sizes.next() if in_batches else ALONE_AT_ONCE
            return [self._waiting.popleft() for _ in range(min(size, len(self._waiting)))]

    def _in_batch(self, changes: list[Change]) -> Mapping[MachineId, Outcome]:
        """Make the batch known, wait for its turn, and follow it until nothing of it is under way."""
        self._s.check()
        machines = [change.machine for change in changes]
        batch = self._begun(machines)
        self._s.before(machines)
        with self._pacing.turn():
            if self._over or self._s.stop():
                self._ended(batch)
                self._s.undo(machines)
                return _all(machines, self._no_right or Outcome(Told.KEPT))
            told = self._followed(batch, changes)
        return told()

    def _one_by_one(self, changes: list[Change]) -> Mapping[MachineId, Outcome]:
        with self._pacing.turn():
            self._s.check()
            self._s.before([change.machine for change in changes])
            return {change.machine: send_alone(self._s, change) for change in changes}

    def _begun(self, machines: Sequence[MachineId]) -> Batch:
        with self._guard:
            self._number += 1
            number = self._number
        batch = Batch(number, self._s.step, tuple(machines), self._s.now())
        self._s.batches.put(self._s.run_id, batch)
        return batch

    def _followed(self, batch: Batch, changes: Sequence[Change]) -> Callable[[], Mapping[MachineId, Outcome]]:
        """Submit the batch and follow it to its end; its row says at any time what a successor must know."""
        try:
            job, began = self._submitted(changes)
        except CitrixError as error:
            told = self._refused(batch, error) if error.unsent else self._lost(batch, error)
            return lambda: told
        with self._guard:
            self._known_jobs.add(job)
        batch = replace(batch, job=job)
        self._s.batches.put(self._s.run_id, batch)
        looks = _Looks(self._s.check)
        end = ended_or_cancelled(self._s.writer, job, _since(began, self._s.pause), looks)
        if end is JobEnd.STUCK:
            stuck = _all(batch.machines, Outcome(Told.STUCK, f"Citrix's job {job} does not come to an end."))
            return lambda: stuck
        self._pacing.went_well()
        if end is JobEnd.ENDED:
            self._sizes.learn(len(changes), looks.count)
        return lambda: self._results(batch, job, end)

    def _refused(self, batch: Batch, error: CitrixError) -> Mapping[MachineId, Outcome]:
        """Nothing of the batch was executed."""
        self._ended(batch)
        refused = Outcome(Told.REFUSED, str(error), error.http_status)
        if error.http_status == FORBIDDEN:
            self._over, self._no_right = True, refused
        return _all(batch.machines, refused)

    def _submitted(self, changes: Sequence[Change]) -> tuple[str, float]:
        """The job's id, and when it was asked for. Only a 429 is asked again: nothing was executed then."""
        for attempt in range(1, MOST_SUBMITS + 1):
            self._s.check()
            began = time.monotonic()
            try:
                return self._s.writer.submit(changes), began
            except CitrixError as error:
                if error.kind != "throttled" or attempt == MOST_SUBMITS:
                    raise
                log.info("throttled run=%s attempt=%s", self._s.run_id, attempt)
                self._pacing.throttled(attempt, error.retry_after)
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _lost(self, batch: Batch, error: CitrixError) -> Mapping[MachineId, Outcome]:
        """No id came back, so the batch may be under way: wait for every job of ours that nobody accounts for."""
        log.warning("answer to a batch lost run=%s batch=%s: %s", self._s.run_id, batch.number, error)
        with self._guard:
            known = frozenset(self._known_jobs)
        stuck = wait_for_unknown_jobs(self._s.writer, known, batch.began_at, self._s.pause, self._s.check)
        if stuck:
            return _all(batch.machines, Outcome(Told.STUCK, f"Citrix's job {stuck[0]} does not come to an end."))
        self._ended(batch)
        return _all(batch.machines, Outcome(Told.UNKNOWN, str(error), error.http_status))

    def _results(self, batch: Batch, job: str, end: JobEnd) -> Mapping[MachineId, Outcome]:
        found: dict[MachineId, Outcome] = {}
        try:
            results = self._s.writer.results(job) if end is JobEnd.ENDED else {}
        except CitrixError as error:
            log.warning("results of a batch not known run=%s job=%s: %s", self._s.run_id, job, error)
            results = {}
        for machine, item in results.items():
            if item.job is not None:
                found[machine] = followed_alone(self._s.writer, item.job, self._s.pause, self._s.check)
            elif item.error is None:
                found[machine] = Outcome(Told.DONE)
            else:
                found[machine] = Outcome(Told.REFUSED, item.error, item.code)
        # nested jobs are part of the batch: a successor waits for it as long as one of them may be under way
        if all(outcome.told is not Told.STUCK for outcome in found.values()):
            self._ended(batch)
        return found

    def _ended(self, batch: Batch) -> None:
        self._s.batches.put(self._s.run_id, replace(batch, ended=True))


_NOT_TOLD = Outcome(Told.UNKNOWN, "Citrix did not say what became of this change.")


def _all(machines: Iterable[MachineId], outcome: Outcome) -> dict[MachineId, Outcome]:
    return dict.fromkeys(machines, outcome)


def _since(began: float, pause: Callable[[float], None]) -> Callable[[float], None]:
    """A pause whose first one counts from ``began``: asking for the job and noting its id took a part of it."""
    passed = time.monotonic() - began

    def first_shorter(seconds: float) -> None:
        nonlocal passed
        pause(max(0.0, seconds - passed))
        passed = 0.0

    return first_shorter


class _Looks:
    """Counts how often a job is looked at; before each look the lock is checked."""

    def __init__(self, check: Callable[[], None]) -> None:
        self._check = check
        self.count = 0

    def __call__(self) -> None:
        self._check()
        self.count += 1


class JobEnd(StrEnum):
    """``GONE``: Citrix knows the job no more. ``STOPPED``: it did not end and was cancelled."""

    ENDED = "ended"
    GONE = "gone"
    STOPPED = "stopped"
    STUCK = "stuck"


def ended_or_cancelled(
    writer: SiteWriter, job: str, pause: Callable[[float], None], check: Callable[[], None]
) -> JobEnd:
    """Wait until a job has ended; one that takes too long is cancelled, which may be refused.

    Raises ``LockLost``, and ``CitrixError`` where Citrix cannot be asked.
    """
    try:
        if wait_for_job(writer, job, pause, check, MOST_LOOKS) is not None:
            return JobEnd.ENDED
        log.warning("job does not end, cancelling it job=%s", job)
        if not writer.cancel(job):
            return JobEnd.STUCK
        stopped = wait_for_job(writer, job, pause, check, LOOKS_AFTER_CANCEL) is not None
        return JobEnd.STOPPED if stopped else JobEnd.STUCK
    except CitrixError as error:
        if error.kind == "missing":
            return JobEnd.GONE
        raise


def wait_for_unknown_jobs(
    writer: SiteWriter,
    known: frozenset[str],
    since: datetime,
    pause: Callable[[float], None],
    check: Callable[[], None],
) -> list[str]:
    """Wait for the caller's own batch jobs since a time, but for those in ``known``; which of them do not end.

    Raises ``LockLost``, and ``CitrixError`` where Citrix cannot be asked: what is under way is not known then.
    """
    pause(1.0)  # a request whose answer was lost a moment ago may only now become a job
    check()
    jobs = [job for job in writer.batch_jobs(since - CLOCKS_DIFFER) if job.id not in known]
    ends = {job.id: JobEnd.ENDED if job.ended else ended_or_cancelled(writer, job.id, pause, check) for job in jobs}
    return [job for job, end in ends.items() if end is JobEnd.STUCK]


def followed_alone(writer: SiteWriter, job: str, pause: Callable[[float], None], check: Callable[[], None]) -> Outcome:
    """What became of a change that had only begun when its call was answered."""
    end = ended_or_cancelled(writer, job, pause, check)
    if end is JobEnd.STUCK:
        return Outcome(Told.STUCK, f"Citrix's job {job} does not come to an end.")
    return (
        Outcome(Told.DONE) if end is JobEnd.ENDED else Outcome(Told.UNKNOWN, f"Citrix's job {job} was not completed.")
    )


def send_alone(sending: Sending, change: Change) -> Outcome:
    """Send one change by itself."""
    sending.check()
    try:
        job = sending.writer.change(change)
    except CitrixError as error:
        return Outcome(Told.REFUSED if error.unsent else Told.UNKNOWN, str(error), error.http_status)
    return Outcome(Told.DONE) if job is None else followed_alone(sending.writer, job, sending.pause, sending.check)
