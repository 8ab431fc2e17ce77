"""One direction each between a rendezvous and the target's connection, for the bridges to put together."""

from __future__ import annotations

import asyncio

from aiohttp import ClientWebSocketResponse, WSMsgType


async def to_target(ws: ClientWebSocketResponse, target: asyncio.StreamWriter, going: asyncio.Event) -> None:
    """Until the sender's Close, which is not answered here, or an empty message, which .NET takes for the end.

    Raises ``ConnectionError`` where the rendezvous is lost.
    """
    while True:
        message = await ws.receive()
        if message.type not in (WSMsgType.BINARY, WSMsgType.TEXT):
            if message.type == WSMsgType.CLOSE:
                return
            raise ConnectionError("the rendezvous is lost")
        data = message.data.encode() if message.type == WSMsgType.TEXT else message.data
        if not data:
            return
        await going.wait()
        target.write(data)
        await target.drain()


async def from_target(
    target: asyncio.StreamReader, ws: ClientWebSocketResponse, going: asyncio.Event, chunk: int
) -> None:
    """Until the target hangs up; messages hold ``chunk`` bytes at most. Raises ``ConnectionError``."""
    while data := await target.read(chunk):
        await going.wait()
        await ws.send_bytes(data)
