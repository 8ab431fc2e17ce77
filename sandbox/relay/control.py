"""The control channel of a listener: it learns there of senders, and renews its token (contract ``relay.md``, 6.4)."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable

from aiohttp import WSMsgType, web

TOKEN_TROUBLE = 1008


class ControlChannel:
    """One connected listener. ``expires`` is the end of its token in Unix seconds."""

    def __init__(self, request: web.Request, ws: web.WebSocketResponse, expires: float) -> None:
        self._request = request
        self._ws = ws
        self._expires = expires
        self.lost = asyncio.Event()

    async def serve(self, admit: Callable[[str], float | None]) -> None:
        """Until the channel ends. ``admit`` judges a renewed token: its new end, or None for a refusal."""
        try:
            while (text := await self._next()) is not None:
                token = _renewed(text)
                expires = None if token is None else admit(token)
                if token is not None and expires is None:
                    await self._ws.close(code=TOKEN_TROUBLE, message=b"InvalidToken")
                    return
                self._expires = expires or self._expires
        finally:
            self.lost.set()

    async def offer(self, message: object) -> None:
        """Raises ``ConnectionError`` where the channel has just ended."""
        await self._ws.send_str(json.dumps({"accept": message}))

    async def close(self, code: int) -> None:
        await self._ws.close(code=code)

    def drop(self) -> None:
        if self._request.transport is not None:
            self._request.transport.abort()

    async def _next(self) -> str | None:
        """The next text, "" for what is none; None at the end of the channel or of the token."""
        try:
            message = await self._ws.receive(timeout=max(self._expires - time.time(), 0.001))
        except TimeoutError:
            await self._ws.close(code=TOKEN_TROUBLE, message=b"ExpiredToken")
            return None
        if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
            return str(message.data) if message.type == WSMsgType.TEXT else ""
        return None


def _renewed(text: str) -> str | None:
    try:
        return str(json.loads(text)["renewToken"]["token"])
    except (ValueError, KeyError, TypeError):
        return None
