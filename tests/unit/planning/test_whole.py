"""What only the whole shows: conflicts, swaps, one VM through several endpoints (design, section 4, "The whole")."""

from __future__ import annotations

import gc
from contextlib import suppress

import pytest

from shared.errors import PlanImpossible
from shared.model.citrix import Machine, Provisioning
from shared.model.finding import FindingKind, Plan
from shared.planning.plan import fingerprint
from shared.profile.scope import Scope
from tests.unit.planning.builders import (
    OFF,
    central,
    connection_name,
    element,
    finding_of,
    landing,
    machine,
    plan_of,
    silent,
    to,
    vm,
)

ONE = machine("W11-001", holds="u1")
TWO = machine("W11-002", holds="u2")


def kinds(plan: Plan, *machines: Machine) -> list[str]:
    return [finding_of(plan, record).kind.value for record in machines]


class TestTwoMachinesOnOneVm:
    def test_two_records_that_name_one_vm_are_both_conflicts(self) -> None:
        two = machine("W11-002", holds="u1")
        made = plan_of((ONE, two), element("paris", vm("u1", "neither")))
        assert kinds(made, ONE, two) == ["conflict", "conflict"]
        assert {finding.reason for finding in made.findings} == {"shared-vm"}

    def test_the_one_whose_name_the_vm_bears_is_also_a_conflict_when_the_other_has_nowhere_to_go(self) -> None:
        two = machine("W11-002", holds="u1")
        made = plan_of((ONE, two), element("paris", vm("u1", "W11-001")))
        assert kinds(made, ONE, two) == ["conflict", "conflict"]

    def test_no_conflict_where_the_wrong_one_moves_away_in_the_same_run(self) -> None:
        two = machine("W11-002", holds="u1")
        made = plan_of((ONE, two), element("paris", vm("u1", "W11-001"), vm("u2", "W11-002")))
        assert kinds(made, ONE, two) == ["aligned", "remap"]

    def test_two_remaps_onto_one_vm_are_both_conflicts(self) -> None:
        one, two = machine("W11-001", holds="x", hosted_name="gold"), machine("W11-002", holds="y", hosted_name="gold")
        made = plan_of((one, two), element("paris", vm("new", "gold")))
        assert kinds(made, one, two) == ["conflict", "conflict"]
        assert all(finding.after is None and finding.confidence is None for finding in made.findings)

    def test_a_remap_onto_the_vm_of_an_aligned_machine_makes_both_conflicts(self) -> None:
        thief = machine("W11-009", holds="gone", hosted_name="gold")
        made = plan_of((ONE, thief), element("paris", vm("u1", "gold")))
        assert kinds(made, ONE, thief) == ["conflict", "conflict"]

    def test_both_are_listed(self) -> None:
        two = machine("W11-002", holds="u1")
        made = plan_of((ONE, two), element("paris", vm("u1", "neither")))
        assert "CORP\\W11-002" in finding_of(made, ONE).explanation
        assert "CORP\\W11-001" in finding_of(made, two).explanation
        assert any("CORP\\W11-002" in fact.detail for fact in finding_of(made, ONE).evidence)

    def test_who_stays_because_of_a_conflict_stands_in_the_way_of_the_next(self) -> None:
        one = machine("W11-001", holds="a", hosted_name="gold")
        rival = machine("W11-009", holds="y", hosted_name="gold")
        follower = machine("W11-003", holds="gone", hosted_name="silver")
        made = plan_of((one, rival, follower), element("paris", vm("a", "silver", OFF), vm("new", "gold")))
        assert kinds(made, one, rival, follower) == ["conflict", "conflict", "conflict"]

    def test_a_chain_without_a_conflict_is_all_remaps(self) -> None:
        first, second = machine("W11-001", holds="u2"), machine("W11-002", holds="u3")
        third = machine("W11-003", holds="gone")
        vms = (vm("u1", "W11-001"), vm("u2", "W11-002"), vm("u3", "W11-003"))
        assert kinds(plan_of((first, second, third), element("paris", *vms)), first, second, third) == ["remap"] * 3

    def test_one_uuid_on_two_clusters_is_two_vms_and_no_conflict(self) -> None:
        here = machine("W11-001", holds="u", at="paris")
        there = machine("W11-002", holds="u", at="amsterdam")
        made = plan_of((here, there), element("paris", vm("u", "W11-001")), element("amsterdam", vm("u", "W11-002")))
        assert kinds(made, here, there) == ["aligned", "aligned"]

    def test_one_vm_through_two_connections_is_one_vm_and_a_conflict(self) -> None:
        here, there = machine("W11-001", holds="u", at="paris"), machine("W11-002", holds="u", at="amsterdam")
        readings = (element("paris", vm("u", "x"), cluster="CL1"), central("amsterdam", {"CL1": [vm("u", "x")]}))
        assert kinds(plan_of((here, there), *readings), here, there) == ["conflict", "conflict"]

    def test_a_copy_that_nobody_sees_counts_as_any_copy_of_its_uuid(self) -> None:
        unseen = machine("W11-002", holds="u", at="london")
        mover = machine("W11-001", holds="u", at="paris")
        made = plan_of((unseen, mover), element("paris"), element("amsterdam", vm("u", "x")), silent("london"))
        assert kinds(made, unseen, mover) == ["conflict", "conflict"]

    def test_a_machine_in_conflict_with_an_unknown_one_is_not_remapped(self) -> None:
        dead = machine("W11-002", holds="new", at="london")
        mover = machine("W11-001", holds="u1", hosted_name="x")
        bios = central("amsterdam", {"CL1": [vm("new", "x", bios="u1")]})
        assert kinds(plan_of((dead, mover), element("paris"), bios, silent("london")), dead, mover) == ["conflict"] * 2


