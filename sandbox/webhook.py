"""Somebody who wants to be told: a webhook receiver that checks signatures, and can be slow, down or in a bad mood.

It checks as Standard Webhooks says, with code of its own, so that a mistake of the app's signature shows.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from sandbox.calls import Calls

SECRET = "notify-sandbox"
PATH = "/told"
MOST_SECONDS_OLD = 300
MOST_DELAY_MS = 60_000


@dataclass(frozen=True, slots=True)
class Told:
    """One request as it came. ``signed``: its signature is right and fresh."""

    headers: dict[str, str]
    body: dict[str, Any]
    signed: bool


class WebhookReceiver:
    """``status`` is answered, after ``delay`` seconds; while ``down`` the connection is cut without an answer.

    ``now`` tells the time by which signatures are fresh, in seconds since 1970.
    """

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._key = secrets.token_bytes(32)
        self.url = ""
        self.status = 202
        self.delay = 0.0
        self.down = False
        self.now: Callable[[], float] = time.time
        self.told: list[Told] = []
        self.app = web.Application()
        self.app.router.add_post(PATH, self._hear)

    @property
    def place(self) -> str:
        """Host and port, as an allow-list names them."""
        return urlsplit(self.url).netloc

    @property
    def key(self) -> str:
        return f"whsec_{base64.b64encode(self._key).decode()}"

    def secret(self) -> str:
        """What the vault holds: the address is in it, as it would be for a Logic App."""
        return json.dumps({"key": self.key, "url": f"{self.url}{PATH}?sig=a-secret-of-its-own"})

    def profile_part(self) -> dict[str, Any]:
        """``notify`` of a profile that tells this receiver."""
        return {"credential": SECRET}

    def behave(self, how: Any) -> None:
        """``{"status", "delayMs", "down"}``, each optional. Raises ``ValueError`` or ``TypeError``."""
        status, delay, down = how.get("status", self.status), how.get("delayMs"), how.get("down", self.down)
        if not isinstance(status, int) or not 200 <= status <= 599 or not isinstance(down, bool):
            raise ValueError('Send {"status": 503, "delayMs": 2000, "down": false}; each is optional.')
        if delay is not None and (not isinstance(delay, int) or not 0 <= delay <= MOST_DELAY_MS):
            raise ValueError(f"delayMs is a number up to {MOST_DELAY_MS}.")
        self.status, self.down = status, down
        self.delay = self.delay if delay is None else delay / 1_000

    def as_json(self) -> dict[str, Any]:
        return {
            "status": self.status,
            "delayMs": round(self.delay * 1_000),
            "down": self.down,
            "told": [{"signed": each.signed, "body": each.body} for each in self.told],
        }

    async def _hear(self, request: web.Request) -> web.StreamResponse:
        self._calls.add("webhook", "POST", PATH)
        body = await request.read()
        began = time.monotonic()
        while time.monotonic() < began + self.delay:  # a delay that is taken back lets those go that wait for it
            await asyncio.sleep(0.02)
        if self.down:
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=503)
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.told.append(Told(headers, json.loads(body), self._is_signed(headers, body)))
        location = {"Location": self.url} if 300 <= self.status < 400 else {}
        return web.Response(status=self.status, text="thank you", headers=location)

    def _is_signed(self, headers: dict[str, str], body: bytes) -> bool:
        name, at = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
        if not at.isdecimal() or abs(self.now() - int(at)) > MOST_SECONDS_OLD:
            return False
        digest = hmac.new(self._key, f"{name}.{at}.".encode() + body, hashlib.sha256).digest()
        right = "v1," + base64.b64encode(digest).decode()
        return any(hmac.compare_digest(each, right) for each in headers.get("webhook-signature", "").split())
