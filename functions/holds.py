"""``profiles/{name}/hold``: puts a profile's schedule on hold, and ends the hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import azure.functions as func

from functions.body import body_of
from functions.parameters import check_known
from functions.principal import caller_of
from functions.respond import json_answer, respond
from shared.runs.access import Caller, Role

if TYPE_CHECKING:
    from shared.runs.resources import Resources


def blueprint(resources: Callable[[], Resources]) -> func.Blueprint:
    bp = func.Blueprint()

    @bp.function_name("profiles_hold")
    @bp.route(route="profiles/{name}/hold", auth_level=func.AuthLevel.ANONYMOUS)
    def profiles_hold(req: func.HttpRequest) -> func.HttpResponse:
        handlers = {"POST": lambda: _put(req, resources()), "DELETE": lambda: _end(req, resources())}
        return respond(req, handlers)

    return bp


def _operator(req: func.HttpRequest, resources: Resources) -> Caller:
    enabled = resources.settings.auth.enabled
    caller = caller_of(req, easy_auth=enabled, role=Role.OPERATOR, what="put schedules on hold")
    check_known(req)
    return caller


def _put(req: func.HttpRequest, resources: Resources) -> func.HttpResponse:
    from functions.shapes import hold_shape
    from shared.runs.deciding.hold import hold_schedule
    from shared.runs.deciding.review_request import HoldRequest
    from shared.runs.request import parse_request

    caller = _operator(req, resources)
    request = parse_request(body_of(req), HoldRequest)
    name = req.route_params["name"]
    hold = hold_schedule(resources, name, request, caller)
    return json_answer({"profile": name, "hold": hold_shape(hold)})


def _end(req: func.HttpRequest, resources: Resources) -> func.HttpResponse:
    from shared.runs.deciding.hold import end_hold

    caller = _operator(req, resources)
    name = req.route_params["name"]
    end_hold(resources, name, caller)
    return json_answer({"profile": name, "hold": None})
