"""A listener on premises as the relay sees it: a control channel that comes back, and a rendezvous per sender.

What it does with the bytes is its bridge's business: that of Hybrid Connection Manager or of azbridge (contract
``relay.md``, sections 6.1, 6.2 and 6.4). Names resolve by ``names`` alone, never by DNS.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote
from weakref import WeakSet

from aiohttp import ClientError, ClientSession, ClientWebSocketResponse, TCPConnector, WSMsgType
from yarl import URL

from sandbox.relay import sas
from sandbox.relay.entity import SasKey
from sandbox.server import Background

TOKEN_SECONDS = 3_600
# The back-off of Microsoft's listener libraries.
BACK_OFF = (0.0, 1.0, 2.0, 5.0, 10.0, 30.0)
START_SECONDS = 20.0
CHECK_SECONDS = 0.005
DIAL_SECONDS = 20.0

Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Registration:
    """Where and as whom a listener registers. ``namespace`` is ``host:port``; ``trust`` verifies the service."""

    namespace: str
    path: str
    key: SasKey
    trust: ssl.SSLContext

    def url(self, action: str) -> URL:
        query = f"sb-hc-action={action}&sb-hc-id={uuid.uuid4()}"
        return URL(f"wss://{self.namespace}/$hc/{quote(self.path)}?{query}", encoded=True)

    @property
    def document(self) -> URL:
        """Where the entity is described."""
        return URL(f"https://{self.namespace}/{quote(self.path)}?api-version=2016-07", encoded=True)

    def token(self) -> str:
        resource = f"http://{self.namespace.partition(':')[0]}/{self.path}"
        return sas.sign(resource, int(time.time()) + TOKEN_SECONDS, self.key.name, self.key.text)


class Names:
    """Targets by ``host:port`` as the listener is told them. What is not here does not resolve."""

    def __init__(self, addresses: Mapping[str, Address]) -> None:
        self._addresses = dict(addresses)
        self._dialled: WeakSet[asyncio.StreamWriter] = WeakSet()

    @property
    def connections(self) -> int:
        """How many connections to targets are open."""
        return sum(not writer.transport.is_closing() for writer in list(self._dialled))

    def lead_to(self, port: int) -> None:
        """All that resolves leads to another port of loopback."""
        self._addresses = dict.fromkeys(self._addresses, ("127.0.0.1", port))

    def forget(self) -> None:
        """Nothing resolves any more."""
        self._addresses.clear()

    async def dial(self, target: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Raises ``OSError`` where the name does not resolve or nobody answers."""
        address = self._addresses.get(target.lower())
        if address is None:
            raise OSError(f"{target} does not resolve")
        async with asyncio.timeout(DIAL_SECONDS):  # wait_for may lose a connection that is made as it is cancelled
            reader, writer = await asyncio.open_connection(*address)
        self._dialled.add(writer)
        return reader, writer


class Bridge(Protocol):
    """What a kind of listener does with a sender."""

    async def learn(self, session: ClientSession, registration: Registration) -> None:
        """What it must know of its entity before it listens."""

    async def carry(self, ws: ClientWebSocketResponse, going: asyncio.Event) -> None:
        """One sender, from the rendezvous to its end; nothing is passed on while ``going`` is not set."""


class Listener:
    """Runs on ``background``'s loop; ``start``, ``stop``, ``freeze`` and ``restore`` may be called from elsewhere.

    ``accepted`` counts the senders that it took in.
    """

    def __init__(self, background: Background, registration: Registration, bridge: Bridge) -> None:
        self._background = background
        self._registration = registration
        self._bridge = bridge
        self._task: asyncio.Task[None] | None = None
        self._carrying: set[asyncio.Task[None]] = set()
        self._registered = asyncio.Event()
        self._going = asyncio.Event()
        self._going.set()
        self._deaf = False
        self.accepted = 0

    def start(self) -> None:
        """Returns when the listener is registered. Raises ``TimeoutError`` where the relay does not take it."""
        self._background.run(self.start_now())

    def stop(self) -> None:
        """As a process that is killed: control channel, rendezvous and target connections break."""
        self._background.run(self.stop_now())

    def freeze(self) -> None:
        """As a process that hangs in its work: it accepts senders, and passes nothing on."""
        self._background.loop.call_soon_threadsafe(self._going.clear)

    def deafen(self) -> None:
        """As a process that is suspended: its control channel is there, and it accepts nobody."""
        self._deaf = True

    def restore(self) -> None:
        """All is well again, whatever was wrong."""
        self._deaf = False
        self._background.loop.call_soon_threadsafe(self._going.set)
        self.start()

    async def start_now(self) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._listen())
        async with asyncio.timeout(START_SECONDS):
            await self._registered.wait()

    async def stop_now(self) -> None:
        task, self._task = self._task, None
        tasks = [*self._carrying, *([] if task is None else [task])]
        for each in tasks:
            each.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._registered.clear()

    async def _listen(self) -> None:
        connector = TCPConnector(ssl=self._registration.trust, limit=0)
        async with ClientSession(connector=connector) as session:
            attempt = 0
            while True:
                with contextlib.suppress(ClientError, OSError, TimeoutError):
                    await self._bridge.learn(session, self._registration)
                    await self._hold(session)
                    attempt = 0
                self._registered.clear()
                await asyncio.sleep(BACK_OFF[min(attempt, len(BACK_OFF) - 1)])
                attempt += 1

    async def _hold(self, session: ClientSession) -> None:
        """The control channel, as long as it lasts. Raises where the relay refuses it."""
        headers = {"ServiceBusAuthorization": self._registration.token()}
        async with session.ws_connect(self._registration.url("listen"), headers=headers) as control:
            self._registered.set()
            renewal = asyncio.create_task(self._renew(control))
            try:
                while (message := await control.receive()).type == WSMsgType.TEXT:
                    accept = json.loads(message.data).get("accept")
                    if accept is not None and not self._deaf:
                        self._keep(asyncio.create_task(self._accept(session, accept)))
            finally:
                renewal.cancel()

    async def _renew(self, control: ClientWebSocketResponse) -> None:
        while True:
            await asyncio.sleep(TOKEN_SECONDS / 2)
            await control.send_json({"renewToken": {"token": self._registration.token()}})

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._carrying.add(task)
        task.add_done_callback(self._carrying.discard)

    async def _accept(self, session: ClientSession, accept: dict[str, Any]) -> None:
        url = URL(accept["address"], encoded=True)
        with contextlib.suppress(ClientError, OSError, TimeoutError):
            # autoclose would answer the sender's Close before the target has said all.
            ws = await session.ws_connect(url, autoclose=False, max_msg_size=0, compress=0)
            self.accepted += 1
            with contextlib.suppress(ConnectionError):
                await self._bridge.carry(ws, self._going)
            await ws.close()
