"""``me``: who is signed in and which roles count, so that the review page offers nothing that would be refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import azure.functions as func

from functions.parameters import check_known
from functions.principal import caller_of
from functions.respond import json_answer, respond
from shared.runs.access import Role

if TYPE_CHECKING:
    from shared.runs.resources import Resources


def blueprint(resources: Callable[[], Resources]) -> func.Blueprint:
    bp = func.Blueprint()

    @bp.function_name("me")
    @bp.route(route="me", auth_level=func.AuthLevel.ANONYMOUS)
    def me(req: func.HttpRequest) -> func.HttpResponse:
        return respond(req, {"GET": lambda: _me(req, resources())})

    return bp


def _me(req: func.HttpRequest, resources: Resources) -> func.HttpResponse:
    """``roles`` names the lower ones too: a higher role includes them."""
    caller = caller_of(req, easy_auth=resources.settings.auth.enabled, role=Role.READER, what="use Realign")
    check_known(req)
    held = [f"Realign.{role.name.capitalize()}" for role in Role if Role.NONE < role <= caller.role]
    return json_answer({"name": caller.name, "roles": held})
