"""The other views: the list of runs, starting a run, profiles and their holds, health; and states without content."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.browsing import Review
from tests.browser.conftest import Serve
from tests.browser.estate import review_estate
from tests.e2e.client import Json


@pytest.fixture(scope="module")
def review(serve: Serve) -> Iterator[Review]:
    with serve(review_estate()) as running:
        yield running


def test_nothing_was_run_yet(review: Review) -> None:
    page = review.page("?status=rolling-back")
    expect(page.get_by_role("heading", name="No such run")).to_be_visible()
    page.route("**/api/runs?**", lambda route: route.fulfill(json={"items": [], "cursor": None}))
    page.goto(review.address())
    expect(page.get_by_role("heading", name="No runs yet")).to_be_visible()
    page.get_by_role("main").get_by_role("link", name="Start a run").last.click()
    expect(page).to_have_url(review.address("/start"))


def test_a_run_is_started_with_scope_and_csv(review: Review) -> None:
    page = review.page("/start", user="olive")
    page.get_by_label("Target").fill("amsterdam")
    page.get_by_label("Mode").select_option("report")
    page.get_by_label("Reason").fill("Is the pilot right?")
    page.get_by_text("Only some machines").click()
    page.get_by_label("Never touch").fill("W11-002\nFIN-*")
    csv = b"Name;Owner\r\nW11-001;a\r\nW11-002;b\r\nGHOST-1;c\r\n"
    page.get_by_label("CSV").set_input_files({"name": "pilot.csv", "mimeType": "text/csv", "buffer": csv})
    expect(page.get_by_text("3 lines below the head")).to_be_visible()
    page.get_by_role("button", name="Start the run").click()
    expect(page.locator(".head .tag")).to_have_text("planned")
    expect(page.locator(".rows .machine-name")).to_have_text(["CORP\\W11-001", "CORP\\W11-002"])
    expect(page.get_by_text("Names that match nothing")).to_be_visible()
    expect(page.get_by_text("Nothing of it can be approved")).to_be_visible()
    page.get_by_role("link", name="What happened").click()
    expect(page.get_by_text("GHOST-1")).to_be_visible()


def test_a_request_that_is_refused_is_explained_beside_its_field(review: Review) -> None:
    page = review.page("/start")
    page.get_by_label("Target").fill("atlantis")
    page.get_by_role("button", name="Start the run").click()
    expect(page.get_by_role("alert")).to_contain_text("atlantis")
    expect(page.get_by_label("Target")).to_be_focused()


def test_a_run_waits_for_the_csv_that_is_still_being_read(review: Review) -> None:
    page = review.page("/signed-out", user="olive")
    page.add_init_script("Blob.prototype.text = () => new Promise((done) => (window.read = done))")
    page.goto(review.address("/start"))
    page.get_by_label("Mode").select_option("report")
    page.get_by_text("Only some machines").click()
    page.get_by_label("CSV").set_input_files({"name": "pilot.csv", "mimeType": "text/csv", "buffer": b"-"})
    with page.expect_request("**/profiles/*/runs") as sent:
        page.get_by_role("button", name="Start the run").click()
        page.evaluate("read('Name\\nW11-001\\n')")
    assert sent.value.post_data_json["machinesCsv"] == "Name\nW11-001\n"


def test_a_wrong_field_is_shown_where_it_is_folded_away(review: Review) -> None:
    page = review.page("/start", user="olive")
    limits = page.get_by_text("Limits", exact=True)
    limits.click()
    most = page.get_by_label("Most remaps without a person")
    most.fill("201")
    limits.click()
    expect(most).to_be_hidden()
    page.get_by_role("button", name="Start the run").click()
    expect(most).to_be_focused()


def test_mode_auto_asks_first(review: Review) -> None:
    page = review.page("/start")
    page.get_by_label("Mode").select_option("auto")
    page.get_by_role("button", name="Start the run").click()
    expect(page.get_by_role("dialog")).to_contain_text("It may write to Citrix without asking again.")
    page.get_by_role("button", name="Keep as it is").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page).to_have_url(review.address("/start"))


def test_an_operator_is_not_offered_a_looser_mode_or_higher_limits_than_the_policys(review: Review) -> None:
    page = review.page("/start", user="olive")
    modes = page.get_by_label("Mode").locator("option").all_inner_texts()
    assert [mode for mode in modes if "Auto" in mode] == []
    page.get_by_text("Limits", exact=True).click()
    expect(page.get_by_label("Most remaps without a person")).to_have_attribute("max", "200")


def test_the_list_is_filtered_and_shows_the_newest_first(review: Review) -> None:
    for reason in ("first", "second"):
        review.run({"mode": "report", "reason": reason})
    page = review.page("?status=planned")
    texts = page.locator("table.runs .what .sub").all_inner_texts
    expect(page.get_by_text("second")).to_be_visible()
    assert texts()[:2] == ["second", "first"]
    page.get_by_label("State").select_option("failed")
    expect(page.get_by_role("heading", name="No such run")).to_be_visible()


def test_a_hold_is_put_and_ended(review: Review) -> None:
    review.api.call("DELETE", f"/api/profiles/{review.app.name}/hold")  # a run with a target puts one
    page = review.page("/profiles", user="olive")
    page.get_by_role("button", name="Hold the schedule …").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Hours").fill("48")
    dialog.get_by_label("Reason").fill("migration weekend")
    dialog.get_by_role("button", name="Hold the schedule").click()
    expect(page.get_by_text("migration weekend")).to_be_visible()
    page.get_by_role("button", name="End the hold …").click()
    page.get_by_role("dialog").get_by_role("button", name="End the hold").click()
    expect(page.get_by_role("button", name="Hold the schedule …")).to_be_visible()


def test_a_broken_profile_says_what_is_wrong(review: Review) -> None:
    review.app.add_file("broken.json", '{"name": "broken", "site": {"kind": "daas"}}')
    try:
        page = review.page("/profiles")
        card = page.get_by_role("article", name="broken")
        expect(card).to_contain_text("site.customerId: is missing. Add it.")
        expect(card.get_by_role("link", name="Start a run")).to_have_count(0)
    finally:
        review.app.remove_profile("broken")


def test_health_says_what_to_do(review: Review) -> None:
    review.app.sandbox.faults.set("relay-down", "lyon")
    try:
        page = review.page("/health")
        expect(page.get_by_text("not ready.")).to_be_visible()
        failed = page.locator(".is-failed")
        expect(failed).to_have_count(1)
        expect(failed).to_contain_text("emea-vdi/lyon")
        expect(failed).to_contain_text("refuses connections at port")
        failed.get_by_text("secret → name → tcp fails").click()
        expect(failed.get_by_role("listitem").filter(has_text="tcp: 127.0.0.1:")).to_be_visible()
        for head in ("The app's own machine", "Storage", "Key Vault", "Citrix sites", "Prism clusters"):
            expect(page.get_by_role("heading", name=head)).to_be_visible()
    finally:
        review.app.sandbox.faults.clear("relay-down")
    page.get_by_role("button", name="Check again").click()
    expect(page.get_by_text("All ready.")).to_be_visible()
    expect(page.get_by_role("button", name="Check again")).to_be_focused()


def test_an_app_that_does_not_answer_is_said_and_asked_again(review: Review) -> None:
    review.run({"mode": "report"})
    page = review.page("/profiles")
    expect(page.get_by_role("article", name="emea-vdi")).to_be_visible()
    broken = "**/api/runs?**"
    page.route(broken, lambda route: route.abort())
    page.get_by_role("link", name="Runs", exact=True).click()
    expect(page.get_by_role("alert").filter(has_text="No connection")).to_be_visible()
    page.unroute(broken)
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("table.runs")).to_be_visible()


def test_a_problem_is_shown_in_the_apis_words(review: Review) -> None:
    def refused(route: Route) -> None:
        problem = {"status": 503, "code": "storage", "detail": "Storage is busy. Try again.", "traceId": "abc123"}
        route.fulfill(status=503, json=problem)

    page = review.page("/health")
    page.route("**/api/runs?**", refused)
    page.get_by_role("link", name="Runs", exact=True).click()
    expect(page.get_by_role("alert").filter(has_text="Storage is busy. Try again.")).to_contain_text("abc123")


@pytest.mark.parametrize("path", ["/runs/no-such-run", "/runs/no-such-run/machines/x"])
def test_a_run_that_is_not_there_is_said_to_be_missing(review: Review, path: str) -> None:
    page = review.page(path)
    expect(page.get_by_role("heading", level=1)).to_have_text("Not there")


def test_a_run_without_findings_says_why(review: Review) -> None:
    run = review.run({"mode": "report"})
    ended = {**run, "status": "failed", "fingerprint": None, "counts": {**run["counts"], "findings": {}, "states": {}}}
    scheduled = {**run, "trigger": "schedule"}
    kept = [f for f in review.api.findings(run["id"]).values() if f["finding"] != "aligned"]
    for shape, items, path, said in (
        (ended, [], "", "ended before it had compared any machine"),
        (scheduled, kept, "?finding=aligned", "counts the aligned machines and keeps no row of them"),
    ):
        page = review.page("/signed-out")
        answers(page, f"**/api/runs/{run['id']}", shape)
        answers(page, "**/remaps?**", {"items": items, "cursor": None})
        page.goto(review.address(f"/runs/{run['id']}{path}"))
        expect(page.get_by_text(said)).to_be_visible()


def answers(page: Page, address: str, document: Json) -> None:
    page.route(address, lambda route: route.fulfill(json=document))
