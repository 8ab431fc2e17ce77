"""``python -m tests.browser.figures``: how the page stands up to 20,000 findings. It tells, and asserts no time."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from playwright.sync_api import Page

from sandbox.azurite import Azurite
from sandbox.large_world import large_world
from tests.browser.browsing import Review, reviewed
from tests.browser.chromium import launched
from tests.e2e.client import Json

MANY = 20_000
_SCROLLS = 60
# the browser's own record of whatever kept it busy for more than 50 ms
_WATCH = """
window.longTasks = [];
new PerformanceObserver(list => longTasks.push(...list.getEntries().map(task => Math.round(task.duration))))
  .observe({type: 'longtask', buffered: true});
"""


def measure(review: Review, run: Json) -> tuple[Page, dict[str, Any]]:
    """A page with every finding loaded, and what it took in milliseconds; ``rows`` is how many the document holds."""
    page = review.page("/signed-out")
    page.add_init_script(_WATCH)
    page.goto(review.address(f"/runs/{run['id']}"))
    page.locator(".rows .row").first.wait_for()
    # of the page's own clock, which begins with the navigation
    figures: dict[str, Any] = {"firstRows": round(page.evaluate("performance.now()"))}
    page.locator("#approve-shown").wait_for(timeout=120_000)
    figures["allLoadedSeconds"] = round(page.evaluate("performance.now()") / 1000, 1)
    figures["longestWhileLoading"] = _longest(page)
    for _ in range(_SCROLLS):
        page.mouse.wheel(0, 4_000)
        page.wait_for_timeout(16)
    for part in range(1, 10):
        page.evaluate(f"scrollTo(0, document.documentElement.scrollHeight * {part / 10})")
        page.wait_for_timeout(100)
    figures["longestWhileScrolling"] = _longest(page)
    figures["rows"] = page.locator(".rows .row").count()
    page.evaluate("scrollTo(0, 0)")
    began = time.monotonic()
    page.get_by_label("Search").fill("0199")
    page.get_by_text(f"of {MANY:,} findings shown").wait_for()
    figures["search"] = round((time.monotonic() - began) * 1000)
    page.get_by_role("button", name="Show all").click()
    page.get_by_role("button", name="Machine", exact=True).click()
    page.wait_for_timeout(500)
    figures["longestInSearchAndOrder"] = _longest(page)
    figures["machineByLink"] = _by_link(review, page)
    return page, figures


def _by_link(review: Review, page: Page) -> int:
    """From the navigation to the evidence of the last machine, for somebody who only has its address."""
    page.locator(".rows .machine-name").first.press("End")
    address = page.locator(":focus").get_attribute("href") or ""
    page.keyboard.press("Home")
    other = review.page(address.removeprefix("/api/review"), "riley")
    other.locator(".evidence li").first.wait_for()
    return round(other.evaluate("performance.now()"))


def _longest(page: Page) -> int:
    page.wait_for_timeout(200)
    longest: int = page.evaluate("Math.max(0, ...longTasks.splice(0))")
    return longest


def main() -> None:
    storages: list[Azurite] = []
    try:
        with launched() as browser, reviewed(browser, storages, large_world(MANY), judged=False) as review:
            _, figures = measure(review, review.run(within=200))
            sys.stdout.write(f"{json.dumps(figures)}\n")
    finally:
        for azurite in storages:
            azurite.stop()


if __name__ == "__main__":
    main()
