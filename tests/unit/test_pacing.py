"""How many batches run at once, and how large the next one is."""

from __future__ import annotations

import threading

import pytest

from shared.runs.writing.pacing import LONGEST_PAUSE, QUIET, Pacing
from shared.runs.writing.sizes import Sizes

SOON = 10.0
NOT_YET = 0.05


class Turn:
    """Someone who asks for a turn in a thread of its own, and has it until told to leave."""

    def __init__(self, pacing: Pacing) -> None:
        self.has_it, self._leave = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._take, args=(pacing,))
        self._thread.start()

    def _take(self, pacing: Pacing) -> None:
        with pacing.turn():
            self.has_it.set()
            self._leave.wait(SOON)

    def leave(self) -> None:
        self._leave.set()
        self._thread.join(SOON)
        assert not self._thread.is_alive()


def pacing(most: int = 4, jitter: float = 0.0) -> tuple[Pacing, list[float]]:
    pauses: list[float] = []
    return Pacing(most, pause=pauses.append, jitter=lambda: jitter), pauses


def test_no_more_turns_are_given_than_allowed_and_the_next_one_waits_for_the_first_to_leave() -> None:
    paced, _ = pacing(2)
    first, second = Turn(paced), Turn(paced)
    assert first.has_it.wait(SOON)
    assert second.has_it.wait(SOON)
    third = Turn(paced)
    assert not third.has_it.wait(NOT_YET)
    first.leave()
    assert third.has_it.wait(SOON)
    second.leave()
    third.leave()


def test_a_turn_ends_with_an_error_too() -> None:
    paced, _ = pacing(1)
    with pytest.raises(ValueError, match="broken"), paced.turn():
        raise ValueError("broken")
    with paced.turn():
        assert paced.allowed == 1


def test_a_429_halves_what_runs_at_once_and_never_stops_all_of_it() -> None:
    paced, _ = pacing()
    seen = []
    for _ in range(4):
        paced.throttled(1, None)
        seen.append(paced.allowed)
    assert seen == [2, 1, 1, 1]


def test_after_a_429_who_is_under_way_goes_on_and_nobody_joins_before_there_is_room() -> None:
    paced, _ = pacing(2)
    first, second = Turn(paced), Turn(paced)
    assert first.has_it.wait(SOON)
    assert second.has_it.wait(SOON)
    paced.throttled(1, None)
    first.leave()
    third = Turn(paced)
    assert not third.has_it.wait(NOT_YET), "one is allowed, and the second still runs"
    second.leave()
    assert third.has_it.wait(SOON)
    third.leave()


def test_quiet_batches_let_one_more_run_and_who_waits_hears_of_it() -> None:
    paced, _ = pacing()
    paced.throttled(1, None)
    paced.throttled(1, None)
    first = Turn(paced)
    assert first.has_it.wait(SOON)
    second = Turn(paced)
    for _ in range(QUIET - 1):
        paced.went_well()
    assert paced.allowed == 1
    assert not second.has_it.wait(NOT_YET)
    paced.went_well()
    assert paced.allowed == 2
    assert second.has_it.wait(SOON)
    first.leave()
    second.leave()


def test_a_429_starts_the_count_of_quiet_batches_anew() -> None:
    paced, _ = pacing()
    paced.throttled(1, None)
    for _ in range(QUIET - 1):
        paced.went_well()
    paced.throttled(1, None)
    paced.went_well()
    assert paced.allowed == 1


def test_it_recovers_to_the_most_and_not_beyond() -> None:
    paced, _ = pacing()
    paced.throttled(1, None)
    for _ in range(QUIET * 10):
        paced.went_well()
    assert paced.allowed == 4


@pytest.mark.parametrize(
    ("attempt", "jitter", "seconds"),
    [
        pytest.param(1, 0.0, 0.5, id="the-first-at-its-shortest"),
        pytest.param(1, 1.0, 1.0, id="the-first-at-its-longest"),
        pytest.param(3, 1.0, 4.0, id="doubled-each-time"),
        pytest.param(7, 0.0, 30.0, id="jitter-halves-the-longest"),
        pytest.param(30, 1.0, LONGEST_PAUSE, id="never-over-a-minute"),
    ],
)
def test_without_retry_after_pauses_grow_with_each_attempt(attempt: int, jitter: float, seconds: float) -> None:
    paced, pauses = pacing(jitter=jitter)
    paced.throttled(attempt, None)
    assert pauses == [seconds]


@pytest.mark.parametrize(
    ("retry_after", "seconds"), [(0.0, 0.5), (7.0, 7.5), (3600.0, LONGEST_PAUSE)], ids=["at-once", "seven", "an-hour"]
)
def test_retry_after_is_obeyed_whatever_the_attempt_within_a_minute(retry_after: float, seconds: float) -> None:
    paced, pauses = pacing(jitter=0.5)
    paced.throttled(5, retry_after)
    assert pauses == [seconds]


def test_who_was_throttled_pauses_without_keeping_the_others_from_their_turns() -> None:
    entered: list[bool] = []

    def pause(seconds: float) -> None:
        other = Turn(paced)
        entered.append(other.has_it.wait(SOON))
        other.leave()

    paced = Pacing(4, pause=pause)
    with paced.turn():
        paced.throttled(1, None)
    assert entered == [True]


@pytest.mark.parametrize(
    ("changes", "size"),
    [
        pytest.param(1, 50, id="one-machine"),
        pytest.param(200, 50, id="fifty-for-each-of-four"),
        pytest.param(201, 51, id="rounded-up"),
        pytest.param(300, 75, id="spread-over-four"),
        pytest.param(5_000, 100, id="many-start-at-a-hundred"),
    ],
)
def test_batches_begin_by_spreading_what_there_is_over_those_that_run_at_once(changes: int, size: int) -> None:
    sizes = Sizes(changes)
    sizes.next()  # one at a time tries a larger one
    assert sizes.next() == size


def test_one_batch_at_a_time_tries_a_quarter_more_and_decides_for_all() -> None:
    sizes = Sizes(5_000)
    assert [sizes.next() for _ in range(3)] == [125, 100, 100]
    sizes.learn(125, looks=1)
    assert [sizes.next() for _ in range(2)] == [156, 125]


def test_what_is_too_large_for_the_first_look_is_not_tried_again() -> None:
    sizes = Sizes(5_000)
    assert sizes.next() == 125
    sizes.learn(125, looks=2)
    assert [sizes.next() for _ in range(3)] == [100, 100, 100]


def test_a_usual_size_that_misses_its_first_look_three_times_in_a_row_shrinks() -> None:
    sizes = Sizes(5_000)
    sizes.next()
    sizes.learn(125, looks=2)
    for looks in (2, 2, 1, 2, 2):
        sizes.learn(100, looks)
    assert sizes.next() == 100, "never three in a row"
    sizes.learn(100, 2)
    assert sizes.next() == 100, "a quarter more than eighty is what may be tried now"
    assert sizes.next() == 80


def test_sizes_stay_between_fifty_and_four_hundred() -> None:
    growing, shrinking = Sizes(100_000), Sizes(5_000)
    for _ in range(20):
        size = growing.next()
        assert size <= 400
        growing.learn(size, looks=1)
    for _ in range(100):
        size = shrinking.next()
        assert size >= 50
        shrinking.learn(size, looks=4)
    assert growing.next() <= 400
    assert shrinking.next() == 50
