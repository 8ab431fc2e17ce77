"""The answer about a run that is at work: at once, or when it rests, where the caller prefers to wait for that."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import azure.functions as func

from functions.respond import json_answer
from shared.errors import StorageError
from shared.model.run import Run

if TYPE_CHECKING:
    from functions.contract import answers
    from shared.runs.resources import Resources

POLL_SECONDS = 0.5


async def answer_at_work(
    resources: Resources,
    run: Run,
    wait: int | None,
    shown: Callable[[Run], answers.Run],
    headers: Mapping[str, str] | None = None,
) -> func.HttpResponse:
    """202 with where to look, or 200 once the run rests, if that is within ``wait`` seconds.

    ``shown`` gives the run as this caller sees it, with ``links.self``.
    """
    sent = {**(headers or {}), "Location": shown(run)["links"]["self"]}
    done = False
    if wait is not None:
        sent["Preference-Applied"] = f"wait={wait}"
        run, done = await _wait_until_done(resources, run, wait)
    if not done:
        sent["Retry-After"] = "2"
    return json_answer(shown(run), status=200 if done else 202, headers=sent)


async def _wait_until_done(resources: Resources, run: Run, seconds: int) -> tuple[Run, bool]:
    """The run as it was last seen, and whether it rests. A look that fails is no reason to lose the run's id."""
    from shared.azure.runs import ACTIVE

    loop = asyncio.get_running_loop()
    ends = loop.time() + seconds
    while True:
        with contextlib.suppress(StorageError):
            run = (await asyncio.to_thread(resources.runs.get, run.id)).value
        if run.status not in ACTIVE:
            return run, True
        left = ends - loop.time()
        if left <= 0:
            return run, False
        await asyncio.sleep(min(POLL_SECONDS, left))
