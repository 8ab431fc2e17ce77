"""Applying while Citrix refuses, forgets, lies or goes silent: each machine is verified, or failed with a sentence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from sandbox.azurite import Azurite
from sandbox.citrix_site import Via
from shared.azure.work_queue import WorkStep
from shared.model.run import RemapState, RunStatus
from shared.runs.writing.sending import ENOUGH_REFUSALS
from tests.integration.workplace import ALL, AMSTERDAM, PARIS, SOMEBODYS_VM, W11, Workplace, workplace

VERIFIED = RemapState.VERIFIED.value


@pytest.fixture(scope="module")
def module_place(azurite: Azurite) -> Iterator[Workplace]:
    with workplace(azurite) as made:
        yield made


@pytest.fixture
def place(module_place: Workplace) -> Iterator[Workplace]:
    yield module_place
    module_place.put_back()


# what Citrix refuses


def test_machines_that_may_not_be_changed_fail_with_what_citrix_says_and_the_others_are_verified(
    place: Workplace,
) -> None:
    place.site.locked = {place.machine(host).id for host in W11[:2]}
    run_id = place.applied()
    assert {host for host, state in place.states(run_id).items() if state == "failed"} == set(W11[:2])
    for host, error in place.errors(run_id).items():
        assert f"You are not permitted to change the machine CORP\\{host}" in error
        assert "(transaction " in error
    assert place.as_planned(run_id) == ALL - set(W11[:2])
    assert place.written() == dict.fromkeys(ALL - set(W11[:2]), 1)
    assert place.calls("PATCH", "/Machines/{nameOrId}") == 2, "each once more, alone"
    assert place.run(run_id).status is RunStatus.COMPLETED_WITH_ERRORS


def test_a_right_that_is_missing_for_batches_fails_everything_with_few_calls(place: Workplace) -> None:
    place.site.forbidden = {"submitBatch", "updateMachine"}
    run_id = place.applied()
    errors = place.errors(run_id, RemapState.FAILED)
    assert set(errors) == ALL
    assert all("HTTP 403" in error and "(transaction " in error for error in errors.values())
    assert all("a role that may change machines" in error for error in errors.values())
    assert place.calls("POST", "/$batch") == 1
    assert place.calls("PATCH", "/Machines/{nameOrId}") <= ENOUGH_REFUSALS + 4
    assert place.written() == {}
    assert place.resets() == {}, "no connection has changed"
    assert place.run(run_id).status is RunStatus.COMPLETED_WITH_ERRORS


def test_a_right_that_is_missing_for_batches_alone_is_made_up_for_by_single_changes(place: Workplace) -> None:
    place.site.forbidden = {"submitBatch"}
    run_id = place.applied()
    assert set(place.states(run_id).values()) == {VERIFIED}
    assert {write.via for write in place.world.history} == {Via.ALONE}
    assert place.written() == dict.fromkeys(ALL, 1)


def test_of_two_machines_that_change_places_one_may_be_refused_and_both_are_told(place: Workplace) -> None:
    place.site.locked = {place.machine("SWAP-B").id}
    run_id = place.applied()
    assert place.states(run_id)["SWAP-B"] == "failed"
    assert place.states(run_id)["SWAP-A"] == "verified"
    assert place.errors(run_id)["SWAP-A"].startswith("Its VM is held by CORP\\SWAP-B too")
    assert "shared-vm" in [event.action for event in place.events(run_id)]
    assert place.run(run_id).status is RunStatus.COMPLETED_WITH_ERRORS
    place.rolled_back(run_id, ["SWAP-A"])
    assert place.states(run_id)["SWAP-A"] == "rolled-back"
    assert "SWAP-A" not in place.errors(run_id)


# who does not answer


def test_while_a_cluster_that_decides_is_silent_nothing_is_written_and_then_all_of_it(place: Workplace) -> None:
    run_id = place.planned()
    place.approve(run_id)
    place.sandbox.faults.set("relay-down", "paris")
    place.next(WorkStep.APPLY)
    run = place.run(run_id)
    assert (run.status, run.steps[-1].status) == (RunStatus.APPLYING, "waiting")
    assert "could not be looked at again" in run.steps[-1].detail
    assert (place.written(), place.queue.delays(run_id, WorkStep.APPLY)[-1]) == ({}, 10)
    place.sandbox.faults.clear("relay-down")
    place.work()
    assert place.as_planned(run_id) == ALL
    assert place.run(run_id).status is RunStatus.COMPLETED


def test_a_cluster_that_stays_silent_leaves_untouched_what_it_decides(place: Workplace) -> None:
    run_id = place.planned()
    place.approve(run_id)
    place.sandbox.faults.set("relay-down", "paris")
    place.work()
    assert set(place.states(run_id).values()) == {"superseded"}, "their present cluster says nothing (design, rule 6)"
    assert all("planned differently" in error for error in place.errors(run_id).values())
    assert (place.written(), place.resets()) == ({}, {})
    assert place.run(run_id).status is RunStatus.COMPLETED_WITH_ERRORS
    assert len(place.queue.delays(run_id, WorkStep.APPLY)) > 1, "it was looked at again before"


def test_a_silent_cluster_keeps_a_dr_run_from_nothing(place: Workplace) -> None:
    run_id = place.planned(target="amsterdam")
    place.approve(run_id)
    place.sandbox.faults.set("relay-down", "paris")
    place.work()
    assert place.as_planned(run_id) == set(W11)
    assert place.queue.delays(run_id, WorkStep.APPLY) == [0]


# what goes wrong on the way


def test_items_that_fail_are_sent_alone_and_verified(place: Workplace) -> None:
    place.sandbox.faults.set("batch-item-fail", 3)
    run_id = place.applied()
    assert set(place.states(run_id).values()) == {VERIFIED}
    assert sorted(write.via for write in place.world.history) == [Via.ALONE] * 3 + [Via.BATCH] * 8
    assert place.written() == dict.fromkeys(ALL, 1)


def test_items_that_say_done_and_did_nothing_are_found_out_by_reading_back(place: Workplace) -> None:
    place.sandbox.faults.set("batch-item-fail", "lie:4")
    run_id = place.applied()
    assert place.as_planned(run_id) == ALL
    assert [write.via for write in place.world.history].count(Via.ALONE) == 4
    assert place.written() == dict.fromkeys(ALL, 1)


def test_items_that_fail_and_then_fail_alone_end_failed_with_the_transaction(place: Workplace) -> None:
    place.sandbox.faults.set("batch-item-fail", 11)
    place.site.locked = {place.machine("W11-03").id}
    run_id = place.applied()
    assert set(place.errors(run_id)) == {"W11-03"}
    assert "(transaction " in place.errors(run_id)["W11-03"]
    assert place.as_planned(run_id) == ALL - {"W11-03"}
    assert place.remaps(run_id)["W11-03"].sent


@pytest.mark.parametrize("where", ["call:1", "item:3", "submitBatch:1", "getJob:1", "getJobResults:1"])
def test_a_token_that_ends_in_the_middle_costs_no_machine(place: Workplace, where: str) -> None:
    run_id = place.planned()
    place.approve(run_id)
    place.sandbox.faults.set("token-expiry", where)
    place.work()
    assert place.fired("token-expiry") >= 1
    assert set(place.states(run_id).values()) == {VERIFIED}
    assert place.as_planned(run_id) == ALL
    assert place.written() == dict.fromkeys(ALL, 1)


def test_items_that_only_begin_are_followed_and_verified(place: Workplace) -> None:
    place.world.nested_items = 2
    run_id = place.applied()
    assert place.as_planned(run_id) == ALL
    assert place.written() == dict.fromkeys(ALL, 1)
    assert sum(job.type == "UpdateMachineCatalogMachine" for job in place.site.jobs.values()) in (5, 6)


def test_an_item_whose_own_job_never_ends_fails_once_it_is_known_to_be_stuck(place: Workplace) -> None:
    place.world.nested_items = 11
    place.sandbox.faults.set("job-stuck", "UpdateMachineCatalogMachine:1")
    run_id = place.applied()
    # it could be cancelled in the end, so it was sent once more, alone
    assert place.as_planned(run_id) == ALL
    assert place.written() == dict.fromkeys(ALL, 1)
    assert place.calls("POST", "/Jobs/{id}/$cancel") == 1


def test_results_that_lead_elsewhere_are_made_up_for_by_reading_back(place: Workplace) -> None:
    run_id = place.planned()
    place.approve(run_id)
    with place.working(place.hold("getJobResults")):
        for job in place.site.jobs.values():
            job.of = f"Machines/{place.machine('W11-01').id}"  # answers 303, as of a job without results
    assert set(place.states(run_id).values()) == {VERIFIED}
    assert place.written() == dict.fromkeys(ALL, 1)


@pytest.mark.parametrize("fault", ["job-lost", "citrix-drop"])
def test_a_batch_of_which_nothing_is_heard_is_read_back_and_not_sent_twice(place: Workplace, fault: str) -> None:
    place.sandbox.faults.set(fault, "Batch:1" if fault == "job-lost" else "submitBatch:1")
    run_id = place.planned()
    place.approve(run_id)
    place.work()
    assert place.fired(fault) == 1
    assert set(place.states(run_id).values()) == {VERIFIED}
    assert place.as_planned(run_id) == ALL
    assert all(number <= 2 for number in place.written().values())
    assert all(len({write.after for write in place.writes_to(host)}) == 1 for host in ALL)
    if fault == "citrix-drop":
        assert place.written() == dict.fromkeys(ALL, 1), "it was found among our own jobs and waited for"
        assert place.calls("POST", "/$batch") == 1


def test_a_batch_whose_answer_is_lost_while_it_is_under_way_is_waited_for(place: Workplace) -> None:
    place.sandbox.set_latency(0.05)
    place.sandbox.faults.set("citrix-drop", "submitBatch:1")
    try:
        run_id = place.applied()
    finally:
        place.sandbox.set_latency(0.0)
    assert set(place.states(run_id).values()) == {VERIFIED}
    assert place.written() == dict.fromkeys(ALL, 1)
    assert place.calls("GET", "/Jobs") == 1
    assert place.calls("POST", "/$batch") == 1


def test_a_batch_that_does_not_end_is_cancelled_and_what_it_left_is_sent_again(place: Workplace) -> None:
    place.sandbox.faults.set("job-stuck", "Batch:1")
    run_id = place.applied()
    assert set(place.states(run_id).values()) == {VERIFIED}
    assert place.as_planned(run_id) == ALL
    assert place.written() == dict.fromkeys(ALL, 1)
    assert place.calls("POST", "/Jobs/{id}/$cancel") == 1
    assert place.calls("POST", "/$batch") == 2, "what is left of it goes in a batch again"
    assert sum(place.pauses) >= 200, "it was waited for three and a half minutes before"


def test_a_batch_that_can_neither_end_nor_be_cancelled_is_not_sent_again(place: Workplace) -> None:
    place.sandbox.faults.set("job-stuck", "uncancellable:1")
    run_id = place.applied()
    done = place.as_planned(run_id)
    assert len(done) == 5, "half of the batch"
    assert {host for host, state in place.states(run_id).items() if state == VERIFIED} == done
    errors = place.errors(run_id, RemapState.FAILED)
    assert set(errors) == ALL - done
    for error in errors.values():
        assert "does not come to an end and may still change it. It was not sent again." in error
    assert place.written() == dict.fromkeys(done, 1)
    assert place.calls("POST", "/$batch") == 1
    assert place.calls("PATCH", "/Machines/{nameOrId}") == 0
    assert place.run(run_id).status is RunStatus.COMPLETED_WITH_ERRORS


def test_somebody_who_changes_a_machine_in_the_middle_of_the_write_is_named_and_not_overwritten(
    place: Workplace,
) -> None:
    run_id = place.planned()
    place.approve(run_id)
    with place.working(place.hold("getJobResults")):
        place.somebody_changes("W11-01")
    assert place.states(run_id)["W11-01"] == "failed"
    assert SOMEBODYS_VM in place.errors(run_id)["W11-01"]
    assert "somebody else changed it at the same time" in place.errors(run_id)["W11-01"]
    assert place.machine("W11-01").hosted_machine_id == SOMEBODYS_VM
    assert place.written() == dict.fromkeys(ALL, 1)


def test_a_machine_that_goes_in_the_middle_of_the_write_failed(place: Workplace) -> None:
    run_id = place.planned()
    place.approve(run_id)
    with place.working(place.hold("getJobResults")):
        del place.site.machines[place.machine("W11-01").id]
    assert place.errors(run_id) == {"W11-01": "The machine is no longer in the site."}


@pytest.mark.parametrize("fault", ["listMachines", "getJob", "getJobResults", "getMachine", "getHypervisor"])
def test_a_read_that_fails_is_asked_again(place: Workplace, fault: str) -> None:
    run_id = place.planned(scope={"machines": ["W11-01"]})
    place.approve(run_id)
    place.sandbox.faults.set("citrix-drop", f"{fault}:1")
    place.work()
    assert place.fired("citrix-drop") == 1
    assert place.as_planned(run_id) == {"W11-01"}
    assert place.written() == {"W11-01": 1}


# who stops it


def test_a_cancel_that_comes_before_the_first_write_leaves_everything_untouched(place: Workplace) -> None:
    run_id = place.planned()
    place.approve(run_id)
    with place.working(place.hold("getHypervisor")):
        place.cancel(run_id)
    run = place.run(run_id)
    assert (run.status, run.cancelled_by) == (RunStatus.CANCELLED, "olive")
    assert (place.written(), place.resets()) == ({}, {})
    assert set(place.states(run_id).values()) == {"superseded"}
    assert all("olive cancelled the run before it was written." in error for error in place.errors(run_id).values())


def test_a_cancel_that_comes_while_a_batch_is_under_way_lets_it_end_and_tells_what_it_did(place: Workplace) -> None:
    run_id = place.planned()
    place.approve(run_id)
    with place.working(place.hold("submitBatch", "after")):
        place.cancel(run_id)
    run = place.run(run_id)
    assert (run.status, run.states) == (RunStatus.CANCELLED, {"verified": 11})
    assert (run.error or "").startswith("olive cancelled it; what was applied until then stays.")
    assert place.as_planned(run_id) == ALL
    assert place.resets() == {PARIS: 1, AMSTERDAM: 1}


def test_after_a_cancel_what_failed_in_its_batch_is_not_sent_again(place: Workplace) -> None:
    place.sandbox.faults.set("batch-item-fail", 2)
    run_id = place.planned()
    place.approve(run_id)
    with place.working(place.hold("submitBatch", "after")):
        place.cancel(run_id)
    errors = place.errors(run_id, RemapState.FAILED)
    assert len(errors) == 2
    assert all(error.endswith("The run was cancelled, so it was not sent again.") for error in errors.values())
    assert place.calls("PATCH", "/Machines/{nameOrId}") == 0
    assert place.run(run_id).states == {"failed": 2, "verified": 9}


def test_a_worker_that_was_overtaken_stops_and_the_one_that_took_over_writes_nothing_twice(place: Workplace) -> None:
    run_id = place.planned()
    place.approve(run_id)
    with place.working(place.hold("submitBatch", "after")):
        found = place.resources.runs.get(run_id)
        other = place.another_worker()
        other.runs.update(replace(found.value, attempts=found.value.attempts + 1), found)
    assert place.run(run_id).status is RunStatus.APPLYING, "who was overtaken has left the run alone"
    place.queue.send(run_id, WorkStep.APPLY)
    place.work(resources=other)
    assert place.run(run_id).status is RunStatus.COMPLETED
    assert place.written() == dict.fromkeys(ALL, 1)
