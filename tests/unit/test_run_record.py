"""A worker's view of its run: what others change meanwhile stays, and a run that was taken over is let go."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from shared.azure.table import Versioned
from shared.errors import EditedElsewhere, IllegalMove
from shared.model.run import Limits, Mode, Run, RunId, RunStatus, Step
from shared.model.states import check_run_move
from shared.runs.resources import Resources
from shared.runs.rows.record import RunRecord, due, with_step

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
RUN = Run(
    id=RunId("0a"),
    profile="emea-vdi",
    mode=Mode.REVIEW,
    status=RunStatus.APPLYING,
    trigger="http",
    requested_by="olive",
    created_at=NOON,
    limits=Limits(200, 25),
    attempts=1,
)


class MemoryRuns:
    """One run under an etag; ``meanwhile`` are the changes that others get in before the next updates of this one."""

    def __init__(self, run: Run) -> None:
        self.now = Versioned(run, "1")
        self.meanwhile: list[dict[str, Any]] = []
        self.updates = 0

    def get(self, run_id: RunId) -> Versioned[Run]:
        return self.now

    def update(self, run: Run, read: Versioned[Run]) -> Versioned[Run]:
        self.updates += 1
        check_run_move(read.value.status, run.status)
        if self.meanwhile:
            self._put(replace(self.now.value, **self.meanwhile.pop(0)))
        if read.etag != self.now.etag:
            raise EditedElsewhere("changed")
        self._put(run)
        return self.now

    def _put(self, run: Run) -> None:
        self.now = Versioned(run, str(int(self.now.etag) + 1))


class MemoryResources:
    def __init__(self, runs: MemoryRuns) -> None:
        self.runs = runs
        self.time = NOON

    def now(self) -> datetime:
        self.time += timedelta(seconds=1)
        return self.time


def record(run: Run = RUN) -> tuple[RunRecord, MemoryRuns]:
    runs = MemoryRuns(run)
    return RunRecord(cast(Resources, MemoryResources(runs)), runs.now), runs


def test_each_write_builds_on_the_one_before() -> None:
    mine, runs = record()
    mine.write(progress=10)
    mine.write(states={"approved": 3})
    assert (runs.now.value.progress, runs.now.value.states) == (10, {"approved": 3})
    assert runs.now.value.updated_at == NOON + timedelta(seconds=2)
    assert mine.run == runs.now.value


def test_a_cancel_that_comes_while_the_worker_writes_is_not_lost() -> None:
    mine, runs = record()
    runs.meanwhile = [{"cancelled_by": "olive"}]
    mine.write(progress=50)
    assert (runs.now.value.cancelled_by, runs.now.value.progress) == ("olive", 50)
    assert mine.run.cancelled_by == "olive", "the worker sees it at its next look"


def test_several_changes_of_others_in_a_row_are_kept_as_well() -> None:
    mine, runs = record()
    runs.meanwhile = [{"cancelled_by": "olive"}, {"reason": "a drill"}, {"unmatched": 3}]
    mine.write(progress=50)
    found = runs.now.value
    assert (found.cancelled_by, found.reason, found.unmatched, found.progress) == ("olive", "a drill", 3, 50)


@pytest.mark.parametrize(
    "taken",
    [
        pytest.param({"attempts": 2}, id="another-worker-began"),
        pytest.param({"status": RunStatus.FAILED}, id="it-was-given-up"),
        pytest.param({"status": RunStatus.CANCELLED, "attempts": 1}, id="it-was-cancelled"),
    ],
)
def test_a_worker_that_lost_its_run_to_another_stops_and_changes_nothing(taken: dict[str, Any]) -> None:
    mine, runs = record()
    runs.meanwhile = [taken]
    with pytest.raises(EditedElsewhere):
        mine.write(progress=50, states={"verified": 1})
    assert runs.now.value == replace(RUN, **taken)
    with pytest.raises(EditedElsewhere):
        mine.step("apply", "done")


def test_a_run_that_others_change_all_the_time_is_let_go_after_a_few_tries() -> None:
    mine, runs = record()
    runs.meanwhile = [{"progress": number} for number in range(99)]
    with pytest.raises(EditedElsewhere, match="all the time"):
        mine.write(states={"verified": 1})
    assert runs.updates == 5


def test_a_status_that_cannot_follow_is_refused() -> None:
    mine, runs = record()
    with pytest.raises(IllegalMove, match="applying cannot become planned"):
        mine.write(status=RunStatus.PLANNED)
    assert runs.now.value == RUN


def test_a_step_that_begins_counts_the_attempt_and_takes_away_the_waiting() -> None:
    waiting = replace(
        RUN, attempts=0, not_before=NOON, steps=(Step("plan", "done", NOON), Step("wait", "waiting", NOON))
    )
    mine, runs = record(waiting)
    mine.begin("apply", started_at=NOON)
    found = runs.now.value
    assert (found.attempts, found.not_before, found.started_at) == (1, None, NOON)
    assert [(step.name, step.status, step.detail) for step in found.steps] == [
        ("plan", "done", ""),
        ("wait", "done", ""),
        ("apply", "running", ""),
    ]


def test_a_second_attempt_says_so_in_place_of_the_first() -> None:
    mine, runs = record(replace(RUN, attempts=0))
    mine.begin("apply")
    mine.begin("apply")
    assert [(step.name, step.status, step.detail) for step in runs.now.value.steps] == [
        ("apply", "running", "Attempt 2.")
    ]


def test_a_step_that_is_over_is_not_written_over() -> None:
    mine, runs = record()
    mine.step("reset", "done", "Reset: Paris.")
    mine.step("reset", "failed", "Amsterdam was not reset.", progress=95)
    steps = runs.now.value.steps
    assert [step.detail for step in steps] == ["Reset: Paris.", "Amsterdam was not reset."]
    assert steps[0].at < steps[1].at
    assert runs.now.value.progress == 95


@pytest.mark.parametrize("status", ["running", "waiting"])
def test_a_step_takes_the_place_of_its_own_unfinished_record_wherever_that_stands(status: str) -> None:
    open_step, other = Step("observe", status, NOON), Step("reset-again", "done", NOON)
    done = Step("observe", "done", NOON + timedelta(minutes=1))
    assert with_step((open_step, other), done) == (done, other)


@pytest.mark.parametrize(
    ("seconds", "is_due"), [(None, True), (-1, True), (0, True), (1, False)], ids=["never-set", "past", "now", "later"]
)
def test_a_run_is_due_from_its_time_on(seconds: int | None, is_due: bool) -> None:
    not_before = NOON + timedelta(seconds=seconds) if seconds is not None else None
    assert due(replace(RUN, not_before=not_before), NOON) is is_due
