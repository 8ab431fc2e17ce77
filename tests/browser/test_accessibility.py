"""axe finds nothing on any state, nothing is wider than a phone, and a keyboard is all that an approval takes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from uuid import uuid4

import pytest
from playwright.sync_api import Browser, Page, expect

from sandbox.azurite import Azurite
from tests.browser.accessibility import violations
from tests.browser.browsing import PHONE, Review
from tests.browser.conftest import Serve
from tests.browser.estate import review_estate
from tests.browser.stories import Story, beginning, deciding, failing, shown
from tests.e2e.review import states


class Judge:
    """Keeps what is wrong with each state."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.found: list[str] = []

    def take(self, page: Page, name: str, *, whole: bool = False) -> None:
        self.seen.append(name)
        self.found += [f"{name}: {each}" for each in violations(page, colours_alone=name.endswith("-dark"))]
        width = page.evaluate("document.documentElement.scrollWidth")
        if page.viewport_size and width > page.viewport_size["width"]:
            self.found.append(f"{name}: {width} px wide")


@pytest.fixture(scope="module")
def storages() -> Iterator[list[Azurite]]:
    free: list[Azurite] = []
    yield free
    for azurite in free:
        azurite.stop()


@pytest.mark.parametrize(
    ("story", "wanted"),
    [
        (beginning, {"empty", "loading", "signed-out", "no-role", "start"}),
        (
            deciding,
            {"run-reader", "run-approver", "run-dark", "run-360", "machine", "confirmation", "applying", "verified"},
        ),
        (failing, {"not-there", "connection-lost", "error"}),
    ],
)
def test_axe_finds_nothing(chromium: Browser, storages: list[Azurite], story: Story, wanted: set[str]) -> None:
    judge = Judge()
    story(judge, chromium, storages)
    assert wanted <= set(judge.seen)
    assert judge.found == []


def test_axe_does_find_something_where_there_is_something(chromium: Browser) -> None:
    page = chromium.new_page()
    page.set_content("<html lang='en'><title>t</title><main><h1>h</h1><input><p style='color:#aaa'>pale</p></main>")
    assert {each.partition(":")[0] for each in violations(page)} >= {"label", "color-contrast"}
    page.close()


@pytest.fixture(scope="module")
def review(serve: Serve) -> Iterator[Review]:
    with serve(review_estate()) as running:
        yield running


def focused(page: Page) -> str:
    """What has the focus, in the words that a screen reader says."""
    script = "e => (e.getAttribute('aria-label') ?? e.labels?.[0]?.innerText ?? e.innerText ?? e.id).trim()"
    return str(page.locator(":focus").evaluate(script))


def tab_to(page: Page, name: str) -> None:
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.locator(":focus").count() and re.fullmatch(name, focused(page)):
            return
    raise AssertionError(f"no way to {name} by Tab; the focus is on {focused(page)}")


def test_a_keyboard_is_all_that_an_approval_takes(review: Review) -> None:
    run = review.run()
    page = shown(review.page(f"/runs/{run['id']}"), "#approve-shown")
    page.keyboard.press("Tab")
    assert focused(page) == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.url == review.address(f"/runs/{run['id']}"), "it is the same view, and not made anew"
    tab_to(page, r"Select CORP\\FIN-001")
    page.keyboard.press("Space")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    assert focused(page) == "Select CORP\\FIN-003"
    page.keyboard.press("Space")
    tab_to(page, "Approve 2 …")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    assert focused(page) == "Comment (optional)"
    page.keyboard.type("by keyboard")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert focused(page) == "Approve 2 …", "the focus is back where it was"
    page.keyboard.press("Enter")
    tab_to(page, "Approve 2")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="verified 2")).to_be_visible()
    after = states(review.app, run)
    assert {name for name, state in after.items() if state == "verified"} == {"FIN-001", "FIN-003"}


def test_what_happens_is_said_to_whoever_does_not_see_it(review: Review) -> None:
    run = review.run()
    page = shown(review.page(f"/runs/{run['id']}"), "#approve-shown")
    told = page.locator("#told")
    page.get_by_role("button", name=re.compile("^missing 2")).click()
    expect(told).to_have_text("2 findings shown.")
    page.get_by_role("link", name="CORP\\MISS-01").click()
    expect(page.get_by_role("main")).to_be_focused()
    page.go_back()
    page.get_by_role("button", name="Cancel …").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel the run").click()
    expect(told).to_have_text(re.compile("cancelled"))


def test_the_list_and_a_decision_fit_a_phone(review: Review) -> None:
    run = review.run()
    page = shown(review.page(f"/runs/{run['id']}", size=PHONE), "#approve-shown")
    row = page.get_by_role("row").filter(has=page.get_by_role("link", name="CORP\\FIN-002"))
    expect(row.get_by_text("strong")).to_be_visible()
    expect(row.get_by_text("Nutanix AHV Amsterdam")).to_be_visible()
    page.get_by_role("checkbox", name="Select CORP\\FIN-002").check()
    page.get_by_role("button", name="Reject 1 …").click()
    dialog = page.get_by_role("dialog")
    box = dialog.bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= PHONE[0]
    dialog.get_by_role("button", name="Reject 1").click()
    expect(page.get_by_role("button", name="rejected 1")).to_be_visible()


def test_a_phone_shows_the_vm_where_the_connection_stays(review: Review) -> None:
    run = review.run()
    finding = next(f for f in review.api.findings(run["id"]).values() if f["state"] == "proposed")
    here = {**finding, "to": {**finding["from"], "hostedMachineId": str(uuid4())}}
    page = review.page("/signed-out", size=PHONE)
    page.route("**/remaps?**", lambda route: route.fulfill(json={"items": [here], "cursor": None}))
    page.goto(review.address(f"/runs/{run['id']}"))
    for side in ("from", "to"):
        expect(page.locator(f".rows .col-{side}").get_by_text(here[side]["hostedMachineId"])).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE[0]
    page.get_by_role("button", name="Approve 1 shown …").click()
    expect(page.get_by_role("dialog").get_by_role("row").nth(1)).to_contain_text("the same, another VM1")
