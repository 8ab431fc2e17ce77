"""Names that mean harm are text, wherever they come from and wherever they are shown."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.browsing import Review
from tests.browser.conftest import Serve
from tests.browser.estate import HOSTILE, HOSTILE_CATALOG, HOSTILE_CONNECTION, HOSTILE_GROUP, review_estate
from tests.e2e.client import Json

MARK = "<img src=x onerror=harmed()><script>harmed()</script>"
# what the page decides by, or builds addresses of; all else could be anything
NOT_TEXT = {
    "id", "status", "state", "finding", "confidence", "mode", "trigger", "powerState", "kind", "cursor", "fingerprint",
    "links", "counts", "roles", "at", "createdAt", "startedAt", "plannedAt", "endedAt", "notBefore", "until",
    "incidentStart", "api",
}  # fmt: skip

RUN = "/runs/{run}"
VIEWS = ("", RUN, f"{RUN}/history", f"{RUN}/machines/{{machine}}", "/profiles", "/health", "/start")


@pytest.fixture(scope="module")
def review(serve: Serve) -> Iterator[Review]:
    with serve(review_estate(hostile=True)) as running:
        yield running


@pytest.fixture(scope="module")
def run(review: Review) -> Json:
    return review.run({"reason": HOSTILE[0]})


def visible(name: str) -> str:
    """A name as it is shown: what would turn the text around is named."""
    return name.replace("\u202e", "⟨U+202E⟩")


def test_harmful_names_from_citrix_and_prism_are_text(review: Review, run: Json) -> None:
    page = review.page(f"/runs/{run['id']}")
    page.get_by_label("Catalog").select_option(HOSTILE_CATALOG)
    expect(page.locator(".rows .machine-name")).to_have_count(len(HOSTILE))
    texts = page.locator(".rows .machine-name").all_inner_texts()
    assert sorted(texts) == sorted(f"CORP\\{visible(name)}" for name in HOSTILE)
    expect(page.locator(".rows .col-name .sub").first).to_have_text(f"{HOSTILE_CATALOG} · {HOSTILE_GROUP}")
    expect(page.locator(".rows .col-to .line").first).to_have_text(HOSTILE_CONNECTION)
    for name in HOSTILE:
        page.get_by_role("link", name=f"CORP\\{visible(name)}").click()
        expect(page.get_by_role("heading", level=1)).to_have_text(f"CORP\\{visible(name)}")
        expect(page.locator(".from-to")).to_contain_text(HOSTILE_CONNECTION)
        page.go_back()
    page.get_by_role("button", name="Approve 5 shown …").click()
    expect(page.get_by_role("dialog")).to_contain_text(HOSTILE_CONNECTION)
    nothing_was_made_of_it(page)


def test_a_name_that_turns_its_direction_leaves_the_text_around_it_alone(review: Review, run: Json) -> None:
    page = review.page(f"/runs/{run['id']}?q=מכונה")
    name = page.locator(".rows .machine-name")
    expect(name).to_have_count(1)
    assert name.locator("bdi").count() == 1
    page.get_by_label("Search").fill("gpj")
    expect(name).to_have_text("CORP\\evil⟨U+202E⟩gpj.11W")


@pytest.mark.parametrize("view", VIEWS)
def test_whatever_text_the_api_answers_with_is_text(review: Review, run: Json, view: str) -> None:
    machine = next(i for i, f in review.api.findings(run["id"]).items() if f["finding"] == "ambiguous")
    page = review.page("/signed-out")
    page.route("**/api/**", poisoned)
    page.goto(review.address(view.format(run=run["id"], machine=machine)))
    expect(page.get_by_text(MARK).first).to_be_attached()
    page.wait_for_load_state("networkidle")
    nothing_was_made_of_it(page)


def poisoned(route: Route) -> None:
    """The real answer, with harm in every text of it."""
    answer = route.fetch()
    if answer.status == 304 or "json" not in answer.headers.get("content-type", ""):
        route.fulfill(response=answer)
        return
    route.fulfill(response=answer, body=json.dumps(_harmful(answer.json())))


def _harmful(value: Any, key: str = "") -> Any:
    if isinstance(value, dict):
        return {name: _harmful(each, name) if name not in NOT_TEXT else each for name, each in value.items()}
    if isinstance(value, list):
        return [_harmful(each, key) for each in value]
    return f"{MARK}{value}" if isinstance(value, str) else value


def nothing_was_made_of_it(page: Page) -> None:
    """The document holds no element and no attribute but the page's own."""
    assert page.evaluate("document.querySelectorAll('img').length") == 1, "the page's own mark"
    assert page.evaluate("document.querySelectorAll('script').length") == 1
    assert page.evaluate("document.querySelectorAll('main svg svg, iframe, object, embed, b').length") == 0
    own = "[...document.querySelectorAll('*')].flatMap(e => e.getAttributeNames()).filter(n => n.startsWith('on'))"
    assert page.evaluate(own) == []
    wrong = "[...document.querySelectorAll('a[href]')].map(a => a.protocol).filter(p => !p.startsWith('http'))"
    assert page.evaluate(wrong) == []
