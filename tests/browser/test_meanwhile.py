"""Others decide, answers are late or lost, a sign-in ends: what is done is what was shown, and all else is said."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from tests.browser.browsing import Review
from tests.browser.conftest import Serve
from tests.browser.estate import review_estate
from tests.e2e.client import Json
from tests.e2e.review import put_back

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


def test_a_run_that_left_the_filter_leaves_the_list(review: Review, run: Json) -> None:
    page = opened(review, "?status=awaiting-review", f"#run-{run['id']}")
    review.api.cancel(run["id"])
    page.clock.fast_forward(LOOK_MS)
    expect(page.locator(f"#run-{run['id']}")).to_have_count(0)
