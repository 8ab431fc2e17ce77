"""When a run that settles looks again, and what it keeps between two looks (design, section 4, "Settling")."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.model.run import Limits, Mode, Run, RunId, RunStatus
from shared.runs.reading.gathered import KEPT_SECONDS, MOST_KEPT, Gathered, Settling
from shared.runs.settle import next_look
from tests.unit.planning.builders import element, machine, site, vm

BEGAN = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)


def run(settle: int, *, started: datetime | None = BEGAN) -> Run:
    return Run(
        id=RunId("r"),
        profile="emea",
        mode=Mode.REVIEW,
        status=RunStatus.PLANNING,
        trigger="http",
        requested_by="ann",
        created_at=BEGAN - timedelta(hours=1),
        started_at=started,
        limits=Limits(1, 1),
        target="amsterdam",
        settle_seconds=settle,
    )


def at(seconds: float) -> datetime:
    return BEGAN + timedelta(seconds=seconds)


LOOKS = [
    pytest.param(600, 0, 5, id="soon at first"),
    pytest.param(600, 29, 34, id="soon until half a minute has gone"),
    pytest.param(600, 30, 45, id="less often afterwards"),
    pytest.param(600, 300, 315, id="as often in the middle"),
    pytest.param(600, 590, 600, id="a last time when the time is up"),
    pytest.param(600, 599.5, 600, id="however little is left"),
    pytest.param(3, 0, 3, id="not beyond a short time"),
    pytest.param(600, 600, None, id="the time is up"),
    pytest.param(600, 4_000, None, id="the time is long up"),
    pytest.param(0, 0, None, id="the run does not settle"),
]


@pytest.mark.parametrize(("settle", "now", "expected"), LOOKS)
def test_the_next_look(settle: int, now: float, expected: float | None) -> None:
    assert next_look(run(settle), at(now)) == (None if expected is None else at(expected))


def test_the_time_counts_from_the_first_look_and_not_from_the_request() -> None:
    """A run may wait an hour in the queue for another one."""
    assert next_look(run(60), at(1)) == at(6)
    assert next_look(run(60, started=None), at(1)) is None


@given(settle=st.integers(0, 1_800), reading=st.floats(0.1, 300))
def test_a_run_that_stays_unsettled_ends_in_time_with_a_look_at_the_very_end(settle: int, reading: float) -> None:
    """Each look takes ``reading`` seconds; the last one begins when the time is up, or where it passes."""
    looks, now = 0, BEGAN
    while True:
        looks, now = looks + 1, now + timedelta(seconds=reading)
        again = next_look(run(settle), now)
        if again is None:
            break
        assert now < again <= at(settle)
        now = again
    assert at(settle) <= now <= at(settle + reading) or looks == 1
    assert looks <= 6 + settle / 15 + 2


def gathered(label: str) -> Gathered:
    return Gathered(site(machine(holds=label)), (element("paris", vm(label)),))


def test_what_a_run_has_read_is_there_for_its_next_look_once() -> None:
    settling = Settling()
    settling.keep(RunId("r1"), gathered("u1"))
    settling.keep(RunId("r2"), gathered("u2"))
    assert settling.take(RunId("r1")) == gathered("u1")
    assert settling.take(RunId("r1")) is None
    assert settling.take(RunId("r2")) == gathered("u2")


def test_a_run_of_another_process_finds_nothing_and_reads_all_again() -> None:
    assert Settling().take(RunId("r1")) is None


def test_only_so_many_are_kept_and_the_oldest_goes_first() -> None:
    settling = Settling()
    for number in range(MOST_KEPT):
        settling.keep(RunId(f"r{number}"), gathered(f"u{number}"))
    settling.keep(RunId("r0"), gathered("later"))  # kept anew: no longer the oldest
    settling.keep(RunId("last"), gathered("last"))
    assert settling.take(RunId("r1")) is None
    assert settling.take(RunId("r0")) == gathered("later")
    assert settling.take(RunId("last")) == gathered("last")


def test_what_was_read_long_ago_is_read_anew() -> None:
    """The run went on in another process, or its message was lost."""
    now = [0.0]
    settling = Settling(lambda: now[0])
    settling.keep(RunId("a"), gathered("a"))
    settling.keep(RunId("b"), gathered("b"))
    now[0] = KEPT_SECONDS + 1
    settling.keep(RunId("c"), gathered("c"))
    assert settling.take(RunId("a")) is None
    now[0] = 1.0
    assert settling.take(RunId("b")) is None, "it is not held in memory any more either"
    assert settling.take(RunId("c")) == gathered("c")
