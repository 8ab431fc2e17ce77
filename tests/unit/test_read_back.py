"""What a remap has come to is what Citrix shows afterwards, whatever was told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from shared.model.citrix import Hosting
from shared.model.nutanix import VmUuid
from shared.model.run import RemapState
from shared.runs.writing.outcome import Outcome, Told
from shared.runs.writing.read_back import APPLY, judge, read_back
from tests.unit.writable_site import AFTER, BEFORE, WritableSite, machines, remap

(MACHINE,) = machines(1)
UPPER = Hosting("NEW NAME", VmUuid((AFTER.machine_id or "").upper()), (AFTER.connection_id or "").upper())
SENT = (Told.DONE, Told.REFUSED, Told.UNKNOWN, Told.STUCK, Told.KEPT)


@pytest.mark.parametrize("told", SENT)
@pytest.mark.parametrize("now", [pytest.param(AFTER, id="as-planned"), pytest.param(UPPER, id="written-otherwise")])
def test_what_has_its_new_values_is_verified_whatever_was_told(told: Told, now: Hosting) -> None:
    assert judge(APPLY, remap(MACHINE), AFTER, now, Outcome(told, "said")) == (RemapState.VERIFIED, None)


@pytest.mark.parametrize("told", SENT)
def test_a_machine_that_is_gone_failed(told: Told) -> None:
    assert judge(APPLY, remap(MACHINE), AFTER, None, Outcome(told)) == (
        RemapState.FAILED,
        "The machine is no longer in the site.",
    )


@pytest.mark.parametrize("told", [Told.DONE, Told.REFUSED, Told.UNKNOWN, Told.KEPT])
def test_what_has_its_old_values_may_be_sent_again(told: Told) -> None:
    assert judge(APPLY, remap(MACHINE), AFTER, BEFORE, Outcome(told, "said")) is None


def test_what_has_its_old_values_and_was_never_told_of_may_be_sent_again() -> None:
    assert judge(APPLY, remap(MACHINE), AFTER, BEFORE, None) is None


def test_what_has_its_old_values_under_a_job_that_may_still_run_failed_and_says_why() -> None:
    state, sentence = judge(
        APPLY, remap(MACHINE), AFTER, BEFORE, Outcome(Told.STUCK, "Citrix's job 7 does not end.")
    ) or ("", "")
    assert state is RemapState.FAILED
    assert sentence == "Citrix's job 7 does not end. It was not sent again."


@pytest.mark.parametrize(
    "now",
    [
        pytest.param(replace(AFTER, connection="Paris", connection_id="c-par"), id="the-id-without-the-connection"),
        pytest.param(
            replace(BEFORE, connection="Amsterdam", connection_id="c-ams"), id="the-connection-without-the-id"
        ),
        pytest.param(Hosting("Oslo", VmUuid("x"), "c-osl"), id="something-else"),
        pytest.param(Hosting(None, None), id="nothing"),
    ],
)
@pytest.mark.parametrize("told", [Told.DONE, Told.STUCK])
def test_what_has_neither_failed_and_names_what_citrix_has(now: Hosting, told: Told) -> None:
    state, sentence = judge(APPLY, remap(MACHINE), AFTER, now, Outcome(told)) or ("", "")
    assert state is RemapState.FAILED
    assert (now.connection or "no hosting connection") in (sentence or "")
    assert (now.machine_id or "no VM") in (sentence or "")


@pytest.mark.parametrize(
    ("wanted", "in_site", "pages"),
    [
        pytest.param(1, 500, 0, id="one-machine-is-read-alone"),
        pytest.param(2, 500, 1, id="two-cost-more-than-the-only-page"),
        pytest.param(5, 5_000, 0, id="as-many-as-pages-are-read-alone"),
        pytest.param(6, 5_000, 1, id="more-than-pages-are-read-by-pages"),
        pytest.param(0, 500, 0, id="none-asks-nothing"),
    ],
)
def test_machines_are_read_by_pages_or_alone_whichever_costs_fewer_calls(wanted: int, in_site: int, pages: int) -> None:
    site = WritableSite(hosting=dict.fromkeys(machines(20), AFTER))
    found = read_back(site.as_writer(), machines(wanted), in_site)
    assert {machine: each.hosting for machine, each in found.items()} == dict.fromkeys(machines(wanted), AFTER)
    assert site.read_by_pages == pages
    assert len(site.read_alone) == (0 if pages else wanted)


@pytest.mark.parametrize("in_site", [1, 5_000], ids=["by-pages", "alone"])
def test_machines_that_are_gone_are_left_out(in_site: int) -> None:
    site = WritableSite(hosting={machines(2)[0]: BEFORE})
    assert list(read_back(site.as_writer(), machines(2), in_site)) == machines(1)
