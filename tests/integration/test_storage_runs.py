"""The table ``runs`` on a real Table service: etags, indexes, paging and what a crash leaves behind."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from sandbox.azurite import Azurite
from shared.azure.run_row import run_to_row
from shared.azure.runs import Runs, new_run_id
from shared.azure.storage import Storage
from shared.azure.table import Table, Versioned
from shared.errors import EditedElsewhere, IllegalMove, NotFound, StorageError
from shared.model.run import Limits, Mode, Run, RunId, RunStatus
from shared.settings.storage import StorageSettings

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def account() -> Iterator[Azurite]:
    # An account of its own: "newest over all" and "active" look at every run there is.
    with Azurite() as azurite:
        yield azurite


@pytest.fixture
def storage(account: Azurite) -> Iterator[Storage]:
    storage = Storage(StorageSettings(connection_string=account.connection_string))
    yield storage
    table = storage.table("runs")
    for row in list(table.query("PartitionKey ge ''", select=["PartitionKey", "RowKey"])):
        table.delete(row.values["PartitionKey"], row.values["RowKey"])
    storage.close()


@pytest.fixture
def runs(storage: Storage) -> Runs:
    return Runs(storage)


def run(number: int = 0, *, profile: str = "emea", status: RunStatus = RunStatus.QUEUED) -> Run:
    at = NOW + timedelta(seconds=number)
    return Run(new_run_id(at, b"\0" * 5), profile, Mode.REVIEW, status, "http", "olive", at, Limits(200, 25))


def test_a_run_is_found_by_its_id_with_an_etag(runs: Runs) -> None:
    created = runs.create(run())
    assert runs.get(run().id) == created
    assert created.etag


def test_an_unknown_run_is_not_found_whatever_its_id_looks_like(runs: Runs) -> None:
    for run_id in ("0001", "", "a/b", "x' or RowKey ne '", "…"):
        with pytest.raises(NotFound, match="There is no run"):
            runs.get(RunId(run_id))


def test_an_update_needs_the_etag_that_was_read(runs: Runs) -> None:
    created = runs.create(run())
    planning = replace(run(), status=RunStatus.PLANNING)
    updated = runs.update(planning, created)
    assert updated.etag != created.etag
    with pytest.raises(EditedElsewhere, match="it is planning now"):
        runs.update(replace(run(), status=RunStatus.CANCELLED), created)
    assert runs.get(run().id) == updated


def test_a_move_that_the_table_of_states_has_not_is_not_written(runs: Runs) -> None:
    created = runs.create(run())
    with pytest.raises(IllegalMove, match="queued cannot become applying"):
        runs.update(replace(run(), status=RunStatus.APPLYING), created)
    assert runs.get(run().id) == created


def test_an_update_that_meets_its_own_first_attempt_has_succeeded(runs: Runs) -> None:
    created = runs.create(run())
    planning = replace(run(), status=RunStatus.PLANNING)
    first = runs.update(planning, created)
    assert runs.update(planning, created) == first


def test_an_update_of_a_removed_run_is_not_found(runs: Runs) -> None:
    with pytest.raises(NotFound):
        runs.update(run(), Versioned(run(), "W/\"datetime'2026-11-22T00%3A00%3A00.0000000Z'\""))


def test_a_member_that_became_none_is_gone_from_the_row(runs: Runs) -> None:
    created = runs.create(replace(run(), error="broken", reason="drill"))
    runs.update(replace(run(), reason="drill"), created)
    read = runs.get(run().id).value
    assert (read.error, read.reason) == (None, "drill")


def test_creating_a_run_again_leaves_the_stored_one_alone(runs: Runs) -> None:
    created = runs.create(run())
    planning = runs.update(replace(run(), status=RunStatus.PLANNING), created)
    assert runs.create(run()) == planning
    assert runs.newest("emea", None, None, 10) == [planning.value]


def test_a_creation_that_broke_off_after_any_row_is_completed_by_the_next(storage: Storage, runs: Runs) -> None:
    active = {"PartitionKey": "active", "RowKey": run().id}
    for rows_that_made_it in ([], [active], [active, run_to_row(run())]):
        for row in rows_that_made_it:
            storage.table("runs").put(row)
        runs.create(run())
        assert runs.active() == [run().id]
        assert runs.newest("emea", None, None, 10) == [run()]
        assert runs.newest(None, None, None, 10) == [run()]


def test_repeating_the_creation_of_a_finished_run_does_not_make_it_active(runs: Runs) -> None:
    created = runs.create(run())
    runs.update(replace(run(), status=RunStatus.CANCELLED), created)
    runs.create(run())
    assert runs.active() == []


def test_the_active_runs_are_those_at_work(runs: Runs) -> None:
    read = runs.create(run())
    for status, at_work in [
        (RunStatus.PLANNING, True),
        (RunStatus.AWAITING_REVIEW, False),
        (RunStatus.APPLYING, True),
        (RunStatus.COMPLETED_WITH_ERRORS, False),
        (RunStatus.ROLLING_BACK, True),
        (RunStatus.ROLLED_BACK, False),
    ]:
        read = runs.update(replace(run(), status=status), read)
        assert runs.active() == ([run().id] if at_work else [])


def test_an_index_row_that_a_crash_left_is_forgotten_once_it_is_old(storage: Storage, runs: Runs) -> None:
    resting = run(1, status=RunStatus.COMPLETED)
    runs.create(resting)
    runs.create(run(2))
    never_stored = run(3)
    for each in (resting, never_stored):
        storage.table("runs").put({"PartitionKey": "active", "RowKey": each.id})
    soon, later = datetime.now(UTC), datetime.now(UTC) + timedelta(minutes=11)
    assert not runs.forget_rested(resting.id, soon)
    assert not runs.forget_rested(run(2).id, later)
    assert runs.forget_rested(resting.id, later)
    assert runs.forget_rested(never_stored.id, later)
    assert runs.active() == [run(2).id]


def test_runs_are_listed_newest_first_page_by_page(runs: Runs) -> None:
    made = [run(n, profile="emea" if n % 3 else "apac") for n in range(25)]
    for each in made:
        runs.create(each)
    newest = sorted(made, key=lambda r: r.created_at, reverse=True)
    assert pages(runs, None) == newest
    assert pages(runs, "emea") == [r for r in newest if r.profile == "emea"]
    assert pages(runs, "nowhere") == []


def test_a_list_can_be_narrowed_to_statuses(runs: Runs) -> None:
    for n in range(12):
        runs.create(run(n, status=RunStatus.FAILED if n % 4 == 0 else RunStatus.COMPLETED))
    failed = frozenset({RunStatus.FAILED, RunStatus.CANCELLED})
    expected = [run(n, status=RunStatus.FAILED) for n in (8, 4, 0)]
    for profile in (None, "emea"):
        assert runs.newest(profile, failed, None, 10) == expected
        assert runs.newest(profile, failed, None, 2) == expected[:2]
        assert runs.newest(profile, frozenset(), None, 10) == []


def test_the_newest_plan_of_a_profile_is_its_newest_run_with_a_fingerprint(runs: Runs) -> None:
    assert runs.newest_plan("emea") is None
    runs.create(run(0))
    assert runs.newest_plan("emea") is None
    for number in (1, 2):
        runs.create(replace(run(number, status=RunStatus.FAILED), fingerprint=f"plan-{number}"))
    for number in range(3, 30):
        runs.create(run(number))
    runs.create(replace(run(40, profile="apac"), fingerprint="another profile's"))
    newest = runs.newest_plan("emea")
    assert newest is not None
    assert newest.fingerprint == "plan-2"


def test_profiles_whose_names_begin_alike_do_not_mix(runs: Runs) -> None:
    runs.create(run(1, profile="emea"))
    runs.create(run(2, profile="emea-vdi"))
    assert [r.profile for r in runs.newest("emea", None, None, 10)] == ["emea"]


def test_a_run_of_a_newer_version_hides_no_other(storage: Storage, runs: Runs) -> None:
    ours, theirs = run(1), run(2)
    runs.create(ours)
    runs.create(theirs)
    newer = Table(storage.table("runs")._client, "acme", upgrades=(dict,))  # a version that has one step more
    for row in list(storage.table("runs").query(f"RowKey eq '{theirs.id}'")):
        newer.put(row.values)
    assert runs.active() == [theirs.id, ours.id]
    assert list(runs.created_before(NOW + timedelta(days=1))) == [("emea", theirs.id), ("emea", ours.id)]
    assert runs.count_since("emea", NOW, 10) == 2
    assert runs.newest(None, None, None, 10) == runs.newest("emea", None, None, 10) == [ours]
    assert list(runs.newest_first("emea", 10)) == [ours]
    with pytest.raises(StorageError, match="newer version of Realign.*Deploy that version again"):
        runs.get(theirs.id)
    with pytest.raises(StorageError, match="newer version of Realign"):  # whose plan may be the newest
        runs.newest_plan("emea")


def pages(runs: Runs, profile: str | None) -> list[Run]:
    found: list[Run] = []
    while page := runs.newest(profile, None, found[-1].id if found else None, 7):
        assert len(page) <= 7
        found += page
    return found
