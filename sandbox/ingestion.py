"""What stands for Application Insights: it takes in and keeps what the exporter of azure-monitor-opentelemetry sends.

Its address and its answer are from the exporter's own code (``POST /v2.1/track``, a list of envelopes as JSON). What
the real service would refuse in an envelope is not checked. Whoever sends has to sign in.
"""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from sandbox.calls import Calls
from sandbox.identity import Identity, TokenRefused
from sandbox.world import stable_uuid

PATH = "/v2.1/track"
AUDIENCES = ("https://monitor.azure.com", "https://monitor.azure.com/")
LARGEST_BODY = 64 * 2**20


class Ingestion:
    """``envelopes`` are those that were accepted, in bodies of ``json_bytes`` together; ``refused`` counts requests."""

    def __init__(self, identity: Identity, calls: Calls) -> None:
        self._identity = identity
        self._calls = calls
        self.url = ""
        self.envelopes: list[dict[str, Any]] = []
        self.json_bytes = 0
        self.refused = 0
        self.app = web.Application(client_max_size=LARGEST_BODY)
        self.app.router.add_post(PATH, self._track)
        # the exporter adds its path, slash and all, to an address that ends with one
        self.app.router.add_post(f"/{PATH}", self._track)

    def settings(self) -> dict[str, str]:
        """The app settings that let an app send here, as the identity that it has."""
        key = stable_uuid("application insights")
        return {
            "APPLICATIONINSIGHTS_CONNECTION_STRING": f"InstrumentationKey={key};IngestionEndpoint={self.url}/",
            "APPLICATIONINSIGHTS_AUTHENTICATION_STRING": "Authorization=AAD",
        }

    def of_kind(self, base_type: str) -> list[dict[str, Any]]:
        """The data of all envelopes of a type, such as ``RemoteDependencyData``."""
        found = (envelope["data"] for envelope in self.envelopes)
        return [data["baseData"] for data in found if data["baseType"] == base_type]

    async def _track(self, request: web.Request) -> web.Response:
        self._calls.add("monitor", "POST", PATH)
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        try:
            if scheme.lower() != "bearer":
                raise TokenRefused("no bearer token")
            self._identity.read(token, *AUDIENCES)
        except TokenRefused as error:
            self.refused += 1
            return web.json_response({"errors": [{"index": 0, "statusCode": 401, "message": str(error)}]}, status=401)
        body = await request.read()
        self.json_bytes += len(body)
        envelopes = json.loads(body)
        self.envelopes += envelopes
        return web.json_response({"itemsReceived": len(envelopes), "itemsAccepted": len(envelopes), "errors": []})
