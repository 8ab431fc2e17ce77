"""Sends changes to Citrix: in batches that are known before they are sent, a few at once, each followed to its end.

What Citrix reports of a change is never taken for the truth: an outcome says what was told, and the caller reads back.
A batch whose answer was lost is looked for among the account's own jobs and never sent again before a read-back.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from shared.azure.batches import MOST_MACHINES, Batches
from shared.citrix.writer import SiteWriter
from shared.errors import CitrixError
from shared.model.citrix import MachineId
from shared.model.remap import Batch, Change, SendingStep
from shared.model.run import RunId
from shared.runs.writing.following import (
    JobEnd,
    ended_or_cancelled,
    follow_alone,
    stuck_sentence,
    wait_for_unknown_jobs,
)
from shared.runs.writing.outcome import Outcome, Told
from shared.runs.writing.pacing import MOST_AT_ONCE, Pacing
from shared.runs.writing.sizes import Sizes
from shared.telemetry.threads import Threads

MOST_SUBMITS = 8  # of one batch, or one change, that Citrix answers with 429
ALONE_TOGETHER = 4  # single changes under one entry
ENOUGH_REFUSALS = 20  # single changes for which a right is missing, before any was done
FORBIDDEN = 403

log = logging.getLogger(__name__)


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


def send(sending: Sending, groups: Iterable[Sequence[Change]], *, alone: bool = False) -> dict[MachineId, Outcome]:
    """Send the changes, each at most once. Every machine has an outcome; what ``stop`` kept from being sent, ``KEPT``.

    The changes of a group, such as two machines that hold each other's VM, are sent together or not at all. ``alone``:
    each by a call of its own, as it is done where the site takes no batches. Raises ``LockLost``, ``StorageError``,
    and ``CitrixError`` where nobody can tell whether a batch is under way; then what was under way is known by its
    batches.
    """
    waiting = [list(group) for group in groups if group]
    return _Round(sending, waiting, alone=alone).run() if waiting else {}


class _Round:
    def __init__(self, sending: Sending, groups: Sequence[Sequence[Change]], *, alone: bool) -> None:
        self._s = sending
        self._waiting = deque(groups)
        self._outcomes = {change.machine: Outcome(Told.KEPT) for group in groups for change in group}
        self._in_batches = not alone and sending.writer.takes_batches()
        self._pacing = Pacing(pause=sending.pause)
        self._sizes = Sizes(len(self._outcomes))
        self._guard = threading.Lock()
        known = sending.batches.of(sending.run_id)
        self._number = max((batch.number for batch in known), default=0)
        self._known_jobs = {batch.job for batch in known if batch.job is not None}
        self._over = False
        self._no_right: Outcome | None = None
        self._forbidden = 0
        self._changed_alone = 0

    def run(self) -> dict[MachineId, Outcome]:
        # more lanes than may be under way: while some wait for Citrix, others note what was done or is to be done next
        with Threads(2 * MOST_AT_ONCE, thread_name_prefix="send") as pool:
            lanes = [pool.submit(self._lane) for _ in range(2 * MOST_AT_ONCE)]
        for lane in lanes:
            lane.result()
        if self._no_right is not None:
            # what is left would be refused like all before it
            self._outcomes |= {change.machine: self._no_right for group in self._waiting for change in group}
        return self._outcomes

    def _lane(self) -> None:
        try:
            while changes := self._take():
                told = self._in_batch(changes) if self._in_batches else self._one_by_one(changes)
                machines = [change.machine for change in changes]
                outcomes = dict.fromkeys(machines, _NOT_TOLD) | dict(told)
                self._outcomes |= outcomes
                self._s.after(outcomes)
        except BaseException:
            self._over = True
            raise

    def _take(self) -> list[Change]:
        """The next groups, as many as make a batch of the present size; a group is never split."""
        with self._guard:
            if self._over or not self._waiting or self._s.stop():
                return []
            size = self._sizes.next() if self._in_batches else ALONE_TOGETHER
            taken = list(self._waiting.popleft())
            while self._waiting and len(taken) + len(self._waiting[0]) <= size:
                taken += self._waiting.popleft()
            return taken

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
        machines = [change.machine for change in changes]
        with self._pacing.turn():
            if self._over or self._s.stop():
                return _all(machines, self._no_right or Outcome(Told.KEPT))
            self._s.check()
            batch = self._begun(machines, alone=True)
            self._s.before(machines)
            told: dict[MachineId, Outcome] = {}
            jobs: dict[MachineId, str] = {}
            for change in changes:
                outcome, job = self._changed(change)
                told[change.machine] = outcome
                if job is not None:
                    jobs[change.machine] = job
            self._pacing.went_well()
        return told | self._nested(batch, jobs)

    def _begun(self, machines: Sequence[MachineId], *, alone: bool = False) -> Batch:
        with self._guard:
            self._number += 1
            number = self._number
        batch = Batch(number, self._s.step, tuple(machines), self._s.now(), alone=alone)
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
            stuck = _all(batch.machines, Outcome(Told.STUCK, stuck_sentence(job)))
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
                self._wait_out(error, attempt)
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _changed(self, change: Change) -> tuple[Outcome, str | None]:
        """What was told of a single change, and the job that it only began."""
        if self._no_right is not None:
            return self._no_right, None
        for attempt in range(1, MOST_SUBMITS + 1):
            self._s.check()
            try:
                job = self._s.writer.change(change)
            except CitrixError as error:
                try:
                    self._wait_out(error, attempt)
                except CitrixError:
                    return self._not_changed(error), None
            else:
                self._changed_alone += 1
                return Outcome(Told.DONE), job
        raise AssertionError("unreachable: the last attempt returns")

    def _not_changed(self, error: CitrixError) -> Outcome:
        outcome = Outcome(Told.REFUSED if error.unsent else Told.UNKNOWN, str(error), error.http_status)
        self._forbidden += error.http_status == FORBIDDEN
        if self._forbidden >= ENOUGH_REFUSALS and not self._changed_alone:
            self._over, self._no_right = True, outcome
        return outcome

    def _wait_out(self, error: CitrixError, attempt: int) -> None:
        """Slow down after a 429 and come back; anything else, and one 429 too many, is raised."""
        if error.kind != "throttled" or attempt == MOST_SUBMITS:
            raise error
        log.info("throttled run=%s attempt=%s", self._s.run_id, attempt)
        self._pacing.throttled(attempt, error.retry_after)

    def _lost(self, batch: Batch, error: CitrixError) -> Mapping[MachineId, Outcome]:
        """No id came back, so the batch may be under way: wait for every job of ours that nobody accounts for."""
        log.warning("answer to a batch lost run=%s batch=%s: %s", self._s.run_id, batch.number, error)
        with self._guard:
            known = frozenset(self._known_jobs)
        stuck = wait_for_unknown_jobs(self._s.writer, known, batch.began_at, self._s.pause, self._s.check)
        if stuck:
            return _all(batch.machines, Outcome(Told.STUCK, stuck_sentence(stuck[0])))
        self._ended(batch)
        return _all(batch.machines, Outcome(Told.UNKNOWN, str(error), error.http_status))

    def _results(self, batch: Batch, job: str, end: JobEnd) -> Mapping[MachineId, Outcome]:
        try:
            results = self._s.writer.results(job) if end is JobEnd.ENDED else {}
        except CitrixError as error:
            log.warning("results of a batch not known run=%s job=%s: %s", self._s.run_id, job, error)
            results = {}
        # Citrix may write an id in another case than it was sent in, and what is nobody's says nothing
        ours = {machine.lower(): machine for machine in batch.machines}
        items = {ours[machine.lower()]: item for machine, item in results.items() if machine.lower() in ours}
        told = {
            machine: Outcome(Told.DONE) if item.error is None else Outcome(Told.REFUSED, item.error, item.code)
            for machine, item in items.items()
        }
        return told | self._nested(batch, {m: item.job for m, item in items.items() if item.job is not None})

    def _nested(self, batch: Batch, jobs: Mapping[MachineId, str]) -> dict[MachineId, Outcome]:
        """What became of the changes that had only begun; until then they are part of what is under way."""
        if jobs:
            batch = replace(batch, nested=tuple(jobs.items()))
            self._s.batches.put(self._s.run_id, batch)
        told = follow_alone(self._s.writer, jobs, self._s.pause, self._s.check)
        if all(outcome.told is not Told.STUCK for outcome in told.values()):
            self._ended(batch)
        return told

    def _ended(self, batch: Batch) -> None:
        self._s.batches.put(self._s.run_id, replace(batch, ended=True))


_NOT_TOLD = Outcome(Told.UNKNOWN, "Citrix did not say what became of this change.")


def in_groups(changes: Iterable[Change], together: Iterable[Sequence[MachineId]]) -> list[list[Change]]:
    """The changes in groups: those of machines that belong ``together``, each of the others by itself.

    A group that is larger than a batch may be is split: nobody has seen one.
    """
    waiting = {change.machine: change for change in changes}
    groups = [[waiting.pop(machine) for machine in group if machine in waiting] for group in together]
    parts = [group[start : start + MOST_MACHINES] for group in groups for start in range(0, len(group), MOST_MACHINES)]
    return [*parts, *([change] for change in waiting.values())]


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
