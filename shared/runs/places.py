"""Where the API shows a run: the addresses that answers and messages name."""

from __future__ import annotations

from urllib.parse import quote

from shared.model.run import RunId

PREFIX = "/api"


def place_of_run(run_id: RunId) -> str:
    return f"{PREFIX}/runs/{quote(run_id, safe='')}"


def page_of_run(run_id: RunId) -> str:
    """The run on the review page."""
    return f"{PREFIX}/review/runs/{quote(run_id, safe='')}"
