"""The managed-identity endpoint of App Service (contract ``azure.md``, section 4.3), for msal to run against.

The tokens are signed with a key of this process. The simulated Key Vault checks the signature; Azurite, with
``--oauth basic``, checks issuer, audience and times only.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa

from sandbox.calls import Calls
from sandbox.world import stable_uuid

TENANT = stable_uuid("tenant")
SYSTEM_IDENTITY = stable_uuid("system-assigned identity")
ISSUER = f"https://sts.windows.net/{TENANT}/"
API_VERSION = "2019-08-01"
TOKEN_SECONDS = 24 * 3600
PATH = "/msi/token"


@dataclass(frozen=True, slots=True)
class Claims:
    """What a vault reads from a token."""

    audience: str
    client_id: str
    expires: float


class TokenRefused(Exception):
    """The token is not one of ours, or not for this audience; the message says which."""


class TokenExpired(TokenRefused):
    """The token was one of ours, and its time is over."""


class WrongAudience(TokenRefused):
    """The token is one of ours, for somebody else."""


class Identity:
    """Issues tokens for the system-assigned identity and for any user-assigned one (``client_id``)."""

    def __init__(self, calls: Calls, lifetime: int = TOKEN_SECONDS) -> None:
        self.header = secrets.token_hex(16)
        self.lifetime = lifetime
        self._calls = calls
        self._key = _signing_key()
        self.app = web.Application()
        self.app.router.add_get(PATH, self._token)

    def issue(self, resource: str, client_id: str = SYSTEM_IDENTITY, lifetime: int | None = None) -> str:
        """A signed token for ``resource`` (the audience), as Entra ID would issue it to the identity.

        ``lifetime`` is in seconds, that of the endpoint if left out; below zero the token was valid once.
        """
        now = int(time.time())
        claims: dict[str, Any] = {
            "aud": resource,
            "iss": ISSUER,
            "iat": now,
            "nbf": now - 300,
            "exp": now + (self.lifetime if lifetime is None else lifetime),
            "appid": client_id,
            "idtyp": "app",
            "oid": stable_uuid("object", client_id),
            "sub": stable_uuid("object", client_id),
            "tid": TENANT,
            "ver": "1.0",
        }
        return jwt.encode(claims, self._key, algorithm="RS256", headers={"kid": "sandbox"})

    def read(self, token: str, *audiences: str) -> Claims:
        """The claims of a token for one of ``audiences``. Raises ``TokenRefused``, or what is more exact."""
        try:
            claims = jwt.decode(
                token, self._key.public_key(), algorithms=["RS256"], audience=list(audiences), issuer=ISSUER
            )
        except jwt.ExpiredSignatureError as error:
            raise TokenExpired(str(error)) from error
        except jwt.InvalidAudienceError as error:
            raise WrongAudience(str(error)) from error
        except jwt.PyJWTError as error:
            raise TokenRefused(str(error)) from error
        return Claims(str(claims["aud"]), str(claims["appid"]), float(claims["exp"]))

    async def _token(self, request: web.Request) -> web.Response:
        self._calls.add("identity", "GET", PATH)
        if not secrets.compare_digest(request.headers.get("X-IDENTITY-HEADER", ""), self.header):
            return _error(401, "The X-IDENTITY-HEADER is missing or wrong.")
        if request.query.get("api-version") != API_VERSION:
            return _error(400, f"The api-version must be {API_VERSION}.")
        resource = request.query.get("resource")
        if not resource:
            return _error(400, "The parameter resource is missing.")
        client_id = request.query.get("client_id") or SYSTEM_IDENTITY
        body = {
            # A closing slash stays: Azure Relay is said to be asked for with one and without (contract relay.md).
            "access_token": self.issue(resource, client_id),
            "expires_on": str(int(time.time()) + self.lifetime),
            "resource": resource,
            "token_type": "Bearer",
            "client_id": client_id,
        }
        return web.json_response(body)


@lru_cache
def _signing_key() -> rsa.RSAPrivateKey:
    # One a process: making it takes longer than starting all of a sandbox.
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _error(status: int, message: str) -> web.Response:
    return web.json_response({"statusCode": status, "message": message}, status=status)
