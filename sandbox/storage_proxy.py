"""Passes storage calls on to Azurite, holds them, and while the fault ``storage-busy`` is on answers 503 in its place.

It exists in ``serve`` and in a sandbox that asks for it or was started with that fault: everything else talks to
Azurite directly. Table Storage says errors in JSON, the blob and the queue service in XML.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from sandbox.calls import Calls
from sandbox.faults import Faults
from sandbox.holds import Holds, abort

HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "upgrade", "te", "trailer"}
# A signature covers some of these: what the client of the app did not send must not be added.
SIGNED = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")
BUSY = "ServerBusy"
MAX_BODY_BYTES = 64 * 1024 * 1024


class StorageProxy:
    """In front of one storage service at ``upstream`` (``http://127.0.0.1:port/account``)."""

    def __init__(self, service: str, upstream: str, faults: Faults, calls: Calls, holds: Holds | None = None) -> None:
        self._service = service
        self._upstream = upstream.rsplit("/", 1)[0]
        self._faults = faults
        self._calls = calls
        self._holds = holds or Holds()
        self._client: aiohttp.ClientSession | None = None
        self.app = web.Application(client_max_size=MAX_BODY_BYTES)
        self.app.router.add_route("*", "/{path:.*}", self._pass)
        self.app.cleanup_ctx.append(self._session)

    async def _session(self, app: web.Application) -> AsyncIterator[None]:
        async with aiohttp.ClientSession(auto_decompress=False, skip_auto_headers=SIGNED) as client:
            self._client = client
            yield
        self._client = None

    async def _pass(self, request: web.Request) -> web.Response:
        system = f"storage/{self._service}"
        self._calls.add(system, request.method, request.path)
        body = await request.read()
        if not await self._holds.passes("before", system, request.method, request, body):
            return abort(request)
        busy = self._faults.hits("storage-busy", self._service)
        answer = _busy(self._service) if busy else await self._upstream_answer(request, body)
        if not await self._holds.passes("after", system, request.method, request, body):
            return abort(request)
        return answer

    async def _upstream_answer(self, request: web.Request, body: bytes) -> web.Response:
        if self._client is None:
            raise web.HTTPServiceUnavailable
        # The signature covers the path as it was sent, so nothing is decoded and encoded again.
        url = self._upstream + request.raw_path
        headers = CIMultiDict((k, v) for k, v in request.headers.items() if k.lower() not in HOP_BY_HOP)
        async with self._client.request(
            request.method,
            URL(url, encoded=True),
            data=body or None,
            headers=headers,
            allow_redirects=False,
        ) as answer:
            kept = CIMultiDict((k, v) for k, v in answer.headers.items() if k.lower() not in HOP_BY_HOP)
            kept.pop("Content-Length", None)
            return web.Response(status=answer.status, body=await answer.read(), headers=kept)


def _busy(service: str) -> web.Response:
    request_id = str(uuid.uuid4())
    message = f"The server is busy.\nRequestId:{request_id}\nTime:{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.0000000Z}"
    headers = {"Retry-After": "1", "x-ms-request-id": request_id, "x-ms-error-code": BUSY}
    if service == "table":
        body = {"odata.error": {"code": BUSY, "message": {"lang": "en-US", "value": message}}}
        return web.json_response(body, status=503, headers=headers)
    text = f'<?xml version="1.0" encoding="utf-8"?><Error><Code>{BUSY}</Code><Message>{message}</Message></Error>'
    return web.Response(status=503, text=text, content_type="application/xml", headers=headers)
