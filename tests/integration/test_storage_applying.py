"""What applying keeps beside the remaps, on a real Table service: batches, zone moves, holds, departed VMs, events."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from sandbox.azurite import Azurite
from shared.azure.batches import MOST_MACHINES, Batches
from shared.azure.departed import Departed
from shared.azure.events import Events
from shared.azure.holds import Hold, Holds
from shared.azure.runs import Runs
from shared.azure.storage import Storage
from shared.azure.zone_moves import ZoneMoves
from shared.errors import StorageError
from shared.model.citrix import MachineId
from shared.model.nutanix import VmUuid
from shared.model.remap import Batch, DepartedVm, SendingStep, ZoneMove, ZoneMoveState
from shared.model.run import Event, RunId
from shared.settings.storage import StorageSettings

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def storage(azurite: Azurite) -> Iterator[Storage]:
    storage = Storage(StorageSettings(connection_string=azurite.connection_string))
    yield storage
    storage.close()


@pytest.fixture
def run_id() -> RunId:
    return RunId(uuid.uuid4().hex)


def batch(number: int, *machines: str, step: SendingStep = SendingStep.APPLY) -> Batch:
    return Batch(number, step, tuple(MachineId(each) for each in machines), NOW)


def test_batches_come_back_by_number_with_what_became_known_of_them(storage: Storage, run_id: RunId) -> None:
    batches = Batches(storage)
    made = [batch(n, f"machine-{n}", "S-1/é😀") for n in (2, 10, 1)]
    for each in made:
        batches.put(run_id, each)
    known = replace(made[0], job="job-1")
    ended = replace(known, ended=True)
    for each in (known, ended, ended):
        batches.put(run_id, each)
    assert batches.of(run_id) == [made[2], ended, made[1]]
    batches.put(run_id, made[0])  # as a batch that is to be sent again: its job is forgotten
    assert batches.of(run_id)[1] == made[0]
    assert batches.of(RunId("another")) == []


def test_batches_of_both_steps_and_what_their_items_began_come_back(storage: Storage, run_id: RunId) -> None:
    batches = Batches(storage)
    nested = ((MachineId("b"), "job-2"), (MachineId("S-1/é😀"), "job-3"))
    made = [
        batch(1, "a"),
        replace(batch(2, "b", "S-1/é😀", step=SendingStep.ROLLBACK), job="job-1", nested=nested),
        replace(batch(3, "c"), alone=True),
    ]
    for each in made:
        batches.put(run_id, each)
    assert batches.of(run_id) == made


def test_a_run_is_among_those_of_its_site_until_all_that_it_sent_has_ended(storage: Storage, run_id: RunId) -> None:
    batches, site = Batches(storage), f"site/{run_id}"
    other = RunId(uuid.uuid4().hex)
    for each in (run_id, other, run_id):
        batches.begin(site, each)
    assert sorted(batches.begun(site)) == sorted([run_id, other])
    assert batches.begun("another site") == []
    batches.put(run_id, batch(1, "a"))
    batches.put(run_id, replace(batch(2, "b"), ended=True))
    batches.rest(site, run_id)
    batches.rest(site, other)
    assert batches.begun(site) == [run_id], "a batch of it has not ended"
    batches.put(run_id, replace(batch(1, "a"), ended=True))
    for _ in range(2):
        batches.rest(site, run_id)
    assert batches.begun(site) == []


def test_a_batch_of_400_machines_fits_and_a_larger_one_is_refused(storage: Storage, run_id: RunId) -> None:
    batches = Batches(storage)
    most = batch(1, *(str(uuid.uuid4()) for _ in range(MOST_MACHINES)))
    batches.put(run_id, most)
    assert batches.of(run_id) == [most]
    with pytest.raises(ValueError, match="400 machines, not 401"):
        batches.put(run_id, batch(2, *(str(n) for n in range(401))))
    with pytest.raises(StorageError, match="does not fit table runs"):
        batches.put(run_id, batch(3, *("x" * 200 for _ in range(400))))
    assert len(batches.of(run_id)) == 1


def test_batches_and_zone_moves_are_no_runs(storage: Storage, run_id: RunId) -> None:
    before = Runs(storage).newest(None, None, None, 100)
    Batches(storage).put(run_id, batch(1, "a"))
    ZoneMoves(storage).put(run_id, zone_move("catalog-1"))
    assert Runs(storage).newest(None, None, None, 100) == before


def zone_move(catalog_id: str, state: ZoneMoveState = ZoneMoveState.MOVING) -> ZoneMove:
    return ZoneMove(f"Folder\\{catalog_id}", catalog_id, "Paris", "zone-1", "Amsterdam", "zone-2", state)


def test_the_move_of_a_catalog_is_kept_once_with_its_last_state(storage: Storage, run_id: RunId) -> None:
    moves = ZoneMoves(storage)
    for catalog, state in [
        ("b/2", ZoneMoveState.MOVING),
        ("a", ZoneMoveState.MOVING),
        ("b/2", ZoneMoveState.MOVED),
        ("a", ZoneMoveState.FAILED),
    ]:
        moves.put(run_id, zone_move(catalog, state))
    assert moves.of(run_id) == [zone_move("a", ZoneMoveState.FAILED), zone_move("b/2", ZoneMoveState.MOVED)]
    assert moves.of(RunId("another")) == []
    with pytest.raises(StorageError, match="The move of catalog Folder"):
        moves.put(run_id, zone_move("x" * 300))


@pytest.fixture
def profile() -> str:
    return f"p-{uuid.uuid4().hex}"


def hold(hours: int, by: str = "olive", reason: str | None = "patch day") -> Hold:
    return Hold(NOW + timedelta(hours=hours), by, NOW, reason)


def test_a_hold_is_there_until_its_time_or_its_end(storage: Storage, profile: str) -> None:
    holds = Holds(storage)
    assert holds.get(profile, NOW) is None
    assert holds.put(profile, hold(24)) == hold(24)
    assert holds.get(profile, NOW + timedelta(hours=23)) == hold(24)
    assert holds.get(profile, NOW + timedelta(hours=24)) is None
    assert holds.get(f"{profile}-other", NOW) is None
    assert holds.end(profile)
    assert holds.get(profile, NOW) is None
    assert not holds.end(profile)


def test_a_hold_is_made_longer_but_not_shorter_unless_a_person_says_so(storage: Storage, profile: str) -> None:
    holds = Holds(storage)
    holds.put(profile, hold(24))
    assert holds.put(profile, hold(12, "realign", None)) == hold(24)
    assert holds.get(profile, NOW) == hold(24)
    assert holds.put(profile, hold(48, "realign", None)) == hold(48, "realign", None)
    assert holds.get(profile, NOW) == hold(48, "realign", None)
    assert holds.put(profile, hold(1, "ada"), replace=True) == hold(1, "ada")
    assert holds.get(profile, NOW) == hold(1, "ada")


def test_of_holds_that_are_put_at_once_the_longest_stands(storage: Storage, profile: str) -> None:
    start = threading.Barrier(4)
    failed: list[Exception] = []

    def put(hours: int) -> None:
        start.wait()
        try:
            Holds(storage).put(profile, hold(hours))
        except Exception as error:  # noqa: BLE001  # a thread's failure is the test's
            failed.append(error)

    workers = [threading.Thread(target=put, args=(hours,)) for hours in (1, 2, 3, 4)]
    for each in workers:
        each.start()
    for each in workers:
        each.join()
    assert failed == []
    assert Holds(storage).get(profile, NOW) == hold(4)


def vms(count: int, connection: str = "Nutanix AHV Paris") -> list[DepartedVm]:
    return [DepartedVm(connection, VmUuid(f"00000000-0000-0000-0000-{n:012d}")) for n in range(count)]


def test_departed_vms_are_kept_by_site_and_run(storage: Storage, run_id: RunId) -> None:
    departed, site, other = Departed(storage), f"{run_id}/site", f"{run_id}-other"
    later = RunId(f"{run_id}0")
    departed.put(site, run_id, vms(2_500))
    departed.put(site, later, vms(1, "Another"))
    departed.put(other, run_id, vms(1, "Elsewhere"))
    assert departed.of(site) == frozenset(vms(2_500)) | frozenset(vms(1, "Another"))
    assert departed.of(site, but=run_id) == frozenset(vms(1, "Another"))
    departed.put(site, run_id, vms(120))
    assert departed.of(site) == frozenset(vms(120)) | frozenset(vms(1, "Another"))
    departed.put(site, run_id, [])
    assert departed.of(site) == frozenset(vms(1, "Another"))
    assert departed.of(other) == frozenset(vms(1, "Elsewhere"))
    assert departed.of("nowhere") == frozenset()


def test_departed_vms_with_odd_names_come_back_as_they_were(storage: Storage, run_id: RunId) -> None:
    odd = [DepartedVm('AHV/"Paris"\\#?%', vms(1)[0].uuid), DepartedVm("Zürich 😀", vms(2)[1].uuid)]
    departed = Departed(storage)
    departed.put(run_id, run_id, odd)
    assert departed.of(run_id) == frozenset(odd)
    with pytest.raises(StorageError, match="cannot be stored"):
        departed.put(run_id, run_id, vms(1, "x" * 40_000))


def events_of(events: Events, run_id: RunId) -> list[Event]:
    found: list[Event] = []
    after: str | None = None
    while True:
        page, after = events.page(run_id, after, 1_000)
        found += page
        if after is None:
            return found


def test_many_events_of_one_moment_keep_their_order(storage: Storage, run_id: RunId) -> None:
    events = Events(storage)
    moment = [Event(NOW, "ada", "approved", f"n {n}", MachineId(f"m-{n}")) for n in range(1_250)]
    events.append(run_id, Event(NOW - timedelta(seconds=1), "olive", "run-requested", "before"))
    events.append_all(run_id, moment)
    events.append(run_id, Event(NOW + timedelta(seconds=1), "realign", "applied", "after"))
    found = events_of(events, run_id)
    assert [each.detail for each in (found[0], found[-1])] == ["before", "after"]
    assert found[1:-1] == moment
    events.append_all(run_id, [])


def test_events_of_several_moments_stand_in_the_order_of_time(storage: Storage, run_id: RunId) -> None:
    events = Events(storage)
    made = [Event(NOW + timedelta(microseconds=n % 7), "ada", "approved", f"n {n}") for n in range(120)]
    events.append_all(run_id, made)
    assert events_of(events, run_id) == sorted(made, key=lambda each: each.at)


def test_an_event_that_no_row_holds_is_an_error_and_not_a_gap(storage: Storage) -> None:
    with pytest.raises(StorageError, match="Event approved of run a/b cannot be stored"):
        Events(storage).append_all(RunId("a/b"), [Event(NOW, "ada", "approved", "x")])
