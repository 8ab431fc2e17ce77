"""Who may do what on a hybrid connection: Entra tokens and shared access signatures (contract ``relay.md``, 4)."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Protocol

from aiohttp import web

from sandbox.identity import Claims, TokenExpired, TokenRefused, WrongAudience
from sandbox.relay import refusals, sas
from sandbox.relay.entity import Entity, Right
from sandbox.relay.refusals import Refused

AUDIENCE = "https://relay.azure.net"
HEADER = "ServiceBusAuthorization"
PARAMETER = "sb-hc-token"
JWT_PARTS = 3


class Issuer(Protocol):
    """What a gate needs of the identity endpoint: the claims of a token that it issued."""

    def read(self, token: str, *audiences: str) -> Claims: ...


@dataclass(slots=True)
class Gate:
    """``audience`` is the one form that is taken; ``missing_right`` the status for a token without the right.

    The contract names 403 and says that the live service may answer 401.
    """

    issuer: Issuer
    audience: str = AUDIENCE
    missing_right: int = 403

    def admit(self, token: str | None, entity: Entity, host: str, *needed: Right) -> float:
        """Lets a token with one of ``needed`` pass and says when it ends (Unix seconds). Raises ``Refused``."""
        if not token:
            raise Refused(401, refusals.MISSING)
        signature = token.startswith(sas.SCHEME)
        rights, expires = self._sas(token, entity, host) if signature else self._jwt(token, entity)
        if rights.isdisjoint(needed):
            raise Refused(self.missing_right, "Forbidden" if self.missing_right == 403 else "Unauthorized")
        return expires

    def _jwt(self, token: str, entity: Entity) -> tuple[frozenset[Right], float]:
        # "Bearer eyJ..." comes here, too: the relay wants the bare token.
        if len(token.split(".")) != JWT_PARTS or " " in token:
            raise Refused(401, refusals.MALFORMED)
        try:
            claims = self.issuer.read(token, self.audience)
        except TokenExpired:
            raise Refused(401, refusals.EXPIRED) from None
        except WrongAudience:
            raise Refused(401, refusals.INVALID_AUDIENCE) from None
        except TokenRefused:
            raise Refused(401, refusals.INVALID_SIGNATURE) from None
        rights = frozenset(Right) if entity.roles is None else entity.roles.get(claims.client_id, frozenset())
        return rights, claims.expires

    def _sas(self, text: str, entity: Entity, host: str) -> tuple[frozenset[Right], float]:
        token = sas.parse(text)
        if token is None:
            raise Refused(401, refusals.MALFORMED)
        if token.resource not in ((host.lower(), entity.path.lower()), (host.lower(), "")):
            raise Refused(401, refusals.INVALID_AUDIENCE)
        key = entity.keys.get(token.key_name)
        if key is None or not token.signed_with(key.text):
            raise Refused(401, refusals.INVALID_SIGNATURE)
        if token.expires <= time.time():
            raise Refused(401, refusals.EXPIRED)
        return key.rights, float(token.expires)


def token_of(request: web.Request) -> str | None:
    """The token of a handshake: the header's, or that of the query."""
    return request.headers.get(HEADER) or request.query.get(PARAMETER)
