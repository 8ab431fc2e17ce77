"""A relay namespace alone, with one hybrid connection to a TCP target that a test has in its hand."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import ExitStack

from sandbox.calls import Calls
from sandbox.certificates import CertificateAuthority
from sandbox.faults import Faults
from sandbox.hybrid_connections import Behind, HybridConnection, HybridConnections
from sandbox.identity import Identity
from sandbox.relay.service import RelayService
from sandbox.relayed import Kind, Relayed
from sandbox.server import Background, Server
from tests.integration.relay_sender import Namespace

PATH = "prism-paris"
SECONDS = 10.0


class Target:
    """Sends back what it gets, on a port of 127.0.0.1."""

    def __init__(self, background: Background) -> None:
        self._background = background
        self._open: set[asyncio.StreamWriter] = set()
        self._server = background.run(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = int(self._server.sockets[0].getsockname()[1])
        self.dialled = 0

    @property
    def connections(self) -> int:
        return len(self._open)

    def hang_up(self) -> None:
        """A FIN to everybody, after what was written."""
        for writer in list(self._open):
            self._background.loop.call_soon_threadsafe(writer.close)

    def refuse(self) -> None:
        """Nobody listens on the port any more."""
        self._background.loop.call_soon_threadsafe(self._server.close)

    def stop(self) -> None:
        self.refuse()
        for writer in list(self._open):
            self._background.loop.call_soon_threadsafe(writer.transport.abort)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.dialled += 1
        self._open.add(writer)
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            self._open.discard(writer)
            writer.close()


class Bench:
    """``with Bench("hcm") as bench``: the namespace, the connection ``prism-paris`` and its target."""

    def __init__(self, kind: Kind = "hcm", *, listeners: int = 1, accept_seconds: float = 30.0, seed: int = 1) -> None:
        self._stack = ExitStack()
        authority = self._stack.enter_context(CertificateAuthority())
        self.background = Background()
        self._stack.callback(self.background.stop)
        self.faults, self.calls = Faults(), Calls()
        self.identity = Identity(self.calls)
        self.service = RelayService(self.identity, self.faults, self.calls, accept_seconds=accept_seconds, seed=seed)
        server = Server(self.background, self.service.app, authority.certificate())
        server.start()
        self._stack.callback(server.stop)
        host = server.url.removeprefix("https://")
        self.namespace = Namespace(host, authority.ca_file, self.identity)
        self.target = Target(self.background)
        self._stack.callback(self.target.stop)
        connections = HybridConnections(self.background, self.service, host, self.namespace.trust())
        behind = Behind("paris", PATH, "prism-paris.corp.example", 9440)
        self.relay: HybridConnection = connections.open(
            behind, Relayed(kind, listeners), self.target.port, up=listeners > 0
        )
        self._stack.callback(self.relay.stop)

    def key(self, name: str) -> str:
        return self.relay.entity.keys[name].text

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *ended: object) -> None:
        self._stack.close()


def comes_true(condition: Callable[[], bool]) -> bool:
    """Whether it does within some seconds."""
    ends = time.monotonic() + SECONDS
    while not condition() and time.monotonic() < ends:
        time.sleep(0.005)
    return condition()
