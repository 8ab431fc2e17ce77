"""Applying to a site on premises: what its controllers take, one that dies in the middle, and all of them down."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest

from sandbox.azurite import Azurite
from sandbox.citrix_site import Via
from shared.azure.lock import LockKind
from shared.azure.work_queue import WorkStep
from shared.model.run import RemapState, RunStatus
from shared.runs.attempt import PAUSE
from shared.runs.locked import MOST_ATTEMPTS
from tests.integration.workplace import ALL, ON_PREMISES, Workplace, workplace

FIRST, SECOND = "cvad/ddc01", "cvad/ddc02"


@pytest.fixture(scope="module")
def module_place(azurite: Azurite) -> Iterator[Workplace]:
    with workplace(azurite, ON_PREMISES) as made:
        yield made


@pytest.fixture
def place(module_place: Workplace) -> Iterator[Workplace]:
    yield module_place
    module_place.put_back()


def vias(place: Workplace) -> Counter[Via]:
    return Counter(write.via for write in place.world.history)


@pytest.mark.parametrize(("form", "begins"), [("gateway", "/Machines/"), ("direct", "CitrixOnPremises/")])
def test_batches_go_in_the_form_that_the_controller_takes(place: Workplace, form: str, begins: str) -> None:
    place.site.batch_form = form
    bodies = place.tap("submitBatch", FIRST)
    run_id = place.applied()
    assert place.as_planned(run_id) == ALL
    assert vias(place) == {Via.BATCH: len(ALL)}
    *probes, batch = [json.loads(body)["Items"] for body in bodies]
    assert {item["Method"] for probe in probes for item in probe} == {"GET"}, "found out by a harmless read"
    assert all(item["RelativeUrl"].startswith(begins) for item in batch)
    assert len(batch) == len(ALL)


def test_where_no_form_is_taken_each_machine_is_changed_alone(place: Workplace) -> None:
    place.site.batch_form = "none"
    run_id = place.applied()
    assert place.as_planned(run_id) == ALL
    assert vias(place) == {Via.ALONE: len(ALL)}
    assert place.written() == dict.fromkeys(ALL, 1)
    assert place.run(run_id).states == {"verified": 11}
    back = place.rolled_back(run_id)
    assert back.status is RunStatus.ROLLED_BACK
    assert place.as_before(run_id) == ALL


def test_single_changes_that_are_refused_or_lost_are_told_apart(place: Workplace) -> None:
    place.site.batch_form = "none"
    place.site.locked = {place.machine("W11-01").id}
    place.sandbox.faults.set("citrix-drop", "updateMachine:2")
    place.sandbox.faults.set("citrix-429", "updateMachine:2@0")
    run_id = place.applied()
    assert place.as_planned(run_id) == ALL - {"W11-01"}
    assert place.written() == dict.fromkeys(ALL - {"W11-01"}, 1), "an answer that was lost is read back"
    assert set(place.errors(run_id)) == {"W11-01"}


def test_a_cancel_stops_single_changes_too(place: Workplace) -> None:
    place.site.batch_form = "none"
    run_id = place.planned()
    place.approve(run_id)
    with place.working(place.hold("getHypervisor", system=FIRST)):
        place.cancel(run_id)
    assert place.run(run_id).status is RunStatus.CANCELLED
    assert place.written() == {}


@pytest.mark.parametrize("operation", ["listMachines", "submitBatch", "getJob", "getJobResults"])
def test_when_the_controller_dies_in_the_middle_the_other_one_goes_on(place: Workplace, operation: str) -> None:
    run_id = place.planned()
    place.approve(run_id)
    nth = 2 if operation == "submitBatch" else 1  # the first one only finds out the form
    with place.working(place.hold(operation, "before", nth, FIRST)):
        place.sandbox.faults.set("relay-down", "ddc01")
    run = place.run(run_id)
    assert (run.status, run.states) == (RunStatus.COMPLETED, {"verified": 11})
    assert place.as_planned(run_id) == ALL
    assert place.written() == dict.fromkeys(ALL, 1)
    assert place.calls("GET", "/Machines", SECOND) > 0


def test_what_the_dead_controller_took_before_it_died_is_waited_for_at_the_other_one(place: Workplace) -> None:
    run_id = place.planned()
    place.approve(run_id)
    with place.working(place.hold("submitBatch", "after", 2, FIRST)):
        place.sandbox.faults.set("relay-down", "ddc01")
    assert place.run(run_id).status is RunStatus.COMPLETED
    assert place.written() == dict.fromkeys(ALL, 1)
    assert place.calls("GET", "/Jobs", SECOND) == 1, "it is looked for among our own jobs"


def test_while_citrix_is_down_the_step_waits_longer_each_time_and_holds_no_lock(place: Workplace) -> None:
    run_id = place.planned()
    place.approve(run_id)
    place.sandbox.faults.set("relay-down")
    waits = []
    for number in range(1, MOST_ATTEMPTS + 1):
        now = place.clock()
        assert place.next(WorkStep.APPLY)
        run = place.run(run_id)
        (last,) = [step for step in run.steps if step.name == "apply"]
        assert (run.status, run.attempts, last.status) == (RunStatus.APPLYING, number, "waiting")
        assert "Citrix CVAD" in last.detail
        assert run.not_before is not None
        assert run.not_before - now >= number * PAUSE
        waits.append(place.queue.waiting[-1].delay)
        early = place.queue.waiting.pop()
        place.queue.send(run_id, WorkStep.APPLY)
        place.next(WorkStep.APPLY)
        assert place.run(run_id).attempts == number, "a duplicate that comes before its time does nothing"
        place.queue.waiting.append(early)
        assert place.resources.locks.holder(LockKind.SITE, place.site.id, place.clock()) is None
    assert waits == [10, 20, 30, 40, 50]
    assert place.next(WorkStep.APPLY)
    run = place.run(run_id)
    assert run.status is RunStatus.FAILED
    assert "Citrix CVAD" in (run.error or "")
    assert run.not_before is None
    errors = place.errors(run_id, RemapState.FAILED)
    assert set(errors) == ALL
    assert all(error.startswith("Nothing was written for it: ") for error in errors.values())
    assert place.queue.waiting == []
    assert place.written() == {}


def test_a_site_that_comes_back_is_gone_on_with(place: Workplace) -> None:
    run_id = place.planned()
    place.approve(run_id)
    place.sandbox.faults.set("relay-down")
    for _ in range(3):
        place.next(WorkStep.APPLY)
    place.sandbox.faults.clear("relay-down")
    place.work()
    run = place.run(run_id)
    assert (run.status, run.states) == (RunStatus.COMPLETED, {"verified": 11})
    (apply,) = [step for step in run.steps if step.name == "apply"]
    assert (apply.status, apply.detail) == ("done", "11 verified.")


def test_a_step_that_was_begun_five_times_and_crashed_each_time_is_not_begun_again(place: Workplace) -> None:
    run_id = place.planned()
    place.approve(run_id)
    found = place.resources.runs.get(run_id)
    place.resources.runs.update(replace(found.value, attempts=MOST_ATTEMPTS), found)
    place.work()
    run = place.run(run_id)
    assert run.status is RunStatus.FAILED
    assert "The step apply was begun 5 times and never came to its end." in (run.error or "")
    assert set(place.errors(run_id, RemapState.FAILED)) == ALL
    assert place.calls("POST", "/$batch", FIRST) == 0


def test_a_site_that_goes_down_in_the_middle_of_the_last_attempt_leaves_what_was_written_to_a_roll_back(
    place: Workplace,
) -> None:
    run_id = place.planned()
    place.approve(run_id)
    with place.working(place.hold("getJobResults", system=FIRST)):
        place.sandbox.faults.set("relay-down")
    run = place.run(run_id)
    assert run.status is RunStatus.FAILED
    assert place.as_planned(run_id) == ALL, "all of it had been done"
    errors = place.errors(run_id, RemapState.FAILED)
    assert set(errors) == ALL
    assert all(error.startswith("It is not known whether it was written: ") for error in errors.values())
    place.sandbox.faults.clear("relay-down")
    back = place.rolled_back(run_id)
    assert (back.status, back.states) == (RunStatus.ROLLED_BACK, {"rolled-back": 11})
    assert place.as_before(run_id) == ALL
