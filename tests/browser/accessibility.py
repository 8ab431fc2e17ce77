"""axe-core on a page as it is now: the rules of WCAG 2.2 A and AA, and those that axe calls good practice."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

from sandbox.npm import ensure_installed

_FOLDER = Path(__file__).with_name("axe")
_RULES = {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
# what another colour scheme can change: the document is the one that was looked at in the light
_COLOURS = {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}
_RUN = "rules => axe.run(document, {runOnly: rules, resultTypes: ['violations']})"


@cache
def _axe() -> str:
    ensure_installed(_FOLDER)
    return (_FOLDER / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")


def violations(page: Page, *, colours_alone: bool = False) -> list[str]:
    """What axe finds, one line an element: the rule, where, and why."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(_axe())
    result: dict[str, Any] = page.evaluate(_RUN, _COLOURS if colours_alone else _RULES)
    return [
        f"{found['id']}: {' '.join(str(part) for part in node['target'])}: {node['failureSummary']}"
        for found in result["violations"]
        for node in found["nodes"]
    ]
