"""What becomes of an approved remap right before the write, from what was read again (design, section 5)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from shared.model.citrix import HostingConnection, Machine
from shared.model.finding import Confidence
from shared.model.nutanix import ClusterReading, VmUuid
from shared.model.remap import Remap
from shared.planning.recheck import Action, Verdict, recheck
from shared.profile.scope import Scope
from tests.unit.planning.builders import (
    OFF,
    at,
    connection,
    connection_id,
    element,
    machine,
    plan_of,
    remap,
    silent,
    site,
    uid,
    vm,
)

ONE = machine("W11-001", holds="u1")
TWO = machine("W11-002", holds="u2")
MOVE = remap(ONE, "amsterdam", "new")
CHOSEN = replace(MOVE, confidence=Confidence.CHOSEN)
MIGRATED = (element("paris"), element("amsterdam", vm("new")))  # what MOVE was planned from


def check(
    remaps: Remap | Iterable[Remap],
    machines: Machine | Iterable[Machine] = (ONE,),
    readings: Iterable[ClusterReading] = MIGRATED,
    *,
    connections: Iterable[HostingConnection] = (),
    scopes: Iterable[Scope] = (),
    automatic: bool = False,
    least: Confidence = Confidence.STRONG,
) -> dict[str, Verdict]:
    """The verdicts by host name, the plan being made anew from ``readings``."""
    remaps = [remaps] if isinstance(remaps, Remap) else list(remaps)
    there = tuple(readings)
    now = site(*([machines] if isinstance(machines, Machine) else machines), connections=connections)
    made = plan_of(now, *there, scopes=scopes)
    found = recheck(remaps, now, made, automatic=automatic, least=least, readings=there)
    return {one.machine_name.partition("\\")[2]: found[one.machine] for one in remaps}


def actions(found: dict[str, Verdict]) -> dict[str, str]:
    return {name: each.action.value for name, each in found.items()}


def only(found: dict[str, Verdict]) -> Verdict:
    (verdict,) = found.values()
    return verdict


def moved(record: Machine, cluster: str, label: str) -> Machine:
    return replace(record, hosting=at(cluster, label))


class TestCitrix:
    def test_what_is_as_it_was_goes_ahead_with_what_is_to_be_sent(self) -> None:
        assert only(check(MOVE)) == Verdict(Action.GO, hosting=at("amsterdam", "new"))

    def test_a_machine_that_is_gone(self) -> None:
        verdict = only(check(MOVE, ()))
        assert verdict.action is Action.SUPERSEDED
        assert verdict.sentence == "CORP\\W11-001 is no machine of the site any more."

    def test_what_has_its_to_already_is_not_written_again(self) -> None:
        assert only(check(MOVE, moved(ONE, "amsterdam", "new"))) == Verdict(Action.DONE)

    def test_what_has_its_to_is_done_whatever_became_of_the_connection(self) -> None:
        there = moved(ONE, "amsterdam", "new")
        verdict = only(check(MOVE, there, connections=[connection("amsterdam", in_maintenance=True)]))
        assert verdict.action is Action.DONE

    def test_a_uuid_in_capitals_is_the_same(self) -> None:
        loud = replace(at("amsterdam", "new"), machine_id=VmUuid(uid("new").upper()))
        assert only(check(replace(MOVE, after=loud), moved(ONE, "amsterdam", "new"))).action is Action.DONE

    @pytest.mark.parametrize("now", [at("london", "u1"), at("paris", "u9")])
    def test_what_someone_changed_since_is_left_alone(self, now: object) -> None:
        verdict = only(check(MOVE, replace(ONE, hosting=now)))  # type: ignore[arg-type]
        assert verdict.action is Action.SUPERSEDED
        assert f"Citrix now has {now.connection} and {now.machine_id}" in verdict.sentence  # type: ignore[attr-defined]

    def test_what_is_not_power_managed_any_more_is_left_alone(self) -> None:
        verdict = only(check(MOVE, machine("W11-001", at=None, holds=None)))
        assert verdict.action is Action.SUPERSEDED
        assert "Citrix now has no hosting connection and no VM" in verdict.sentence

    def test_the_present_connection_may_have_been_renamed(self) -> None:
        """Its id is what counts, since the remap leaves it."""
        record = replace(ONE, hosting=replace(ONE.hosting, connection="Old Paris"))
        verdict = only(check(MOVE, record, [element("amsterdam", vm("new"))], scopes=[NAMED]))
        assert verdict.action is Action.GO

    def test_another_connection_that_bears_the_old_name_is_another(self) -> None:
        record = replace(ONE, hosting=replace(ONE.hosting, connection_id="another"))
        assert only(check(MOVE, record)).action is Action.SUPERSEDED

    def test_without_an_id_the_name_counts_ignoring_case(self) -> None:
        before = replace(ONE.hosting, connection_id=None, connection=str(ONE.hosting.connection).upper())
        assert only(check(replace(MOVE, before=before))).action is Action.GO


NAMED = Scope(hosting_connections=("Old Paris",))


class TestConnection:
    def test_deleted(self) -> None:
        now = site(ONE)
        left = replace(now, connections=tuple(c for c in now.connections if c.id != connection_id("amsterdam")))
        made = plan_of(now, *MIGRATED)
        verdict = recheck([MOVE], left, made, automatic=False, least=Confidence.STRONG)[ONE.id]
        assert verdict.action is Action.FAILED
        assert "Nutanix AHV Amsterdam was deleted in Citrix since the plan" in verdict.sentence

    def test_deleted_and_made_anew_under_the_same_name(self) -> None:
        now = site(ONE)
        anew = tuple(replace(c, id=f"new {c.id}") for c in now.connections)
        verdict = recheck(
            [MOVE], replace(now, connections=anew), plan_of(now, *MIGRATED), automatic=False, least=Confidence.STRONG
        )[ONE.id]
        assert "was deleted" in verdict.sentence

    def test_renamed(self) -> None:
        verdict = only(check(MOVE, readings=[element("paris")], connections=[connection("amsterdam", name="AMS 2")]))
        assert verdict.action is Action.FAILED
        assert "renamed from Nutanix AHV Amsterdam to AMS 2 since the plan" in verdict.sentence
        assert "correct hostingConnection in the profile" in verdict.sentence

    def test_renamed_in_its_case_alone_goes_ahead_under_the_present_name(self) -> None:
        verdict = only(check(MOVE, connections=[connection("amsterdam", name="NUTANIX AHV AMSTERDAM")]))
        assert verdict.action is Action.GO
        assert verdict.hosting is not None
        assert verdict.hosting.connection == "NUTANIX AHV AMSTERDAM"

    def test_in_maintenance(self) -> None:
        verdict = only(check(MOVE, connections=[connection("amsterdam", in_maintenance=True)]))
        assert verdict.action is Action.FAILED
        assert "is in maintenance mode. End that in Citrix" in verdict.sentence

    def test_the_connection_that_it_leaves_may_be_in_maintenance(self) -> None:
        assert only(check(MOVE, connections=[connection("paris", in_maintenance=True)])).action is Action.GO

    def test_a_remap_without_an_id_is_found_by_name(self) -> None:
        nameless = replace(MOVE, after=replace(MOVE.after, connection_id=None))
        assert only(check(nameless)) == Verdict(Action.GO, hosting=at("amsterdam", "new"))


class TestPlan:
    @pytest.mark.parametrize(
        ("readings", "why"),
        [
            pytest.param([element("paris"), element("amsterdam")], "none has a VM named", id="the VM is gone"),
            pytest.param([element("paris"), element("london", vm("new"))], "on london", id="the VM moved on"),
            pytest.param([element("paris"), element("amsterdam", vm("newer"))], str(uid("newer")), id="another VM"),
            pytest.param([element("paris", vm("u1")), *MIGRATED[1:]], "2 VMs could be", id="the original is back"),
            pytest.param(
                [element("paris", vm("u1")), element("amsterdam", vm("new", power=OFF))], "live one", id="off"
            ),
            pytest.param([element("paris"), silent("amsterdam")], "did not answer", id="its cluster is silent"),
        ],
    )
    def test_what_would_be_planned_differently_now(self, readings: list[ClusterReading], why: str) -> None:
        verdict = only(check(MOVE, readings=readings))
        assert verdict.action is Action.SUPERSEDED
        assert verdict.sentence.startswith("It would now be planned differently: ")
        assert why in verdict.sentence

    def test_out_of_scope_now(self) -> None:
        verdict = only(check(MOVE, scopes=[Scope(catalogs=("Lab",))]))
        assert verdict.action is Action.SUPERSEDED
        assert "out of the run's scope" in verdict.sentence

    def test_a_weaker_remap_of_a_run_that_a_person_approved_goes_ahead(self) -> None:
        weak = [element("paris", vm("u1", power=OFF)), element("amsterdam", vm("new"))]
        assert only(check(MOVE, readings=weak)).action is Action.GO

    @pytest.mark.parametrize(
        ("least", "expected"),
        [(Confidence.PROVEN, Action.ASK), (Confidence.STRONG, Action.ASK), (Confidence.WEAK, Action.GO)],
    )
    def test_mode_auto_asks_about_what_became_less_sure(self, least: Confidence, expected: Action) -> None:
        weak = [element("paris", vm("u1", power=OFF)), element("amsterdam", vm("new"))]
        assert only(check(MOVE, readings=weak, automatic=True, least=least)).action is expected

    def test_mode_auto_says_what_it_asks_about(self) -> None:
        verdict = only(check(MOVE, automatic=True, least=Confidence.PROVEN))
        assert verdict.sentence.startswith("The evidence for it is strong now, and mode auto applies what is at least")

    def test_mode_auto_applies_what_is_as_sure_as_it_has_to_be(self) -> None:
        assert only(check(MOVE, automatic=True)).action is Action.GO


class TestChosen:
    SEVERAL = (element("paris"), element("amsterdam", vm("new")), element("london", vm("other")))

    def test_what_is_ambiguous_still_goes_where_a_person_said(self) -> None:
        assert only(check(CHOSEN, readings=self.SEVERAL)) == Verdict(Action.GO, hosting=at("amsterdam", "new"))

    def test_and_where_the_plan_says_so_by_now(self) -> None:
        assert only(check(CHOSEN)).action is Action.GO

    def test_mode_auto_does_not_ask_again_about_what_a_person_chose(self) -> None:
        assert only(check(CHOSEN, readings=self.SEVERAL, automatic=True)).action is Action.GO

    def test_the_chosen_vm_is_gone(self) -> None:
        verdict = only(check(CHOSEN, readings=[element("paris"), element("amsterdam"), element("london", vm("other"))]))
        assert verdict.action is Action.SUPERSEDED
        assert "is no longer a candidate" in verdict.sentence

    def test_the_chosen_vm_moved_to_another_connection(self) -> None:
        readings = [element("paris"), element("amsterdam"), element("london", vm("new")), element("berlin", vm("x"))]
        verdict = only(check(CHOSEN, readings=readings))
        assert verdict.action is Action.SUPERSEDED
        assert "no longer a candidate under Nutanix AHV Amsterdam" in verdict.sentence

    def test_the_chosen_copy_is_gone_and_the_other_copy_of_its_uuid_is_not_taken_for_it(self) -> None:
        chosen = replace(remap(ONE, "amsterdam", "u1"), confidence=Confidence.CHOSEN)
        both = (element("paris", vm("u1")), element("amsterdam", vm("u1")))
        assert only(check(chosen, readings=both)).action is Action.GO
        one = (element("paris", vm("u1")), element("amsterdam"))
        assert only(check(chosen, readings=one)).action is Action.SUPERSEDED

    def test_nothing_can_be_checked_while_a_cluster_is_silent(self) -> None:
        verdict = only(check(CHOSEN, readings=[silent("paris"), element("amsterdam", vm("new"))]))
        assert verdict.action is Action.SUPERSEDED
        assert "cannot be checked now: Cluster paris did not answer" in verdict.sentence

    def test_an_excluded_machine_is_not_touched(self) -> None:
        verdict = only(check(CHOSEN, readings=self.SEVERAL, scopes=[Scope(exclude=("W11-*",))]))
        assert verdict.action is Action.SUPERSEDED

    def test_a_conflict_that_a_person_decided_goes_ahead_once_nobody_holds_the_vm(self) -> None:
        shared = machine("W11-001", holds="x", hosted_name="gold"), machine("W11-002", holds="y", hosted_name="gold")
        chosen = remap(shared[0], "paris", "new", confidence=Confidence.CHOSEN)
        assert actions(check(chosen, shared, [element("paris", vm("new", "gold"))])) == {"W11-001": "go"}

    def test_a_chosen_vm_that_another_machine_holds_is_not_taken_away(self) -> None:
        other = machine("W11-002", holds="new", at="amsterdam")
        verdict = only(check(CHOSEN, (ONE, other), [element("paris"), element("amsterdam", vm("new"))]))
        assert verdict.action is Action.FAILED
        assert "still held by CORP\\W11-002; approve its remap too" in verdict.sentence


class TestSeveral:
    SWAPPED = (machine("W11-001", holds="u2"), machine("W11-002", holds="u1"))
    BOTH = (element("paris", vm("u1", "W11-001"), vm("u2", "W11-002")),)
    SWAP = (remap(SWAPPED[0], "paris", "u1"), remap(SWAPPED[1], "paris", "u2"))

    def test_a_swap_goes_ahead_as_a_whole(self) -> None:
        assert actions(check(self.SWAP, self.SWAPPED, self.BOTH)) == {"W11-001": "go", "W11-002": "go"}

    def test_half_a_swap_does_not(self) -> None:
        verdict = only(check(self.SWAP[0], self.SWAPPED, self.BOTH))
        assert verdict.action is Action.FAILED
        assert "still held by CORP\\W11-002; approve its remap too" in verdict.sentence

    def test_the_rest_of_a_swap_goes_ahead_once_the_first_half_is_done(self) -> None:
        half = (moved(self.SWAPPED[0], "paris", "u1"), self.SWAPPED[1])
        assert actions(check(self.SWAP, half, self.BOTH)) == {"W11-001": "done", "W11-002": "go"}

    CHAIN = (machine("A", holds="ub"), machine("B", holds="uc"), machine("C", holds="gone"))
    VMS = (vm("ua", "A"), vm("ub", "B"), vm("uc", "C"))
    LINKS = (remap(CHAIN[0], "paris", "ua"), remap(CHAIN[1], "paris", "ub"), remap(CHAIN[2], "paris", "uc"))

    def test_a_chain_goes_ahead_as_a_whole(self) -> None:
        assert set(actions(check(self.LINKS, self.CHAIN, [element("paris", *self.VMS)])).values()) == {"go"}

    def test_who_cannot_leave_strands_those_behind_it(self) -> None:
        moved_on = [element("paris", *self.VMS[1:]), element("amsterdam", self.VMS[0])]
        found = check(self.LINKS, self.CHAIN, moved_on)
        assert actions(found) == {"A": "superseded", "B": "failed", "C": "failed"}
        assert "is still held by CORP\\A; the remap of that machine does not go ahead either" in found["B"].sentence
        assert "is still held by CORP\\B" in found["C"].sentence

    def test_who_is_not_part_of_the_set_strands_only_those_behind_it(self) -> None:
        found = check(self.LINKS[1:], self.CHAIN, [element("paris", *self.VMS)])
        assert actions(found) == {"B": "failed", "C": "failed"}
        assert actions(check(self.LINKS[:1], self.CHAIN, [element("paris", *self.VMS)])) == {"A": "go"}

    def test_who_has_to_be_asked_about_strands_those_behind_it(self) -> None:
        records = (machine("A", holds="ub"), machine("B", holds="gone"))
        readings = [element("paris", vm("ub", "B")), element("amsterdam", vm("x", "A", power=OFF))]
        links = (remap(records[0], "amsterdam", "x"), remap(records[1], "paris", "ub"))
        assert actions(check(links, records, readings, automatic=True)) == {"A": "ask", "B": "failed"}
        assert actions(check(links, records, readings)) == {"A": "go", "B": "go"}

    def test_of_two_remaps_to_one_vm_neither_goes_ahead(self) -> None:
        records = (machine("W11-001", holds="x", hosted_name="gold"), machine("W11-002", holds="y", hosted_name="gold"))
        both = [remap(record, "paris", "new", confidence=Confidence.CHOSEN) for record in records]
        found = check(both, records, [element("paris", vm("new", "gold"))])
        assert actions(found) == {"W11-001": "failed", "W11-002": "failed"}
        assert "CORP\\W11-001, CORP\\W11-002. Start a new run" in found["W11-001"].sentence
        assert check(both[::-1], records, [element("paris", vm("new", "gold"))]) == found

    def test_a_holder_under_another_connection_counts(self) -> None:
        other = machine("W11-002", at="outside", holds="new")
        made = plan_of((ONE,), *MIGRATED)
        found = recheck([MOVE], site(ONE, other), made, automatic=False, least=Confidence.STRONG)
        assert found[ONE.id].action is Action.FAILED

    def test_a_machine_that_only_changes_its_connection_is_not_in_its_own_way(self) -> None:
        same_vm = remap(ONE, "amsterdam", "u1")
        assert only(check(same_vm, readings=[element("paris"), element("amsterdam", vm("u1"))])).action is Action.GO

    def test_many_holders_are_named_in_short(self) -> None:
        others = [machine(f"X{n}", at="outside", holds="new") for n in range(5)]
        found = recheck(
            [MOVE], site(ONE, *others), plan_of((ONE,), *MIGRATED), automatic=False, least=Confidence.STRONG
        )
        assert "held by CORP\\X0, CORP\\X1, CORP\\X2 and 2 more;" in found[ONE.id].sentence

    def test_remaps_that_have_nothing_to_do_with_each_other_are_judged_alone(self) -> None:
        readings = [element("paris"), element("amsterdam", vm("new"))]
        found = check([MOVE, remap(TWO, "amsterdam", "new2")], (ONE, TWO), readings)
        assert actions(found) == {"W11-001": "go", "W11-002": "superseded"}
