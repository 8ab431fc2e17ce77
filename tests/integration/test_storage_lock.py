"""The locks of profiles and sites on a real Table service. Time is the test's own: nobody waits for 60 seconds."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from sandbox.azurite import Azurite
from shared.azure.lock import Held, Lock, LockKind, Locks
from shared.azure.storage import Storage
from shared.errors import LockLost, StorageError
from shared.model.run import RunId
from shared.settings.storage import StorageSettings

A, B = RunId("run-a"), RunId("run-b")
PROFILE, SITE = LockKind.PROFILE, LockKind.SITE


class Time:
    def __init__(self) -> None:
        self.now = datetime(2026, 11, 22, 12, tzinfo=UTC)
        self.seconds = 1000.0

    def pass_by(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        self.seconds += seconds

    def clock(self) -> datetime:
        return self.now

    def monotonic(self) -> float:
        return self.seconds


@pytest.fixture(scope="module")
def storage(azurite: Azurite) -> Iterator[Storage]:
    storage = Storage(StorageSettings(connection_string=azurite.connection_string))
    yield storage
    storage.close()


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def locks(storage: Storage, time: Time) -> Locks:
    return Locks(storage, clock=time.clock, monotonic=time.monotonic)


@pytest.fixture
def profile() -> str:
    return f"p-{uuid.uuid4().hex}"


def taken(locks: Locks, profile: str, run: RunId, token: str, time: Time) -> Lock:
    lock = locks.acquire(PROFILE, profile, run, token, time.now)
    assert isinstance(lock, Lock)
    return lock


def test_a_second_worker_learns_who_has_the_lock_and_until_when(locks: Locks, profile: str, time: Time) -> None:
    taken(locks, profile, A, "a", time).check()
    assert locks.acquire(PROFILE, profile, B, "b", time.now) == Held(A, time.now + timedelta(seconds=60))
    # Another worker on the same run is another worker.
    assert isinstance(locks.acquire(PROFILE, profile, A, "b", time.now), Held)
    assert locks.holder(PROFILE, profile, time.now) == Held(A, time.now + timedelta(seconds=60))


def test_profiles_do_not_block_each_other(locks: Locks, profile: str, time: Time) -> None:
    taken(locks, profile, A, "a", time)
    taken(locks, f"{profile}-other", B, "b", time)


def test_a_site_and_a_profile_of_one_name_do_not_block_each_other(locks: Locks, profile: str, time: Time) -> None:
    taken(locks, profile, A, "a", time)
    site = locks.acquire(SITE, profile, B, "b", time.now)
    assert isinstance(site, Lock)
    assert (site.kind, site.key, site.run_id) == (SITE, profile, B)
    assert locks.holder(SITE, profile, time.now) == Held(B, time.now + timedelta(seconds=60))
    site.release()
    assert locks.holder(PROFILE, profile, time.now) == Held(A, time.now + timedelta(seconds=60))


def test_a_site_whose_id_no_table_key_holds_can_be_locked_and_is_named(locks: Locks, profile: str, time: Time) -> None:
    lock = locks.acquire(SITE, f"{profile}/site#1", A, "a", time.now)
    assert isinstance(lock, Lock)
    assert locks.holder(SITE, f"{profile}/site#1", time.now) is not None
    lock.renew()
    lock.release()
    with pytest.raises(LockLost, match=f"The lock of site {profile}/site#1 was lost while run run-a worked"):
        lock.check()
    assert locks.holder(SITE, f"{profile}/site#1", time.now) is None
    with pytest.raises(StorageError, match="The site cannot be locked"):
        locks.acquire(SITE, "x" * 300, A, "a", time.now)


def test_a_released_lock_is_free_and_its_holder_may_no_longer_write(locks: Locks, profile: str, time: Time) -> None:
    lock = taken(locks, profile, A, "a", time)
    lock.release()
    assert locks.holder(PROFILE, profile, time.now) is None
    with pytest.raises(LockLost):
        lock.check()
    taken(locks, profile, B, "b", time).check()


def test_an_expired_lock_is_taken_over_and_the_first_holder_finds_out(locks: Locks, profile: str, time: Time) -> None:
    first = taken(locks, profile, A, "a", time)
    time.pass_by(59)
    assert isinstance(locks.acquire(PROFILE, profile, B, "b", time.now), Held)
    time.pass_by(2)
    assert locks.holder(PROFILE, profile, time.now) is None
    second = taken(locks, profile, B, "b", time)
    with pytest.raises(LockLost, match="run-a"):
        first.check()
    first.release()  # must not remove what is another's by now
    assert locks.holder(PROFILE, profile, time.now) == Held(B, time.now + timedelta(seconds=60))
    second.check()


def test_the_holder_stops_before_others_may_take_over(locks: Locks, profile: str, time: Time) -> None:
    lock = taken(locks, profile, A, "a", time)
    time.pass_by(49)
    lock.check()
    time.pass_by(2)
    with pytest.raises(LockLost):
        lock.check()
    with pytest.raises(LockLost):  # too late to renew, too
        lock.renew()


def test_a_renewed_lock_lives_on(locks: Locks, profile: str, time: Time) -> None:
    lock = taken(locks, profile, A, "a", time)
    for _ in range(6):
        time.pass_by(30)
        lock.renew()
        lock.check()
    assert locks.acquire(PROFILE, profile, B, "b", time.now) == Held(A, time.now + timedelta(seconds=60))


def test_a_renewal_finds_that_another_took_over(locks: Locks, storage: Storage, profile: str, time: Time) -> None:
    lock = taken(locks, profile, A, "a", time)
    # B's clock is far ahead.
    taken(locks, profile, B, "b", _ahead(time))
    with pytest.raises(LockLost, match="another worker took over"):
        lock.renew()
    with pytest.raises(LockLost):
        lock.check()


def test_the_fencing_number_grows_over_takeover_and_release(locks: Locks, profile: str, time: Time) -> None:
    numbers = []
    for token in "abcd":
        lock = taken(locks, profile, A, token, time)
        numbers.append(lock.fencing)
        if token == "b":
            lock.release()
        time.pass_by(61)
    assert numbers == sorted(set(numbers))


def test_a_worker_whose_answer_was_lost_gets_its_own_lock_again(locks: Locks, profile: str, time: Time) -> None:
    taken(locks, profile, A, "a", time)
    again = taken(locks, profile, A, "a", time)
    again.renew()
    again.check()


def test_one_of_many_workers_gets_the_lock(storage: Storage, profile: str, time: Time) -> None:
    locks = Locks(storage, clock=time.clock, monotonic=time.monotonic)
    results: list[Lock | Held] = []
    start = threading.Barrier(8)

    def worker(number: int) -> None:
        start.wait()
        results.append(locks.acquire(PROFILE, profile, RunId(f"run-{number}"), f"token-{number}", time.now))

    workers = [threading.Thread(target=worker, args=(n,)) for n in range(8)]
    for each in workers:
        each.start()
    for each in workers:
        each.join()
    winners = [result for result in results if isinstance(result, Lock)]
    assert len(winners) == 1
    assert {result.run_id for result in results} == {winners[0].run_id}


def test_as_a_context_manager_it_renews_itself_and_lets_go(storage: Storage, profile: str) -> None:
    locks = Locks(storage, renew_every=0.05)
    now = datetime.now(UTC)
    lock = locks.acquire(PROFILE, profile, A, "a", now)
    assert isinstance(lock, Lock)
    first = locks.holder(PROFILE, profile, now)
    with lock:
        deadline = threading.Event()
        for _ in range(200):
            if locks.holder(PROFILE, profile, now) != first:
                break
            deadline.wait(0.05)
        assert locks.holder(PROFILE, profile, now) != first
        lock.check()
    assert locks.holder(PROFILE, profile, now) is None
    assert not [thread for thread in threading.enumerate() if thread.name == f"lock-profile-{profile}"]


def test_the_renewer_ends_when_the_lock_is_lost(
    storage: Storage, profile: str, caplog: pytest.LogCaptureFixture
) -> None:
    locks = Locks(storage, renew_every=0.05)
    now = datetime.now(UTC)
    lock = locks.acquire(PROFILE, profile, A, "a", now)
    assert isinstance(lock, Lock)
    with lock:
        other: Lock | Held = Held(A, now)
        while isinstance(other, Held):  # a renewal may come in between
            other = locks.acquire(PROFILE, profile, B, "b", now + timedelta(minutes=5))
        renewer = next(thread for thread in threading.enumerate() if thread.name == f"lock-profile-{profile}")
        renewer.join(10)
        assert not renewer.is_alive()
        with pytest.raises(LockLost):
            lock.check()
    assert "lock lost" in caplog.text
    assert locks.holder(PROFILE, profile, now) is not None
    other.release()


def _ahead(time: Time) -> Time:
    ahead = Time()
    ahead.now = time.now + timedelta(minutes=5)
    return ahead


def test_a_renewal_whose_answer_was_lost_does_not_lose_the_lock(locks: Locks, profile: str, time: Time) -> None:
    lock = taken(locks, profile, A, "a", time)
    stale = lock._etag
    lock.renew()
    lock._etag = stale  # the service wrote it, and the worker never heard
    time.pass_by(15)
    lock.renew()
    lock.check()
    lock._etag = stale
    lock.release()
    assert locks.holder(PROFILE, profile, time.now) is None


def test_a_lock_that_another_took_over_is_neither_renewed_nor_released(locks: Locks, profile: str, time: Time) -> None:
    lost = taken(locks, profile, A, "a", time)
    time.pass_by(61)
    other = taken(locks, profile, B, "b", time)
    lost.release()
    other.check()
    assert locks.holder(PROFILE, profile, time.now) == Held(B, time.now + timedelta(seconds=60))
