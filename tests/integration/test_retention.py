"""Retention: what is old and at rest goes, whole; what is not stays, whole; a removal that breaks off is taken up."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta

import pytest

from sandbox.azurite import Azurite
from shared.azure.holds import Hold
from shared.azure.storage import TABLES, Storage
from shared.azure.table import Table, Versioned
from shared.errors import NotFound, StorageError
from shared.model.notice import Notice, NoticeEvent
from shared.model.remap import ZoneMove, ZoneMoveState
from shared.model.run import Run, RunId, RunStatus
from shared.runs.retention import Removed, remove_old
from shared.settings.settings import load
from shared.settings.storage import StorageSettings
from tests.integration.workplace import OLIVE, W11, Workplace, workplace

DAYS_90 = timedelta(days=90).total_seconds()
AN_HOUR = 3600.0


@pytest.fixture
def place() -> Iterator[Workplace]:
    # an account of its own: retention looks at every run there is
    with Azurite() as azurite, workplace(azurite) as made:
        yield made


@pytest.fixture
def storage(place: Workplace) -> Iterator[Storage]:
    storage = Storage(StorageSettings(connection_string=place.sandbox.environ["AzureWebJobsStorage"]))
    yield storage
    storage.close()


def rows_with(storage: Storage, run_id: RunId) -> list[str]:
    """Whatever names the run in a key, by table."""
    return [
        f"{name} {row.values['PartitionKey']} {row.values['RowKey']}"
        for name in TABLES
        for row in storage.table(name).query("PartitionKey ge ''", select=["PartitionKey", "RowKey"])
        if run_id in f"{row.values['PartitionKey']} {row.values['RowKey']}"
    ]


def test_a_run_is_kept_for_ninety_days_and_then_goes_with_all_that_belongs_to_it(
    place: Workplace, storage: Storage
) -> None:
    run_id = place.applied(scope={"machines": list(W11)})
    place.resources.zone_moves.put(
        run_id, ZoneMove("Desktops", "c", "Paris", "p", "Amsterdam", "a", ZoneMoveState.MOVED)
    )
    place.resources.notices.keep(run_id, Notice("k", NoticeEvent.COMPLETED, "{}", place.clock(), place.clock()))
    kept = {re.split(r"[ :]", line)[1] for line in rows_with(storage, run_id)}
    assert kept >= {"run", "profile", "batch", "zone", "notice"}
    place.clock.advance(DAYS_90 - AN_HOUR)
    assert remove_old(place.resources).runs == 0
    assert place.run(run_id).status is RunStatus.COMPLETED
    place.clock.advance(2 * AN_HOUR)
    assert remove_old(place.resources) == Removed(runs=1, failed=0, expired=0, whole=True)
    with pytest.raises(NotFound, match="old runs are removed"):
        place.resources.runs.get(run_id)
    left = rows_with(storage, run_id)
    assert [line.split(":")[0] for line in left] == ["remaps departed"], "the VMs that nobody may go back to"
    assert place.resources.runs.newest(None, None, None, 10) == []


def test_the_days_are_counted_from_the_last_change(place: Workplace) -> None:
    run_id = place.applied()
    place.clock.advance(DAYS_90 - AN_HOUR)
    assert place.rolled_back(run_id).status is RunStatus.ROLLED_BACK
    place.clock.advance(2 * AN_HOUR)
    assert remove_old(place.resources).runs == 0
    place.clock.advance(DAYS_90)
    assert remove_old(place.resources).runs == 1


def test_a_run_at_work_is_never_removed(place: Workplace) -> None:
    waiting = place.started(place.profile())
    place.clock.advance(2 * DAYS_90)
    assert remove_old(place.resources).runs == 0
    place.work()
    assert place.run(waiting).status is RunStatus.AWAITING_REVIEW


@pytest.mark.parametrize("approved", [False, True], ids=["proposed", "approved"])
def test_a_plan_that_may_still_be_decided_on_is_not_removed(place: Workplace, approved: bool) -> None:
    place.resources.settings = load({**place.sandbox.environ, "REALIGN_RETENTION_DAYS": "1"})
    waiting = place.planned(place.profile({"planMaxAgeHours": 720}))
    if approved:
        place.approve(waiting, apply=False)
    over = place.planned(place.profile(), mode="report")
    place.clock.advance(29 * 24 * AN_HOUR)
    assert remove_old(place.resources).runs == 1
    with pytest.raises(NotFound):
        place.run(over)
    if approved:
        place.apply(waiting)
    else:
        place.approve(waiting)
    place.clock.advance(2 * 24 * AN_HOUR)
    place.work()
    assert place.run(waiting).status is RunStatus.COMPLETED


def test_a_run_that_somebody_goes_on_with_meanwhile_stays_whole(
    place: Workplace, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = place.applied()
    place.clock.advance(2 * DAYS_90)
    before = rows_with(storage, run_id)
    remove = place.resources.runs.remove

    def removed_a_moment_later(read: Versioned[Run]) -> bool:
        place.order_roll_back(run_id)
        return remove(read)

    monkeypatch.setattr(place.resources.runs, "remove", removed_a_moment_later)
    assert remove_old(place.resources).runs == 0
    assert set(before) <= set(rows_with(storage, run_id))
    place.work()
    assert place.run(run_id).status is RunStatus.ROLLED_BACK


def test_a_removal_that_broke_off_is_taken_up_again(
    place: Workplace, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = place.applied()
    place.clock.advance(2 * DAYS_90)

    def fails(_: Table, partition: str) -> None:
        raise StorageError(f"no answer for {partition}", kind="timeout", system="Storage")

    with monkeypatch.context() as broken:
        broken.setattr(Table, "empty", fails)
        assert remove_old(place.resources) == Removed(runs=0, failed=1, expired=0, whole=True)
    with pytest.raises(NotFound):
        place.resources.runs.get(run_id)
    assert any(line.startswith("remaps") for line in rows_with(storage, run_id))
    assert remove_old(place.resources).runs == 1
    assert [line for line in rows_with(storage, run_id) if "departed" not in line] == []


def test_what_has_no_time_left_waits_for_the_next_start(place: Workplace) -> None:
    profile = place.profile()
    place.planned(profile)
    place.planned(profile)
    place.clock.advance(2 * DAYS_90)
    assert remove_old(place.resources, longest=-1) == Removed(runs=0, failed=0, expired=0, whole=False)
    assert remove_old(place.resources).runs == 2


def test_what_has_expired_goes_too(place: Workplace, storage: Storage) -> None:
    resources, now = place.resources, place.clock()
    resources.idempotency.claim("emea", OLIVE.name, "key", "hash", RunId("a"), now)
    resources.refusals.remember("prism-paris", "v1", "prism.example", now)
    resources.holds.put("emea", Hold(now + timedelta(hours=24), OLIVE.name, now))
    place.clock.advance(23 * AN_HOUR)
    assert remove_old(resources).expired == 0
    assert resources.idempotency.find("emea", OLIVE.name, "key", "hash", place.clock()) == "a"
    place.clock.advance(2 * AN_HOUR)
    assert remove_old(resources).expired == 3
    for name in ("idempotency", "refusals", "locks"):
        assert list(storage.table(name).query("PartitionKey ge ''")) == [], name


def test_what_a_removed_run_moved_away_from_is_still_no_candidate(place: Workplace) -> None:
    place.applied()
    before = place.resources.departed.of(place.site.id)
    assert len(before) > 0
    place.clock.advance(2 * DAYS_90)
    assert remove_old(place.resources).runs == 1
    assert place.resources.departed.of(place.site.id) == before
