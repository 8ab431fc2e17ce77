"""The browser that the tests drive: Chromium as it comes with the system, never a download of its own.

``python -m tests.browser.chromium`` installs it where that is possible, and else says what is missing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# Inter for screenshots that look the same everywhere, DejaVu for the letters that Inter does not have
PACKAGES = ("chromium", "fonts-inter", "fonts-dejavu-core")
MISSING = (
    "The browser tests need Chromium. On Debian, as root: apt-get install chromium. "
    "Elsewhere name an executable of Chromium or Chrome in REALIGN_CHROMIUM."
)
# a browser that is started for one page has nothing to fetch for itself
_ARGUMENTS = (
    "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--font-render-hinting=none",
)  # fmt: skip


class ChromiumMissing(Exception):
    """There is no browser; the message says how to get one."""


def executable() -> str:
    """Raises ``ChromiumMissing``."""
    found = os.environ.get("REALIGN_CHROMIUM") or next((path for name in NAMES if (path := shutil.which(name))), None)
    if not found:
        raise ChromiumMissing(MISSING)
    return found


@contextmanager
def launched() -> Iterator[Browser]:
    # the sandbox of Chromium refuses to run as root, which is what CI is; only pages of the tests are opened
    as_root = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable(), args=[*_ARGUMENTS, *as_root])
        try:
            yield browser
        finally:
            browser.close()


def ensure_installed() -> None:
    """Raises ``ChromiumMissing`` where it is not there and cannot be installed."""
    try:
        executable()
        return
    except ChromiumMissing:
        if not hasattr(os, "geteuid") or os.geteuid() != 0 or not shutil.which("apt-get"):
            raise
    print("Setting up Chromium, for the browser tests (once)", flush=True)  # noqa: T201
    for command in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", *PACKAGES]):
        done = subprocess.run(["apt-get", *command], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise ChromiumMissing(f"{MISSING} apt-get said: {done.stderr.strip()[-1000:]}")
    executable()


if __name__ == "__main__":
    try:
        ensure_installed()
    except ChromiumMissing as missing:
        sys.exit(str(missing))
