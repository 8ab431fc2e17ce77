"""``profiles/{name}/runs``: starts a run, and waits for its end where the caller prefers that."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

import azure.functions as func

from functions.body import body_of
from functions.parameters import check_known, wait_of
from functions.principal import caller_of
from functions.respond import failed, handler_for, subject_of
from functions.waiting import answer_at_work
from shared.model.run import Run
from shared.runs.access import Role
from shared.telemetry.invocation import invoked

if TYPE_CHECKING:
    from functions.contract import answers
    from shared.runs.resources import Resources
    from shared.runs.start import Started


def blueprint(resources: Callable[[], Resources]) -> func.Blueprint:
    bp = func.Blueprint()

    # async: it waits on the event loop and holds no worker thread; whatever blocks runs in a thread for that moment
    @bp.function_name("profiles_start_run")
    @bp.route(route="profiles/{name}/runs", auth_level=func.AuthLevel.ANONYMOUS)
    async def profiles_start_run(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
        with invoked(context), subject_of(req):
            try:
                handler_for(req, {"POST": None})
                opened = await asyncio.to_thread(resources)
                started, wait = await asyncio.to_thread(_start, req, opened)
                return await answer_started(opened, started, wait, _shown)
            except Exception as error:  # noqa: BLE001 - the edge, as in respond
                return failed(req, error)

    return bp


def _start(req: func.HttpRequest, resources: Resources) -> tuple[Started, int | None]:
    """The run, and how long the caller wants to wait. Who calls is checked first: strangers learn nothing else."""
    from shared.runs.request import RunRequest, parse_request
    from shared.runs.start import start_run

    caller = caller_of(req, easy_auth=resources.settings.auth.enabled, role=Role.OPERATOR, what="start runs")
    check_known(req)
    wait = wait_of(req)
    request = parse_request(body_of(req), RunRequest)
    key = req.headers.get("idempotency-key")
    name = req.route_params["name"]
    return start_run(resources, name, request, caller, trigger="http", idempotency_key=key), wait


def _shown(run: Run) -> answers.Run:
    from functions.shapes import run_shape

    return run_shape(run)


async def answer_started(
    resources: Resources, started: Started, wait: int | None, shown: Callable[[Run], answers.Run]
) -> func.HttpResponse:
    """The answer to a start: 202, or 200 once the run rests in the time to wait."""
    headers = {"Idempotency-Replayed": "true"} if started.replayed else {}
    return await answer_at_work(resources, started.run, wait, shown, headers)
