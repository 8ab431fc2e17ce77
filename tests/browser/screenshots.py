"""``python -m tests.browser.screenshots FOLDER``: the page's states as pictures, for the docs and for a look."""

from __future__ import annotations

import sys
from pathlib import Path

from playwright.sync_api import Browser, Page

from sandbox.azurite import Azurite
from sandbox.large_world import large_world
from tests.browser.browsing import reviewed
from tests.browser.chromium import launched
from tests.browser.figures import MANY
from tests.browser.stories import Look, beginning, deciding, failing, shown


class Camera:
    """Takes a picture of each state into a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def take(self, page: Page, name: str, *, whole: bool = False) -> None:
        page.evaluate("document.fonts.ready")
        page.screenshot(path=self._folder / f"{name}.png", full_page=whole, animations="disabled")


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    camera = Camera(folder)
    storages: list[Azurite] = []
    try:
        with launched() as browser:
            for story in (beginning, deciding, failing, _many):
                story(camera, browser, storages)
    finally:
        for azurite in storages:
            azurite.stop()


def _many(look: Look, browser: Browser, storages: list[Azurite]) -> None:
    with reviewed(browser, storages, large_world(MANY), judged=False) as review:
        run = review.run(within=200)
        page = shown(review.page(f"/runs/{run['id']}"), "#approve-shown")
        look.take(page, "20000-rows")
        page.evaluate("scrollTo(0, 190000)")
        look.take(page, "20000-rows-scrolled")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
