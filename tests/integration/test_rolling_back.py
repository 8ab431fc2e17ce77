"""Rolling back: machines get back what they had, where they still have what the run gave them; the rest is reported."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from sandbox.azurite import Azurite
from sandbox.citrix_site import Via
from sandbox.world import stable_uuid
from shared.azure.work_queue import WorkStep
from shared.errors import NotWaiting, RemapNotOpen
from shared.model.run import RemapState, RunId, RunStatus
from shared.runs.clients.site_memory import SiteMemory
from tests.integration.workplace import ALL, AMSTERDAM, MOVED, PARIS, SOMEBODYS_VM, SWAP, W11, Workplace, workplace

Change = Callable[[Workplace], None]
OF_PARIS = ALL - set(W11)
BACK = RemapState.ROLLED_BACK.value
NOT_BACK = RemapState.ROLLBACK_FAILED


@pytest.fixture(scope="module")
def module_place(azurite: Azurite) -> Iterator[Workplace]:
    with workplace(azurite) as made:
        yield made


@pytest.fixture
def place(module_place: Workplace) -> Iterator[Workplace]:
    yield module_place
    module_place.put_back()


@pytest.fixture
def run_id(place: Workplace) -> RunId:
    """A run that applied everything; writes, calls and resets count from here."""
    made = place.applied()
    assert place.run(made).states == {"verified": 11}
    begin_to_count(place)
    return made


def begin_to_count(place: Workplace) -> None:
    place.world.history.clear()
    place.sandbox.calls.clear()
    for connection in place.site.connections.values():
        connection.resets = 0


def test_everything_gets_back_what_it_had(place: Workplace, run_id: RunId) -> None:
    run = place.rolled_back(run_id)
    assert (run.status, run.states, run.error, run.progress) == (RunStatus.ROLLED_BACK, {BACK: 11}, None, 100)
    assert place.as_before(run_id) == ALL
    assert place.written() == dict.fromkeys(ALL, 1)
    assert {write.via for write in place.world.history} == {Via.BATCH}
    assert place.calls("POST", "/$batch") == 1
    assert place.resets() == {PARIS: 1}, "what machines went back to, once, and nothing else"
    assert run.ended_at is not None
    actions = [(event.actor, event.action) for event in place.events(run_id)][-3:]
    assert actions == [("ada", "rollback-requested"), ("realign", "reset"), ("realign", "rolled-back")]


def test_some_machines_go_back_and_the_others_stay_until_they_are_named(place: Workplace, run_id: RunId) -> None:
    run = place.rolled_back(run_id, W11[:3])
    assert (run.status, run.states) == (RunStatus.ROLLED_BACK, {BACK: 3, "verified": 8})
    assert place.as_before(run_id) == set(W11[:3])
    assert place.written() == dict.fromkeys(W11[:3], 1)
    run = place.rolled_back(run_id)
    assert (run.status, run.states) == (RunStatus.ROLLED_BACK, {BACK: 11})
    assert place.written() == dict.fromkeys(ALL, 1)


def test_what_is_back_cannot_go_back_again(place: Workplace, run_id: RunId) -> None:
    place.rolled_back(run_id)
    with pytest.raises(NotWaiting, match="nothing that could be rolled back"):
        place.order_roll_back(run_id)
    with pytest.raises(RemapNotOpen, match="rolled-back"):
        place.order_roll_back(run_id, ["W11-01"])


def test_a_message_that_comes_twice_writes_nothing_twice(place: Workplace, run_id: RunId) -> None:
    place.rolled_back(run_id)
    place.queue.send(run_id, WorkStep.ROLLBACK)
    place.work()
    assert place.written() == dict.fromkeys(ALL, 1)
    assert place.run(run_id).status is RunStatus.ROLLED_BACK


def changed_to_another_vm(place: Workplace) -> None:
    place.somebody_changes("W11-01")


def moved_to_another_connection(place: Workplace) -> None:
    place.machine("W11-01").connection_id = place.connection(PARIS).id
    place.somebody_changes("W11-01")


def made_unmanaged(place: Workplace) -> None:
    machine = place.machine("W11-01")
    machine.connection_id = machine.hosted_machine_id = None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param(changed_to_another_vm, f"{AMSTERDAM} and {SOMEBODYS_VM}", id="another-vm"),
        pytest.param(moved_to_another_connection, f"{PARIS} and {SOMEBODYS_VM}", id="another-connection"),
        pytest.param(made_unmanaged, "no hosting connection and no VM", id="not-power-managed"),
    ],
)
def test_what_somebody_changed_since_is_reported_and_not_overwritten(
    place: Workplace, run_id: RunId, change: Change, words: str
) -> None:
    change(place)
    hosting = place.machine("W11-01").hosting
    run = place.rolled_back(run_id)
    assert (run.status, run.states) == (RunStatus.ROLLED_BACK, {"rollback-failed": 1, BACK: 10})
    assert run.error == "1 remaps could not be rolled back. Each remap says why."
    sentence = place.errors(run_id, NOT_BACK)["W11-01"]
    assert sentence == f"It was changed since by someone else: Citrix has {words}; it was not overwritten."
    assert place.machine("W11-01").hosting == hosting
    assert place.written() == dict.fromkeys(ALL - {"W11-01"}, 1)
    (event,) = [event for event in place.events(run_id) if event.action == "rollback-failed"]
    assert event.machine == place.remaps(run_id)["W11-01"].machine


def test_a_machine_that_is_gone_is_reported(place: Workplace, run_id: RunId) -> None:
    del place.site.machines[place.machine("W11-01").id]
    assert place.rolled_back(run_id).states == {"rollback-failed": 1, BACK: 10}
    assert "no machine of the site any more" in place.errors(run_id)["W11-01"]


def test_a_machine_that_somebody_put_back_is_rolled_back_and_not_written(place: Workplace, run_id: RunId) -> None:
    before = place.remaps(run_id)["W11-01"].before
    machine = place.machine("W11-01")
    machine.connection_id, machine.hosted_machine_id = before.connection_id, (before.machine_id or "").upper()
    assert place.rolled_back(run_id).states == {BACK: 11}
    assert place.written() == dict.fromkeys(ALL - {"W11-01"}, 1)


def test_a_connection_that_was_renamed_is_named_as_it_is_now(place: Workplace, run_id: RunId) -> None:
    place.connection(PARIS).name = "Nutanix AHV Lyon"
    bodies = place.tap("submitBatch")
    assert place.rolled_back(run_id).states == {BACK: 11}
    (body,) = bodies
    items = json.loads(body)["Items"]
    assert {json.loads(item["Body"])["HypervisorConnection"] for item in items} == {"Nutanix AHV Lyon"}
    assert place.connections_of(ALL) == {PARIS: 11}
    assert place.steps(run_id)["reset"] == ("done", "Reset: Nutanix AHV Lyon.")


def test_a_connection_in_maintenance_fails_its_machines_and_they_go_back_once_it_is_over(
    place: Workplace, run_id: RunId
) -> None:
    place.connection(PARIS).in_maintenance = True
    run = place.rolled_back(run_id)
    assert (run.status, run.states) == (RunStatus.ROLLED_BACK, {"rollback-failed": 11})
    assert all("is in maintenance mode" in error for error in place.errors(run_id).values())
    assert (place.written(), place.resets()) == ({}, {})
    place.connection(PARIS).in_maintenance = False
    assert place.rolled_back(run_id).states == {BACK: 11}
    assert place.as_before(run_id) == ALL
    assert place.errors(run_id) == {}


def test_a_connection_that_was_deleted_leaves_its_machines_where_they_are(place: Workplace) -> None:
    run_id = place.applied(scope=MOVED)
    begin_to_count(place)
    for machine in place.site.machines.values():
        machine.connection_id = place.connection(AMSTERDAM).id if machine.connection_id else None
    del place.site.connections[place.connection(PARIS).id]
    run = place.rolled_back(run_id)
    assert run.states == {"rollback-failed": 8}
    assert all(f"{PARIS} that it had before was deleted" in error for error in place.errors(run_id).values())
    assert (place.written(), place.resets()) == ({}, {})


def test_a_vm_that_another_machine_holds_by_now_is_not_taken_away(place: Workplace, run_id: RunId) -> None:
    place.machine("HOME-01").hosted_machine_id = place.remaps(run_id)["REP-01"].before.machine_id
    run = place.rolled_back(run_id)
    assert run.states == {"rollback-failed": 1, BACK: 10}
    assert "CORP\\HOME-01" in place.errors(run_id)["REP-01"]
    assert place.as_before(run_id) == ALL - {"REP-01"}


def test_of_two_machines_that_changed_places_one_alone_cannot_go_back(place: Workplace, run_id: RunId) -> None:
    run = place.rolled_back(run_id, ["SWAP-A"])
    assert run.states == {"rollback-failed": 1, "verified": 10}
    assert "CORP\\SWAP-B" in place.errors(run_id)["SWAP-A"]
    assert place.written() == {}
    run = place.rolled_back(run_id, SWAP)
    assert run.states == {BACK: 2, "verified": 9}
    assert place.as_before(run_id) == set(SWAP)


def test_what_was_done_by_hand_before_the_run_wrote_it_is_left_alone(place: Workplace) -> None:
    run_id = place.planned()
    place.put("W11-01", run_id)
    place.approve(run_id)
    place.work()
    assert place.run(run_id).states == {"verified": 11}
    begin_to_count(place)
    with pytest.raises(RemapNotOpen):
        place.order_roll_back(run_id, ["W11-01"])
    run = place.rolled_back(run_id)
    assert run.states == {BACK: 10, "verified": 1}
    assert place.written() == dict.fromkeys(ALL - {"W11-01"}, 1)
    assert place.as_planned(run_id) == {"W11-01"}


def test_a_run_that_wrote_nothing_has_nothing_to_roll_back(place: Workplace) -> None:
    run_id = place.planned()
    with pytest.raises(NotWaiting, match="written nothing"):
        place.order_roll_back(run_id)
    place.approve(run_id, ["W11-01"])
    place.site.forbidden = {"submitBatch", "updateMachine"}
    place.work()
    begin_to_count(place)
    assert place.rolled_back(run_id).status is RunStatus.ROLLED_BACK, "a write that failed may have arrived after all"
    assert place.states(run_id)["W11-01"] == "failed"
    assert (place.written(), place.resets()) == ({}, {})


def test_a_write_that_failed_and_arrived_after_all_is_taken_back(place: Workplace) -> None:
    place.sandbox.faults.set("job-stuck", "uncancellable:1")
    run_id = place.applied()
    late = sorted(place.errors(run_id, RemapState.FAILED))
    assert late
    for job in place.site.jobs.values():  # it comes to its end in the end
        job.stuck, job.status, job.ended = False, "Complete", job.started
    place.put(late[0], run_id)
    begin_to_count(place)
    run = place.rolled_back(run_id)
    assert run.status is RunStatus.ROLLED_BACK
    assert run.states == {BACK: 11 - len(late) + 1, "failed": len(late) - 1}
    assert place.as_before(run_id) == ALL
    assert late[0] in place.written()


def test_while_a_job_of_the_run_may_still_change_them_its_machines_stay(place: Workplace) -> None:
    place.sandbox.faults.set("job-stuck", "uncancellable:1")
    run_id = place.applied()
    begin_to_count(place)
    run = place.rolled_back(run_id)
    assert run.states == {"rollback-failed": 11}
    assert all("Roll it back once that job has ended." in error for error in place.errors(run_id).values())
    assert place.written() == {}


def test_rejected_and_undecided_remaps_stay_as_they_are(place: Workplace) -> None:
    run_id = place.applied(hosts=W11[:2])
    run = place.rolled_back(run_id)
    assert run.states == {"proposed": 9, BACK: 2}
    assert place.as_before(run_id) == ALL


def test_another_site_behind_the_profile_is_not_written_to(place: Workplace, run_id: RunId) -> None:
    place.site.id = stable_uuid("another site")
    place.resources.sites = SiteMemory()  # an hour later, or another process
    run = place.rolled_back(run_id)
    assert run.status is RunStatus.FAILED
    assert "now the site" in (run.error or "")
    assert place.written() == {}
    assert set(place.states(run_id).values()) == {"verified"}


@pytest.mark.parametrize(
    ("fault", "value"),
    [
        pytest.param("citrix-drop", "submitBatch:1", id="the-answer-to-the-batch-is-lost"),
        pytest.param("batch-item-fail", "4", id="items-fail"),
        pytest.param("batch-item-fail", "lie:4", id="items-lie"),
        pytest.param("citrix-429", "submitBatch:3", id="too-many-requests"),
        pytest.param("token-expiry", "item:2", id="the-token-ends-within-a-batch"),
        pytest.param("job-lost", "Batch:1", id="the-job-is-lost"),
        pytest.param("job-stuck", "Batch:1", id="the-job-never-ends"),
    ],
)
def test_trouble_on_the_way_back_changes_nothing_of_the_end(
    place: Workplace, run_id: RunId, fault: str, value: str
) -> None:
    place.sandbox.faults.set(fault, value)
    run = place.rolled_back(run_id)
    assert place.fired(fault) >= 1
    assert (run.status, run.states) == (RunStatus.ROLLED_BACK, {BACK: 11})
    assert place.as_before(run_id) == ALL
    assert all(len({write.after for write in place.writes_to(host)}) == 1 for host in ALL)
    if fault != "job-lost":
        assert place.written() == dict.fromkeys(ALL, 1)


def test_a_batch_that_can_neither_end_nor_be_cancelled_is_told_and_not_sent_again(
    place: Workplace, run_id: RunId
) -> None:
    place.sandbox.faults.set("job-stuck", "uncancellable:1")
    run = place.rolled_back(run_id)
    back = place.as_before(run_id)
    assert len(back) == 5
    assert run.states == {"rollback-failed": 6, BACK: 5}
    assert all("It was not sent again." in error for error in place.errors(run_id, NOT_BACK).values())
    assert place.written() == dict.fromkeys(back, 1)


def test_machines_that_may_not_be_changed_fail_with_what_citrix_says(place: Workplace, run_id: RunId) -> None:
    place.site.locked = {place.machine("W11-01").id}
    run = place.rolled_back(run_id)
    assert run.states == {"rollback-failed": 1, BACK: 10}
    sentence = place.errors(run_id)["W11-01"]
    assert "You are not permitted to change the machine CORP\\W11-01" in sentence
    assert "(transaction " in sentence
    place.site.locked = set()
    assert place.rolled_back(run_id).states == {BACK: 11}


def test_somebody_who_changes_a_machine_in_the_middle_of_it_is_named(place: Workplace, run_id: RunId) -> None:
    place.order_roll_back(run_id)
    with place.working(place.hold("getJobResults")):
        place.somebody_changes("W11-01")
    assert "somebody else changed it" in place.errors(run_id, NOT_BACK)["W11-01"]
    assert place.machine("W11-01").hosted_machine_id == SOMEBODYS_VM
    assert place.run(run_id).states == {"rollback-failed": 1, BACK: 10}


def test_a_roll_back_that_failed_can_be_asked_for_again(place: Workplace, run_id: RunId) -> None:
    place.site.forbidden = {"listMachines"}
    run = place.rolled_back(run_id)
    assert run.status is RunStatus.FAILED
    assert "HTTP 403" in (run.error or "")
    assert run.states == {"verified": 11}
    place.site.forbidden = set()
    run = place.rolled_back(run_id)
    assert (run.status, run.states, run.error) == (RunStatus.ROLLED_BACK, {BACK: 11}, None)


def test_no_reset_is_made_where_the_policy_wants_none(place: Workplace) -> None:
    run_id = place.applied(place.profile({"resetHostingConnection": False}))
    assert place.rolled_back(run_id).status is RunStatus.ROLLED_BACK
    assert place.resets() == {}
    assert "reset" not in place.steps(run_id)


def test_a_reset_that_fails_is_a_step_that_says_so_and_the_run_is_rolled_back(place: Workplace, run_id: RunId) -> None:
    place.site.forbidden = {"resetHypervisorConnection"}
    run = place.rolled_back(run_id)
    assert (run.status, run.states) == (RunStatus.ROLLED_BACK, {BACK: 11})
    went, said = place.steps(run_id)["reset"]
    assert (went, said.startswith(f"{PARIS} was not reset:")) == ("failed", True)
