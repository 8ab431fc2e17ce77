"""``runs`` and what hangs below: one run, its findings as JSON and CSV, its events."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypedDict

import azure.functions as func

from functions.conditional import known_tags, unless_known
from functions.parameters import LONGEST_SEARCH, check_known, choice_of, cursor_for, cursor_of, limit_of
from functions.principal import caller_of
from functions.respond import SAFE_HEADERS, respond
from shared.errors import InvalidRequest
from shared.model.citrix import MachineId
from shared.model.finding import FindingKind
from shared.model.run import RemapState, RunId, RunStatus
from shared.runs.access import Role

if TYPE_CHECKING:
    from shared.runs.resources import Resources

RUNS = "runs"  # the list of all runs, for its cursors


def blueprint(resources: Callable[[], Resources]) -> func.Blueprint:
    bp = func.Blueprint()

    @bp.function_name("runs_list")
    @bp.route(route="runs", auth_level=func.AuthLevel.ANONYMOUS)
    def runs_list(req: func.HttpRequest) -> func.HttpResponse:
        return respond(req, {"GET": lambda: _list(req, resources())})

    @bp.function_name("runs_one")
    @bp.route(route="runs/{id}", auth_level=func.AuthLevel.ANONYMOUS)
    def runs_one(req: func.HttpRequest) -> func.HttpResponse:
        return respond(req, {"GET": lambda: _one(req, resources())})

    @bp.function_name("runs_remaps")
    @bp.route(route="runs/{id}/remaps", auth_level=func.AuthLevel.ANONYMOUS)
    def runs_remaps(req: func.HttpRequest) -> func.HttpResponse:
        return respond(req, {"GET": lambda: _remaps(req, resources())})

    @bp.function_name("runs_remaps_csv")
    @bp.route(route="runs/{id}/remaps.csv", auth_level=func.AuthLevel.ANONYMOUS)
    def runs_remaps_csv(req: func.HttpRequest) -> func.HttpResponse:
        return respond(req, {"GET": lambda: _remaps_csv(req, resources())})

    @bp.function_name("runs_events")
    @bp.route(route="runs/{id}/events", auth_level=func.AuthLevel.ANONYMOUS)
    def runs_events(req: func.HttpRequest) -> func.HttpResponse:
        return respond(req, {"GET": lambda: _events(req, resources())})

    return bp


def _reader(req: func.HttpRequest, resources: Resources) -> None:
    caller_of(req, easy_auth=resources.settings.auth.enabled, role=Role.READER, what="see runs")


def _below(req: func.HttpRequest, name: str) -> str:
    """The name of a run's list, for its cursors."""
    return f"{req.route_params['id']}/{name}"


def _run_id(req: func.HttpRequest, resources: Resources) -> RunId:
    """The id in the path, of a run that is there. Raises ``NotFound``."""
    return resources.runs.get(RunId(req.route_params["id"])).value.id


def _list(req: func.HttpRequest, resources: Resources) -> func.HttpResponse:
    from functions.shapes import run_shape

    _reader(req, resources)
    check_known(req, "profile", "status", "limit", "cursor")
    limit, before = limit_of(req), cursor_of(req, RUNS)
    status, known = choice_of(req, "status", RunStatus), known_tags(req)
    found = resources.runs.newest(
        req.params.get("profile"),
        frozenset({status}) if status is not None else None,
        RunId(before) if before is not None else None,
        limit + 1,
    )
    page = found[:limit]
    cursor = cursor_for(page[-1].id if len(found) > limit else None, RUNS)
    return unless_known({"items": [run_shape(run) for run in page], "cursor": cursor}, known)


def _one(req: func.HttpRequest, resources: Resources) -> func.HttpResponse:
    import json

    from functions.shapes import run_shape

    _reader(req, resources)
    check_known(req)
    known = known_tags(req)
    run = resources.runs.get(RunId(req.route_params["id"])).value
    text = resources.inputs.text(run.id, "unmatched") if run.unmatched else None
    return unless_known(run_shape(run, unmatched=json.loads(text) if text else {}), known)


class _Filters(TypedDict):
    """Which findings are wanted, as ``Remaps.page`` and ``Remaps.every`` take it."""

    finding: FindingKind | None
    state: RemapState | None
    q: str | None


def _filters(req: func.HttpRequest) -> _Filters:
    q = req.params.get("q")
    if q is not None and len(q) > LONGEST_SEARCH:
        raise InvalidRequest(f"q: has to have at most {LONGEST_SEARCH} characters.", field="q")
    return {"finding": choice_of(req, "finding", FindingKind), "state": choice_of(req, "state", RemapState), "q": q}


def _remaps(req: func.HttpRequest, resources: Resources) -> func.HttpResponse:
    from functions.shapes import finding_shape

    _reader(req, resources)
    check_known(req, "finding", "state", "q", "limit", "cursor")
    limit, after, known = limit_of(req), cursor_of(req, _below(req, "remaps")), known_tags(req)
    filters, run_id = _filters(req), _run_id(req, resources)
    beginning = MachineId(after) if after is not None else None
    found, more = resources.remaps.page(run_id, **filters, after=beginning, limit=limit)
    cursor = cursor_for(more, _below(req, "remaps"))
    return unless_known({"items": [finding_shape(finding) for finding in found], "cursor": cursor}, known)


def _remaps_csv(req: func.HttpRequest, resources: Resources) -> func.HttpResponse:
    from functions.shapes import findings_csv

    _reader(req, resources)
    check_known(req, "finding", "state", "q")
    filters, run_id = _filters(req), _run_id(req, resources)
    # the mark at the start tells Excel that it is UTF-8
    body = "\ufeff" + findings_csv(resources.remaps.every(run_id, **filters))
    headers = {**SAFE_HEADERS, "Content-Disposition": f'attachment; filename="realign-{run_id}.csv"'}
    return func.HttpResponse(body.encode(), status_code=200, headers=headers, mimetype="text/csv", charset="utf-8")


def _events(req: func.HttpRequest, resources: Resources) -> func.HttpResponse:
    from functions.shapes import event_shape

    _reader(req, resources)
    check_known(req, "limit", "cursor")
    limit, after, known = limit_of(req), cursor_of(req, _below(req, "events")), known_tags(req)
    found, more = resources.events.page(_run_id(req, resources), after, limit)
    cursor = cursor_for(more, _below(req, "events"))
    return unless_known({"items": [event_shape(event) for event in found], "cursor": cursor}, known)
