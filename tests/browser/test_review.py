"""An approver's way through the page: what is wrong, why, approve some, watch, verified, and back again."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.browsing import Review
from tests.browser.conftest import Serve
from tests.browser.estate import MOVED, review_estate
from tests.e2e.client import Json
from tests.e2e.review import ids, put_back, states

FINDINGS = {"remap": 27, "ambiguous": 2, "conflict": 2, "missing": 2, "excluded": 2, "aligned": 4}


@pytest.fixture(scope="module")
def app(serve: Serve) -> Iterator[Review]:
    with serve(review_estate(), latency=0.01) as running:
        yield running


@pytest.fixture
def review(app: Review) -> Iterator[Review]:
    """The app with Citrix as it was at the beginning."""
    with put_back(app.app):
        yield app


@pytest.fixture
def run(review: Review) -> Json:
    return review.run()


def opened(review: Review, run: Json, path: str = "", **options: object) -> Page:
    page = review.page(f"/runs/{run['id']}{path}", **options)  # type: ignore[arg-type]
    page.locator(".rows .row" if not path else "h1").first.wait_for()
    return page


def row(page: Page, machine: str) -> Locator:
    return page.get_by_role("row").filter(has=page.get_by_role("link", name=machine, exact=True))


def shown(page: Page) -> list[str]:
    """The machines in sight, without the domain CORP."""
    return [text.removeprefix("CORP\\") for text in page.locator(".rows .machine-name").all_inner_texts()]


def test_from_drift_to_verified_and_back(review: Review, run: Json) -> None:
    page = review.page()
    page.get_by_role("link", name="emea-vdi").first.click()
    for word, count in FINDINGS.items():
        expect(page.get_by_role("button", name=f"{word} {count}")).to_be_visible()

    page.get_by_role("link", name="CORP\\W11-003").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("CORP\\W11-003")
    sides = page.locator(".from-to")
    expect(sides.get_by_role("heading")).to_have_text(["Citrix has", "It would have"])
    expect(sides.locator(".changes")).to_have_text(["Nutanix AHV Paris", "Nutanix AHV Amsterdam"])
    expect(page.locator(".evidence")).to_contain_text("W11-003 carries the hosted machine id that Citrix holds")
    page.go_back()

    page.get_by_role("checkbox", name="Select CORP\\W11-002").check()
    page.get_by_role("checkbox", name="Select CORP\\W11-005").click(modifiers=["Shift"])
    page.get_by_role("button", name="Approve 4 …").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("heading")).to_have_text("Approve 4 remaps")
    expect(dialog.get_by_role("row").nth(1)).to_have_text(re.compile("Nutanix AHV Paris.*Nutanix AHV Amsterdam.*4"))
    dialog.get_by_label("Comment").fill("pilot")
    with review.app.sandbox.holds.hold("citrix", "submitBatch", when="before") as held:
        dialog.get_by_role("button", name="Approve 4").click()
        expect(page.get_by_role("progressbar")).to_have_attribute("aria-label", re.compile("applying, [0-9]+ %"))
        expect(page.get_by_role("button", name="applying 4")).to_be_visible()
        assert held.reached(30)
    expect(page.get_by_role("button", name="verified 4")).to_be_visible()
    expect(row(page, "CORP\\W11-005")).to_contain_text("verified")
    expect(page.locator(".head .tag")).to_have_text("completed")
    assert sum(state == "verified" for state in states(review.app, run).values()) == 4
    page.get_by_role("link", name="CORP\\W11-003").click()
    expect(sides.get_by_role("heading")).to_have_text(["Citrix had", "It has now"])
    page.get_by_role("link", name="Run emea-vdi").click()

    page.get_by_role("button", name="Roll back …").click()
    expect(dialog.get_by_role("row").nth(1)).to_have_text(re.compile("Nutanix AHV Amsterdam.*Nutanix AHV Paris.*4"))
    dialog.get_by_role("button", name="Roll back 4").click()
    expect(page.get_by_role("button", name="rolled back 4")).to_be_visible()
    page.get_by_role("link", name="What happened").click()
    expect(page.locator(".events")).to_contain_text("Comment: pilot")
    expect(page.locator(".events li").last).to_contain_text("rolled back")


def test_the_chart_filters_when_it_is_clicked(review: Review, run: Json) -> None:
    page = opened(review, run)
    page.locator(".bar .finding-missing").click()
    assert shown(page) == ["MISS-01", "MISS-02"]
    expect(page.get_by_role("button", name="missing 2")).to_have_attribute("aria-pressed", "true")
    expect(page.locator(".many")).to_contain_text("2 of 39 findings shown")
    page.get_by_role("button", name="missing 2").click()
    expect(page.locator(".many")).to_contain_text("39 findings")


def test_filters_search_and_order_stand_in_the_address(review: Review, run: Json) -> None:
    page = opened(review, run)
    page.get_by_label("Search").fill("fin-0")
    page.get_by_label("Catalog").select_option("Finance")
    page.get_by_label("Cluster").select_option("amsterdam")
    page.get_by_role("button", name="Machine").click()
    page.get_by_role("button", name="Machine").click()
    expect(page.locator(".rows .machine-name").first).to_have_text("CORP\\FIN-003")
    again = review.page(page.url.partition("/api/review")[2])
    again.locator(".rows .row").first.wait_for()
    assert shown(again) == ["FIN-003", "FIN-002", "FIN-001"]
    expect(again.get_by_role("columnheader", name="Machine")).to_have_attribute("aria-sort", "descending")


def test_a_search_finds_a_machine_by_the_id_of_its_vm(review: Review, run: Json) -> None:
    wanted = next(f for f in review.api.findings(run["id"]).values() if f["machine"]["name"] == "CORP\\FIN-002")
    page = opened(review, run)
    page.get_by_label("Search").fill(wanted["to"]["hostedMachineId"].upper())
    expect(page.locator(".rows .machine-name")).to_have_text(["CORP\\FIN-002"])
    page.get_by_label("Search").fill("no such machine")
    expect(page.get_by_role("heading", name="Nothing like that")).to_be_visible()


def test_all_that_are_shown_are_rejected_and_no_others(review: Review, run: Json) -> None:
    page = opened(review, run, user="ada")
    page.get_by_label("Catalog").select_option("Finance")
    page.get_by_role("button", name="Reject 3 shown …").click()
    page.get_by_role("dialog").get_by_role("button", name="Reject 3").click()
    expect(page.get_by_role("button", name="rejected 3")).to_be_visible()
    after = states(review.app, run)
    assert {name for name, state in after.items() if state == "rejected"} == {"FIN-001", "FIN-002", "FIN-003"}
    assert sum(state == "proposed" for state in after.values()) == MOVED


def test_what_is_only_approved_is_applied_later(review: Review, run: Json) -> None:
    page = opened(review, run)
    page.get_by_role("link", name="CORP\\FIN-001").click()
    page.get_by_role("button", name="Approve …").click()
    page.get_by_role("dialog").get_by_label("Apply at once").uncheck()
    page.get_by_role("dialog").get_by_role("button", name="Approve 1").click()
    expect(page.locator(".head-title")).to_contain_text("approved")
    page.get_by_role("link", name="Run emea-vdi").click()
    page.get_by_role("button", name="Apply 1 approved …").click()
    page.get_by_role("dialog").get_by_role("button", name="Apply 1").click()
    expect(page.get_by_role("button", name="verified 1")).to_be_visible()


def test_a_person_chooses_the_vm_of_an_ambiguous_machine(review: Review, run: Json) -> None:
    page = opened(review, run)
    page.get_by_role("button", name="ambiguous 2").click()
    page.get_by_role("link", name="CORP\\DUP-01").click()
    page.get_by_role("button", name="Choose the VM DUP-01 on amsterdam").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Choose this VM").click()
    expect(dialog).to_be_visible()  # the comment is required
    dialog.get_by_label("Comment").fill("The one with the user's data")
    dialog.get_by_role("button", name="Choose this VM").click()
    expect(page.locator(".head-title")).to_contain_text("chosen")
    expect(page.locator(".events")).to_contain_text("The one with the user's data")
    # the fingerprint is another by now; what is approved next is the plan as it is shown
    page.get_by_role("button", name="Approve …").click()
    dialog.get_by_role("button", name="Approve 1").click()
    expect(page.locator(".head-title")).to_contain_text("verified")


def test_an_approval_of_a_plan_that_changed_meanwhile_is_refused_in_words(review: Review, run: Json) -> None:
    page = opened(review, run)
    page.get_by_role("button", name="Approve 27 shown …").click()
    ambiguous = next(i for i, f in review.api.findings(run["id"]).items() if f["finding"] == "ambiguous")
    uuid = review.api.findings(run["id"])[ambiguous]["candidates"][0]
    review.api.resolve(run["id"], ambiguous, uuid["cluster"], uuid["uuid"])
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Approve 27").click()
    expect(dialog.get_by_role("alert")).to_contain_text("Look at the run again")
    assert "approved" not in states(review.app, run).values()


def test_a_plan_with_a_newer_one_is_not_offered_for_approval(review: Review, run: Json) -> None:
    newer = review.run()
    page = opened(review, run)
    expect(page.get_by_text("A newer run has a newer plan")).to_be_visible()
    expect(page.get_by_role("button", name="Reject 27 shown …")).to_be_visible()
    expect(page.get_by_role("button", name=re.compile("^Approve"))).to_have_count(0)
    page.get_by_role("link", name="To the newer run").click()
    expect(page).to_have_url(review.address(f"/runs/{newer['id']}"))
    expect(page.get_by_role("button", name="Approve 27 shown …")).to_be_visible()


def test_a_run_that_waits_is_cancelled(review: Review, run: Json) -> None:
    page = opened(review, run, user="olive")
    page.get_by_role("button", name="Cancel …").click()
    page.get_by_role("dialog").get_by_label("Comment").fill("wrong day")
    page.get_by_role("dialog").get_by_role("button", name="Cancel the run").click()
    expect(page.locator(".head .tag")).to_have_text("cancelled")
    expect(page.get_by_text("cancelled it before anything was written")).to_be_visible()


def test_the_place_in_the_list_and_the_selection_survive_a_look_at_a_machine(review: Review, run: Json) -> None:
    page = opened(review, run)
    page.get_by_role("checkbox", name="Select CORP\\W11-001").check()
    page.evaluate("scrollTo(0, 900)")
    page.get_by_role("link", name="CORP\\W11-020").click()
    page.get_by_role("link", name="Next", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("CORP\\W11-021")
    page.get_by_role("link", name="Run emea-vdi").click()
    expect(page.get_by_text("1 selected")).to_be_visible()
    assert page.evaluate("scrollY") > 600


def test_the_filters_survive_a_look_at_a_machine_and_at_what_happened(review: Review, run: Json) -> None:
    page = opened(review, run, user="riley")
    page.get_by_label("Catalog").select_option("Finance")
    page.get_by_role("button", name="remap 27").click()
    for there, back in (("CORP\\FIN-002", "Run emea-vdi"), ("What happened", "Findings")):
        page.get_by_role("link", name=there).click()
        page.get_by_role("link", name=back).click()
        expect(page).to_have_url(review.address(f"/runs/{run['id']}?finding=remap&catalog=Finance"))
        expect(page.locator(".rows .machine-name")).to_have_count(3)


def test_what_is_selected_and_not_shown_is_said(review: Review, run: Json) -> None:
    page = opened(review, run)
    page.get_by_role("checkbox", name="Select CORP\\W11-001").check()
    page.get_by_role("checkbox", name="Select CORP\\FIN-001").check()
    page.get_by_label("Catalog").select_option("Finance")
    expect(page.get_by_text("2 selected, 1 not shown")).to_be_visible()


def test_what_happened_names_the_machines(review: Review, run: Json) -> None:
    known = ids(review.app, run)
    review.api.reject(run, known["FIN-001"], known["FIN-003"])
    page = opened(review, run, "/history", user="riley")
    page.locator(".events").get_by_role("link", name="CORP\\FIN-003").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("CORP\\FIN-003")
