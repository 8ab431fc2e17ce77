"""What a role may not do is not offered; who is not signed in comes to the sign-in, and back to where they were."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import pytest
from playwright.sync_api import Page, expect

from tests.browser.browsing import Review
from tests.browser.conftest import Serve
from tests.browser.estate import review_estate
from tests.e2e.client import Json

# they change what is shown and nothing else
HARMLESS = {"sort", "count", "quiet"}


@pytest.fixture(scope="module")
def review(serve: Serve) -> Iterator[Review]:
    with serve(review_estate()) as running:
        yield running


@pytest.fixture(scope="module")
def run(review: Review) -> Json:
    return review.run()


def offered(page: Page) -> list[str]:
    """The buttons and links that change something."""
    buttons = page.locator("main button").all()
    kinds = [(set((button.get_attribute("class") or "").split()), button.inner_text()) for button in buttons]
    links = page.locator("main a.button").all_inner_texts()
    return [text for classes, text in kinds if not classes & HARMLESS] + links


@pytest.mark.parametrize(
    ("path", "ready", "by_role"),
    [
        ("", "table.runs", {"riley": [], "olive": ["Start a run"], "ada": ["Start a run"]}),
        (
            "/runs/{run}",
            ".rows .row",
            {"riley": [], "olive": ["Cancel …"], "ada": ["Cancel …", "Approve 27 shown …", "Reject 27 shown …"]},
        ),
        ("/runs/{run}/machines/{remap}", ".from-to", {"riley": [], "olive": [], "ada": ["Approve …", "Reject …"]}),
        ("/runs/{run}/machines/{ambiguous}", ".from-to", {"riley": [], "olive": [], "ada": ["Choose …", "Choose …"]}),
        (
            "/profiles",
            "article dd a",
            {
                "riley": [],
                "olive": ["Hold the schedule …", "Start a run"],
                "ada": ["Hold the schedule …", "Start a run"],
            },
        ),
        ("/health", ".check", {"riley": ["Check again"], "olive": ["Check again"], "ada": ["Check again"]}),
        ("/start", "h1", {"riley": [], "olive": ["Start the run"], "ada": ["Start the run"]}),
    ],
)
def test_each_role_is_offered_what_it_may_do(
    review: Review, run: Json, path: str, ready: str, by_role: dict[str, list[str]]
) -> None:
    found = review.api.findings(run["id"])
    remap = next(i for i, f in found.items() if f["finding"] == "remap")
    ambiguous = next(i for i, f in found.items() if f["finding"] == "ambiguous")
    address = path.format(run=run["id"], remap=remap, ambiguous=ambiguous)
    for user, wanted in by_role.items():
        page = review.page(address, user)
        page.locator(ready).first.wait_for()
        if wanted:
            page.get_by_text(wanted[-1], exact=True).first.wait_for()
        else:
            page.wait_for_load_state("networkidle")
        assert offered(page) == wanted, user


def test_a_reader_has_nothing_to_tick(review: Review, run: Json) -> None:
    page = review.page(f"/runs/{run['id']}", "riley")
    page.locator(".rows .row").first.wait_for()
    page.wait_for_load_state("networkidle")
    expect(page.get_by_role("checkbox")).to_have_count(0)
    expect(page.get_by_role("link", name="CSV")).to_be_visible()


def test_the_sign_in_leads_back_to_the_very_view(review: Review, run: Json) -> None:
    path = f"/runs/{run['id']}?finding=ambiguous&q=dup"
    page = review.page(path, user=None)
    back = quote(f"/api/review{path}", safe="")
    expect(page).to_have_url(f"{review.url}/.auth/login/aad?post_login_redirect_uri={back}")
    page.get_by_role("link", name="Ada Approver").click()
    expect(page).to_have_url(review.address(path))
    expect(page.locator(".rows .machine-name")).to_have_text(["CORP\\DUP-01", "CORP\\DUP-02"])


def test_whoever_signs_out_stays_signed_out(review: Review) -> None:
    page = review.page()
    page.get_by_role("link", name="Sign out").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("You are signed out")
    page.get_by_role("link", name="Sign in").click()
    expect(page.get_by_role("link", name="Ada Approver")).to_be_visible()


def test_a_sign_in_that_ended_is_said_at_the_next_look(review: Review, run: Json) -> None:
    page = review.page(f"/runs/{run['id']}")
    page.get_by_role("button", name="Cancel …").wait_for()
    page.context.clear_cookies()
    page.get_by_role("link", name="What happened").click()
    expect(page.get_by_role("heading", name="You are signed out")).to_be_visible()
    back = quote(f"/api/review/runs/{run['id']}/history", safe="")
    sign_in = page.get_by_role("link", name="Sign in")
    expect(sign_in).to_have_attribute("href", f"/.auth/login/aad?post_login_redirect_uri={back}")


def test_somebody_without_a_role_is_told_whom_to_ask(review: Review) -> None:
    page = review.page(user="none")
    expect(page.get_by_role("heading", level=1)).to_have_text("You are signed in, but have no role here")
    expect(page.get_by_text("needs the app role Realign.Reader")).to_be_visible()
    expect(page.get_by_role("navigation")).to_have_count(0)
