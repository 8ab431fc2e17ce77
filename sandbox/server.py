"""Runs the simulators' HTTP servers on one event loop in a background thread, with TLS."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from aiohttp import web

from sandbox.certificates import ServerCertificate

T = TypeVar("T")
CALL_SECONDS = 30.0


class Background:
    """An event loop in a thread of its own; ``run`` waits for a coroutine on it."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="sandbox-servers", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T], seconds: float = CALL_SECONDS) -> T:
        """Called from any other thread than the loop's own. Raises what the coroutine raises."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(seconds)

    def stop(self) -> None:
        """Cancels what is left on the loop and ends the thread."""
        self.run(_cancel_all())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    def _serve(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()


async def _cancel_all() -> None:
    tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_asyncgens()


class Server:
    """One aiohttp application on a free port of 127.0.0.1, over HTTPS when it has a certificate."""

    def __init__(self, background: Background, app: web.Application, certificate: ServerCertificate | None) -> None:
        self._background = background
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        self._tls: ssl.SSLContext | None = None if certificate is None else certificate.server_context()
        self.port = 0

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    def start(self, port: int = 0) -> None:
        self._background.run(self._start(port))

    def stop(self) -> None:
        self._background.run(self._stop())

    async def _stop(self) -> None:
        for site in list(self._runner.sites):
            await site.stop()
        # A close over TLS would wait for the client, and one that keeps its connection never answers: abort, and let
        # the loop run until the sockets are closed.
        server = self._runner.server
        while server is not None and server.connections:
            for connection in server.connections:
                if connection.transport is not None:
                    connection.transport.abort()
            await asyncio.sleep(0)
        await self._runner.cleanup()

    async def _start(self, port: int) -> None:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port, ssl_context=self._tls).start()
        self.port = int(self._runner.addresses[0][1])
