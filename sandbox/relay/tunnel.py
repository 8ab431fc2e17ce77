"""A sender's WebSocket and a listener's rendezvous, joined (contract ``relay.md``, section 3).

Bytes go through in their order. Where a message ends means nothing, so that this service cuts messages in two at
drawn places. A Close of one side goes to the other as it is and ends one direction alone; a lost connection ends both.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import struct
from dataclasses import dataclass, field
from typing import Protocol

from aiohttp import WSMessage, WSMsgType, web

CHECK_SECONDS = 0.02
NORMAL = 1000
DATA = (WSMsgType.BINARY, WSMsgType.TEXT)


class Lost(ConnectionError):
    """One side is gone without a Close, or the tunnel is to end so."""


class Trouble(Protocol):
    """The faults that strike a tunnel."""

    def silent(self) -> bool:
        """The listener of a new tunnel sends nothing."""

    def dropped(self, received: int) -> bool:
        """The tunnel breaks now, ``received`` being the bytes that came from the listener."""


@dataclass(slots=True)
class Side:
    """One end of a tunnel on the service: the prepared WebSocket of ``request``."""

    request: web.Request
    ws: web.WebSocketResponse
    answers_pings: bool = False
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def gone(self) -> bool:
        return self.request.transport is None or self.request.transport.is_closing()

    async def receive(self) -> WSMessage:
        """The next message that carries data, or the Close. Raises ``Lost``."""
        while True:
            message: WSMessage = await self.ws.receive()
            if message.type in DATA or message.type == WSMsgType.CLOSE:
                return message
            if message.type == WSMsgType.PING and self.answers_pings:
                await self.ws.pong(message.data)
            elif message.type not in (WSMsgType.PING, WSMsgType.PONG):
                raise Lost

    async def send_close(self, code: int, reason: str = "") -> None:
        """Only the frame: what the other end still has to say may come."""
        await self.ws.send_frame(struct.pack("!H", code) + reason.encode(), WSMsgType.CLOSE)

    def end(self) -> None:
        """What was written still goes out."""
        if self.request.transport is not None:
            self.request.transport.close()
        self.ended.set()

    def abort(self) -> None:
        if self.request.transport is not None:
            self.request.transport.abort()
        self.ended.set()


class Tunnel:
    """``run`` lasts as long as the tunnel does. ``chance`` draws where messages are cut."""

    def __init__(self, sender: Side, listener: Side, trouble: Trouble, chance: random.Random) -> None:
        self._sender = sender
        self._listener = listener
        self._trouble = trouble
        self._random = chance
        self._closed = 0
        self.from_sender = 0
        self.from_listener = 0

    async def run(self) -> None:
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._upwards())
                both.create_task(self._downwards())
        except* (ConnectionError, RuntimeError):
            # aiohttp says with a RuntimeError that a WebSocket was closed from elsewhere.
            self.drop()
        finally:
            self._sender.end()
            self._listener.end()

    def drop(self) -> None:
        """Breaks both connections without a Close."""
        self._sender.abort()
        self._listener.abort()

    async def say_text(self, text: str) -> None:
        """What no listener says in the middle of TLS."""
        await self._sender.ws.send_str(text)

    async def close(self, code: int) -> None:
        """Ends both sides in order, as the service does when the entity goes (1001) or it fails itself (1011)."""
        with contextlib.suppress(ConnectionError):
            await self._sender.send_close(code)
            await self._listener.send_close(code)
        self._sender.end()
        self._listener.end()

    async def _upwards(self) -> None:
        while (message := await self._sender.receive()).type != WSMsgType.CLOSE:
            self.from_sender += len(message.data)
            await self._pass(message, self._listener)
        await self._half(message, self._sender, self._listener)

    async def _downwards(self) -> None:
        silent = self._trouble.silent()
        while (message := await self._listener.receive()).type != WSMsgType.CLOSE:
            self.from_listener += len(message.data)
            if silent:
                continue
            if self._trouble.dropped(self.from_listener):
                await self._sender.ws.send_bytes(_bytes(message)[: len(message.data) // 2])
                raise Lost
            await self._pass(message, self._sender)
        if silent:
            # What says nothing does not say that it ends.
            while not self._sender.gone:
                await asyncio.sleep(CHECK_SECONDS)
            raise Lost
        await self._half(message, self._listener, self._sender)

    async def _pass(self, message: WSMessage, to: Side) -> None:
        if message.type == WSMsgType.TEXT:
            await to.ws.send_str(message.data)
            return
        data = _bytes(message)
        if len(data) < 2:
            await to.ws.send_bytes(data)
            return
        cut = self._random.randrange(1, len(data))
        await to.ws.send_bytes(data[:cut])
        await to.ws.send_bytes(data[cut:])

    async def _half(self, close: WSMessage, source: Side, to: Side) -> None:
        """``source`` has nothing more to send; it may still listen, so that its loss must be seen."""
        await to.send_close(close.data or NORMAL, close.extra or "")
        self._closed += 1
        while self._closed < 2:
            if source.gone:
                raise Lost
            await asyncio.sleep(CHECK_SECONDS)


def _bytes(message: WSMessage) -> bytes:
    return message.data.encode() if isinstance(message.data, str) else bytes(message.data)
