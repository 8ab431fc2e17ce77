"""Applying so many machines that it takes several batches: pace, work in several messages, and a cancel between."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from sandbox.azurite import Azurite
from sandbox.citrix_site import Via
from shared.azure.work_queue import WorkStep
from shared.model.run import RemapState, RunId, RunStatus
from shared.runs.work import give_up
from shared.runs.writing.sizes import Sizes
from tests.integration.workplace import AMSTERDAM, MANY, PARIS, Workplace, workplace

MACHINES = 200
PARTS = 6


@pytest.fixture(scope="module")
def module_place(azurite: Azurite) -> Iterator[Workplace]:
    with workplace(azurite, MANY) as made:
        yield made


@pytest.fixture
def place(module_place: Workplace) -> Iterator[Workplace]:
    yield module_place
    module_place.put_back()


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 8 machines, so that this estate fills more of them than may run at once."""
    for name in ("LEAST", "FIRST_MOST", "MOST"):
        monkeypatch.setattr(Sizes, name, 8)


def everything_verified(place: Workplace, run_id: RunId) -> bool:
    run = place.run(run_id)
    whole = run.status is RunStatus.COMPLETED and run.states == {"verified": MACHINES}
    return whole and place.connections_of(written_once(place)) == {AMSTERDAM: MACHINES}


def written_once(place: Workplace) -> set[str]:
    return {host for host, number in place.written().items() if number == 1}


def test_calls_grow_with_batches_and_pages_and_not_with_machines(place: Workplace) -> None:
    run_id = place.planned()
    place.sandbox.calls.clear()
    place.approve(run_id)
    place.work()
    assert everything_verified(place, run_id)
    batches = place.calls("POST", "/$batch")
    assert batches == 4
    assert {write.via for write in place.world.history} == {Via.BATCH}
    assert place.sandbox.calls.count("citrix") <= 5 * batches + 10
    assert place.sandbox.calls.throttled("citrix") == 0
    assert place.resets() == {AMSTERDAM: 1}


def test_power_states_of_many_machines_are_read_by_pages(place: Workplace) -> None:
    run_id = place.applied()
    place.sandbox.calls.clear()
    place.work(WorkStep.OBSERVE)
    assert place.calls("GET", "/Machines/{nameOrId}") == 0
    assert place.calls("GET", "/Machines") == 1
    assert place.steps(run_id)["observe"] == ("done", "Citrix sees a power state for all 200 machines.")


@pytest.mark.usefixtures("small_batches")
def test_never_more_than_four_batches_are_under_way(place: Workplace) -> None:
    run_id = place.applied()
    assert everything_verified(place, run_id)
    assert place.calls("POST", "/$batch") >= MACHINES // 8
    assert place.sandbox.calls.throttled("citrix") == 0, "the fifth at a time would be answered 429"


@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize("value", ["submitBatch:6", "submitBatch:2@3"])
def test_429s_in_the_middle_slow_the_batches_down_and_lose_nothing(place: Workplace, value: str) -> None:
    run_id = place.planned()
    place.approve(run_id)
    with place.working(place.hold("submitBatch", nth=3)):
        place.sandbox.faults.set("citrix-429", value)
    assert everything_verified(place, run_id)
    fired = place.fired("citrix-429")
    assert fired == int(value.removeprefix("submitBatch:")[0])
    assert place.sandbox.calls.throttled("citrix") == fired, "none but those that the fault made"
    if "@" in value:
        assert sum(3.0 <= pause <= 4.0 for pause in place.pauses) >= fired, "a Retry-After is obeyed"
    assert place.calls("PATCH", "/Machines/{nameOrId}") == 0


@pytest.mark.usefixtures("small_batches")
def test_a_429_for_anything_else_is_waited_out_as_well(place: Workplace) -> None:
    place.sandbox.faults.set("citrix-429", "3@0")
    run_id = place.applied()
    assert place.fired("citrix-429") == 3
    assert everything_verified(place, run_id)


def test_a_whole_batch_that_citrix_forgot_goes_in_a_batch_again_after_a_look(place: Workplace) -> None:
    place.sandbox.faults.set("job-stuck", "Batch:1")
    run_id = place.applied()
    assert everything_verified(place, run_id)
    assert {write.via for write in place.world.history} == {Via.BATCH}
    assert place.calls("PATCH", "/Machines/{nameOrId}") == 0


@pytest.mark.usefixtures("small_batches")
def test_several_troubles_at_once_end_in_the_same(place: Workplace) -> None:
    faults = place.sandbox.faults
    faults.set("citrix-drop", "submitBatch:2")
    faults.set("batch-item-fail", "lie:7")
    faults.set("citrix-429", "submitBatch:3")
    faults.set("token-expiry", "item:1")
    place.world.nested_items = 40
    run_id = place.applied()
    assert all(place.fired(name) for name in ("citrix-drop", "batch-item-fail", "citrix-429", "token-expiry"))
    assert everything_verified(place, run_id)


