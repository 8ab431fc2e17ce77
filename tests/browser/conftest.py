"""Fixtures of the browser tests: one Chromium a process, and the app of an estate wherever a module wants one.

Both last as long as these tests and no longer: Playwright keeps an event loop in the thread, where other tests run
theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from sandbox.azurite import Azurite
from sandbox.scenario import Scenario
from tests.browser.browsing import Review, reviewed
from tests.browser.chromium import launched

# a run takes as long as it takes; a busy machine is no failure
expect.set_options(timeout=30_000)

Serve = Callable[..., AbstractContextManager[Review]]


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    with launched() as browser:
        yield browser


@pytest.fixture(scope="package")
def serve(chromium: Browser) -> Iterator[Serve]:
    """``with serve(scenario) as review``: its sandbox with empty storage, a host, and the sign-in in front of it."""
    free: list[Azurite] = []

    @contextmanager
    def start(scenario: str | Scenario, **options: Any) -> Iterator[Review]:
        with reviewed(chromium, free, scenario, **options) as review:
            yield review

    yield start
    for azurite in free:
        azurite.stop()


@pytest.fixture(autouse=True)
def _no_complaints(request: pytest.FixtureRequest) -> Iterator[None]:
    """No test ends with an error of a script, or with something that the content security policy refused."""
    review: Review | None = request.getfixturevalue("review") if "review" in request.fixturenames else None
    yield
    if review is not None:
        assert review.close_pages() == []
