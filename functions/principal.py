"""Who calls: the principal that Easy Auth puts into a header (contract ``azure.md``, section 6.2).

The header proves something only while App Service says that Easy Auth is on; otherwise anyone could have sent it.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

import azure.functions as func

from shared.errors import NotAuthenticated
from shared.runs.access import OWN_NAMES, Caller, Role

_HEADER = "x-ms-client-principal"
_ROLES = {"Realign.Reader": Role.READER, "Realign.Operator": Role.OPERATOR, "Realign.Approver": Role.APPROVER}
_NAME_CLAIMS = ("preferred_username", "name", "appid", "azp")


def caller_of(request: func.HttpRequest, *, easy_auth: bool, role: Role, what: str) -> Caller:
    """The signed-in caller, who has to have ``role``; ``what`` completes "to ...".

    Raises ``NotAuthenticated`` without a trustworthy principal, ``NotAllowed`` without the role.
    """
    if not easy_auth:
        raise NotAuthenticated(
            "Sign-in is off for this app, so nobody can be told apart. Switch on App Service authentication."
        )
    caller = _caller(_principal(request.headers.get(_HEADER)))
    caller.require(role, what)
    return caller


def _principal(header: str | None) -> dict[str, Any]:
    if not header:
        raise NotAuthenticated("Sign in first: this address needs a Realign role.")
    try:
        padded = header + "=" * (-len(header) % 4)
        document = json.loads(base64.b64decode(padded, validate=True))
    except (binascii.Error, ValueError, RecursionError) as error:
        raise NotAuthenticated("The sign-in of this request cannot be read. Sign in again.") from error
    if not isinstance(document, dict) or not isinstance(document.get("claims"), list):
        raise NotAuthenticated("The sign-in of this request names nobody. Sign in again.")
    return document


def _caller(principal: dict[str, Any]) -> Caller:
    claims = [
        (claim["typ"], claim["val"])
        for claim in principal["claims"]
        if isinstance(claim, dict) and isinstance(claim.get("typ"), str) and isinstance(claim.get("val"), str)
    ]
    # claim names pass through a mapping, so a role may come as "roles" or under the URI in role_typ
    role_types = ("roles", principal.get("role_typ"))
    role = max((_ROLES.get(value, Role.NONE) for kind, value in claims if kind in role_types), default=Role.NONE)
    names = {kind: value for kind, value in reversed(claims)}
    wanted = (principal.get("name_typ"), *_NAME_CLAIMS)
    name = next((names[kind] for kind in wanted if isinstance(kind, str) and names.get(kind)), None)
    if name is None:
        raise NotAuthenticated("The sign-in of this request names nobody. Sign in again.")
    # the service's own names stand in events, and a rule depends on who approved
    return Caller(f"{name} (signed in)" if name.casefold() in OWN_NAMES else name[:256], role)
