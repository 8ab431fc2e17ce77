"""The least that a sender of a hybrid connection needs, on another WebSocket library than the simulator's.

It is here so that the simulator can be tested without the app: one WebSocket, and TLS to what is behind it.
"""

from __future__ import annotations

import base64
import ssl
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from sandbox.hybrid_connections import HybridConnection
from sandbox.identity import Identity
from sandbox.sandbox import Sandbox
from sandbox.world import Prism

AUDIENCE = "https://relay.azure.net"
PREAMBLE = b"\x01\x00\x00\x049440"

T = TypeVar("T")


def relay_of(sandbox: Sandbox, name: str = "paris") -> HybridConnection:
    found = {**sandbox.relays, **sandbox.controller_relays}[name]
    assert isinstance(found, HybridConnection)
    return found


@dataclass(frozen=True)
class Namespace:
    """Where a relay namespace is (``host:port``), whose certificate it shows, and who issues its tokens."""

    host: str
    ca_file: Path
    identity: Identity

    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.ca_file))


def namespace_of(sandbox: Sandbox) -> Namespace:
    return Namespace(sandbox.azure_relay_url.removeprefix("https://"), sandbox.ca_file, sandbox.identity)


class _Strict(connect):
    """Follows no redirect, as the contract asks of a sender."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


def open_sender(
    namespace: Namespace,
    path: str = "prism-paris",
    *,
    token: str | None = None,
    signed_in: bool = True,
    correlation: str | None = None,
    query: str = "",
    action: str = "connect",
    headers: dict[str, str] | None = None,
    max_size: int | None = None,
) -> connect:
    """``async with open_sender(namespace) as ws``; without ``signed_in`` there is no token at all."""
    url = f"wss://{namespace.host}/$hc/{quote(path)}?sb-hc-action={action}&sb-hc-id={correlation or uuid.uuid4()}"
    sent = {"ServiceBusAuthorization": token or namespace.identity.issue(AUDIENCE)} if signed_in else {}
    return _Strict(
        url + query, ssl=namespace.trust(), additional_headers=sent | (headers or {}), compression=None,
        max_size=max_size, ping_interval=None, proxy=None, close_timeout=2,
    )  # fmt: skip


async def preamble(ws: ClientConnection, text: bytes = PREAMBLE) -> bytes:
    """What azbridge answers: three bytes, or what came before it hung up."""
    await ws.send(text)
    received = b""
    while len(received) < 3:
        try:
            received += bytes(await ws.recv(decode=False))
        except ConnectionClosed:
            break
    return received


@dataclass
class Tls:
    """A TLS connection to ``host`` inside the bytes of a WebSocket, verified against ``ca_pem`` alone."""

    ws: ClientConnection
    host: str
    ca_pem: str

    def __post_init__(self) -> None:
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = ssl.create_default_context(cadata=self.ca_pem)
        self._tls = context.wrap_bio(self._in, self._out, server_hostname=self.host)

    async def handshake(self) -> None:
        await self._step(self._tls.do_handshake)

    async def get(self, prism: Prism, path: str) -> bytes:
        """The body of an answer with a ``Content-Length``; the connection is kept."""
        account = base64.b64encode(f"{prism.username}:{prism.password}".encode()).decode()
        head = f"GET {path} HTTP/1.1\r\nHost: {self.host}\r\nAuthorization: Basic {account}\r\n\r\n"
        self._tls.write(head.encode())
        received = b""
        while b"\r\n\r\n" not in received:
            received += await self._step(lambda: self._tls.read(65536))
        head, _, body = received.decode("latin-1").partition("\r\n\r\n")
        length = next(int(line.split(":")[1]) for line in head.split("\r\n") if line.lower().startswith("content-le"))
        data = bytearray(body.encode("latin-1"))
        while len(data) < length:
            data += await self._step(lambda: self._tls.read(65536))
        return bytes(data)

    async def say_goodbye(self) -> None:
        """``close_notify``; nobody waits for the answer."""
        try:
            self._tls.unwrap()
        except ssl.SSLWantReadError:
            await self.ws.send(self._out.read())

    async def _step(self, work: Callable[[], T]) -> T:
        while True:
            try:
                done = work()
            except ssl.SSLWantReadError:
                await self._flush()
                self._in.write(bytes(await self.ws.recv(decode=False)))
            else:
                await self._flush()
                return done

    async def _flush(self) -> None:
        if self._out.pending:
            await self.ws.send(self._out.read())


async def tls_to(sandbox: Sandbox, ws: ClientConnection, name: str = "paris") -> Tls:
    """A finished handshake with the Prism ``name``."""
    tls = Tls(ws, relay_of(sandbox, name).behind.host, sandbox.corporate_ca_pem)
    await tls.handshake()
    return tls
