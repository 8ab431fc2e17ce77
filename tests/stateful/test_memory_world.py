"""The world of the stateful test is one in which things work, and its judge one that notices when they do not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

import pytest

import shared.runs.preparing
import shared.runs.roll_back
import shared.runs.writing.sending
from shared.model.citrix import MachineId
from shared.model.remap import Remap
from shared.model.run import RemapState, RunId, RunStatus
from shared.planning.recheck import Action, Verdict
from shared.profile.policy import ModeName
from shared.runs.resources import Resources
from shared.runs.rows.remap_rows import RemapRows
from shared.runs.writing.write_through import WriteThrough
from tests.stateful.estate import Meddling
from tests.stateful.example import Example
from tests.stateful.mishaps import Among, Kind, Mishap

REMAPS = 7  # of the nine machines
FIRST = MachineId("m-001")
MIXED_UP = 2  # of these: too weak for mode auto


@pytest.fixture(params=[False, True], ids=["one-after-the-other", "side-by-side"])
def example(resources: Resources, request: pytest.FixtureRequest) -> Iterator[Example]:
    made = Example(resources, side_by_side=request.param)
    yield made
    made.close()


@pytest.fixture
def alone(resources: Resources) -> Iterator[Example]:
    made = Example(resources)
    yield made
    made.close()


def planned(example: Example, mode: ModeName = "review") -> RunId:
    run_id = example.start(mode)
    assert run_id is not None
    example.host.deliver_next()
    example.judge.look()
    return run_id


def applied(example: Example) -> RunId:
    run_id = planned(example)
    assert example.approve(run_id, [])
    example.host.deliver_next()
    example.judge.look()
    return run_id


def states(example: Example, run_id: RunId) -> Counter[RemapState]:
    return Counter(remap.state for remap in example.judge.remaps[run_id].values())


def test_without_mishaps_everything_is_verified_and_taken_back(example: Example) -> None:
    run_id = planned(example)
    first = dict(example.host.citrix.estate.places)
    assert example.approve(run_id, [])
    example.host.deliver_next()
    example.judge.look()
    assert states(example, run_id) == {RemapState.VERIFIED: REMAPS}
    assert example.roll_back(run_id, [])
    example.conclude()
    assert states(example, run_id) == {RemapState.ROLLED_BACK: REMAPS}
    assert example.host.citrix.estate.places == first


def test_mode_auto_applies_what_is_sure_by_itself(example: Example) -> None:
    run_id = planned(example, "auto")
    example.conclude()
    assert states(example, run_id) == {RemapState.VERIFIED: REMAPS - MIXED_UP, RemapState.PROPOSED: MIXED_UP}
    assert example.judge.runs[run_id].status is RunStatus.AWAITING_REVIEW


@pytest.mark.parametrize("kind", [Kind.CRASH_BEFORE, Kind.CRASH_AFTER, Kind.ANSWER_LOST, Kind.JOB_LOST, Kind.STALL])
def test_one_mishap_at_the_first_batch_changes_nothing_of_the_end(alone: Example, kind: Kind) -> None:
    run_id = planned(alone)
    assert alone.approve(run_id, [])
    alone.host.deliver_next([Mishap(kind, Among.WRITES, 1)])
    assert alone.host.struck[kind] == 1
    alone.conclude()
    assert states(alone, run_id) == {RemapState.VERIFIED: REMAPS}


@pytest.mark.parametrize("lost", [Kind.ANSWER_LOST, Kind.CRASH_AFTER])
def test_what_items_of_a_batch_began_is_waited_for_although_the_answer_to_the_batch_was_lost(
    alone: Example, lost: Kind
) -> None:
    run_id = planned(alone)
    assert alone.approve(run_id, [])
    alone.host.deliver_next([Mishap(Kind.NESTED, Among.WRITES, 4), Mishap(lost, Among.WRITES, 4)])
    alone.conclude()
    assert states(alone, run_id) == {RemapState.VERIFIED: REMAPS}


def test_what_somebody_else_changed_is_left_alone(alone: Example) -> None:
    run_id = planned(alone)
    alone.host.citrix.estate.meddle(Meddling.EDIT, 0)
    changed = alone.host.citrix.estate.places[FIRST]
    assert alone.approve(run_id, [])
    alone.conclude()
    assert states(alone, run_id) == {RemapState.VERIFIED: REMAPS - 1, RemapState.SUPERSEDED: 1}
    assert alone.host.citrix.estate.places[FIRST] == changed


def test_what_somebody_else_changed_is_not_taken_back(alone: Example) -> None:
    run_id = applied(alone)
    alone.host.citrix.estate.meddle(Meddling.EDIT, 0)
    changed = alone.host.citrix.estate.places[FIRST]
    assert alone.roll_back(run_id, [])
    alone.conclude()
    assert states(alone, run_id) == {RemapState.ROLLED_BACK: REMAPS - 1, RemapState.ROLLBACK_FAILED: 1}
    assert alone.host.citrix.estate.places[FIRST] == changed


Patch = Callable[[pytest.MonkeyPatch], None]


def writes_before_the_row(patch: pytest.MonkeyPatch) -> None:
    move = RemapRows.move
    patch.setattr(RemapRows, "move", lambda rows, changed: move(rows, [replace(each, sent=False) for each in changed]))


def writes_whatever_citrix_has(patch: pytest.MonkeyPatch) -> None:
    def always(remaps: Iterable[Remap], *rest: object, **options: object) -> dict[MachineId, Verdict]:
        return {remap.machine: Verdict(Action.GO, hosting=remap.after) for remap in remaps}

    patch.setattr(shared.runs.preparing, "recheck", always)


def takes_back_whatever_citrix_has(patch: pytest.MonkeyPatch) -> None:
    def always(remaps: Iterable[Remap], *rest: object) -> dict[MachineId, Verdict]:
        return {remap.machine: Verdict(Action.GO, hosting=remap.before) for remap in remaps}

    patch.setattr(shared.runs.roll_back, "restore", always)


def believes_what_was_told(patch: pytest.MonkeyPatch) -> None:
    def believing(through: WriteThrough, machines: Sequence[MachineId], *rest: object) -> list[MachineId]:
        through.rows.move_to(RemapState.VERIFIED, dict.fromkeys(machines))
        return []

    patch.setattr(WriteThrough, "_read_back", believing)


def takes_over_without_waiting(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(shared.runs.preparing, "settle_batches", lambda *given: {})


def forgets_a_batch_whose_answer_was_lost(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(shared.runs.writing.sending, "wait_for_unknown_jobs", lambda *given: [])


CRASH = Mishap(Kind.CRASH_AFTER, Among.WRITES, 1)
LOST = Mishap(Kind.ANSWER_LOST, Among.WRITES, 4)


@pytest.mark.parametrize(
    ("broken", "mishap", "said"),
    [
        pytest.param(writes_before_the_row, None, "not marked as sent", id="writes-before-the-row-says-so"),
        pytest.param(writes_whatever_citrix_has, None, "Citrix had", id="overwrites-what-somebody-changed"),
        pytest.param(takes_back_whatever_citrix_has, None, "Citrix had", id="takes-back-what-somebody-changed"),
        pytest.param(believes_what_was_told, None, "not read back", id="verifies-without-reading-back"),
        pytest.param(takes_over_without_waiting, CRASH, "rests as", id="takes-over-without-waiting"),
        pytest.param(forgets_a_batch_whose_answer_was_lost, LOST, "rests as", id="forgets-a-lost-batch"),
    ],
)
def test_the_judge_notices_an_app_that(alone: Example, broken: Patch, mishap: Mishap | None, said: str) -> None:
    run_id = planned(alone)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(AssertionError, match=said):  # noqa: PT012 - or later
        broken(patch)
        if broken is writes_whatever_citrix_has:
            alone.host.citrix.estate.meddle(Meddling.EDIT, 0)
        alone.approve(run_id, [])
        alone.host.deliver_next([mishap] if mishap is not None else [])
        alone.judge.look()
        while alone.at_work():
            alone.deliver([])
            alone.judge.look()
        alone.host.citrix.estate.meddle(Meddling.EDIT, 0)
        alone.roll_back(run_id, [])
        alone.conclude()