OWNERS = [
    pytest.param({"provisioning": Provisioning.MCS}, id="not manual"),
    pytest.param({"at": None}, id="not power-managed, with an id and no connection"),
    pytest.param({"at": "outside"}, id="on a connection outside the profile"),
]


@pytest.mark.parametrize("why", OWNERS)
def test_an_excluded_machine_still_owns_its_vm_and_stays_excluded(why: dict[str, object]) -> None:
    owner = machine("W11-009", holds="new", **why)  # type: ignore[arg-type]
    thief = machine("W11-001", holds="gone", hosted_name="gold")
    made = plan_of((owner, thief), element("paris", vm("new", "gold")))
    assert kinds(made, owner, thief) == ["excluded", "conflict"]


def test_a_machine_that_the_scope_excludes_still_owns_its_vm() -> None:
    thief = machine("W11-009", holds="gone", hosted_name="gold")
    made = plan_of((ONE, thief), element("paris", vm("u1", "gold")), scopes=[Scope(exclude=("W11-001",))])
    assert kinds(made, ONE, thief) == ["excluded", "conflict"]


class TestSwapsAndTwins:
    def test_two_machines_that_hold_each_others_id_are_two_remaps(self) -> None:
        one, two = machine("W11-001", holds="u2"), machine("W11-002", holds="u1")
        made = plan_of((one, two), element("paris", vm("u1", "W11-001"), vm("u2", "W11-002")))
        assert kinds(made, one, two) == ["remap", "remap"]
        assert landing(finding_of(made, one)) == to("paris", "u1")
        assert landing(finding_of(made, two)) == to("paris", "u2")
        assert finding_of(made, one).confidence == "weak"  # each leaves a VM that exists, by name alone

    def test_they_may_hold_each_others_connection_too(self) -> None:
        one, two = machine("W11-001", holds="u2", at="amsterdam"), machine("W11-002", holds="u1", at="paris")
        made = plan_of((one, two), element("paris", vm("u1", "W11-001")), element("amsterdam", vm("u2", "W11-002")))
        assert [landing(finding_of(made, m)) for m in (one, two)] == [to("paris", "u1"), to("amsterdam", "u2")]

    def test_healthy_twins_of_one_host_name_in_two_domains_are_both_aligned(self) -> None:
        corp = machine("W11-001", domain="CORP", holds="u1")
        emea = machine("W11-001", domain="EMEA", holds="u2", at="amsterdam")
        made = plan_of((corp, emea), element("paris", vm("u1")), element("amsterdam", vm("u2")))
        assert kinds(made, corp, emea) == ["aligned", "aligned"]

    def test_healthy_twins_on_one_cluster_are_both_aligned_although_one_is_off(self) -> None:
        corp = machine("W11-001", domain="CORP", holds="u1")
        emea = machine("W11-001", domain="EMEA", holds="u2")
        made = plan_of((corp, emea), element("paris", vm("u1", power=OFF), vm("u2")))
        assert kinds(made, corp, emea) == ["aligned", "aligned"]

    def test_twins_that_both_lost_their_vm_are_ambiguous(self) -> None:
        corp, emea = machine(domain="CORP", holds="gone1"), machine(domain="EMEA", holds="gone2")
        assert kinds(plan_of((corp, emea), element("paris", vm("a"), vm("b"))), corp, emea) == ["ambiguous"] * 2

    def test_a_machine_whose_twin_alone_has_a_vm_does_not_take_it(self) -> None:
        corp, emea = machine(domain="CORP", holds="gone"), machine(domain="EMEA", holds="u2")
        made = plan_of((corp, emea), element("paris", vm("u2")))
        assert finding_of(made, corp).kind is FindingKind.CONFLICT


