"""What becomes of a remap that is to be rolled back, from what Citrix says now (design, section 5)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from shared.model.citrix import Hosting, HostingConnection, Machine
from shared.model.remap import Remap
from shared.planning.recheck import Action, Verdict
from shared.planning.restore import restore
from tests.unit.planning.builders import at, connection, connection_id, machine, remap, site

ONE = machine("W11-001", holds="u1")
TWO = machine("W11-002", holds="u2")
MOVE = remap(ONE, "amsterdam", "new")


def after(one: Remap, record: Machine) -> Machine:
    """The record as applying left it."""
    return replace(record, hosting=one.after)


APPLIED = after(MOVE, ONE)


def back(
    remaps: Remap | Iterable[Remap],
    *machines: Machine,
    connections: Iterable[HostingConnection] = (),
) -> dict[str, Verdict]:
    remaps = [remaps] if isinstance(remaps, Remap) else list(remaps)
    found = restore(remaps, site(*machines, connections=connections))
    return {one.machine_name.partition("\\")[2]: found[one.machine] for one in remaps}


def only(found: dict[str, Verdict]) -> Verdict:
    (verdict,) = found.values()
    return verdict


def actions(found: dict[str, Verdict]) -> dict[str, str]:
    return {name: each.action.value for name, each in found.items()}


def test_what_still_has_our_to_gets_its_from_back() -> None:
    assert only(back(MOVE, APPLIED)) == Verdict(Action.GO, hosting=at("paris", "u1"))


def test_what_has_its_from_already_is_not_written_again() -> None:
    assert only(back(MOVE, ONE)) == Verdict(Action.DONE)


@pytest.mark.parametrize("now", [at("london", "u9"), at("amsterdam", "u1"), at("paris", "new"), Hosting(None, None)])
def test_what_someone_changed_since_is_reported_and_not_overwritten(now: Hosting) -> None:
    verdict = only(back(MOVE, replace(ONE, hosting=now)))
    assert verdict.action is Action.FAILED
    assert verdict.hosting is None
    assert verdict.sentence.startswith("It was changed since by someone else: Citrix has ")
    assert str(now.machine_id or "no VM") in verdict.sentence
    assert verdict.sentence.endswith("it was not overwritten.")


def test_a_machine_that_is_gone_is_named() -> None:
    verdict = only(back(MOVE))
    assert (verdict.action, verdict.sentence) == (Action.FAILED, "CORP\\W11-001 is no machine of the site any more.")


def test_a_connection_that_was_renamed_since_is_sent_by_its_present_name() -> None:
    verdict = only(back(MOVE, APPLIED, connections=[connection("paris", name="PAR 2")]))
    assert verdict == Verdict(Action.GO, hosting=replace(at("paris", "u1"), connection="PAR 2"))


def test_a_connection_that_was_deleted_is_named() -> None:
    now = site(APPLIED)
    left = replace(now, connections=tuple(c for c in now.connections if c.id != connection_id("paris")))
    verdict = restore([MOVE], left)[ONE.id]
    assert verdict.action is Action.FAILED
    assert "Nutanix AHV Paris that it had before was deleted in Citrix" in verdict.sentence


def test_a_connection_in_maintenance_is_named() -> None:
    verdict = only(back(MOVE, APPLIED, connections=[connection("paris", in_maintenance=True)]))
    assert verdict.action is Action.FAILED
    assert "Nutanix AHV Paris that it had before is in maintenance mode. End that in Citrix" in verdict.sentence


def test_the_connection_that_it_leaves_may_be_in_maintenance() -> None:
    verdict = only(back(MOVE, APPLIED, connections=[connection("amsterdam", in_maintenance=True)]))
    assert verdict.action is Action.GO


def test_a_former_vm_that_another_machine_holds_now_is_not_taken_away() -> None:
    verdict = only(back(MOVE, APPLIED, machine("W11-009", at="outside", holds="u1")))
    assert verdict.action is Action.FAILED
    assert "is held by CORP\\W11-009 now; it was not taken away. Roll that machine back too" in verdict.sentence


SWAPPED = (machine("W11-001", holds="u2"), machine("W11-002", holds="u1"))
SWAP = (remap(SWAPPED[0], "paris", "u1"), remap(SWAPPED[1], "paris", "u2"))
DONE = tuple(after(one, record) for one, record in zip(SWAP, SWAPPED, strict=True))


def test_a_swap_is_taken_back_as_a_whole() -> None:
    assert actions(back(SWAP, *DONE)) == {"W11-001": "go", "W11-002": "go"}


def test_half_a_swap_is_not_taken_back() -> None:
    assert actions(back(SWAP[0], *DONE)) == {"W11-001": "failed"}


def test_the_rest_of_a_swap_is_taken_back_once_the_first_half_is() -> None:
    assert actions(back(SWAP, SWAPPED[0], DONE[1])) == {"W11-001": "done", "W11-002": "go"}


def test_who_cannot_go_back_strands_those_behind_it() -> None:
    records = (machine("A", holds="ub"), machine("B", holds="uc"), machine("C", holds="gone"))
    links = (remap(records[0], "paris", "ua"), remap(records[1], "paris", "ub"), remap(records[2], "paris", "uc"))
    now = [after(one, record) for one, record in zip(links, records, strict=True)]
    now[2] = replace(now[2], hosting=at("london", "uc"))
    found = back(links, *now)
    assert actions(found) == {"A": "failed", "B": "failed", "C": "failed"}
    assert "is held by CORP\\B now" in found["A"].sentence
    assert "could not be rolled back either" in found["A"].sentence


def test_machines_that_shared_a_vm_before_the_run_share_it_again() -> None:
    """A roll back restores what was, in one go or in two."""
    records = (machine("W11-001", holds="u"), machine("W11-002", holds="u"))
    apart = (remap(records[0], "paris", "u1"), remap(records[1], "paris", "u2"))
    now = tuple(after(one, record) for one, record in zip(apart, records, strict=True))
    assert actions(back(apart, *now)) == {"W11-001": "go", "W11-002": "go"}
    assert actions(back(apart, records[0], now[1])) == {"W11-001": "done", "W11-002": "go"}


def test_a_machine_that_only_changed_its_connection_goes_back_to_it() -> None:
    same_vm = remap(ONE, "amsterdam", "u1")
    assert only(back(same_vm, after(same_vm, ONE))) == Verdict(Action.GO, hosting=at("paris", "u1"))


def test_remaps_that_have_nothing_to_do_with_each_other_are_judged_alone() -> None:
    other = remap(TWO, "amsterdam", "new2")
    assert actions(back([MOVE, other], APPLIED, machine("W11-002", at="london", holds="x"))) == {
        "W11-001": "go",
        "W11-002": "failed",
    }
