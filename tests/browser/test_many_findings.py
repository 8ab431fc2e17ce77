"""20,000 findings are usable: few rows in the document, all of them within reach. Times are told and not asserted."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import expect

from sandbox.large_world import large_world
from tests.browser.browsing import Review
from tests.browser.conftest import Serve
from tests.browser.figures import MANY, measure


@pytest.fixture(scope="module")
def review(serve: Serve) -> Iterator[Review]:
    with serve(large_world(MANY), judged=False) as running:
        yield running


def test_twenty_thousand_findings(review: Review, record_property: Callable[[str, object], None]) -> None:
    run = review.run(within=200)
    remaps = run["counts"]["findings"]["remap"]
    page, figures = measure(review, run)
    for name, value in figures.items():
        record_property(name, value)

    grid = page.get_by_role("grid")
    expect(grid).to_have_attribute("aria-rowcount", str(MANY + 1))
    assert figures["rows"] < 100, "only what is in sight is in the document"

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
