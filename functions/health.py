"""``health/live`` and ``health/ready``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import azure.functions as func

from functions.principal import caller_of
from functions.respond import json_answer, respond
from shared.telemetry.invocation import invoked

if TYPE_CHECKING:
    from shared.runs.resources import Resources


def blueprint(resources: Callable[[], Resources]) -> func.Blueprint:
    bp = func.Blueprint()

    @bp.function_name("health_live")
    @bp.route(route="health/live", auth_level=func.AuthLevel.ANONYMOUS)
    def health_live(req: func.HttpRequest) -> func.HttpResponse:
        return respond(req, {"GET": lambda: json_answer({"status": "live"})})

    @bp.function_name("health_ready")
    @bp.route(route="health/ready", auth_level=func.AuthLevel.ANONYMOUS)
    def health_ready(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
        with invoked(context):
            return respond(req, {"GET": lambda: _ready(req, resources())})

    return bp


def _ready(req: func.HttpRequest, resources: Resources) -> func.HttpResponse:
    from functions.shapes import health_shape
    from shared.runs.access import Role
    from shared.runs.health import check_health

    caller_of(req, easy_auth=resources.settings.auth.enabled, role=Role.READER, what="see the health of dependencies")
    health = check_health(resources)
    return json_answer(health_shape(health), status=200 if health.usable else 503)
