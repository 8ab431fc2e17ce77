"""A raw TCP relay in front of a Prism: it stands for the hybrid connection, and can be cut and restored.

It carries bytes and knows nothing of them, so TLS runs from the app to Prism as it does in production.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket

from sandbox.server import Background

CHUNK = 65_536
TURNS = 5  # of the loop, in which what was accepted is handed over


class TcpRelay:
    """Listens on a port of 127.0.0.1 and pipes to ``target_port``. The port stays the same when it is restored."""

    def __init__(self, background: Background, target_port: int) -> None:
        self._background = background
        self.target_port = target_port
        self._server: asyncio.Server | None = None
        self._pipes: set[asyncio.StreamWriter] = set()
        # Bound and never listening: while the relay is cut nobody else gets its port, and connecting is refused.
        self._hold: socket.socket | None = None
        self.port = 0

    @property
    def place(self) -> tuple[str, int]:
        """Host and port for the profile."""
        return "127.0.0.1", self.port

    def start(self, *, cut: bool = False) -> None:
        """With ``cut`` the relay has a port, but refuses connections until it is restored."""
        self._hold = socket.socket()
        if hasattr(socket, "SO_REUSEPORT"):
            self._hold.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._hold.bind(("127.0.0.1", 0))
        self.port = int(self._hold.getsockname()[1])
        if not hasattr(socket, "SO_REUSEPORT"):
            self._hold.close()
        if not cut:
            self.restore()

    def cut(self) -> None:
        """Breaks what is open and refuses what is new, as a hybrid connection without a listener does."""
        self._background.run(self.cut_now())

    def restore(self) -> None:
        self._background.run(self.restore_now())

    def stop(self) -> None:
        self.cut()
        if self._hold is not None:
            self._hold.close()

    async def cut_now(self) -> None:
        """``cut`` for callers on the loop."""
        server, self._server = self._server, None
        if server is not None:
            # a connection that was accepted and not yet handed over would be lost with the server, and never closed
            for listening in server.sockets:
                asyncio.get_running_loop().remove_reader(listening.fileno())
            for _ in range(TURNS):
                await asyncio.sleep(0)
            server.close()
        pipes = list(self._pipes)
        for pipe in pipes:
            pipe.transport.abort()
        await asyncio.gather(*(pipe.wait_closed() for pipe in pipes), return_exceptions=True)
        if server is not None:
            await server.wait_closed()

    async def restore_now(self) -> None:
        if self._server is None:
            shared = True if hasattr(socket, "SO_REUSEPORT") else None
            self._server = await asyncio.start_server(self._relay, "127.0.0.1", self.port, reuse_port=shared)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._server is None:
            # Accepted just before the cut.
            writer.transport.abort()
            return
        self._pipes.add(writer)
        try:
            there, out = await asyncio.open_connection("127.0.0.1", self.target_port)
        except OSError:
            self._drop(writer)
            return
        self._pipes.add(out)
        try:
            await asyncio.gather(_pump(reader, out), _pump(there, writer))
        finally:
            self._drop(writer)
            self._drop(out)

    def _drop(self, writer: asyncio.StreamWriter) -> None:
        self._pipes.discard(writer)
        writer.transport.abort()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError, OSError):
        while chunk := await reader.read(CHUNK):
            writer.write(chunk)
            await writer.drain()
    # One end is done: the other learns it at once, a half-open pipe would hang.
    with contextlib.suppress(ConnectionError, OSError):
        writer.close()
