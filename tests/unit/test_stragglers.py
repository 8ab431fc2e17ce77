"""What a batch did not change goes once more, each alone, and no more often than that."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from shared.model.citrix import MachineId
from shared.runs.writing.outcome import Outcome, Told
from shared.runs.writing.sending import ENOUGH_REFUSALS
from shared.runs.writing.stragglers import send_again
from tests.unit.test_sending import told
from tests.unit.writable_site import (
    Heard,
    MemoryBatches,
    WritableSite,
    changes,
    machines,
    trouble,
)


def unchanged(site: WritableSite) -> Callable[[Sequence[MachineId], Mapping[MachineId, Outcome]], list[MachineId]]:
    """A read-back that finds what the site has done."""
    return lambda asked, told: [machine for machine in asked if machine not in site.hosting]


def test_what_a_batch_did_not_change_goes_alone_and_once() -> None:
    site, heard = WritableSite(), Heard()
    first, second, third = machines(3)
    site.alone = {second: [trouble("failed", 500)]}
    outcomes = send_again(heard.sending(site, MemoryBatches()), changes(3), {}, unchanged(site))
    assert [outcomes[machine].told for machine in (first, second, third)] == [Told.DONE, Told.UNKNOWN, Told.DONE]
    assert sorted(site.sent_alone) == machines(3)


def test_after_some_refusals_for_want_of_a_right_the_rest_is_not_tried() -> None:
    site = WritableSite()
    site.alone = {machine: [trouble("forbidden", 403, unsent=True)] for machine in machines(200)}
    before = {machine: Outcome(Told.REFUSED, f"no right for {machine}", 403) for machine in machines(200)}
    outcomes = send_again(Heard().sending(site, MemoryBatches()), changes(200), before, unchanged(site))
    assert ENOUGH_REFUSALS <= len(site.sent_alone) <= ENOUGH_REFUSALS + 8
    assert told(outcomes) == {Told.REFUSED: 200}


def test_a_missing_right_keeps_nothing_from_going_that_failed_for_another_reason() -> None:
    site = WritableSite()
    forbidden, others = machines(60)[:40], machines(60)[40:]
    site.alone = {machine: [trouble("forbidden", 403, unsent=True)] for machine in forbidden}
    before = {machine: Outcome(Told.REFUSED, "no right", 403) for machine in forbidden}
    before |= {machine: Outcome(Told.REFUSED, "busy", 500) for machine in others}
    outcomes = send_again(Heard().sending(site, MemoryBatches()), changes(60), before, unchanged(site))
    assert {outcomes[machine].told for machine in others} == {Told.DONE}


def test_a_refusal_of_single_machines_keeps_the_others_from_nothing() -> None:
    """Citrix answers 403 for machines that a role's scope does not cover, between others that it does."""
    site = WritableSite()
    locked = machines(90)[::3]
    site.alone = {machine: [trouble("forbidden", 403, unsent=True)] for machine in locked}
    before = {machine: Outcome(Told.REFUSED, "busy", 500) for machine in machines(90)}
    outcomes = send_again(Heard().sending(site, MemoryBatches()), changes(90), before, unchanged(site))
    assert told(outcomes) == {Told.DONE: 60, Told.REFUSED: 30}
