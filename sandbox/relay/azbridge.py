"""azbridge, the relay team's bridge (contract ``relay.md``, section 6.2): a preamble with a port name, then raw bytes.

It answers the preamble before it dials the target, and passes on every close in both directions.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping

from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType

from sandbox.relay.listener import Listener, Names, Registration
from sandbox.relay.pumping import from_target, to_target
from sandbox.server import Background

CHUNK = 64 * 1024
VERSION = b"\x01\x00"
ACCEPTED = b"\x01\x00\x00"
NOT_UNDERSTOOD = b"\x00\x00\x00"
NOT_A_STREAM = b"\x00\x00\x01"
HEADER_BYTES = 4


class AzbridgeListener(Listener):
    """Stands for an azbridge with ``targets``: ``host:port`` by port name."""

    def __init__(
        self, background: Background, registration: Registration, names: Names, targets: Mapping[str, str]
    ) -> None:
        super().__init__(background, registration, _Azbridge(names, targets))


class _Azbridge:
    def __init__(self, names: Names, targets: Mapping[str, str]) -> None:
        self._names = names
        self._targets = dict(targets)

    async def learn(self, session: ClientSession, registration: Registration) -> None:
        """Its targets are in its own configuration."""

    async def carry(self, ws: ClientWebSocketResponse, going: asyncio.Event) -> None:
        name, early = await self._preamble(ws, going)
        target = None if name is None else self._target(name)
        if target is None:
            return
        await ws.send_bytes(ACCEPTED)
        try:
            reader, writer = await self._names.dial(target)
        except (OSError, TimeoutError):
            return
        writer.write(early)
        ends = [
            asyncio.create_task(end) for end in (to_target(ws, writer, going), from_target(reader, ws, going, CHUNK))
        ]
        try:
            done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            for end in done:
                end.result()
            with contextlib.suppress(OSError):
                await writer.drain()
        finally:
            # Before the wait, in which a listener that is stopped is cut off.
            writer.close()
            for end in ends:
                end.cancel()
            await asyncio.gather(*ends, return_exceptions=True)

    async def _preamble(self, ws: ClientWebSocketResponse, going: asyncio.Event) -> tuple[str | None, bytes]:
        """The port name and what came behind it; None where the sender was told off, or hung up."""
        received = b""
        while len(received) < HEADER_BYTES or len(received) < HEADER_BYTES + received[3]:
            message = await ws.receive()
            if message.type != WSMsgType.BINARY:
                return None, b""
            received += message.data
            await going.wait()
            if not VERSION.startswith(received[:2]):
                await ws.send_bytes(NOT_UNDERSTOOD)
                return None, b""
            if received[2:3] not in (b"", b"\x00"):
                await ws.send_bytes(NOT_A_STREAM)
                return None, b""
        end = HEADER_BYTES + received[3]
        return received[HEADER_BYTES:end].decode("utf-8", "replace"), received[end:]

    def _target(self, name: str) -> str | None:
        """Where there is one target alone, any number names it."""
        if name.isdecimal() and len(self._targets) == 1:
            return next(iter(self._targets.values()))
        return self._targets.get(name)
