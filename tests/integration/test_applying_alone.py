"""Runs that go on without a person, those that go before others, and the VMs that nobody goes back to by mistake."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from sandbox.azurite import Azurite
from sandbox.world import SimVm, stable_uuid
from shared.azure.lock import Lock, LockKind
from shared.azure.work_queue import WorkStep
from shared.errors import NotAllowed
from shared.model.run import RemapState, RunId, RunStatus
from shared.runs.locked import WAIT_FOR_LOCK
from shared.runs.work import do_work
from tests.integration.workplace import ADA, ALL, AMSTERDAM, ESTATE, PARIS, SWAP, W11, Message, Workplace, workplace

AUTO = {"mode": "auto"}
SURE = ALL - set(SWAP)
DR = {"dr": {"mode": "auto", "maxChanges": 6000, "maxChangePercent": 100}}

# Two whose VMs were made again in Amsterdam; the originals are there still, switched off.
RECREATED = """  - names: TWIN-{:02d}
    count: 2
    catalog: Desktops
    record: {connection: Nutanix AHV Paris, id: old}
    vms:
      - {at: PAR-CL01, id: old, power: "off"}
      - {at: AMS-CL01, id: new}
    expect: {finding: remap, reason: vm-moved}
profile: {name: at-work}
"""
TWINS = ("TWIN-01", "TWIN-02")
ONLY_TWINS = {"machines": list(TWINS)}


@pytest.fixture(scope="module")
def module_place(azurite: Azurite) -> Iterator[Workplace]:
    with workplace(azurite, ESTATE.replace("profile: {name: at-work}\n", RECREATED)) as made:
        yield made


@pytest.fixture
def place(module_place: Workplace) -> Iterator[Workplace]:
    yield module_place
    module_place.put_back()


@pytest.fixture
def auto(place: Workplace) -> str:
    return place.profile(AUTO, scope={"exclude": ["TWIN-*"]})


def held_by(place: Workplace, kind: LockKind, key: str, run: str = "another") -> Lock:
    lock = place.resources.locks.acquire(kind, key, RunId(run), "another worker", place.clock())
    assert isinstance(lock, Lock)
    return lock


# mode auto


def test_mode_auto_applies_what_is_sure_and_the_rest_waits(place: Workplace, auto: str) -> None:
    run_id = place.planned(auto)
    assert place.run(run_id).status is RunStatus.APPLYING
    place.work()
    run = place.run(run_id)
    assert (run.status, run.states) == (RunStatus.AWAITING_REVIEW, {"proposed": 2, "verified": 9})
    assert run.ended_at is None
    assert place.as_planned(run_id) == SURE
    assert {remap.approved_by for host, remap in place.remaps(run_id).items() if host in SURE} == {"realign"}
    place.approve(run_id)
    place.work()
    assert (place.run(run_id).status, place.as_planned(run_id)) == (RunStatus.COMPLETED, ALL)


def test_mode_auto_does_everything_where_all_of_it_is_sure(place: Workplace) -> None:
    run_id = place.planned(place.profile({**AUTO, "autoConfidence": "weak"}, scope={"exclude": ["TWIN-*"]}))
    place.work()
    assert (place.run(run_id).status, place.as_planned(run_id)) == (RunStatus.COMPLETED, ALL)


def test_a_guard_that_comes_up_between_plan_and_write_sends_everything_back_to_a_person(place: Workplace) -> None:
    profile = place.profile({**AUTO, "maxChanges": 11}, scope={"exclude": ["TWIN-*"]})
    run_id = place.planned(profile)
    assert place.run(run_id).guards == ()
    place.machine("HOME-01").hosted_machine_id = stable_uuid("gone")  # one remap more
    place.work()
    run = place.run(run_id)
    assert (run.status, [guard.name for guard in run.guards]) == (RunStatus.AWAITING_REVIEW, ["max-changes"])
    assert run.states == {"proposed": 11}
    assert (place.written(), place.resets()) == ({}, {})
    assert "guard" in [event.action for event in place.events(run_id)]
    place.approve(run_id)
    place.work()
    assert place.run(run_id).status is RunStatus.COMPLETED
    assert place.as_planned(run_id) == ALL, "a person has looked at the guard"


def the_former_vm_is_there_after_all(place: Workplace) -> None:
    uuid = place.machine("REP-01").hosted_machine_id or ""
    place.world.prisms["paris"].clusters[0].add(SimVm(uuid, "REP-01", power="off"))


def test_what_is_less_sure_by_now_than_mode_auto_takes_is_asked_about(place: Workplace, auto: str) -> None:
    run_id = place.planned(auto)
    the_former_vm_is_there_after_all(place)
    place.work()
    states = place.states(run_id)
    assert states["REP-01"] == "proposed"
    assert place.errors(run_id)["REP-01"] == (
        "The evidence for it is weak now, and mode auto applies what is at least strong. Review it."
    )
    assert {states[host] for host in W11} == {"verified"}
    assert place.run(run_id).status is RunStatus.AWAITING_REVIEW
    assert place.written() == dict.fromkeys(W11, 1)
    place.approve(run_id, ["REP-01"])
    place.work()
    assert place.states(run_id)["REP-01"] == "verified", "a person may take it"
    assert place.errors(run_id) == {}


def test_what_a_person_approved_goes_although_it_is_less_sure_by_now(place: Workplace) -> None:
    run_id = place.planned(scope={"machines": ["REP-01"]})
    the_former_vm_is_there_after_all(place)
    place.approve(run_id)
    place.work()
    assert place.as_planned(run_id) == {"REP-01"}


# DR runs


def test_a_dr_run_goes_from_its_request_to_verified_alone(place: Workplace) -> None:
    run_id = place.planned(place.profile(DR), target="amsterdam")
    place.work()
    run = place.run(run_id)
    moved = {*W11, *TWINS}
    assert {host for host, state in place.states(run_id).items() if state == "verified"} == moved
    assert place.as_planned(run_id) == moved
    assert place.connections_of(moved) == {AMSTERDAM: 10}
    assert (run.status, run.approved_by, run.requested_by) == (RunStatus.COMPLETED, "realign", "olive")
    assert place.resets() == {AMSTERDAM: 1}
    back = place.rolled_back(run_id)
    assert (back.status, place.connections_of(moved)) == (RunStatus.ROLLED_BACK, {PARIS: 10})


def test_a_dr_run_beyond_its_limits_waits_for_a_person(place: Workplace) -> None:
    run_id = place.planned(place.profile(DR), target="amsterdam", limits={"maxChanges": 3})
    place.work()
    run = place.run(run_id)
    assert (run.status, [guard.name for guard in run.guards]) == (RunStatus.AWAITING_REVIEW, ["max-changes"])
    assert place.written() == {}


def test_limits_beyond_the_policy_need_an_approver(place: Workplace) -> None:
    profile = place.profile({"dr": {"mode": "auto", "maxChanges": 3}})
    with pytest.raises(NotAllowed):
        place.planned(profile, target="amsterdam", limits={"maxChanges": 100})
    run_id = place.planned(profile, ADA, target="amsterdam", limits={"maxChanges": 100})
    place.work()
    assert place.run(run_id).status is RunStatus.COMPLETED


def test_a_scheduled_run_that_has_begun_to_write_is_not_stopped_by_a_dr_run(place: Workplace) -> None:
    profile = place.profile({**AUTO, **DR}, scope={"exclude": ["TWIN-*"]}, schedule=True)
    run_id = place.planned(profile, trigger="schedule")
    with place.working(place.hold("submitBatch")):
        disaster = place.started(profile, target="amsterdam")
    assert place.as_planned(run_id) >= SURE
    assert place.run(run_id).cancelled_by is None
    place.work()
    assert place.run(disaster).status is RunStatus.COMPLETED


def test_a_scheduled_run_that_is_about_to_write_gives_way_and_writes_nothing(place: Workplace) -> None:
    profile = place.profile({**AUTO, **DR}, scope={"exclude": ["TWIN-*"]}, schedule=True)
    run_id = place.planned(profile, trigger="schedule")
    with place.working(place.hold("getHypervisor")):
        disaster = place.started(profile, target="amsterdam")
    run = place.run(run_id)
    assert (run.status, run.cancelled_by) == (RunStatus.CANCELLED, f"DR run {disaster}")
    assert set(place.states(run_id).values()) == {"superseded"}
    place.work()
    assert place.run(disaster).status is RunStatus.COMPLETED
    assert place.written() == dict.fromkeys(W11, 1)


# one at a time


@pytest.mark.parametrize("kind", [LockKind.PROFILE, LockKind.SITE])
def test_while_another_run_has_the_profile_or_the_site_applying_waits_by_a_message(
    place: Workplace, kind: LockKind
) -> None:
    profile = place.profile(scope={"exclude": ["TWIN-*"]})
    run_id = place.planned(profile)
    place.approve(run_id)
    with held_by(place, kind, profile if kind is LockKind.PROFILE else place.site.id):
        place.next(WorkStep.APPLY)
        run = place.run(run_id)
        assert (run.status, run.attempts, place.written()) == (RunStatus.APPLYING, 0, {})
        assert run.steps[-1].detail == "Run another is at work on the same profile or site."
        assert place.queue.delays(run_id, WorkStep.APPLY)[-1] == WAIT_FOR_LOCK.total_seconds()
    place.work()
    assert place.run(run_id).status is RunStatus.COMPLETED


def test_two_profiles_of_one_site_never_write_at_the_same_time(place: Workplace) -> None:
    first = place.planned(place.profile(scope={"machines": list(W11[:4])}))
    second = place.planned(place.profile(scope={"machines": list(W11[4:])}))
    place.approve(first)
    with place.working(place.hold("submitBatch")):
        place.approve(second)
        message = place.queue.waiting[-1]
        place.queue.waiting.clear()
        do_work(place.another_worker(), message.body())
        assert place.run(second).steps[-1].name == "wait"
        assert place.written() == {}
    place.work()
    assert [place.run(each).status for each in (first, second)] == [RunStatus.COMPLETED] * 2
    assert place.written() == dict.fromkeys(W11, 1)


def test_a_duplicate_message_of_a_run_that_is_being_worked_on_does_nothing(place: Workplace) -> None:
    run_id = place.planned(place.profile(scope={"exclude": ["TWIN-*"]}))
    place.approve(run_id)
    with place.working(place.hold("submitBatch")):
        do_work(place.another_worker(), Message(run_id, WorkStep.APPLY, 0).body())
        assert place.calls("POST", "/$batch") == 1
    assert place.written() == dict.fromkeys(ALL, 1)
    assert place.run(run_id).attempts == 1


# VMs that were left


def twins_moved(place: Workplace) -> RunId:
    """Both machines were moved to their new VMs; then the old site comes back, and its VMs are the ones that are on."""
    run_id = place.applied(scope=ONLY_TWINS)
    assert place.run(run_id).states == {"verified": 2}
    originals_are_back(place)
    return run_id


def originals_are_back(place: Workplace) -> None:
    for prism, power in (("paris", "on"), ("amsterdam", "off")):
        for vm in place.world.prisms[prism].clusters[0].vms.values():
            if vm.name in TWINS:
                vm.power = power


def test_a_vm_that_a_machine_was_moved_away_from_is_not_proposed_again(place: Workplace) -> None:
    twins_moved(place)
    again = place.planned(scope=ONLY_TWINS)
    assert place.run(again).findings.get("remap", 0) == 0
    assert place.remaps(again) == {}


def test_with_a_target_it_is(place: Workplace) -> None:
    run_id = twins_moved(place)
    again = place.applied(target="paris", scope=ONLY_TWINS)
    assert place.run(again).states == {"verified": 2}
    for host, remap in place.remaps(again).items():
        assert remap.after.machine_id == place.remaps(run_id)[host].before.machine_id
    assert place.connections_of(TWINS) == {PARIS: 2}


def test_after_a_roll_back_it_may_be_proposed_as_before(place: Workplace) -> None:
    run_id = twins_moved(place)
    place.rolled_back(run_id)
    assert place.connections_of(TWINS) == {PARIS: 2}
    for machine in map(place.machine, TWINS):
        machine.hosted_machine_id = stable_uuid("gone", machine.name)  # and then the records are wrong again
    again = place.planned(scope=ONLY_TWINS)
    originals = {remap.before.machine_id for remap in place.remaps(run_id).values()}
    assert {remap.after.machine_id for remap in place.remaps(again).values()} == originals


def test_of_a_part_that_was_rolled_back_only_that_part_is_forgotten(place: Workplace) -> None:
    run_id = twins_moved(place)
    place.rolled_back(run_id, ["TWIN-01"])
    left = {vm.uuid for vm in place.resources.departed.of(place.site.id)}
    assert left == {place.remaps(run_id)["TWIN-02"].before.machine_id}


def test_a_remap_that_failed_leaves_nothing_behind(place: Workplace) -> None:
    place.site.locked = {place.machine("TWIN-01").id}
    run_id = place.applied(scope=ONLY_TWINS)
    assert set(place.errors(run_id, RemapState.FAILED)) == {"TWIN-01"}
    left = {vm.uuid for vm in place.resources.departed.of(place.site.id)}
    assert left == {place.remaps(run_id)["TWIN-02"].before.machine_id}


def test_machines_that_changed_places_have_left_no_vm(place: Workplace) -> None:
    place.applied(scope={"machines": list(SWAP)})
    assert place.resources.departed.of(place.site.id) == frozenset()


def test_a_plan_that_grew_old_while_its_run_waited_for_the_site_is_still_carried_out(place: Workplace) -> None:
    """It was approved in time; what matters then is what is read again right before the write."""
    run_id = place.planned(place.profile({"planMaxAgeHours": 1}, scope={"exclude": ["TWIN-*"]}))
    place.approve(run_id)
    place.clock.advance(timedelta(hours=3).total_seconds())
    place.work()
    assert place.run(run_id).states == {"verified": 11}
