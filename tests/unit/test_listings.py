"""One reader a Prism host, and a listing that serves several scheduled runs (design, section 8)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import pytest

from shared.model.nutanix import ClusterReading, ReadStatus
from shared.runs.reading.listings import FRESH_SECONDS, Listings, Source, Wish
from shared.runs.reading.turns import Turns
from tests.unit.planning.builders import central, job, silent, vm

PARIS = Source("https://pc.example:9440", "corp-ca", "central-v4", "prism-paris", "v1", ())
LONG = 30.0  # seconds; a test that needs them has failed


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Prism:
    """Counts its reads; each answer is another, so that a test sees which one it got."""

    reads: int = 0
    answer: Callable[[int], ClusterReading] = field(
        default=lambda number: central("paris", {"C": [vm(f"u{number}")]}, jobs=[job(("a", "b"))])
    )

    def __call__(self) -> ClusterReading:
        self.reads += 1
        return self.answer(self.reads)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def listings(clock: Clock) -> Listings:
    return Listings(clock)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as threads:
        yield threads


def read(
    listings: Listings,
    prism: Callable[[], ClusterReading],
    source: Source = PARIS,
    *,
    name: str = "paris",
    shared: bool = True,
    keep: bool = True,
    patience: float = LONG,
) -> ClusterReading:
    found = listings.read(source, prism, Wish(shared, keep), name=name, patience=patience)
    assert found is not None
    return found


def test_a_scheduled_run_takes_over_a_listing_under_a_minute_old(listings: Listings, clock: Clock) -> None:
    prism = Prism()
    first = read(listings, prism)
    clock.now += FRESH_SECONDS - 0.1
    assert read(listings, prism) == first
    assert prism.reads == 1


def test_an_older_listing_is_read_anew_and_then_serves_again(listings: Listings, clock: Clock) -> None:
    prism = Prism()
    first = read(listings, prism)
    clock.now += FRESH_SECONDS
    second = read(listings, prism)
    assert second != first
    assert read(listings, prism) == second
    assert prism.reads == 2


def test_a_run_that_wants_its_own_reads_although_there_is_a_fresh_one(listings: Listings) -> None:
    prism = Prism()
    first = read(listings, prism)
    assert read(listings, prism, shared=False) != first
    assert prism.reads == 2


def test_what_such_a_run_has_read_serves_scheduled_runs(listings: Listings) -> None:
    prism = Prism()
    own = read(listings, prism, shared=False)
    assert read(listings, prism) == own
    assert prism.reads == 1


def test_a_listing_that_was_read_in_haste_serves_nobody_else(listings: Listings) -> None:
    prism = Prism()
    hasty = read(listings, prism, shared=False, keep=False)
    assert read(listings, prism) != hasty
    assert prism.reads == 2


OTHERS = [
    pytest.param({"host": "https://pc2.example:9440"}, id="host"),
    pytest.param({"ca": "another-ca"}, id="ca"),
    pytest.param({"api": "central-v3"}, id="api"),
    pytest.param({"secret": "prism-amsterdam"}, id="credential"),
    pytest.param({"version": "v2"}, id="a rotated credential"),
    pytest.param({"prism_clusters": ("C1",)}, id="registered clusters"),
]


@pytest.mark.parametrize("change", OTHERS)
def test_only_the_same_question_by_the_same_asker_is_answered_from_memory(
    listings: Listings, change: dict[str, str | tuple[str, ...]]
) -> None:
    prism = Prism()
    read(listings, prism)
    read(listings, prism, replace(PARIS, **change))  # type: ignore[arg-type]
    assert prism.reads == 2


def test_another_profile_gets_it_under_its_own_name_for_the_cluster(listings: Listings) -> None:
    prism = Prism()
    first = read(listings, prism)
    second = read(listings, prism, name="pc-one")
    assert (second.name, {one.cluster for one in second.vms}) == ("pc-one", {"pc-one"})
    assert (second.jobs, second.registered, second.api) == (first.jobs, first.registered, first.api)
    assert [replace(one, cluster="paris") for one in second.vms] == list(first.vms)
    assert prism.reads == 1


def test_what_did_not_answer_is_not_asked_again_by_everyone_either(listings: Listings) -> None:
    prism = Prism(answer=lambda number: silent("paris"))
    assert [read(listings, prism).status for _ in range(50)] == [ReadStatus.UNREACHABLE] * 50
    assert prism.reads == 1


def test_a_read_that_breaks_off_leaves_the_host_to_the_next(listings: Listings) -> None:
    def broken() -> ClusterReading:
        raise ValueError("not understood")

    with pytest.raises(ValueError, match="not understood"):
        read(listings, broken)
    assert read(listings, Prism(), patience=0).status is ReadStatus.ANSWERED


class Slow:
    """A Prism whose answer a test lets through; it counts who reads it at the same time."""

    def __init__(self) -> None:
        self.asked, self.go = threading.Event(), threading.Event()
        self.reads = 0
        self.at_once = 0
        self.most_at_once = 0
        self._guard = threading.Lock()

    def __call__(self) -> ClusterReading:
        with self._guard:
            self.reads += 1
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        self.asked.set()
        assert self.go.wait(LONG)
        with self._guard:
            self.at_once -= 1
        return central("paris", {"C": [vm(f"u{self.reads}")]})


def begun(pool: ThreadPoolExecutor, listings: Listings, slow: Slow) -> Future[ClusterReading]:
    """A read that holds its host until ``slow.go``."""
    future = pool.submit(read, listings, slow)
    assert slow.asked.wait(LONG)
    return future


def test_runs_that_come_while_one_reads_wait_for_it_and_take_its_listing(
    listings: Listings, pool: ThreadPoolExecutor
) -> None:
    slow = Slow()
    first = begun(pool, listings, slow)
    others = [pool.submit(read, listings, slow) for _ in range(5)]
    slow.go.set()
    assert {other.result(LONG) for other in others} == {first.result(LONG)}
    assert slow.reads == 1


def test_runs_that_want_their_own_read_one_after_the_other(listings: Listings, pool: ThreadPoolExecutor) -> None:
    slow = Slow()
    first = begun(pool, listings, slow)
    others = [pool.submit(read, listings, slow, shared=False) for _ in range(5)]
    slow.go.set()
    assert len({each.result(LONG).vms for each in (first, *others)}) == 6
    assert slow.most_at_once == 1


def test_two_credentials_for_one_host_read_one_after_the_other_too(
    listings: Listings, pool: ThreadPoolExecutor
) -> None:
    slow = Slow()
    first = begun(pool, listings, slow)
    second = pool.submit(read, listings, slow, replace(PARIS, secret="other"))
    slow.go.set()
    assert first.result(LONG) != second.result(LONG)
    assert slow.most_at_once == 1


def test_another_host_is_not_kept_waiting(listings: Listings, pool: ThreadPoolExecutor) -> None:
    slow = Slow()
    first = begun(pool, listings, slow)
    assert read(listings, Prism(), replace(PARIS, host="https://pc2.example:9440"), patience=0)
    assert not first.done()
    slow.go.set()
    first.result(LONG)


def test_whoever_has_no_time_to_wait_gets_nothing(listings: Listings, pool: ThreadPoolExecutor) -> None:
    slow, prism = Slow(), Prism()
    first = begun(pool, listings, slow)
    for patience in (0.01, 0.0, -5.0):
        none = listings.read(PARIS, prism, Wish(shared=True, keep=True), name="paris", patience=patience)
        assert none is None
    assert prism.reads == 0
    slow.go.set()
    first.result(LONG)


def test_no_listing_is_kept_much_longer_than_it_may_serve(listings: Listings, clock: Clock) -> None:
    """Twenty thousand VMs are much memory: the next read of any host frees it."""
    read(listings, Prism())
    clock.now += FRESH_SECONDS
    read(listings, Prism(), replace(PARIS, host="https://pc2.example:9440"))
    clock.now -= FRESH_SECONDS  # had it been kept, it would be fresh again
    again = Prism()
    read(listings, again)
    assert again.reads == 1


def test_a_listing_that_tells_of_trouble_is_not_taken_over_under_another_name(listings: Listings) -> None:
    """Its sentence calls the cluster by the name that it has in the first profile."""
    prism = Prism(answer=lambda number: replace(central("paris", {"C": []}), error="Cluster paris listed 3 of 4 VMs."))
    read(listings, prism)
    assert read(listings, prism).error
    assert prism.reads == 1
    read(listings, prism, name="site-a")
    assert prism.reads == 2


def test_a_dr_run_goes_before_those_who_wait_already() -> None:
    turns = Turns()
    order: list[str] = []
    with ThreadPoolExecutor(3) as pool, turns.take(urgent=False, patience=LONG) as mine:
        assert mine

        def wait(name: str, *, urgent: bool) -> None:
            with turns.take(urgent=urgent, patience=LONG) as came:
                assert came
                order.append(name)

        scheduled = [pool.submit(wait, "scheduled", urgent=False) for _ in range(2)]
        urgent = pool.submit(wait, "dr", urgent=True)
        while not turns._urgent:
            assert not urgent.done()
    for done in (*scheduled, urgent):
        done.result(LONG)
    assert order == ["dr", "scheduled", "scheduled"]


def test_a_turn_that_broke_off_is_free_for_the_next() -> None:
    turns = Turns()
    with pytest.raises(KeyError), turns.take(urgent=True, patience=LONG):
        raise KeyError
    with turns.take(urgent=False, patience=0.0) as mine:
        assert mine
