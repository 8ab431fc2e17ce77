"""Hybrid Connection Manager 2 as far as its behaviour is known (contract ``relay.md``, section 6.1): a raw pump.

It serves the one target of the entity's metadata, dials it after the rendezvous, and waits for both directions to end
before it closes either. So it does not pass on that the target hung up, and keeps the target's connection after our
Close until the target hangs up, as one does that was told ``close_notify``.
"""

from __future__ import annotations

import asyncio
from xml.etree import ElementTree

from aiohttp import ClientSession, ClientWebSocketResponse

from sandbox.relay.atom import NAMESPACE
from sandbox.relay.entity import metadata_target
from sandbox.relay.listener import Listener, Names, Registration
from sandbox.relay.pumping import from_target, to_target
from sandbox.server import Background

CHUNK = 16 * 1024


class HcmListener(Listener):
    """Stands for an installed Hybrid Connection Manager that serves one hybrid connection."""

    def __init__(self, background: Background, registration: Registration, names: Names) -> None:
        super().__init__(background, registration, _Hcm(names))


class _Hcm:
    def __init__(self, names: Names) -> None:
        self._names = names
        self._target = ""

    async def learn(self, session: ClientSession, registration: Registration) -> None:
        headers = {"Authorization": registration.token(), "X-PROCESS-AT": "ServiceBus"}
        async with session.get(registration.document, headers=headers, raise_for_status=True) as answer:
            document = ElementTree.fromstring(await answer.text())  # noqa: S314 - the sandbox's own answer
        found = document.findtext(f".//{{{NAMESPACE}}}UserMetadata")
        self._target = metadata_target(found or "") or ""

    async def carry(self, ws: ClientWebSocketResponse, going: asyncio.Event) -> None:
        try:
            reader, writer = await self._names.dial(self._target)
        except (OSError, TimeoutError):
            return
        try:
            ends = (to_target(ws, writer, going), from_target(reader, ws, going, CHUNK))
            for end in await asyncio.gather(*ends, return_exceptions=True):
                if isinstance(end, BaseException):
                    raise end
        finally:
            writer.transport.abort()
