"""``profiles`` and ``profiles/{name}``."""

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

    @bp.function_name("profiles_list")
    @bp.route(route="profiles", auth_level=func.AuthLevel.ANONYMOUS)
    def profiles_list(req: func.HttpRequest) -> func.HttpResponse:
        return respond(req, {"GET": lambda: _list(req, resources())})

    @bp.function_name("profiles_one")
    @bp.route(route="profiles/{name}", auth_level=func.AuthLevel.ANONYMOUS)
    def profiles_one(req: func.HttpRequest) -> func.HttpResponse:
        return respond(req, {"GET": lambda: _one(req, resources())})

    return bp


def _list(req: func.HttpRequest, resources: Resources) -> func.HttpResponse:
    from functions.shapes import profile_shape

    caller_of(req, easy_auth=resources.settings.auth.enabled, role=Role.READER, what="see the profiles")
    check_known(req)
    known = known_tags(req)
    holds = resources.holds.every(resources.now())
    items = [profile_shape(file, holds.get(name)) for name, file in sorted(resources.profiles().items())]
    return unless_known({"items": items, "cursor": None}, known)


def _one(req: func.HttpRequest, resources: Resources) -> func.HttpResponse:
    from functions.shapes import profile_shape

    caller_of(req, easy_auth=resources.settings.auth.enabled, role=Role.READER, what="see the profiles")
    check_known(req)
    known = known_tags(req)
    file = resources.profile_file(req.route_params["name"])
    return unless_known(profile_shape(file, resources.holds.every(resources.now()).get(file.name)), known)
