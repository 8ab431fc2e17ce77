"""``openapi.json``: the API, described."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import azure.functions as func

from functions.conditional import known_tags, unless_known
from functions.parameters import check_known
from functions.principal import caller_of
from functions.respond import respond
from shared.runs.access import Role

if TYPE_CHECKING:
    from shared.runs.resources import Resources


def blueprint(resources: Callable[[], Resources]) -> func.Blueprint:
    bp = func.Blueprint()

    @bp.function_name("openapi")
    @bp.route(route="openapi.json", auth_level=func.AuthLevel.ANONYMOUS)
    def openapi(req: func.HttpRequest) -> func.HttpResponse:
        return respond(req, {"GET": lambda: _document(req, resources())})

    return bp


def _document(req: func.HttpRequest, resources: Resources) -> func.HttpResponse:
    from functions.contract.document import document

    caller_of(req, easy_auth=resources.settings.auth.enabled, role=Role.READER, what="see the API described")
    check_known(req)
    known = known_tags(req)
    return unless_known(document(), known)
