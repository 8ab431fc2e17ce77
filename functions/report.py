"""``runs/{id}/report``: the run as one HTML file, for the change ticket."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import azure.functions as func

from functions.parameters import check_known
from functions.principal import caller_of
from functions.respond import SAFE_HEADERS, respond
from shared.model.run import RunId
from shared.runs.access import Role

if TYPE_CHECKING:
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
    found, told = resources.remaps.every(run.id), resources.events.every(run.id)
    report = report_of(run, found, told, json.loads(text) if text else {}, resources.now())
    headers = {
        **SAFE_HEADERS,
        "Content-Security-Policy": answer_policy(),
        "Content-Disposition": f'inline; filename="realign-{run.id}.html"',
    }
    page = report_page(report).encode(errors="replace")
    return func.HttpResponse(page, status_code=200, headers=headers, mimetype="text/html", charset="utf-8")
