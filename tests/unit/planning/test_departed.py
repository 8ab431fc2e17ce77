"""A VM that an earlier verified remap moved a machine away from is no candidate (design, section 4, rule 3)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from shared.model.citrix import Machine
from shared.model.nutanix import ClusterReading
from shared.model.remap import DepartedVm
from shared.model.run import RemapState
from shared.planning.departed import vms_left
from tests.unit.planning.builders import (
    ALIGNED,
    MOVED,
    NO_VM,
    NOT_THERE,
    OFF,
    REPLACED,
    SEVERAL,
    central,
    connection_name,
    departed,
    element,
    finding_of,
    landing,
    machine,
    plan_of,
    remap,
    to,
    uid,
    vm,
)

# It was failed over from the VM old in Paris to the VM new in Amsterdam.
MOVED_AWAY = machine(at="amsterdam", holds="new")
LEFT = departed(("paris", "old"))


def verdict_of(
    record: Machine,
    *readings: ClusterReading,
    left: frozenset[DepartedVm] = LEFT,
    others: tuple[Machine, ...] = (),
    target: str | None = None,
) -> tuple[str, str]:
    found = finding_of(plan_of((record, *others), *readings, left=left, target=target), record)
    return found.kind.value, found.reason


def test_the_original_that_came_back_does_not_make_its_machine_ambiguous() -> None:
    readings = (element("paris", vm("old")), element("amsterdam", vm("new")))
    assert verdict_of(MOVED_AWAY, *readings, left=frozenset()) == SEVERAL
    assert verdict_of(MOVED_AWAY, *readings) == ALIGNED


def test_nobody_is_moved_back_to_it_when_the_new_vm_stops() -> None:
    readings = (element("paris", vm("old")), element("amsterdam", vm("new", power=OFF)))
    assert verdict_of(MOVED_AWAY, *readings, left=frozenset()) == MOVED
    assert verdict_of(MOVED_AWAY, *readings) == ALIGNED


def test_a_target_that_names_its_cluster_brings_it_back() -> None:
    readings = (element("paris", vm("old")), element("amsterdam", vm("new", power=OFF)))
    made = plan_of(MOVED_AWAY, *readings, left=LEFT, target="paris")
    assert landing(finding_of(made, MOVED_AWAY)) == to("paris", "old")


def test_a_target_elsewhere_does_not() -> None:
    readings = (element("paris", vm("old")), element("amsterdam"), element("london"))
    found = finding_of(plan_of(MOVED_AWAY, *readings, target="london", left=LEFT), MOVED_AWAY)
    assert (found.kind.value, found.reason, found.candidates) == (*NOT_THERE, ())
    assert "An earlier run moved a machine away from W11-001 on paris" in found.explanation


def test_a_target_names_one_registered_cluster_and_not_the_next() -> None:
    both = central("paris", {"CL1": [vm("old")], "CL2": []})
    readings = (both, element("amsterdam", vm("new", power=OFF)))
    assert verdict_of(MOVED_AWAY, *readings, target="paris/CL1") == MOVED
    assert verdict_of(MOVED_AWAY, *readings, target="paris/CL2") == NOT_THERE


def test_a_machine_that_becomes_missing_is_told_why() -> None:
    made = plan_of(MOVED_AWAY, element("paris", vm("old")), element("amsterdam"), left=LEFT)
    found = finding_of(made, MOVED_AWAY)
    assert (found.kind.value, found.reason) == NO_VM
    assert "An earlier run moved a machine away from W11-001 on paris" in found.explanation
    assert "run with its cluster as the target" in found.explanation
    assert [fact.detail for fact in found.evidence if str(uid("old")) in fact.detail]
    assert found.candidates == ()


def test_a_machine_that_stays_aligned_shows_what_does_not_count() -> None:
    made = plan_of(MOVED_AWAY, element("paris", vm("old")), element("amsterdam", vm("new", power=OFF)), left=LEFT)
    found = finding_of(made, MOVED_AWAY)
    assert any("An earlier run moved a machine away" in fact.detail for fact in found.evidence)
    assert "An earlier run" not in found.explanation


def test_what_others_left_is_no_evidence_of_a_machine() -> None:
    other = machine("W11-002", at="amsterdam", holds="two")
    readings = (element("paris", vm("old")), element("amsterdam", vm("new"), vm("two", "W11-002")))
    found = finding_of(plan_of((MOVED_AWAY, other), *readings, left=LEFT), other)
    assert not any("An earlier run" in fact.detail for fact in found.evidence)


def test_the_next_vm_is_found_past_it() -> None:
    made = plan_of(
        MOVED_AWAY, element("paris", vm("old")), element("amsterdam"), element("london", vm("next")), left=LEFT
    )
    assert landing(finding_of(made, MOVED_AWAY)) == to("london", "next")


def test_a_bios_uuid_of_it_leads_nowhere() -> None:
    record = machine(at="amsterdam", holds="u1")
    readings = (element("amsterdam"), central("paris", {"CL1": [vm("old", "other", bios="u1")]}))
    assert verdict_of(record, *readings, left=frozenset()) == MOVED
    assert verdict_of(record, *readings) == NO_VM


def test_what_one_machine_left_may_be_nobody_elses_either() -> None:
    namesake = machine("W11-001", domain="EMEA", at="amsterdam", holds="gone")
    readings = (element("paris", vm("old", "W11-001")), element("amsterdam", vm("new", "x")))
    assert verdict_of(namesake, *readings, others=(MOVED_AWAY,)) == NO_VM


class TestStaysACandidate:
    def test_where_a_machine_holds_it_again_after_a_roll_back(self) -> None:
        record = machine(at="paris", holds="old")
        readings = (element("paris", vm("old")), element("amsterdam", vm("new", power=OFF)))
        assert verdict_of(record, *readings) == ALIGNED

    def test_where_another_machine_holds_it(self) -> None:
        """A swap: each leaves the VM that is the other's."""
        one, two = machine("W11-001", holds="u1"), machine("W11-002", holds="u2")
        readings = element("paris", vm("u1", "W11-001"), vm("u2", "W11-002"))
        left = departed(("paris", "u1"), ("paris", "u2"))
        assert verdict_of(one, readings, others=(two,), left=left) == ALIGNED
        assert verdict_of(two, readings, others=(one,), left=left) == ALIGNED

    def test_where_it_is_held_by_a_machine_that_the_run_does_not_look_at(self) -> None:
        holder = machine("W11-002", at="paris", holds="old", catalog="Lab")
        readings = (element("paris", vm("old")), element("amsterdam", vm("new")))
        assert verdict_of(MOVED_AWAY, *readings, others=(holder,)) == SEVERAL

    def test_where_it_is_the_same_vm_seen_through_the_central_that_the_machine_moved_to(self) -> None:
        record = machine(at="amsterdam", holds="old")
        readings = (element("paris", vm("old"), cluster="CL1"), central("amsterdam", {"CL1": [vm("old")]}))
        assert verdict_of(record, *readings) == ALIGNED

    def test_where_another_connection_sees_it_and_the_machine_stands_elsewhere(self) -> None:
        record = machine(at="london", holds="gone")
        readings = (element("paris", vm("old"), cluster="CL1"), central("amsterdam", {"CL1": [vm("old")]}))
        assert verdict_of(record, *readings, element("london")) == MOVED

    def test_where_only_the_other_copy_of_its_uuid_was_left(self) -> None:
        record = machine(at="amsterdam", holds="old")
        readings = (element("paris", vm("old")), element("amsterdam", vm("old")))
        assert verdict_of(record, *readings, left=frozenset()) == SEVERAL
        assert verdict_of(record, *readings) == ALIGNED

    def test_where_it_was_left_under_another_connection(self) -> None:
        readings = (element("paris", vm("x", power=OFF)), element("amsterdam", vm("old")))
        assert verdict_of(machine(holds="u1"), *readings, left=departed(("london", "old"))) == MOVED


