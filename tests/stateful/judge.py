"""What must hold whatever happens: at each write, and after each step (design, section 5)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from shared.azure.runs import ACTIVE
from shared.errors import LockLost
from shared.model.citrix import Hosting, MachineId
from shared.model.remap import Change, Remap
from shared.model.run import RemapState, Run, RunId, RunStatus
from shared.model.states import REMAP_MOVES, RUN_MOVES
from tests.stateful.estate import SOMEBODY, Place, place_of
from tests.stateful.host import Host, Work

S = TypeVar("S")

BEING_PLANNED = (RunStatus.QUEUED, RunStatus.PLANNING)
MAY_BE_TAKEN_BACK = (
    RemapState.APPLYING,
    RemapState.APPLIED,
    RemapState.VERIFIED,
    RemapState.FAILED,
    RemapState.ROLLBACK_FAILED,
)
# what tells that the run's write may stand in Citrix
TELLS = (*MAY_BE_TAKEN_BACK, RemapState.ROLLED_BACK)


class Judge:
    """Looks at every run that the test started. Raises ``AssertionError``."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self.runs: dict[RunId, Run] = {}
        self.remaps: dict[RunId, dict[MachineId, Remap]] = {}
        self.violations: list[str] = []
        self.arrived: Counter[RemapState] = Counter()
        self._written: dict[tuple[RunId, RunStatus, MachineId], Place] = {}

    def know(self, run_id: RunId) -> None:
        with self._host.unwatched():
            self.runs[run_id] = self._host.resources.runs.get(run_id).value
        self.remaps[run_id] = {}

    def writes(self, worker: Work, changes: Sequence[Change]) -> None:
        """A write is about to reach Citrix."""
        try:
            self._check_writer(worker)
            resources = self._host.resources
            run = resources.runs.get(worker.message.run).value
            rows = {row.value.machine: row.value for row in resources.remaps.load(run.id)}
            for change in changes:
                self._check_write(worker, run, rows.get(change.machine), change)
        except AssertionError as violation:
            self.violations.append(str(violation))  # whoever swallows it on the way: it stays
            raise

    def _check_writer(self, worker: Work) -> None:
        assert worker.locks, "a write without a lock"
        assert _holds(worker), f"{worker.message} writes, and has lost its locks"
        for other in self._host.workers:
            if other is not worker and len(other.locks) > 1:
                assert not _holds(other), f"{other.message} and {worker.message} write at the same time"

    def _check_write(self, worker: Work, run: Run, row: Remap | None, change: Change) -> None:
        said = f"write of {change} by {worker.message}, row {row}"
        assert row is not None, f"no row for the {said}"
        assert row.sent, f"not marked as sent: {said}"
        assert change.hosting.connection is not None, said
        assert change.hosting.machine_id is not None, said
        place = place_of(change.hosting)
        apply = run.status is RunStatus.APPLYING
        assert apply or run.status is RunStatus.ROLLING_BACK, f"the run is {run.status}: {said}"
        before, after = (row.before, row.after) if apply else (row.after, row.before)
        assert place == place_of(after), f"another value than the row's: {said}"
        allowed = (RemapState.APPLYING,) if apply else MAY_BE_TAKEN_BACK
        assert row.state in allowed, f"the remap is {row.state}: {said}"
        seen = worker.reads.get(change.machine)
        assert seen, f"not read before: {said}"
        fresh = seen[-1][1]
        assert fresh is not None, f"it was gone when it was read: {said}"
        assert place_of(fresh) == place_of(before), f"Citrix had {fresh}: {said}"
        first = self._written.setdefault((run.id, run.status, change.machine), place)
        assert first == place, f"written before as {first}: {said}"

    def look(self) -> None:
        """After each step of the test."""
        assert not self.violations, self.violations
        with self._host.unwatched():
            for run_id in self.runs:
                self._look_at(run_id)
        self._host.finished.clear()

    def check_unchanged(self) -> None:
        """After what was refused."""
        with self._host.unwatched():
            for run_id, before in self.remaps.items():
                now = {row.value.machine: row.value for row in self._host.resources.remaps.load(run_id)}
                assert now == before, f"a refusal changed remaps of run {run_id}: {before}, {now}"

    def _look_at(self, run_id: RunId) -> None:
        resources = self._host.resources
        run = resources.runs.get(run_id).value
        rows = {row.value.machine: row.value for row in resources.remaps.load(run_id)}
        was, were = self.runs[run_id], self.remaps[run_id]
        _check_way(RUN_MOVES, was.status, run.status, f"run {run_id}")
        if was.status not in BEING_PLANNED:
            for machine, before in were.items():
                self._check_remap(run, before, rows.get(machine))
        for machine, row in rows.items():
            if row.state is not (were[machine].state if machine in were else None):
                self._check_arrival(run, row)
        if run.status not in ACTIVE:
            self._check_rest(run, rows)
        self.runs[run_id], self.remaps[run_id] = run, rows

    def _check_remap(self, run: Run, before: Remap, now: Remap | None) -> None:
        assert now is not None, f"the remap {before} of run {run.id} is gone"
        _check_way(REMAP_MOVES, before.state, now.state, f"run {run.id}, {now}")
        assert now.sent or not before.sent, f"what was sent is not known any more: {now}"
        assert now.before == before.before, f"from has changed: {before}, {now}"
        if before.state is not RemapState.PROPOSED:
            assert now.after == before.after, f"to has changed: {before}, {now}"

    def _check_arrival(self, run: Run, row: Remap) -> None:
        self.arrived[row.state] += 1
        if row.state is RemapState.VERIFIED:
            assert self._was_read(run.id, row.machine, row.after), f"verified and not read back: {row}"
        if row.state is RemapState.ROLLED_BACK:
            assert self._was_read(run.id, row.machine, row.before), f"rolled back and not read back: {row}"

    def _was_read(self, run_id: RunId, machine: MachineId, hosting: Hosting) -> bool:
        """Whether one of the last workers of the run saw the machine there after the run's last write to it."""
        since = self._host.last_write.get((run_id, machine), 0)
        reads = [
            read
            for worker in self._host.finished
            if worker.message.run == run_id
            for read in worker.reads.get(machine, ())
        ]
        return any(
            number > since and seen is not None and place_of(seen) == place_of(hosting) for number, seen in reads
        )

    def _check_rest(self, run: Run, rows: Mapping[MachineId, Remap]) -> None:
        under_way = [row for row in rows.values() if row.state in (RemapState.APPLYING, RemapState.APPLIED)]
        assert not under_way, f"run {run.id} rests as {run.status} with {under_way}"
        if run.status is RunStatus.FAILED:
            return  # it was given up; whoever rolls it back looks at its batches first
        jobs = self._host.citrix.jobs.values()
        busy = [job for job in jobs if job.by == run.id and not job.ended and not job.trouble.stuck]
        assert not busy, f"run {run.id} rests as {run.status}, and Citrix works on {busy}"
        if run.id in self._host.overtaken:
            return  # a worker that came back late may have noted what its successor knows better
        stuck = {machine for job in jobs if job.trouble.stuck for machine in job.machines}
        for batch in self._host.resources.batches.of(run.id):
            # a batch without a job may be any that does not end
            excused = stuck if batch.job is None else stuck & set(batch.machines)
            assert batch.ended or excused, f"run {run.id} rests as {run.status} with {batch}"

    def conclude(self) -> None:
        """When nothing is left to do."""
        self.look()
        for run in self.runs.values():
            assert run.status not in ACTIVE, f"run {run.id} never came to rest: {run.status}, {run.steps}"
            assert run.status is not RunStatus.FAILED or run.error, f"run {run.id} failed and does not say why"
        for machine, by in self._host.citrix.estate.told.items():
            if by != SOMEBODY:
                row = self.remaps[RunId(by)].get(machine)
                assert row is not None, f"{machine} was changed by {by} without a record"
                assert row.state in TELLS, f"{machine} was changed by {by}, which says {row}"


def _holds(worker: Work) -> bool:
    try:
        for lock in worker.locks:
            lock.check()
    except LockLost:
        return False
    return not worker.dead


def _check_way(moves: Mapping[S, Iterable[S]], before: S, after: S, what: str) -> None:
    """That ``after`` can be reached by moves of the table."""
    reached, ahead = {before}, [before]
    while ahead:
        for each in moves[ahead.pop()]:
            if each not in reached:
                reached.add(each)
                ahead.append(each)
    assert after in reached, f"{what} went from {before} to {after}"