class TestOneVmUnderSeveralConnections:
    ELEMENT = element("paris", vm(), cluster="CL1")
    CENTRAL = central("amsterdam", {"CL1": [vm()]})

    @pytest.mark.parametrize("present", ["paris", "amsterdam"])
    def test_the_present_connection_stays_if_it_is_one_of_theirs(self, present: str) -> None:
        record = machine(at=present)
        assert kinds(plan_of(record, self.ELEMENT, self.CENTRAL), record) == ["aligned"]
        assert kinds(plan_of(record, self.CENTRAL, self.ELEMENT), record) == ["aligned"]

    def test_else_the_first_in_the_profiles_order_is_right(self) -> None:
        record = machine(at="london")
        one = plan_of(record, self.ELEMENT, self.CENTRAL, element("london"))
        other = plan_of(record, self.CENTRAL, element("london"), self.ELEMENT)
        assert landing(finding_of(one, record)) == to("paris", "u1")
        assert landing(finding_of(other, record)) == to("amsterdam", "u1")

    def test_a_new_vm_under_the_present_connection_too_is_a_replacement_and_no_move(self) -> None:
        record = machine(at="amsterdam", holds="gone")
        finding = finding_of(plan_of(record, self.ELEMENT, self.CENTRAL), record)
        assert (finding.reason, landing(finding)) == ("vm-replaced", to("amsterdam", "u1"))

    @pytest.mark.parametrize(("present", "target"), [("paris", "amsterdam"), ("amsterdam", "paris")])
    def test_a_target_overrides_both(self, present: str, target: str) -> None:
        record = machine(at=present)
        made = plan_of(record, self.ELEMENT, self.CENTRAL, target=target)
        finding = finding_of(made, record)
        assert (finding.reason, landing(finding)) == ("vm-moved", to(target, "u1"))

    def test_a_machine_that_a_target_does_not_touch_keeps_its_connection(self) -> None:
        record = machine(at="amsterdam")
        made = plan_of(record, self.ELEMENT, self.CENTRAL, element("berlin"), target="berlin")
        assert kinds(made, record) == ["aligned"]


class TestConnectionOutsideTheProfile:
    RECORD = machine(at="outside")

    def test_its_machines_are_excluded(self) -> None:
        finding = finding_of(plan_of(self.RECORD, element("paris", vm())), self.RECORD)
        assert (finding.kind, finding.reason) == ("excluded", "connection-not-in-profile")

    def test_a_scope_that_names_it_brings_them_in_reach(self) -> None:
        scope = Scope(hosting_connections=(connection_name("outside").upper(),))
        made = plan_of(self.RECORD, element("paris", vm()), scopes=[scope])
        assert landing(finding_of(made, self.RECORD)) == to("paris", "u1")

    def test_a_scope_that_names_another_does_not(self) -> None:
        scope = Scope(hosting_connections=(connection_name("outside"),))
        other = machine("W11-002", at="berlin")
        made = plan_of((self.RECORD, other), element("paris", vm()), scopes=[scope])
        assert made.out_of_scope == 1

    def test_a_target_brings_them_in_reach(self) -> None:
        made = plan_of(self.RECORD, element("paris", vm()), target="paris")
        assert landing(finding_of(made, self.RECORD)) == to("paris", "u1")


class TestFingerprint:
    def test_it_tells_remaps_to_different_vms_apart(self) -> None:
        one = plan_of(ONE, element("paris", vm("a")))
        other = plan_of(ONE, element("paris", vm("b")))
        assert fingerprint(one.findings) != fingerprint(other.findings)

    def test_it_tells_remaps_from_different_records_apart(self) -> None:
        one = plan_of(machine(holds="x"), element("paris", vm("a")))
        other = plan_of(machine(holds="y"), element("paris", vm("a")))
        assert fingerprint(one.findings) != fingerprint(other.findings)

    def test_it_tells_remaps_to_different_connections_apart(self) -> None:
        one = plan_of(ONE, element("paris"), element("amsterdam", vm("a")))
        other = plan_of(ONE, element("paris"), element("london", vm("a")))
        assert fingerprint(one.findings) != fingerprint(other.findings)

    def test_it_looks_at_the_remaps_alone(self) -> None:
        alone = plan_of(ONE, element("paris", vm("a")))
        beside = plan_of((ONE, TWO), element("paris", vm("a"), vm("u2", "W11-002")))
        assert fingerprint(alone.findings) == fingerprint(beside.findings)


@pytest.mark.parametrize("scope", [Scope(), Scope(protection_domain="nowhere")], ids=["a plan", "no plan"])
def test_planning_leaves_the_garbage_collector_as_it_found_it(scope: Scope) -> None:
    with suppress(PlanImpossible):
        plan_of(ONE, element("paris", vm("a")), scopes=[scope])
    assert gc.isenabled()


def test_a_crowd_on_one_vm_is_told_of_by_its_first_rivals_and_their_number() -> None:
    crowd = tuple(machine(f"W11-{number:04d}", holds="u1") for number in range(1_500))
    made = plan_of(crowd, element("paris", vm("u1", "shared")))
    found = finding_of(made, crowd[0])
    assert {finding.kind.value for finding in made.findings} == {"conflict"}
    rivals = [fact for fact in found.evidence if fact.kind == "machine"]
    assert len(rivals) == 21
    assert rivals[-1].detail == "So do 1479 more machines."
    assert "and 1496 more" in found.explanation
    assert all(crowd[0].name not in fact.detail for fact in rivals)
