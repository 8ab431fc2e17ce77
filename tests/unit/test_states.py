"""The table of states: every status has its row, every move is named here once more, and what has ended stays so."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import IllegalMove
from shared.model.run import RemapState, RunStatus
from shared.model.states import REMAP_MOVES, RUN_MOVES, check_remap_move, check_run_move

# The design's words, section 5. A move that is added to the table has to be added here, with its reason there.
RUNS = {
    "queued": "planning failed cancelled",
    "planning": "planned awaiting-review applying completed failed cancelled",
    "planned": "",
    "awaiting-review": "applying completed completed-with-errors cancelled rolling-back",
    "applying": "completed completed-with-errors awaiting-review failed cancelled",
    "completed": "applying awaiting-review rolling-back",
    "completed-with-errors": "applying awaiting-review rolling-back",
    "failed": "rolling-back",
    "cancelled": "rolling-back",
    "rolling-back": "rolled-back failed",
    "rolled-back": "rolling-back",
}
REMAPS = {
    "": "proposed",
    "proposed": "approved rejected superseded",
    "approved": "applying applied proposed rejected superseded failed",
    "rejected": "",
    "applying": "applied verified approved failed rolled-back rollback-failed",
    "applied": "verified failed rolled-back rollback-failed",
    "verified": "rolled-back rollback-failed",
    "failed": "rolled-back rollback-failed",
    "superseded": "",
    "rolled-back": "",
    "rollback-failed": "rolled-back",
}
FINAL = (RemapState.REJECTED, RemapState.SUPERSEDED, RemapState.ROLLED_BACK)
# A write may have reached Citrix.
WRITTEN = frozenset(
    {
        RemapState.APPLYING,
        RemapState.APPLIED,
        RemapState.VERIFIED,
        RemapState.FAILED,
        RemapState.ROLLED_BACK,
        RemapState.ROLLBACK_FAILED,
    }
)


def test_every_status_of_a_run_has_its_moves_and_every_move_is_named() -> None:
    assert set(RUN_MOVES) == set(RunStatus)
    assert {before.value: {after.value for after in moves} for before, moves in RUN_MOVES.items()} == {
        before: set(moves.split()) for before, moves in RUNS.items()
    }


def test_every_state_of_a_remap_has_its_moves_and_every_move_is_named() -> None:
    assert set(REMAP_MOVES) == {None, *RemapState}
    assert {
        before.value if before else "": {after.value for after in moves} for before, moves in REMAP_MOVES.items()
    } == {before: set(moves.split()) for before, moves in REMAPS.items()}


@pytest.mark.parametrize("before", RunStatus)
@pytest.mark.parametrize("after", RunStatus)
def test_a_run_stays_or_moves_by_the_table_and_no_other_way(before: RunStatus, after: RunStatus) -> None:
    if after is before or after.value in RUNS[before.value].split():
        check_run_move(before, after)
        return
    with pytest.raises(IllegalMove, match=f"A run that is {before.value} cannot become {after.value}"):
        check_run_move(before, after)


@pytest.mark.parametrize("before", [None, *RemapState])
@pytest.mark.parametrize("after", RemapState)
def test_a_remap_stays_or_moves_by_the_table_and_no_other_way(before: RemapState | None, after: RemapState) -> None:
    if after is before or after.value in REMAPS[before.value if before else ""].split():
        check_remap_move(before, after)
        return
    with pytest.raises(IllegalMove, match=f"cannot become {after.value}"):
        check_remap_move(before, after)


@given(st.lists(st.sampled_from(RemapState), max_size=30))
def test_no_sequence_of_moves_leaves_what_is_final(wanted: list[RemapState]) -> None:
    story = story_of(wanted)
    for final in FINAL:
        if final in story:
            assert set(story[story.index(final) :]) == {final}


@given(st.lists(st.sampled_from(RemapState), max_size=30))
def test_nothing_is_written_before_it_is_approved(wanted: list[RemapState]) -> None:
    story = story_of(wanted)
    for index, state in enumerate(story):
        if state in WRITTEN:
            assert RemapState.APPROVED in story[:index]


@given(st.lists(st.sampled_from(RemapState), max_size=30))
def test_what_is_verified_can_only_be_rolled_back(wanted: list[RemapState]) -> None:
    story = story_of(wanted)
    if RemapState.VERIFIED in story:
        after = story[story.index(RemapState.VERIFIED) :]
        assert set(after) <= {RemapState.VERIFIED, RemapState.ROLLED_BACK, RemapState.ROLLBACK_FAILED}


@given(st.lists(st.sampled_from(RunStatus), max_size=30))
def test_a_run_applies_or_rolls_back_only_after_its_plan_and_never_plans_again(wanted: list[RunStatus]) -> None:
    status, story = RunStatus.QUEUED, [RunStatus.QUEUED]
    for after in wanted:
        try:
            check_run_move(status, after)
        except IllegalMove:
            continue
        status = after
        story.append(status)
    if RunStatus.APPLYING in story:
        applying = story.index(RunStatus.APPLYING)
        assert RunStatus.PLANNING in story[:applying]
        assert not {RunStatus.QUEUED, RunStatus.PLANNING} & set(story[applying:])
    if RunStatus.PLANNED in story:
        assert set(story[story.index(RunStatus.PLANNED) :]) == {RunStatus.PLANNED}


def story_of(wanted: list[RemapState]) -> list[RemapState | None]:
    """The states that a finding goes through when each of ``wanted`` is tried in turn."""
    story: list[RemapState | None] = [None]
    for after in wanted:
        try:
            check_remap_move(story[-1], after)
        except IllegalMove:
            continue
        story.append(after)
    return story


def test_every_state_can_be_reached_from_a_finding() -> None:
    reached: set[RemapState | None] = {None}
    while new := {after for state in reached for after in REMAP_MOVES[state]} - reached:
        reached |= new
    assert reached == {None, *RemapState}


def test_every_status_can_be_reached_from_queued() -> None:
    reached = {RunStatus.QUEUED}
    while new := {after for status in reached for after in RUN_MOVES[status]} - reached:
        reached |= new
    assert reached == set(RunStatus)


@pytest.mark.parametrize("state", sorted(WRITTEN - {RemapState.ROLLED_BACK}))
def test_whatever_may_have_been_written_can_be_taken_back(state: RemapState) -> None:
    assert RemapState.ROLLED_BACK in REMAP_MOVES[state]
