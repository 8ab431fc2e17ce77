"""``runs/{id}/report``: the run as one HTML file, for the change ticket."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import azure.functions as func

from functions.parameters import LARGEST_LIMIT, check_known
from functions.principal import caller_of
from functions.respond import SAFE_HEADERS, respond
from shared.model.run import RunId
from shared.runs.access import Role

if TYPE_CHECKING:
    from shared.azure.finding_row import StoredFinding
    from shared.model.citrix import MachineId
    from shared.model.run import Event
    from shared.runs.resources import Resources


def blueprint(resources: Callable[[], Resources]) -> func.Blueprint:
    bp = func.Blueprint()

    @bp.function_name("runs_report")
    @bp.route(route="runs/{id}/report", auth_level=func.AuthLevel.ANONYMOUS)
    def runs_report(req: func.HttpRequest) -> func.HttpResponse:
        return respond(req, {"GET": lambda: _report(req, resources())})

    return bp


def _report(req: func.HttpRequest, resources: Resources) -> func.HttpResponse:
    import json

    from functions.reporting.page import answer_policy, report_page
    from functions.reporting.report import report_of

    caller_of(req, easy_auth=resources.settings.auth.enabled, role=Role.READER, what="see runs")
    check_known(req)
    run = resources.runs.get(RunId(req.route_params["id"])).value
    text = resources.inputs.text(run.id, "unmatched") if run.unmatched else None
    found, told = _findings(resources, run.id), _events(resources, run.id)
    report = report_of(run, found, told, json.loads(text) if text else {}, resources.now())
    headers = {
        **SAFE_HEADERS,
        "Content-Security-Policy": answer_policy(),
        "Content-Disposition": f'inline; filename="realign-{run.id}.html"',
    }
    page = report_page(report).encode(errors="replace")
    return func.HttpResponse(page, status_code=200, headers=headers, mimetype="text/html", charset="utf-8")


def _findings(resources: Resources, run_id: RunId) -> Iterator[StoredFinding]:
    after: MachineId | None = None
    while True:
        found, after = resources.remaps.page(run_id, after=after, limit=LARGEST_LIMIT)
        yield from found
        if after is None:
            return


def _events(resources: Resources, run_id: RunId) -> Iterator[Event]:
    after: str | None = None
    while True:
        found, after = resources.events.page(run_id, after, LARGEST_LIMIT)
        yield from found
        if after is None:
            return
