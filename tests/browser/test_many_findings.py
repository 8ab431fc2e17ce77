"""20,000 findings are usable: few rows in the document, all of them within reach. Times are told and not asserted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Route, expect

from sandbox.large_world import large_world
from tests.browser.accessibility import violations
from tests.browser.browsing import Review
from tests.browser.conftest import Serve
from tests.browser.figures import MANY, measure
from tests.e2e.client import Json


@pytest.fixture(scope="module")
def review(serve: Serve) -> Iterator[Review]:
    with serve(large_world(MANY), judged=False) as running:
        yield running


@pytest.fixture(scope="module")
def run(review: Review) -> Json:
    return review.run(within=200)


def test_twenty_thousand_findings(review: Review, run: Json, record_property: Callable[[str, object], None]) -> None:
    remaps = run["counts"]["findings"]["remap"]
    page, figures = measure(review, run)
    for name, value in figures.items():
        record_property(name, value)

    grid = page.get_by_role("grid")
    expect(grid).to_have_attribute("aria-rowcount", str(MANY + 1))
    assert figures["rows"] < 100, "only what is in sight is in the document"
    assert violations(page) == []

    # from the first to the last, and to one in the middle
    names = page.locator(".rows .machine-name")
    expect(names.first).to_have_text("CORP\\W11-000001")
    names.first.focus()
    page.keyboard.press("End")
    expect(page.get_by_role("link", name="CORP\\W11-020000")).to_be_focused()
    expect(page.locator(":focus")).to_be_in_viewport()
    page.get_by_label("Search").fill("W11-012345")
    expect(names).to_have_text(["CORP\\W11-012345"])
    page.get_by_role("button", name="Show all").click()
    expect(page.get_by_role("button", name="Show all")).to_have_count(0)

    page.get_by_role("checkbox", name="Select all that are shown").check()
    expect(page.get_by_text(f"{remaps:,} selected")).to_be_visible()
    page.get_by_role("button", name=f"Approve {remaps:,} …").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("heading")).to_have_text(f"Approve {remaps:,} remaps")
    expect(dialog.get_by_role("row").nth(1)).to_contain_text(f"Nutanix AHV Amsterdam{remaps:,}")


def test_a_link_to_one_machine_does_not_wait_for_all_of_them(review: Review, run: Json) -> None:
    page = review.page(f"/runs/{run['id']}?sort=-name")
    last = page.get_by_role("link", name="CORP\\W11-020000")
    last.wait_for(timeout=60_000)
    link = last.get_attribute("href") or ""
    one = review.page("/signed-out", "riley")
    others: list[Route] = []
    cursor = parse_qs(urlsplit(link).query)["page"][0]
    one.route(
        lambda address: "/remaps?" in address and f"cursor={cursor}" not in address, lambda route: others.append(route)
    )
    one.goto(review.url + link)
    expect(one.get_by_role("heading", level=1)).to_have_text("CORP\\W11-020000")
    expect(one.locator(".evidence li").first).to_be_visible()
    for route in others:
        route.abort()
