"""Applying, in this process: what is written, what is not, and what becomes of it whatever Citrix does meanwhile."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sandbox.azurite import Azurite
from sandbox.citrix_site import Via
from sandbox.world import stable_uuid
from shared.azure.work_queue import WorkStep
from shared.model.run import RemapState, RunStatus
from shared.runs.clients.site_memory import SiteMemory
from tests.integration.workplace import ALL, AMSTERDAM, MOVED, PARIS, SOMEBODYS_VM, SWAP, W11, Workplace, workplace

Change = Callable[[Workplace], None]
IN_PARIS = ALL - set(W11)
VERIFIED = RemapState.VERIFIED.value


@pytest.fixture(scope="module")
def module_place(azurite: Azurite) -> Iterator[Workplace]:
    with workplace(azurite) as made:
        yield made


@pytest.fixture
def place(module_place: Workplace) -> Iterator[Workplace]:
    yield module_place
    module_place.put_back()


def maintenance(place: Workplace) -> None:
    place.connection(AMSTERDAM).in_maintenance = True


def deleted(place: Workplace) -> None:
    del place.site.connections[place.connection(AMSTERDAM).id]


def renamed(place: Workplace) -> None:
    place.connection(AMSTERDAM).name = "Nutanix AHV Rotterdam"


TARGET_CHANGES = [
    pytest.param(maintenance, f"The hosting connection {AMSTERDAM} is in maintenance mode.", id="maintenance"),
    pytest.param(deleted, f"The hosting connection {AMSTERDAM} was deleted in Citrix since the plan.", id="deleted"),
    pytest.param(
        renamed, f"The hosting connection was renamed from {AMSTERDAM} to Nutanix AHV Rotterdam", id="renamed"
    ),
]


# what is written


def test_each_machine_is_one_item_with_both_fields_and_its_new_id_in_lower_case(place: Workplace) -> None:
    bodies = place.tap("submitBatch")
    run_id = place.applied()
    (body,) = bodies
    items = {item["Reference"]: item for item in json.loads(body)["Items"]}
    remaps = {remap.machine: remap for remap in place.remaps(run_id).values()}
    assert set(items) == set(remaps)
    for machine, item in items.items():
        after = remaps[machine].after
        assert item["Method"] == "PATCH"
        assert json.loads(item["Body"]) == {
            "HypervisorConnection": after.connection,
            "HostedMachineId": str(after.machine_id).lower(),
        }
        assert item["RelativeUrl"].endswith(f"/Machines/{machine}")
    assert place.run(run_id).status is RunStatus.COMPLETED
    assert set(place.states(run_id).values()) == {VERIFIED}
    assert place.as_planned(run_id) == ALL
    assert place.written() == dict.fromkeys(ALL, 1)
    assert {write.via for write in place.world.history} == {Via.BATCH}


def test_a_connection_whose_name_is_only_written_otherwise_by_now_is_named_as_it_is_now(place: Workplace) -> None:
    run_id = place.planned()
    place.connection(AMSTERDAM).name = AMSTERDAM.upper()
    bodies = place.tap("submitBatch")
    place.approve(run_id)
    place.work()
    named = [json.loads(item["Body"])["HypervisorConnection"] for item in json.loads(bodies[0])["Items"]]
    assert sorted(set(named)) == [AMSTERDAM.upper(), PARIS]
    assert place.as_planned(run_id) == ALL


def test_from_and_to_are_durable_before_anything_is_written(place: Workplace) -> None:
    run_id = place.planned()
    place.approve(run_id)
    before = {host: remap.before for host, remap in place.remaps(run_id).items()}
    with place.working(place.hold("submitBatch")):
        remaps = place.remaps(run_id)
        assert {remap.state for remap in remaps.values()} == {RemapState.APPLYING}
        assert all(remap.sent and remap.before == before[host] for host, remap in remaps.items())
        (batch,) = place.resources.batches.of(run_id)
        assert (set(batch.machines), batch.job, batch.ended) == (
            {remap.machine for remap in remaps.values()},
            None,
            False,
        )
        assert place.run(run_id).writing_since is not None
        assert place.written() == {}
    assert place.run(run_id).status is RunStatus.COMPLETED


def test_only_what_was_approved_is_written_and_the_rest_may_be_approved_later(place: Workplace) -> None:
    run_id = place.applied(hosts=W11[:2])
    assert place.written() == dict.fromkeys(W11[:2], 1)
    assert place.run(run_id).status is RunStatus.COMPLETED
    place.approve(run_id, [*SWAP])
    place.work()
    assert place.as_planned(run_id) == {*W11[:2], *SWAP}
    assert place.written() == dict.fromkeys([*W11[:2], *SWAP], 1)


def test_of_what_is_approved_only_some_machines_are_applied_where_they_are_named(place: Workplace) -> None:
    run_id = place.planned()
    place.approve(run_id, apply=False)
    place.apply(run_id, W11[:3])
    assert place.as_planned(run_id) == set(W11[:3])
    run = place.run(run_id)
    assert (run.status, run.states) == (RunStatus.AWAITING_REVIEW, {"approved": 8, "verified": 3})
    place.apply(run_id)
    assert place.run(run_id).status is RunStatus.COMPLETED
    assert place.written() == dict.fromkeys(ALL, 1)


def test_the_events_tell_the_way_and_the_run_its_counts(place: Workplace) -> None:
    run_id = place.applied()
    actions = [(event.actor, event.action) for event in place.events(run_id) if event.machine is None]
    assert actions == [
        ("olive", "run-requested"),
        ("realign", "planned"),
        ("ada", "approved"),
        ("realign", "reset"),
        ("realign", "completed"),
    ]
    run = place.run(run_id)
    assert (run.progress, run.states, run.error, run.not_before) == (100, {"verified": 11}, None, None)
    assert run.ended_at is not None
    assert place.steps(run_id)["apply"] == ("done", "11 verified.")


def test_a_message_that_comes_twice_writes_nothing_twice(place: Workplace) -> None:
    run_id = place.applied()
    place.queue.send(run_id, WorkStep.APPLY)
    place.work()
    assert place.written() == dict.fromkeys(ALL, 1)
    assert place.resets() == {PARIS: 1, AMSTERDAM: 1}


def test_a_run_that_was_interrupted_before_its_first_call_is_simply_begun_again(place: Workplace) -> None:
    run_id = place.planned()
    place.approve(run_id)
    place.queue.send(run_id, WorkStep.APPLY)
    place.work()
    assert place.written() == dict.fromkeys(ALL, 1)


# what has changed since the plan


@pytest.mark.parametrize(("change", "sentence"), TARGET_CHANGES)
def test_a_target_connection_that_changed_since_the_plan_fails_its_machines_alone(
    place: Workplace, change: Change, sentence: str
) -> None:
    run_id = place.planned()
    change(place)
    place.approve(run_id)
    place.work()
    check_only_amsterdam_failed(place, run_id, sentence)


@pytest.mark.parametrize(("change", "sentence"), TARGET_CHANGES)
def test_a_target_connection_that_changes_after_the_last_read_is_seen_right_before_the_write(
    place: Workplace, change: Change, sentence: str
) -> None:
    run_id = place.planned()
    place.approve(run_id)
    with place.working(place.hold("getHypervisor")):
        assert place.calls("GET", "/MachineCatalogs") == 2, "the site was read again already"
        change(place)
    check_only_amsterdam_failed(place, run_id, sentence)


def check_only_amsterdam_failed(place: Workplace, run_id: Any, sentence: str) -> None:
    states = place.states(run_id)
    assert {host for host, state in states.items() if state == "failed"} == set(W11)
    assert {host for host, state in states.items() if state == VERIFIED} == IN_PARIS
    assert all(error.startswith(sentence) for error in place.errors(run_id).values())
    assert place.written() == dict.fromkeys(IN_PARIS, 1)
    assert not any(remap.sent for host, remap in place.remaps(run_id).items() if host in W11)
    run = place.run(run_id)
    assert run.status is RunStatus.COMPLETED_WITH_ERRORS
    assert (run.error or "").startswith("8 of 11 remaps did not go as planned (8 failed, 0 superseded).")
    assert place.resets() == {PARIS: 1}
    told = {event.machine for event in place.events(run_id) if event.action == "failed"}
    assert len(told) == 8


def somebody_changed_the_vm(place: Workplace) -> None:
    place.somebody_changes("W11-01")


def somebody_changed_the_connection(place: Workplace) -> None:
    place.machine("REP-01").connection_id = place.connection(AMSTERDAM).id


def machine_deleted(place: Workplace) -> None:
    del place.site.machines[place.machine("W11-01").id]


def power_management_removed(place: Workplace) -> None:
    machine = place.machine("W11-01")
    machine.connection_id = machine.hosted_machine_id = None


def vm_vanished(place: Workplace) -> None:
    place.vm_goes("W11-01")


def vm_went_home(place: Workplace) -> None:
    place.vm_goes("W11-01", to="PAR-CL01")


def namesake_appeared(place: Workplace) -> None:
    cluster = place.world.prisms["amsterdam"].clusters[0]
    twin = next(vm for vm in place.world.prisms["paris"].clusters[0].vms.values() if vm.name == "REP-01")
    cluster.add(type(twin)(stable_uuid("a namesake of REP-01"), twin.name))


@pytest.mark.parametrize(
    ("change", "host", "words"),
    [
        pytest.param(somebody_changed_the_vm, "W11-01", SOMEBODYS_VM, id="somebody-changed-its-id"),
        pytest.param(somebody_changed_the_connection, "REP-01", AMSTERDAM, id="somebody-changed-its-connection"),
        pytest.param(machine_deleted, "W11-01", "no machine of the site any more", id="the-machine-is-gone"),
        pytest.param(power_management_removed, "W11-01", "no VM", id="it-is-not-power-managed-any-more"),
        pytest.param(vm_vanished, "W11-01", "planned differently", id="its-vm-vanished"),
        pytest.param(vm_went_home, "W11-01", "planned differently", id="its-vm-went-back"),
        pytest.param(namesake_appeared, "REP-01", "planned differently", id="a-namesake-turned-up"),
    ],
)
def test_what_is_not_as_it_was_planned_is_superseded_and_the_others_go_on(
    place: Workplace, change: Change, host: str, words: str
) -> None:
    run_id = place.planned()
    place.approve(run_id)
    with place.working(place.hold("listMachines")):  # after the approval, before the fresh look
        change(place)
    states = place.states(run_id)
    assert states.pop(host) == "superseded"
    assert set(states.values()) == {VERIFIED}
    assert words in place.errors(run_id)[host]
    assert place.written() == dict.fromkeys(ALL - {host}, 1)
    run = place.run(run_id)
    assert (run.status, run.states) == (RunStatus.COMPLETED_WITH_ERRORS, {"superseded": 1, "verified": 10})
    (event,) = [event for event in place.events(run_id) if event.action == "superseded"]
    assert (event.actor, event.machine) == ("realign", place.remaps(run_id)[host].machine)


def test_a_vm_that_another_machine_still_holds_is_not_given_away(place: Workplace) -> None:
    run_id = place.applied(hosts=["SWAP-A"])
    assert place.states(run_id)["SWAP-A"] == "failed"
    sentence = place.errors(run_id)["SWAP-A"]
    assert "still held by" in sentence
    assert "CORP\\SWAP-B" in sentence
    assert place.written() == {}


def test_a_vm_that_another_machine_took_since_the_plan_is_left_with_it(place: Workplace) -> None:
    run_id = place.planned()
    place.approve(run_id)
    with place.working(place.hold("listMachines")):
        place.machine("HOME-01").hosted_machine_id = place.machine("W11-01").hosted_machine_id
    assert place.states(run_id)["W11-01"] == "failed"
    assert "CORP\\HOME-01" in place.errors(run_id)["W11-01"]
    assert place.as_planned(run_id) == ALL - {"W11-01"}
    assert place.written() == dict.fromkeys(ALL - {"W11-01"}, 1)


def test_two_machines_that_hold_each_others_vm_change_places_together(place: Workplace) -> None:
    run_id = place.applied(hosts=SWAP)
    assert place.as_planned(run_id) == set(SWAP)


def test_a_machine_that_has_its_new_values_already_is_verified_and_not_written(place: Workplace) -> None:
    run_id = place.planned()
    for host in ("W11-01", "REP-01"):
        place.put(host, run_id)
    place.approve(run_id)
    place.work()
    assert set(place.states(run_id).values()) == {VERIFIED}
    assert place.written() == dict.fromkeys(ALL - {"W11-01", "REP-01"}, 1)
    assert not place.remaps(run_id)["W11-01"].sent


def test_where_all_is_done_already_nothing_is_written_and_nothing_reset(place: Workplace) -> None:
    run_id = place.planned(scope=MOVED)
    for host in W11:
        place.put(host, run_id)
    place.approve(run_id)
    place.work()
    assert (place.run(run_id).status, place.run(run_id).states) == (RunStatus.COMPLETED, {"verified": 8})
    assert (place.written(), place.resets()) == ({}, {})
    assert place.calls("POST", "/$batch") == 0


def test_another_site_behind_the_profile_is_not_written_to(place: Workplace) -> None:
    run_id = place.planned()
    place.approve(run_id)
    was, place.site.id = place.site.id, stable_uuid("another site")
    place.resources.sites = SiteMemory()  # an hour later, or another process
    place.work()
    run = place.run(run_id)
    assert run.status is RunStatus.FAILED
    assert was in (run.error or "")
    assert place.site.id in (run.error or "")
    assert "Nothing was written" in (run.error or "")
    assert (place.written(), set(place.states(run_id).values())) == ({}, {"failed"})
