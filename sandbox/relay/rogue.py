"""Answers that no relay would give: what a gateway in between, or somebody who plays the relay, may send instead."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import struct

from aiohttp import WSMsgType, web

ELSEWHERE = "https://elsewhere.example/"
ANNOUNCED = 1 << 62
CHECK_SECONDS = 0.02
GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


async def answer(kind: str, request: web.Request) -> web.StreamResponse:
    """Plays ``kind`` to the sender behind ``request``; returns when it has hung up, where it had a connection."""
    if kind == "redirect":
        return web.Response(status=302, headers={"Location": ELSEWHERE})
    if kind == "no-upgrade":
        return web.Response(text="<html>Welcome to the guest network</html>", content_type="text/html")
    if kind == "bad-accept":
        return await _handshake(request, "c29tZXRoaW5nIGVsc2UgZW50aXJlbHk=", "")
    if kind == "subprotocol":
        return await _handshake(request, _accept(request), "Sec-WebSocket-Protocol: nobody-asked\r\n")
    ws = web.WebSocketResponse(compress=False, max_msg_size=0)
    await ws.prepare(request)
    if kind == "text":
        await ws.send_str("Welcome to the guest network")
    else:
        _write(request, _frame(kind))
    await _until_it_ends(ws)
    return ws


def _frame(kind: str) -> bytes:
    if kind == "oversized":
        return struct.pack("!BBQ", 0x82, 127, ANNOUNCED) + b"\x16\x03\x03"
    return struct.pack("!BB", 0x82, 0x80 | 3) + bytes(4) + b"\x16\x03\x03"


def _accept(request: web.Request) -> str:
    key = request.headers.get("Sec-WebSocket-Key", "")
    return base64.b64encode(hashlib.sha1((key + GUID).encode(), usedforsecurity=False).digest()).decode("ascii")


async def _handshake(request: web.Request, accept: str, more: str) -> web.Response:
    """By hand: aiohttp itself would not answer so."""
    head = f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{more}"
    _write(request, f"{head}Sec-WebSocket-Accept: {accept}\r\n\r\n".encode("ascii"))
    while request.transport is not None and not request.transport.is_closing():
        await asyncio.sleep(CHECK_SECONDS)
    return web.Response(status=502)


def _write(request: web.Request, data: bytes) -> None:
    if request.transport is not None:
        request.transport.write(data)


async def _until_it_ends(ws: web.WebSocketResponse) -> None:
    with contextlib.suppress(ConnectionError):
        while (await ws.receive()).type in (WSMsgType.BINARY, WSMsgType.TEXT, WSMsgType.PING, WSMsgType.PONG):
            pass
