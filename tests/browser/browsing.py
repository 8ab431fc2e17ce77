"""The review page in a browser, as somebody of the sandbox sees it: the app behind the stand-in for Easy Auth."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page

from sandbox.azurite import Azurite
from sandbox.easy_auth import EasyAuthFront
from sandbox.host_process import HostProcess
from sandbox.sandbox import Sandbox
from sandbox.scenario import Scenario, load
from tests.e2e.client import Api, Json
from tests.e2e.conftest import App, storage_of

WIDE, PHONE = (1360, 860), (360, 740)
_COOKIE = "AppServiceAuthSession"
_REFUSED_LOAD = "Failed to load resource"  # the browser's own note about a status such as 401, which tests bring about


@dataclass
class Review:
    """One app, and pages of it. ``complaints`` are errors of scripts and of the content security policy."""

    app: App
    url: str
    browser: Browser
    complaints: list[str] = field(default_factory=list)
    _contexts: list[BrowserContext] = field(default_factory=list)

    @property
    def api(self) -> Api:
        return self.app.api

    def page(
        self, path: str = "", user: str | None = "ada", size: tuple[int, int] = WIDE, *, dark: bool = False
    ) -> Page:
        """A page in a browser of its own, signed in as ``user``, at ``path`` below the review page."""
        context = self.browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme="dark" if dark else "light",
            locale="en-GB",
            timezone_id="UTC",
            reduced_motion="reduce",
        )
        self._contexts.append(context)
        context.set_default_timeout(60_000)
        if user is not None:
            context.add_cookies([{"name": _COOKIE, "value": user, "url": self.url}])
        page = context.new_page()
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.goto(self.address(path))
        return page

    def address(self, path: str = "") -> str:
        return f"{self.url}/api/review{path}"

    def run(self, body: Json | None = None, **options: Any) -> Json:
        """A run of the scenario's profile, waited for."""
        return self.api.run(self.app.name, {**self.app.sandbox.scenario.run, **(body or {})}, **options)

    def close_pages(self) -> list[str]:
        """Closes every page; what they complained of."""
        while self._contexts:
            self._contexts.pop().close()
        said, self.complaints = self.complaints, []
        return said

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not message.text.startswith(_REFUSED_LOAD):
            self.complaints.append(message.text)


@contextmanager
def reviewed(browser: Browser, storages: list[Azurite], scenario: str | Scenario, **options: Any) -> Iterator[Review]:
    """The app of a scenario, ready to be looked at."""
    chosen = load(scenario) if isinstance(scenario, str) else scenario
    with (
        storage_of(storages) as azurite,
        Sandbox(chosen, azurite=azurite, **options) as sandbox,
        HostProcess(sandbox.environ) as host,
        Api(host.url, sandbox.function_key) as api,
    ):
        front = EasyAuthFront()
        url = sandbox.background.run(front.start(host.url))
        review = Review(App(sandbox, host, api), url, browser)
        try:
            yield review
        finally:
            review.close_pages()
            sandbox.background.run(front.stop())
