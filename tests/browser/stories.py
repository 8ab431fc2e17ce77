"""The states of the review page, each brought about on the real app: pictures are taken of them, axe judges them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from playwright.sync_api import Browser, Page, Route

from sandbox.azurite import Azurite
from tests.browser.browsing import PHONE, WIDE, Review, reviewed
from tests.browser.estate import review_estate
from tests.e2e.client import Json


class Look(Protocol):
    def take(self, page: Page, name: str, *, whole: bool = False) -> None:
        """``page`` is in the state ``name`` now; ``whole``: what is below the window belongs to it."""


Story = Callable[[Look, Browser, list[Azurite]], None]


def beginning(look: Look, browser: Browser, storages: list[Azurite]) -> None:
    """Nothing was run, nobody is signed in, no role, no answer yet."""
    with _served(browser, storages) as review:
        page = review.page()
        page.get_by_role("heading", name="No runs yet").wait_for()
        look.take(page, "empty")
        page = review.page("/start")
        page.get_by_label("Target").fill("amsterdam")
        look.take(page, "start")
        page = review.page("/signed-out", user=None)
        look.take(page, "signed-out")
        page = review.page(user="none")
        page.get_by_role("heading", name="no role").wait_for()
        look.take(page, "no-role")
        page = review.page()
        unanswered: list[Route] = []
        page.route("**/api/runs?**", lambda route: unanswered.append(route))
        page.reload()
        page.get_by_text("Loading the runs").wait_for()
        look.take(page, "loading")
        for route in unanswered:
            route.abort()


def deciding(look: Look, browser: Browser, storages: list[Azurite]) -> None:
    """A run waits for a decision; some of it is approved, applied and verified."""
    with _served(browser, storages) as review:
        review.app.add_file("broken.json", '{"name": "broken", "site": {"kind": "daas"}}')
        review.run({"mode": "report", "target": "amsterdam", "reason": "Failover drill"})
        run = review.run({"reason": "Change 4711: Paris was emptied"})
        address = f"/runs/{run['id']}"
        found = review.api.findings(run["id"])
        moved = next(i for i, f in found.items() if f["state"] == "proposed" and f["confidence"] == "proven")
        ambiguous = next(i for i, f in found.items() if f["finding"] == "ambiguous")
        look.take(shown(review.page(address, "riley")), "run-reader")
        page = shown(review.page(address), "#approve-shown")
        look.take(page, "run-approver")
        _both(look, page, "run")
        for name, machine in (("machine", moved), ("machine-ambiguous", ambiguous)):
            seen = review.page(f"{address}/machines/{machine}")
            seen.get_by_role("button", name="…").first.wait_for()
            look.take(seen, name, whole=True)
            _both(look, seen, name, whole=True)
        page.get_by_role("checkbox", name="Select CORP\\W11-002").check()
        page.get_by_role("checkbox", name="Select CORP\\W11-005").click(modifiers=["Shift"])
        look.take(page, "selection")
        page.get_by_role("button", name="Approve 4 …").click()
        page.get_by_label("Comment").fill("Pilot group, change 4711")
        look.take(page, "confirmation")
        _applying(look, review, page, run)
        _around(look, review, address)


def _applying(look: Look, review: Review, page: Page, run: Json) -> None:
    with review.app.sandbox.holds.hold("citrix", "submitBatch", when="before") as held:
        page.get_by_role("button", name="Approve 4", exact=True).click()
        page.get_by_role("progressbar").wait_for()
        if not held.reached(30):
            raise AssertionError("nothing was sent to Citrix")
        page.get_by_role("button", name="applying 4").wait_for()
        look.take(page, "applying")
    review.api.until_rest(run["id"])
    page.get_by_role("button", name="verified 4").wait_for()
    look.take(page, "verified")


def _around(look: Look, review: Review, address: str) -> None:
    views = (
        ("", "runs", "table.runs"),
        (f"{address}/history", "history", ".events li"),
        ("/profiles", "profiles", "article dd a"),
        ("/health", "health", ".check"),
    )
    for path, name, ready in views:
        page = shown(review.page(path), ready)
        look.take(page, name, whole=True)
        _both(look, page, name, whole=True)


def _both(look: Look, page: Page, name: str, *, whole: bool = False) -> None:
    """The same in the dark, and on a phone; afterwards it is as it was."""
    page.emulate_media(color_scheme="dark")
    look.take(page, f"{name}-dark", whole=whole)
    page.emulate_media(color_scheme="light")
    _sized(page, PHONE)
    look.take(page, f"{name}-360", whole=whole)
    _sized(page, WIDE)


def _sized(page: Page, size: tuple[int, int]) -> None:
    page.set_viewport_size({"width": size[0], "height": size[1]})


def failing(look: Look, browser: Browser, storages: list[Azurite]) -> None:
    """There is no such run; the app is gone in the middle, and at the beginning."""
    with _served(browser, storages) as review:
        run = review.run({"mode": "report"})
        page = review.page("/runs/no-such-run")
        page.get_by_role("heading", name="Not there").wait_for()
        look.take(page, "not-there")
        page = review.page("/signed-out")
        page.clock.install()
        page.goto(review.address(f"/runs/{run['id']}"))
        shown(page)
        review.app.host.stop()
        page.clock.fast_forward(20_000)  # the next look of a run at rest
        page.get_by_role("alert").get_by_text("does not answer").wait_for()
        look.take(page, "connection-lost")
        page.get_by_role("link", name="Runs", exact=True).click()
        page.get_by_role("heading", name="No connection").wait_for()
        look.take(page, "error")


def shown(page: Page, what: str = ".rows .row") -> Page:
    page.locator(what).first.wait_for()
    return page


@contextmanager
def _served(browser: Browser, storages: list[Azurite]) -> Iterator[Review]:
    with reviewed(browser, storages, review_estate()) as review:
        yield review
