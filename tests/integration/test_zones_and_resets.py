"""After the writes: connections are reset, catalogs follow to another zone, and power states are looked for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sandbox.azurite import Azurite
from sandbox.citrix_site import SimCatalog
from shared.azure.work_queue import WorkStep
from shared.model.run import RunId, RunStatus
from shared.runs.later import FIRST_LOOK_SECONDS
from shared.runs.observe import EVERY_SECONDS, LOOKS_FOR, ONE_BY_ONE
from tests.integration.workplace import (
    ALL,
    AMSTERDAM,
    MOVED,
    PARIS,
    W11,
    Workplace,
    workplace,
)

NEVER = 100_000.0  # seconds until a power state comes: until the test brings it
REP = {"machines": ["REP-01"]}


@pytest.fixture(scope="module")
def module_place(azurite: Azurite) -> Iterator[Workplace]:
    with workplace(azurite) as made:
        yield made


@pytest.fixture
def place(module_place: Workplace) -> Iterator[Workplace]:
    yield module_place
    module_place.put_back()


def done(place: Workplace, run_id: RunId, step: str) -> tuple[str, str]:
    return place.steps(run_id)[step]


# resets


def test_only_connections_that_machines_came_to_are_reset_and_by_their_id_once(place: Workplace) -> None:
    paths: list[str] = []

    def note(method: str, path: str, body: bytes) -> bool:
        paths.append(path.partition("?")[0])
        return False

    place.sandbox.holds.hold("citrix", "resetHypervisorConnection", match=note)
    run_id = place.applied(scope=MOVED)
    assert place.resets() == {AMSTERDAM: 1}
    assert done(place, run_id, "reset") == ("done", f"Reset: {AMSTERDAM}.")
    (path,) = paths
    assert path.endswith(f"/hypervisors/{place.connection(AMSTERDAM).id}/$resetConnection")


def test_a_machine_that_only_got_another_vm_has_its_connection_reset_too(place: Workplace) -> None:
    place.applied(scope=REP)
    assert place.resets() == {PARIS: 1}


def test_a_connection_under_which_no_machine_came_to_stand_is_left_alone(place: Workplace) -> None:
    place.site.locked = {place.machine(host).id for host in W11}
    run_id = place.applied()
    assert place.run(run_id).states == {"failed": 8, "verified": 3}
    assert place.resets() == {PARIS: 1}


def test_a_later_approval_resets_only_what_it_changed_itself(place: Workplace) -> None:
    run_id = place.applied(hosts=W11[:1])
    place.approve(run_id, ["REP-01"])
    place.work()
    assert place.resets() == {AMSTERDAM: 1, PARIS: 1}


def test_no_connection_is_reset_where_the_policy_wants_none(place: Workplace) -> None:
    run_id = place.applied(place.profile({"resetHostingConnection": False, "resetAgainAfterSeconds": 30}))
    assert place.resets() == {}
    assert "reset" not in place.steps(run_id)
    assert place.queue.delays(run_id, WorkStep.RESET_AGAIN) == []
    assert place.run(run_id).status is RunStatus.COMPLETED


def test_a_reset_that_is_refused_is_a_step_that_says_so_and_the_remaps_stay_verified(place: Workplace) -> None:
    place.site.forbidden = {"resetHypervisorConnection"}
    run_id = place.applied(scope=MOVED)
    run = place.run(run_id)
    assert (run.status, run.states) == (RunStatus.COMPLETED_WITH_ERRORS, {"verified": 8})
    assert run.error == "A step after the writes failed. The steps of the run say which and why."
    went, said = done(place, run_id, "reset")
    assert went == "failed"
    assert said.startswith(f"{AMSTERDAM} was not reset: ")
    assert "HTTP 403" in said


def test_one_reset_that_is_refused_keeps_the_other_from_nothing(place: Workplace) -> None:
    run_id = place.planned()
    place.approve(run_id)
    with place.working(place.hold("resetHypervisorConnection")):
        for connection in place.site.connections.values():
            connection.in_maintenance = connection.name == PARIS
    went, said = done(place, run_id, "reset")
    assert (went, place.resets()) == ("failed", {AMSTERDAM: 1})
    assert f"Reset: {AMSTERDAM}." in said
    assert f"{PARIS} was not reset: " in said


def test_the_second_reset_comes_by_a_delayed_message_and_holds_no_lock(place: Workplace) -> None:
    run_id = place.applied(place.profile({"resetAgainAfterSeconds": 45}), scope=MOVED)
    assert place.run(run_id).status is RunStatus.COMPLETED, "it does not wait for it"
    assert place.queue.delays(run_id, WorkStep.RESET_AGAIN) == [45]
    place.work(WorkStep.RESET_AGAIN)
    assert place.resets() == {AMSTERDAM: 2}
    assert done(place, run_id, "reset-again") == ("done", f"Reset: {AMSTERDAM}.")
    assert place.run(run_id).status is RunStatus.COMPLETED
    assert place.events(run_id)[-1].action == "reset-again"


def test_without_seconds_there_is_no_second_reset(place: Workplace) -> None:
    run_id = place.applied(place.profile({"resetAgainAfterSeconds": 0}), scope=MOVED)
    assert place.queue.delays(run_id, WorkStep.RESET_AGAIN) == []
    place.work(WorkStep.RESET_AGAIN)
    assert place.resets() == {AMSTERDAM: 1}


def test_a_second_reset_whose_message_comes_twice_is_made_once(place: Workplace) -> None:
    run_id = place.applied(place.profile({"resetAgainAfterSeconds": 5}), scope=MOVED)
    place.queue.send(run_id, WorkStep.RESET_AGAIN)
    place.work(WorkStep.RESET_AGAIN)
    assert place.resets() == {AMSTERDAM: 2}


def test_after_a_roll_back_nothing_is_reset_a_second_time(place: Workplace) -> None:
    run_id = place.applied(place.profile({"resetAgainAfterSeconds": 5}), scope=MOVED)
    place.rolled_back(run_id)
    before = place.resets()
    place.work(WorkStep.RESET_AGAIN)
    assert place.resets() == before == {AMSTERDAM: 1, PARIS: 1}


def test_a_second_reset_waits_while_the_run_is_at_work_again(place: Workplace) -> None:
    run_id = place.applied(place.profile({"resetAgainAfterSeconds": 5}), hosts=W11[:2])
    place.approve(run_id, ["REP-01"])
    place.next(WorkStep.RESET_AGAIN)
    assert place.resets() == {AMSTERDAM: 1}
    assert place.queue.delays(run_id, WorkStep.RESET_AGAIN)[-1] > 0
    place.work()
    place.work(WorkStep.RESET_AGAIN)
    assert place.resets()[PARIS] == 2


def test_a_second_reset_that_fails_says_so_and_changes_nothing(place: Workplace) -> None:
    run_id = place.applied(place.profile({"resetAgainAfterSeconds": 5}), scope=MOVED)
    place.site.forbidden = {"resetHypervisorConnection"}
    place.work(WorkStep.RESET_AGAIN)
    went, said = done(place, run_id, "reset-again")
    assert went == "failed"
    assert "HTTP 403" in said
    assert place.run(run_id).status is RunStatus.COMPLETED


# power states


def test_power_states_are_looked_for_until_each_machine_has_one(place: Workplace) -> None:
    place.world.power_lag_seconds = NEVER
    run_id = place.applied(scope=MOVED)
    assert place.queue.delays(run_id, WorkStep.OBSERVE) == [FIRST_LOOK_SECONDS]
    place.next(WorkStep.OBSERVE)
    went, said = done(place, run_id, "observe")
    assert went == "waiting"
    assert said.startswith("Citrix sees no power state yet for 8 of 8 machines: CORP\\W11-01, CORP\\W11-02")
    place.machine("W11-01").power_state = "On"
    place.next(WorkStep.OBSERVE)
    assert "7 of 8 machines" in done(place, run_id, "observe")[1]
    place.world.refresh_power(place.connection(AMSTERDAM))
    place.work(WorkStep.OBSERVE)
    assert done(place, run_id, "observe") == ("done", "Citrix sees a power state for all 8 machines.")
    assert set(place.queue.delays(run_id, WorkStep.OBSERVE)[1:]) == {EVERY_SECONDS}
    assert [step.name for step in place.run(run_id).steps].count("observe") == 1
    assert place.run(run_id).status is RunStatus.COMPLETED
    assert place.queue.waiting == []


def test_a_machine_that_stays_without_a_power_state_is_a_warning_after_five_minutes(place: Workplace) -> None:
    place.world.power_lag_seconds = NEVER
    run_id = place.applied(scope=MOVED)
    place.next(WorkStep.OBSERVE)
    place.clock.advance(LOOKS_FOR.total_seconds())
    place.work(WorkStep.OBSERVE)
    went, said = done(place, run_id, "observe")
    assert (went, "8 of 8 machines" in said) == ("warning", True)
    run = place.run(run_id)
    assert (run.status, run.error, run.states) == (RunStatus.COMPLETED, None, {"verified": 8})
    assert place.events(run_id)[-1].action == "observe"
    assert place.queue.waiting == []


def test_looking_ends_by_itself_after_five_minutes_of_looks(place: Workplace) -> None:
    place.world.power_lag_seconds = NEVER
    run_id = place.applied(scope=MOVED)
    place.work(WorkStep.OBSERVE)
    assert done(place, run_id, "observe")[0] == "warning"
    looks = len(place.queue.delays(run_id, WorkStep.OBSERVE))
    assert 10 <= looks <= 11


@pytest.mark.parametrize("state", ["VirtualMachineNotFound", "Unknown"])
def test_not_found_and_unknown_count_as_unseen(place: Workplace, state: str) -> None:
    run_id = place.applied(scope=MOVED)
    place.machine("W11-05").power_state = state
    place.next(WorkStep.OBSERVE)
    went, said = done(place, run_id, "observe")
    assert went == "waiting"
    assert said.startswith("Citrix sees no power state yet for 1 of 8 machines: CORP\\W11-05.")


@pytest.mark.parametrize("state", ["Off", "Suspended", "On"])
def test_any_other_power_state_is_one_that_citrix_sees(place: Workplace, state: str) -> None:
    run_id = place.applied(scope=MOVED)
    place.machine("W11-05").power_state = state
    place.next(WorkStep.OBSERVE)
    assert done(place, run_id, "observe")[0] == "done"


def test_a_look_that_fails_is_told_and_made_again(place: Workplace) -> None:
    run_id = place.applied(scope=MOVED)
    place.site.forbidden = {"getMachine", "listMachines"}
    place.next(WorkStep.OBSERVE)
    went, said = done(place, run_id, "observe")
    assert (went, "HTTP 403" in said) == ("waiting", True)
    place.site.forbidden = set()
    place.work(WorkStep.OBSERVE)
    assert done(place, run_id, "observe")[0] == "done"


def test_few_machines_are_looked_at_one_by_one(place: Workplace) -> None:
    place.applied(scope=MOVED)
    place.sandbox.calls.clear()
    place.work(WorkStep.OBSERVE)
    assert place.calls("GET", "/Machines/{nameOrId}") == len(W11) <= ONE_BY_ONE
    assert place.calls("GET", "/Machines") == 0


def test_after_a_roll_back_nobody_looks_any_more(place: Workplace) -> None:
    run_id = place.applied(scope=MOVED)
    place.rolled_back(run_id)
    place.sandbox.calls.clear()
    place.work(WorkStep.OBSERVE)
    assert "observe" not in place.steps(run_id)
    assert place.sandbox.calls.count("citrix") == 0


def test_where_nothing_was_verified_nothing_is_looked_for(place: Workplace) -> None:
    place.site.forbidden = {"submitBatch", "updateMachine"}
    run_id = place.applied(scope=MOVED)
    assert place.queue.delays(run_id, WorkStep.OBSERVE) == []
    assert place.run(run_id).status is RunStatus.COMPLETED_WITH_ERRORS


# zones


@pytest.fixture
def switching(place: Workplace) -> str:
    return place.profile({"switchCatalogZone": True})


def catalog(place: Workplace, name: str) -> SimCatalog:
    return next(each for each in place.site.catalogs.values() if each.name == name)


def test_a_catalog_follows_once_all_its_power_managed_machines_stand_in_the_other_zone(
    place: Workplace, switching: str
) -> None:
    place.machine("W11-08").connection_id = place.machine("W11-08").hosted_machine_id = None  # not power-managed
    run_id = place.applied(switching)
    assert (catalog(place, "Desktops").zone, catalog(place, "Desktops").moves) == ("Amsterdam", 1)
    assert catalog(place, "Offices").moves == 0, "its machines stand in Paris"
    assert done(place, run_id, "move-zones") == ("done", "Desktops: Paris to Amsterdam.")
    assert place.run(run_id).status is RunStatus.COMPLETED
    assert [job.type for job in place.site.jobs.values()].count("MoveItemsIntoZone") == 1, "and its job was waited for"
    (move,) = place.resources.zone_moves.of(run_id)
    assert (move.catalog, move.from_zone, move.to_zone, move.state.value) == (
        "Desktops",
        "Paris",
        "Amsterdam",
        "moved",
    )


def test_without_being_asked_no_catalog_moves(place: Workplace) -> None:
    run_id = place.applied()
    assert catalog(place, "Desktops").moves == 0
    assert "move-zones" not in place.steps(run_id)


def test_a_catalog_with_a_machine_elsewhere_stays_and_says_so(place: Workplace, switching: str) -> None:
    run_id = place.applied(switching, hosts=W11[:7])
    assert catalog(place, "Desktops").moves == 0
    went, said = done(place, run_id, "move-zones")
    assert went == "failed"
    assert said == (
        "The catalog Desktops was not moved to another zone. "
        "1 of its 8 power-managed machines stands on connections outside the zone Amsterdam."
    )
    run = place.run(run_id)
    assert (run.status, run.states) == (RunStatus.COMPLETED_WITH_ERRORS, {"proposed": 4, "verified": 7})
    place.approve(run_id, ["W11-08"])
    place.work()
    assert catalog(place, "Desktops").moves == 1, "the last one took it along"
    assert place.run(run_id).status is RunStatus.COMPLETED


def test_a_machine_that_failed_keeps_its_catalog_where_it_is(place: Workplace, switching: str) -> None:
    place.site.locked = {place.machine("W11-01").id}
    run_id = place.applied(switching)
    assert catalog(place, "Desktops").moves == 0
    assert done(place, run_id, "move-zones")[0] == "failed"


def test_a_catalog_that_may_not_move_fails_its_step_with_what_citrix_says(place: Workplace, switching: str) -> None:
    catalog(place, "Desktops").pinned = True
    run_id = place.applied(switching)
    went, said = done(place, run_id, "move-zones")
    assert went == "failed"
    assert said.startswith("Desktops was not moved. ")
    assert "cannot be moved to another zone" in said
    assert "(transaction " in said
    run = place.run(run_id)
    assert (run.status, run.states) == (RunStatus.COMPLETED_WITH_ERRORS, {"verified": 11})
    assert catalog(place, "Desktops").zone == "Paris"


def test_a_catalog_that_is_pinned_while_its_job_runs_fails_its_step(place: Workplace, switching: str) -> None:
    run_id = place.planned(switching)
    place.approve(run_id)
    with place.working(place.hold("moveItemsIntoZone")):
        place.sandbox.faults.set("job-stuck", "MoveItemsIntoZone:1")
    went, said = done(place, run_id, "move-zones")
    assert went == "failed"
    assert said.startswith("Desktops was not moved. Citrix's job ")
    assert said.endswith(" is InProgress.")
    assert sum(place.pauses) >= 270, "about five minutes"


def test_a_move_whose_answer_is_lost_is_seen_by_looking(place: Workplace, switching: str) -> None:
    run_id = place.planned(switching)
    place.approve(run_id)
    place.sandbox.faults.set("citrix-drop", "moveItemsIntoZone:1")
    with place.working(place.hold("moveItemsIntoZone", "after")):
        catalog(place, "Desktops").zone_id = place.connection(AMSTERDAM).zone_id  # its job is done by then
    assert place.fired("citrix-drop") == 1
    assert done(place, run_id, "move-zones") == ("done", "Desktops: Paris to Amsterdam.")
    assert place.calls("POST", "/Zones/{nameOrId}/$moveItems") == 1


def test_a_right_that_is_missing_for_zones_leaves_the_remaps_verified(place: Workplace, switching: str) -> None:
    place.site.forbidden = {"moveItemsIntoZone"}
    run_id = place.applied(switching)
    went, said = done(place, run_id, "move-zones")
    assert (went, "HTTP 403" in said) == ("failed", True)
    assert place.run(run_id).states == {"verified": 11}


def test_a_catalog_goes_back_with_its_machines(place: Workplace, switching: str) -> None:
    run_id = place.applied(switching)
    place.rolled_back(run_id)
    assert (catalog(place, "Desktops").zone, catalog(place, "Desktops").moves) == ("Paris", 2)
    assert done(place, run_id, "move-zones-back") == ("done", "Desktops: Amsterdam to Paris.")
    assert place.as_before(run_id) == ALL
    (move,) = place.resources.zone_moves.of(run_id)
    assert move.state.value == "moved-back"


def test_a_catalog_stays_while_some_of_its_machines_do(place: Workplace, switching: str) -> None:
    run_id = place.applied(switching)
    place.rolled_back(run_id, W11[:7])
    assert catalog(place, "Desktops").zone == "Amsterdam"
    assert done(place, run_id, "move-zones-back") == (
        "done",
        "Desktops stays in Amsterdam, as some of its machines do.",
    )
    place.rolled_back(run_id, W11[7:])
    assert (catalog(place, "Desktops").zone, catalog(place, "Desktops").moves) == ("Paris", 2)


def test_a_catalog_that_someone_moved_since_is_left_where_it_is(place: Workplace, switching: str) -> None:
    run_id = place.applied(switching)
    catalog(place, "Desktops").zone_id = "elsewhere"
    run = place.rolled_back(run_id)
    assert run.status is RunStatus.ROLLED_BACK
    assert done(place, run_id, "move-zones-back") == (
        "failed",
        "Desktops was moved by someone else since; it was left where it is.",
    )
    assert catalog(place, "Desktops").moves == 1


def test_a_catalog_that_did_not_move_back_is_told_and_tried_again_with_the_next_roll_back(
    place: Workplace, switching: str
) -> None:
    run_id = place.applied(switching)
    catalog(place, "Desktops").pinned = True
    place.rolled_back(run_id, W11)
    went, said = done(place, run_id, "move-zones-back")
    assert (went, said.startswith("Desktops was not moved. ")) == ("failed", True)
    catalog(place, "Desktops").pinned = False
    place.rolled_back(run_id)
    assert catalog(place, "Desktops").zone == "Paris"


def test_a_worker_that_takes_over_knows_the_zone_that_the_catalog_came_from(place: Workplace, switching: str) -> None:
    run_id = place.planned(switching)
    place.approve(run_id)
    with place.working(place.hold("moveItemsIntoZone")):
        (move,) = place.resources.zone_moves.of(run_id)
        assert (move.from_zone, move.state.value) == ("Paris", "moving"), "durable before Citrix is asked"
    place.rolled_back(run_id)
    assert catalog(place, "Desktops").zone == "Paris"
