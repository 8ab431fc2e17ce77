"""Others decide, answers are late or lost, a sign-in ends: what is done is what was shown, and all else is said."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from tests.browser.browsing import Review
from tests.browser.conftest import Serve
from tests.browser.estate import review_estate
from tests.e2e.client import Json
from tests.e2e.review import ids, put_back, states

LOOK_MS = 16_000  # a run at rest is looked at every 15 s


@pytest.fixture(scope="module")
def app(serve: Serve) -> Iterator[Review]:
    with serve(review_estate()) as running:
        yield running


@pytest.fixture
def review(app: Review) -> Iterator[Review]:
    with put_back(app.app):
        yield app


@pytest.fixture
def run(review: Review) -> Json:
    return review.run()


def opened(review: Review, path: str, ready: str = "#approve-shown") -> Page:
    """A page whose clock can be put forward."""
    page = review.page("/signed-out")
    page.clock.install()
    page.goto(review.address(path))
    page.locator(ready).first.wait_for()
    return page


def asked(page: Page, button: str) -> Locator:
    """The question that a button asks."""
    page.get_by_role("button", name=button).click()
    return page.get_by_role("dialog")


def candidates(review: Review, run: Json, machine: str) -> list[Json]:
    found: list[Json] = review.api.findings(run["id"])[ids(review.app, run)[machine]]["candidates"]
    return found


def resolve(review: Review, run: Json, machine: str, candidate: Json) -> Json:
    return review.api.resolve(run["id"], ids(review.app, run)[machine], candidate["cluster"], candidate["uuid"])


def test_a_plan_that_changed_behind_a_question_is_not_what_is_approved(review: Review, run: Json) -> None:
    page = opened(review, f"/runs/{run['id']}")
    dialog = asked(page, "Approve 27 shown …")
    resolve(review, run, "DUP-01", candidates(review, run, "DUP-01")[0])
    page.clock.fast_forward(LOOK_MS)
    expect(page.locator("#finding-is-remap")).to_contain_text("28")
    dialog.get_by_role("button", name="Approve 27").click()
    expect(dialog.get_by_role("alert")).to_contain_text("Look at the run again")
    assert "approved" not in states(review.app, run).values()


def test_after_a_refusal_the_run_is_looked_at_at_once(review: Review, run: Json) -> None:
    page = opened(review, f"/runs/{run['id']}")
    page.clock.pause_at(datetime.now(UTC) + timedelta(seconds=5))  # no look by itself
    dialog = asked(page, "Approve 27 shown …")
    resolve(review, run, "DUP-01", candidates(review, run, "DUP-01")[0])
    dialog.get_by_role("button", name="Approve 27").click()
    expect(page.locator("#finding-is-remap")).to_contain_text("28")


def test_a_machine_that_is_to_get_another_vm_by_now_is_selected_no_more(review: Review, run: Json) -> None:
    one, other = candidates(review, run, "DUP-01")
    resolve(review, run, "DUP-01", one)
    page = opened(review, f"/runs/{run['id']}?q=dup-01")
    page.get_by_role("checkbox", name="Select CORP\\DUP-01").check()
    expect(page.get_by_text("1 selected")).to_be_visible()
    resolve(review, run, "DUP-01", other)
    page.clock.fast_forward(LOOK_MS)
    expect(page.locator(".rows .col-to")).to_contain_text(other["uuid"])
    expect(page.get_by_text("1 selected")).to_be_hidden()
    expect(page.get_by_role("checkbox", name="Select CORP\\DUP-01")).not_to_be_checked()


def test_what_is_applied_is_what_the_question_showed(review: Review, run: Json) -> None:
    known = ids(review.app, run)
    review.api.approve(run, known["FIN-001"], apply=False)
    page = opened(review, f"/runs/{run['id']}")
    dialog = asked(page, "Apply 1 approved …")
    review.api.approve(run, known["FIN-002"], apply=False)
    dialog.get_by_role("button", name="Apply 1").click()
    expect(page.get_by_role("button", name="verified 1")).to_be_visible()
    after = states(review.app, run)
    assert (after["FIN-001"], after["FIN-002"]) == ("verified", "approved")


def test_findings_that_come_last_bring_the_button_for_all_of_them(review: Review, run: Json) -> None:
    review.api.approve(run, ids(review.app, run)["FIN-001"], apply=False)
    page, held = review.page("/signed-out"), list[Route]()
    page.route(re.compile(r"/remaps\b"), lambda route: held.append(route))
    with page.expect_response("**/api/profiles/emea-vdi"):  # the last that a look at the run asks for
        page.goto(review.address(f"/runs/{run['id']}"))
    expect(page.get_by_role("button", name="Cancel …")).to_be_visible()
    held.pop().continue_()
    expect(page.get_by_role("button", name="Apply 1 approved …")).to_be_visible()


def test_an_answer_that_is_older_than_an_action_does_not_undo_it(review: Review, run: Json) -> None:
    page = opened(review, f"/runs/{run['id']}")
    before, late = review.api.of(run["id"]), list[Route]()
    address = re.compile(f"/api/runs/{run['id']}$")
    page.route(address, lambda route: route.fallback() if late else late.append(route))
    with page.expect_request(address):
        page.clock.fast_forward(LOOK_MS)
    asked(page, "Cancel …").get_by_role("button", name="Cancel the run").click()
    expect(page.locator(".head .tag")).to_have_text("cancelled")
    said = "new MutationObserver(() => heard.push(told.textContent)).observe(told, {childList: true})"
    page.evaluate(f"window.heard = []; const told = document.getElementById('told'); {said}")
    with page.expect_response(address), page.expect_response(address):  # the late one, and the look after it
        late[0].fulfill(json=before)
    expect(page.locator(".head .tag")).to_have_text("cancelled")
    assert page.evaluate("heard") == []


def test_a_refusal_names_machines_as_people_do(review: Review, run: Json) -> None:
    page = opened(review, f"/runs/{run['id']}?catalog=Finance")
    dialog = asked(page, "Approve 3 shown …")
    review.api.reject(run, ids(review.app, run)["FIN-002"])
    dialog.get_by_role("button", name="Approve 3").click()
    expect(dialog.get_by_role("alert")).to_contain_text("Not possible for: CORP\\FIN-002 (rejected)")


def test_nobody_is_told_that_a_lost_request_did_nothing(review: Review, run: Json) -> None:
    page = opened(review, f"/runs/{run['id']}?catalog=Finance")
    page.route("**/approve", lambda route: route.abort())
    dialog = asked(page, "Approve 3 shown …")
    dialog.get_by_role("button", name="Approve 3").press("Enter")
    expect(dialog.get_by_role("alert")).to_contain_text("may have been done or not")
    expect(dialog.get_by_role("button", name="Approve 3")).to_be_focused()
    page.unroute("**/approve")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="verified 3")).to_be_visible()


def test_a_sign_in_that_ended_in_the_middle_loses_neither_question_nor_selection(review: Review, run: Json) -> None:
    page = opened(review, f"/runs/{run['id']}")
    page.get_by_role("checkbox", name="Select CORP\\FIN-003").check()
    dialog = asked(page, "Approve 1 …")
    dialog.get_by_label("Comment").fill("half written")
    cookies = page.context.cookies()
    page.context.clear_cookies()
    dialog.get_by_role("button", name="Approve 1").click()
    sign_in = dialog.get_by_role("link", name="Sign in, then try again here")
    expect(sign_in).to_have_attribute("target", "_blank")
    page.context.add_cookies([{"name": c["name"], "value": c["value"], "url": review.url} for c in cookies])
    dialog.get_by_role("button", name="Approve 1").click()
    expect(page.get_by_role("button", name="verified 1")).to_be_visible()
    assert states(review.app, run)["FIN-003"] == "verified"
    page.get_by_role("link", name="What happened").click()
    expect(page.locator(".events")).to_contain_text("Comment: half written")


def test_a_question_that_was_left_while_it_was_busy_comes_back_with_its_refusal(review: Review, run: Json) -> None:
    page = opened(review, f"/runs/{run['id']}?catalog=Finance")
    kept: list[Route] = []
    page.route("**/approve", lambda route: kept.append(route))
    dialog = asked(page, "Approve 3 shown …")
    with page.expect_request("**/approve"):
        dialog.get_by_role("button", name="Approve 3").click()
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")  # a browser closes it at the second one, whatever the page says
    kept[0].fulfill(status=409, json={"status": 409, "code": "x", "detail": "Somebody else was here first."})
    expect(dialog.get_by_role("alert")).to_contain_text("Somebody else was here first.")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)


def test_a_lost_connection_is_said_on_a_machine_too(review: Review, run: Json) -> None:
    machine = ids(review.app, run)["W11-001"]
    page = opened(review, f"/runs/{run['id']}/machines/{machine}", "#approve")
    page.route("**/api/runs/*", lambda route: route.abort())
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    page.clock.fast_forward(LOOK_MS)
    expect(page.get_by_role("alert").get_by_text("does not answer")).to_be_in_viewport()
    expect(page.locator(".from-to")).to_be_visible()
    page.unroute("**/api/runs/*")
    page.clock.fast_forward(LOOK_MS)
    expect(page.get_by_role("alert").get_by_text("does not answer")).to_have_count(0)


def test_how_long_ago_a_run_began_stays_true(review: Review, run: Json) -> None:
    page = opened(review, f"/runs/{run['id']}")
    page.clock.fast_forward(600_000)
    expect(page.locator(".about")).to_contain_text("(10 min ago)")


def test_a_run_that_left_the_filter_leaves_the_list(review: Review, run: Json) -> None:
    page = opened(review, "?status=awaiting-review", f"#run-{run['id']}")
    review.api.cancel(run["id"])
    page.clock.fast_forward(LOOK_MS)
    expect(page.locator(f"#run-{run['id']}")).to_have_count(0)