def test_names_of_connections_are_compared_ignoring_case() -> None:
    left = frozenset({DepartedVm(connection_name("paris").upper(), uid("old"))})
    readings = (element("paris", vm("old")), element("amsterdam", vm("new")))
    assert verdict_of(MOVED_AWAY, *readings, left=left) == ALIGNED


def test_to_leave_a_vm_that_others_left_before_is_weak() -> None:
    """It still exists, as a leftover does: name and power state alone speak for the new one."""
    record = machine(at="london", holds="old")
    readings = (element("paris", vm("old", "x")), element("amsterdam", vm("next")), element("london"))
    found = finding_of(plan_of(record, *readings, left=LEFT), record)
    assert (found.kind.value, found.reason, found.confidence) == (*MOVED, "weak")


@pytest.mark.parametrize("left", [frozenset(), departed(("paris", "nobody's"), ("london", "old"))])
def test_departures_of_other_vms_change_nothing(left: frozenset[DepartedVm]) -> None:
    readings = (element("paris", vm("old", power=OFF), vm("u2")), element("amsterdam"))
    made = plan_of(machine(holds="old"), *readings, left=left)
    assert made == plan_of(machine(holds="old"), *readings)
    assert made.findings[0].reason == REPLACED[1]


class TestVmsLeft:
    ONE, TWO = machine("W11-001", holds="u1"), machine("W11-002", holds="u2")

    def test_only_verified_remaps_left_something(self) -> None:
        for state in RemapState:
            left = vms_left([remap(self.ONE, "amsterdam", "new", state=state)])
            assert left == (departed(("paris", "u1")) if state is RemapState.VERIFIED else frozenset())

    def test_a_swap_leaves_nothing_behind_even_when_half_of_it_is_done(self) -> None:
        done, open_ = remap(self.ONE, "paris", "u2", state=RemapState.VERIFIED), remap(self.TWO, "paris", "u1")
        assert vms_left([done, open_]) == frozenset()

    def test_the_same_vm_under_another_connection_was_left_where_it_was(self) -> None:
        done = remap(self.ONE, "amsterdam", "u1", state=RemapState.VERIFIED)
        assert vms_left([done]) == departed(("paris", "u1"))

    def test_a_record_without_a_vm_left_none(self) -> None:
        done = remap(self.ONE, "amsterdam", "new", state=RemapState.VERIFIED)
        assert vms_left([replace(done, before=replace(done.before, machine_id=None))]) == frozenset()
