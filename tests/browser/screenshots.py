"""``python -m tests.browser.screenshots FOLDER``: the page's main states as pictures, for the docs and for a look.

Each picture comes from the real page on the sandbox. axe-core looks at each state too: a violation ends it with 1.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, Route

from sandbox.azurite import Azurite
from sandbox.large_world import large_world
from tests.browser.accessibility import violations
from tests.browser.browsing import PHONE, WIDE, Review, reviewed
from tests.browser.chromium import launched
from tests.browser.estate import review_estate
from tests.e2e.client import Json

MANY = 20_000


class Camera:
    """Takes pictures of pages into a folder, and keeps what axe says of them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.found: list[str] = []

    def take(self, page: Page, name: str, *, whole: bool = False) -> None:
        page.evaluate("document.fonts.ready")
        page.wait_for_timeout(250)  # what the pointer left behind fades
        page.screenshot(path=self._folder / f"{name}.png", full_page=whole)
        self.found += [f"{name}: {each}" for each in violations(page)]


def main(folder: Path) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    camera = Camera(folder)
    storages: list[Azurite] = []
    try:
        with launched() as browser:
            for story in (_beginning, _deciding, _failing, _many):
                story(camera, browser, storages)
    finally:
        for azurite in storages:
            azurite.stop()
    for found in camera.found:
        sys.stderr.write(f"{found}\n")
    return 1 if camera.found else 0


@contextmanager
def _estate(browser: Browser, storages: list[Azurite]) -> Iterator[Review]:
    with reviewed(browser, storages, review_estate(), latency=0.02) as review:
        yield review


def _beginning(camera: Camera, browser: Browser, storages: list[Azurite]) -> None:
    with _estate(browser, storages) as review:
        page = review.page()
        page.get_by_role("heading", name="No runs yet").wait_for()
        camera.take(page, "empty")
        page = review.page("/start")
        page.get_by_label("Target").fill("amsterdam")
        camera.take(page, "start")
        page = review.page("/signed-out", user=None)
        camera.take(page, "signed-out")
        page = review.page(user="none")
        page.get_by_role("heading", name="no role").wait_for()
        camera.take(page, "no-role")
        page = review.page()
        unanswered: list[Route] = []
        page.route("**/api/runs?**", lambda route: unanswered.append(route))
        page.reload()
        page.get_by_text("Loading the runs").wait_for()
        camera.take(page, "loading")
        for route in unanswered:
            route.abort()


def _deciding(camera: Camera, browser: Browser, storages: list[Azurite]) -> None:
    with _estate(browser, storages) as review:
        review.app.add_file("broken.json", '{"name": "broken", "site": {"kind": "daas"}}')
        review.run({"mode": "report", "target": "amsterdam", "reason": "Failover drill"})
        run = review.run({"reason": "Change 4711: Paris was emptied"})
        address = f"/runs/{run['id']}"
        ambiguous = next(i for i, f in review.api.findings(run["id"]).items() if f["finding"] == "ambiguous")
        moved = next(i for i, f in review.api.findings(run["id"]).items() if f["state"] == "proposed")
        for user, name in (("riley", "reader"), ("ada", "approver")):
            page = _shown(review.page(address, user))
            camera.take(page, f"run-{name}")
        page.get_by_role("checkbox", name="Select CORP\\W11-002").check()
        page.get_by_role("checkbox", name="Select CORP\\W11-005").click(modifiers=["Shift"])
        camera.take(page, "selection")
        page.get_by_role("button", name="Approve 4 …").click()
        page.get_by_label("Comment").fill("Pilot group, change 4711")
        camera.take(page, "confirmation")
        camera.take(_shown(review.page(f"{address}/machines/{moved}"), ".from-to"), "machine", whole=True)
        camera.take(_shown(review.page(f"{address}/machines/{ambiguous}"), ".from-to"), "machine-ambiguous", whole=True)
        camera.take(_shown(review.page(f"{address}/machines/{moved}", dark=True), ".from-to"), "machine-dark", whole=True)
        camera.take(_shown(review.page(address, dark=True)), "run-dark")
        camera.take(_shown(review.page(address, size=PHONE)), "run-360")
        camera.take(_shown(review.page(f"{address}/machines/{moved}", size=PHONE), ".from-to"), "machine-360", whole=True)
        _applying(camera, review, page, address)
        _around(camera, review, run, address)


def _applying(camera: Camera, review: Review, page: Page, address: str) -> None:
    with review.app.sandbox.holds.hold("citrix", "submitBatch", when="before") as held:
        page.get_by_role("button", name="Approve 4", exact=True).click()
        page.get_by_role("progressbar").wait_for()
        held.reached(30)
        page.wait_for_timeout(1600)
        camera.take(page, "applying")
    review.api.until_rest(address.rpartition("/")[2])
    page.get_by_role("button", name="verified").wait_for()
    camera.take(page, "verified")


def _around(camera: Camera, review: Review, run: Json, address: str) -> None:
    views: tuple[tuple[str, str, Callable[[Page], object]], ...] = (
        ("", "runs", lambda page: page.locator("table.runs").wait_for()),
        (f"{address}/history", "history", lambda page: page.locator(".events li").first.wait_for()),
        ("/profiles", "profiles", lambda page: page.get_by_role("link", name="all").first.wait_for()),
        ("/health", "health", lambda page: page.locator(".check").first.wait_for()),
    )
    for path, name, ready in views:
        for kind, size, dark in (("", WIDE, False), ("-360", PHONE, False), ("-dark", WIDE, True)):
            page = review.page(path, size=size, dark=dark)
            ready(page)
            camera.take(page, f"{name}{kind}", whole=True)


def _failing(camera: Camera, browser: Browser, storages: list[Azurite]) -> None:
    with _estate(browser, storages) as review:
        run = review.run({})
        page = review.page("/runs/no-such-run")
        page.get_by_role("heading", name="Not there").wait_for()
        camera.take(page, "not-there")
        page = _shown(review.page(f"/runs/{run['id']}"))
        review.app.host.stop()
        page.get_by_role("alert").get_by_text("does not answer").wait_for()
        camera.take(page, "connection-lost")
        page.get_by_role("link", name="Runs", exact=True).click()
        page.get_by_role("heading", name="No connection").wait_for()
        camera.take(page, "error")


def _many(camera: Camera, browser: Browser, storages: list[Azurite]) -> None:
    with reviewed(browser, storages, large_world(MANY), judged=False) as review:
        run = review.run({}, within=200)
        page = _shown(review.page(f"/runs/{run['id']}"), "#approve-shown")
        camera.take(page, "20000-rows")
        page.evaluate("scrollTo(0, 190000)")
        camera.take(page, "20000-rows-scrolled")


def _shown(page: Page, what: str = ".rows .row") -> Page:
    page.locator(what).first.wait_for()
    return page


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
