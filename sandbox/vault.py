"""A simulated Key Vault, its secrets API and its challenge (contract ``azure.md``, section 4.4).

The client trusts a challenge only where the vault's host ends with the challenged resource's. Names below
``localhost`` do not resolve everywhere, so the vault is ``127.0.0.1`` and its resource ``https://0.0.1``, each with
the port.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from aiohttp import web

from sandbox.calls import Calls
from sandbox.faults import Faults
from sandbox.holds import Holds, abort
from sandbox.identity import TENANT, Identity, TokenRefused
from sandbox.world import stable_uuid

ROUTE = "/secrets/{name}/{version}"


@dataclass(slots=True)
class VaultSecret:
    value: str = field(repr=False)
    version: str
    created: int


class Vault:
    """Secrets by name. ``put`` makes a new version, as a rotation does."""

    def __init__(self, identity: Identity, faults: Faults, calls: Calls, holds: Holds | None = None) -> None:
        self._identity = identity
        self._faults = faults
        self._calls = calls
        self._holds = holds or Holds()
        self._secrets: dict[str, list[VaultSecret]] = {}
        self.port = 0
        self.app = web.Application()
        self.app.router.add_get("/secrets/{name}", self._get)
        self.app.router.add_get("/secrets/{name}/", self._get)
        self.app.router.add_get(ROUTE, self._get)

    @property
    def resource(self) -> str:
        return f"https://0.0.1:{self.port}"

    def put(self, name: str, value: str) -> str:
        """Returns the new version."""
        versions = self._secrets.setdefault(name.lower(), [])
        version = stable_uuid("secret", name, len(versions)).replace("-", "")
        versions.append(VaultSecret(value, version, int(time.time())))
        return version

    def remove(self, name: str) -> None:
        self._secrets.pop(name.lower(), None)

    async def _get(self, request: web.Request) -> web.Response:
        self._calls.add("vault", "GET", ROUTE)
        if not await self._holds.passes("before", "vault", "getSecret", request, b""):
            return abort(request)
        answer = self._answer(request)
        if not await self._holds.passes("after", "vault", "getSecret", request, b""):
            return abort(request)
        return answer

    def _answer(self, request: web.Request) -> web.Response:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            return self._challenge("AKV10000: Request is missing a Bearer or PoP token.")
        try:
            client = self._identity.read(token, self.resource, f"{self.resource}/").client_id
        except TokenRefused as error:
            return self._challenge(f"AKV10022: Invalid audience or token: {error}")
        if not request.query.get("api-version"):
            return _error(400, "BadParameter", "The api-version query parameter is required.")
        name = request.match_info["name"]
        if self._faults.hits("vault-denied"):
            text = "Caller is not authorized to perform action on resource."
            return _error(
                403, "Forbidden", f"{text}\r\nCaller: appid={client}\r\nAction: getSecret\r\nResource: {name}"
            )
        found = self._find(name, request.match_info.get("version", ""))
        if found is None:
            text = f"A secret with (name/id) {name} was not found in this key vault."
            return _error(404, "SecretNotFound", text)
        return web.json_response(self._bundle(request, name, found))

    def _find(self, name: str, version: str) -> VaultSecret | None:
        versions = self._secrets.get(name.lower(), [])
        if not version:
            return versions[-1] if versions else None
        return next((each for each in versions if each.version == version), None)

    def _bundle(self, request: web.Request, name: str, secret: VaultSecret) -> dict[str, object]:
        return {
            "value": secret.value,
            "id": f"https://{request.host}/secrets/{name}/{secret.version}",
            "attributes": {
                "enabled": True,
                "created": secret.created,
                "updated": secret.created,
                "recoveryLevel": "Recoverable+Purgeable",
                "recoverableDays": 90,
            },
            "tags": {},
        }

    def _challenge(self, message: str) -> web.Response:
        answer = _error(401, "Unauthorized", message)
        authority = f"https://login.microsoftonline.com/{TENANT}"
        answer.headers["WWW-Authenticate"] = f'Bearer authorization="{authority}", resource="{self.resource}"'
        return answer


def _error(status: int, code: str, message: str) -> web.Response:
    return web.json_response({"error": {"code": code, "message": message}}, status=status)
