"""``hooks/runs``: start and status for orchestrators that cannot sign in to Entra ID, by a function key.

It never reads the principal header: whoever has the key is ``function-key``, an operator and no more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import quote

import azure.functions as func

from functions.body import body_of
from functions.conditional import known_tags, unless_known
from functions.parameters import check_known, wait_of
from functions.respond import failed, handler_for, subject_of
from functions.start import answer_started
from shared.errors import InvalidRequest
from shared.model.run import Run, RunId
from shared.runs.access import FUNCTION_KEY
from shared.telemetry.invocation import invoked

if TYPE_CHECKING:
    from functions.contract import answers
    from shared.runs.resources import Resources
    from shared.runs.start import Started


def blueprint(resources: Callable[[], Resources]) -> func.Blueprint:
    bp = func.Blueprint()

    @bp.function_name("hooks_runs")
    @bp.route(route="hooks/runs", auth_level=func.AuthLevel.FUNCTION)
    async def hooks_runs(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
        with invoked(context), subject_of(req):
            try:
                handler = handler_for(req, {"POST": _post, "GET": _get})
                return await handler(req, await asyncio.to_thread(resources))
            except Exception as error:  # noqa: BLE001 - the edge, as in respond
                return failed(req, error)

    return bp


async def _post(req: func.HttpRequest, resources: Resources) -> func.HttpResponse:
    wait = wait_of(req)
    started = await asyncio.to_thread(_start, req, resources)
    return await answer_started(resources, started, wait, _shown)


def _start(req: func.HttpRequest, resources: Resources) -> Started:
    from shared.runs.request import HookRequest, RunRequest, parse_request
    from shared.runs.start import start_run

    check_known(req)
    asked = parse_request(body_of(req), HookRequest)
    request = RunRequest.model_validate({name: getattr(asked, name) for name in RunRequest.model_fields})
    key = req.headers.get("idempotency-key")
    return start_run(resources, asked.profile, request, FUNCTION_KEY, trigger="hook", idempotency_key=key)


async def _get(req: func.HttpRequest, resources: Resources) -> func.HttpResponse:
    check_known(req, "id")
    run_id = req.params.get("id")
    if not run_id:
        raise InvalidRequest("id: is missing. Add ?id= with the id of the run.", field="id")
    known = known_tags(req)
    run = (await asyncio.to_thread(resources.runs.get, RunId(run_id))).value
    return unless_known(_shown(run), known)


def _shown(run: Run) -> answers.Run:
    """A run with the one link that a holder of the key can follow."""
    from functions.shapes import run_shape

    return {**run_shape(run), "links": {"self": f"/api/hooks/runs?id={quote(run.id, safe='')}"}}