@pytest.mark.usefixtures("small_batches")
def test_a_cancel_stops_between_batches_and_what_is_applied_stays(place: Workplace) -> None:
    run_id = place.planned()
    place.approve(run_id)
    others = [place.hold("submitBatch", nth=nth) for nth in (5, 6, 7)]
    with place.working(place.hold("submitBatch", nth=8)):
        place.cancel(run_id)
        at_cancel = place.run(run_id)
        assert at_cancel.status is RunStatus.APPLYING
        assert at_cancel.cancelled_by == "olive"
        for each in others:
            each.release()
    run, states = place.run(run_id), place.states(run_id)
    verified = {host for host, state in states.items() if state == "verified"}
    assert run.status is RunStatus.CANCELLED
    assert verified == written_once(place) == place.as_planned(run_id)
    assert len(verified) == 8 * 8, "eight batches had been sent, and no other one began"
    assert {state for host, state in states.items() if host not in verified} == {"superseded"}
    assert run.states == {"superseded": MACHINES - len(verified), "verified": len(verified)}
    assert place.resets() == {AMSTERDAM: 1}
    back = place.rolled_back(run_id)
    assert (back.status, back.states["rolled-back"]) == (RunStatus.ROLLED_BACK, len(verified))
    assert place.connections_of(states) == {PARIS: MACHINES}


def parts_of_one_batch_each(place: Workplace, patch: pytest.MonkeyPatch, module: str) -> None:
    """Time goes on with each batch that was submitted: a part of the work ends after its first ones."""
    patch.setattr(f"{module}.SEND_SECONDS", 0.0)
    patch.setattr(f"{module}.LEAST_SEND_SECONDS", 50.0)
    patch.setattr(f"{module}.time", SimpleNamespace(monotonic=lambda: 100.0 * place.calls("POST", "/$batch")))


@pytest.mark.usefixtures("small_batches")
def test_long_work_goes_on_in_the_next_message_however_many_it_takes(
    place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts_of_one_batch_each(place, monkeypatch, "shared.runs.apply")
    run_id = place.planned()
    place.approve(run_id)
    seen = []
    while place.next(WorkStep.APPLY):
        run = place.run(run_id)
        seen.append((run.states.get("verified", 0), run.progress, run.attempts))
        assert run.states.get("applying", 0) == 0, "between two parts nothing is under way"
    assert everything_verified(place, run_id)
    assert len(seen) >= PARTS, "more than a run has attempts"
    verified, progress, attempts = zip(*seen, strict=True)
    assert list(verified) == sorted(set(verified)), "each part gets further"
    assert list(progress) == sorted(progress)
    assert set(attempts[:-1]) == {0}, "a part that comes to its end is a fresh start"
    assert set(place.queue.delays(run_id, WorkStep.APPLY)) == {0}
    assert place.resets() == {AMSTERDAM: 1}, "once, at the end"
    assert [step.name for step in place.run(run_id).steps] == ["plan", "apply", "reset"]


@pytest.mark.usefixtures("small_batches")
def test_a_cancel_between_two_parts_ends_the_chain(place: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    parts_of_one_batch_each(place, monkeypatch, "shared.runs.apply")
    run_id = place.planned()
    place.approve(run_id)
    for _ in range(2):
        place.next(WorkStep.APPLY)
    written = place.written()
    place.cancel(run_id)
    place.work()
    run = place.run(run_id)
    assert run.status is RunStatus.CANCELLED
    assert place.written() == written
    assert run.states == {"superseded": MACHINES - len(written), "verified": len(written)}


@pytest.mark.usefixtures("small_batches")
def test_a_roll_back_goes_on_in_the_next_message_as_well(place: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = place.applied()
    place.world.history.clear()
    parts_of_one_batch_each(place, monkeypatch, "shared.runs.roll_back")
    place.order_roll_back(run_id)
    back = []
    while place.next(WorkStep.ROLLBACK):
        run = place.run(run_id)
        back.append(run.states.get("rolled-back", 0))
        assert run.attempts == (0 if run.status is RunStatus.ROLLING_BACK else 1)
    assert len(back) >= PARTS
    assert back == sorted(set(back))
    assert place.run(run_id).status is RunStatus.ROLLED_BACK
    assert place.connections_of(place.states(run_id)) == {PARIS: MACHINES}
    assert len(written_once(place)) == MACHINES


@pytest.mark.usefixtures("small_batches")
def test_a_run_that_is_given_up_in_the_middle_tells_what_it_wrote_and_can_be_rolled_back(
    place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message of a run at work ends in the poison queue: what was approved fails, and is taken back on demand."""
    parts_of_one_batch_each(place, monkeypatch, "shared.runs.apply")
    run_id = place.planned()
    place.approve(run_id)
    place.next(WorkStep.APPLY)
    written = place.as_planned(run_id)
    (message,) = place.queue.waiting
    place.queue.waiting.clear()
    give_up(place.resources, message.body())
    run = place.run(run_id)
    assert run.status is RunStatus.FAILED
    assert "The step apply failed again and again" in (run.error or "")
    assert run.states == {"failed": MACHINES - len(written), "verified": len(written)}
    errors = place.errors(run_id, RemapState.FAILED)
    assert all(error.startswith("Nothing was written for it: ") for error in errors.values())
    back = place.rolled_back(run_id)
    assert back.status is RunStatus.ROLLED_BACK
    assert back.states == {"failed": MACHINES - len(written), "rolled-back": len(written)}
    assert place.connections_of(place.states(run_id)) == {PARIS: MACHINES}
