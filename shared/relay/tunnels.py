"""All tunnels of the process, on one event loop in one background thread: each looks like a connected socket.

``websockets`` has a client for threads too, but that one hangs now and then (contract ``relay.md``, section 10).
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
import threading
from collections.abc import Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import uuid4

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode

from shared.call_failure import HopFailed, excerpt
from shared.relay.handshake import LARGEST_MESSAGE, PREAMBLE_SECONDS, opened
from shared.relay.hybrid_connection import HybridConnection
from shared.relay.refusal import Observed, TokenRefused, no_way, not_accepted
from shared.relay.token import Bearer, RelayToken
from shared.telemetry import telling
from shared.telemetry.call import Call

CHUNK = 65_536
SWITCHED = 101  # HTTP's word for a connection that is a WebSocket now
NAME_LOOKUPS = 2  # threads
SEND_SECONDS = 60.0  # that the relay may take nothing, before the tunnel counts as dead
GRACE = 2.0  # seconds that the loop may take longer than it was told
# what made this end hang up
FAULTS: dict[int, str] = {
    CloseCode.PROTOCOL_ERROR: "broke the WebSocket protocol",
    CloseCode.INVALID_DATA: "sent text where bytes were due",
    CloseCode.MESSAGE_TOO_BIG: f"announced a message of more than {LARGEST_MESSAGE // 2**20} MiB",
}

T = TypeVar("T")
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Way:
    """How tunnels through one hybrid connection are opened. ``proxy`` is the URL of the app's own proxy, if any."""

    place: HybridConnection
    token: RelayToken
    trust: ssl.SSLContext
    proxy: str | None = field(default=None, repr=False)  # it may hold a password


@dataclass(slots=True)
class Tunnel:
    """``socket`` is the near end, which its owner closes; ``observed`` is what came from the far one."""

    socket: socket.socket
    observed: Observed
    tracking: str


class Tunnels:
    """Starts its thread with the first tunnel. Safe to use from several threads."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._owner = 0
        self._pumps: set[asyncio.Task[None]] = set()

    def open(self, way: Way, seconds: float) -> Tunnel:
        """A tunnel behind which a listener has accepted, within ``seconds``. Raises ``HopFailed``."""
        token = way.token.current()
        try:
            return self._told(way, token, seconds, attempt=1)
        except TokenRefused as refused:
            if refused.expired:
                token = way.token.renewed()
            elif refused.of_other_audience:
                token = way.token.for_other_audience(token)
            else:
                raise
        return self._told(way, token, seconds, attempt=2)

    def _told(self, way: Way, token: Bearer, seconds: float, *, attempt: int) -> Tunnel:
        """``_open``, of which telemetry hears."""
        told = Call.to("relay", "CONNECT", f"https://{way.place.namespace}", attempt)
        try:
            tunnel = self._open(way, token, seconds)
        except HopFailed as failure:
            told.failed(failure.kind)
            telling.called(told)
            raise
        told.answered(SWITCHED, {})
        told.transaction = tunnel.tracking
        telling.called(told)
        return tunnel

    def _open(self, way: Way, token: Bearer, seconds: float) -> Tunnel:
        made = self._submit(self._opened(way, token, seconds))
        try:
            return made.result(seconds + PREAMBLE_SECONDS + GRACE)
        except TimeoutError:
            made.cancel()
            raise not_accepted(way.place, seconds) from None
        except OSError as error:  # this process may open no more files
            raise no_way(way.place, "no connection could be made") from error

    async def _opened(self, way: Way, bearer: Bearer, seconds: float) -> Tunnel:
        tracking, place = uuid4(), way.place
        near, far = socket.socketpair()
        try:
            connection = await opened(place, bearer.token, tracking, way.trust, way.proxy, seconds)
        except BaseException as error:
            near.close()
            far.close()
            log.info("tunnel not opened relay=%s/%s tracking=%s cause=%s", place.namespace, place.path, tracking, error)
            raise
        far.setblocking(False)
        tunnel = Tunnel(near, Observed(), str(tracking))
        pump = asyncio.get_running_loop().create_task(_pump(connection, far, tunnel, way.place))
        self._pumps.add(pump)  # the loop holds tasks weakly
        pump.add_done_callback(self._pumps.discard)
        return tunnel

    def _submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        with self._guard:
            if self._loop is None or self._owner != os.getpid():  # a forked worker has no thread of its parent
                self._loop, self._owner, self._pumps = asyncio.new_event_loop(), os.getpid(), set()
                self._loop.set_default_executor(ThreadPoolExecutor(NAME_LOOKUPS, thread_name_prefix="relay-names"))
                threading.Thread(target=self._loop.run_forever, name="relay-tunnels", daemon=True).start()
            return asyncio.run_coroutine_threadsafe(work, self._loop)


async def _pump(connection: ClientConnection, far: socket.socket, tunnel: Tunnel, place: HybridConnection) -> None:
    """Carry bytes both ways until one end is done, then end the other."""
    outward = asyncio.create_task(_outward(connection, far))
    inward = asyncio.create_task(_inward(connection, far, tunnel.observed))
    try:
        await asyncio.wait((outward, inward), return_when=asyncio.FIRST_COMPLETED)
        lost = not outward.done()
        await connection.close()
        outward.cancel()
        await asyncio.wait((outward, inward))
        if lost:
            _tell(tunnel, place)
    finally:
        far.close()


async def _outward(connection: ClientConnection, far: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    with suppress(OSError, ConnectionClosed):  # a TimeoutError is an OSError
        while data := await loop.sock_recv(far, CHUNK):  # an empty message would end a .NET listener's stream
            async with asyncio.timeout(SEND_SECONDS):
                await connection.send(data)


async def _inward(connection: ClientConnection, far: socket.socket, observed: Observed) -> None:
    loop = asyncio.get_running_loop()
    try:
        while True:
            data = await connection.recv()
            if isinstance(data, str):  # TLS is never text
                observed.fault = "sent text where bytes were due"
                return
            observed.add(data)
            await loop.sock_sendall(far, data)
    except ConnectionClosed as closed:
        observed.close_code, observed.close_reason = connection.close_code, connection.close_reason or ""
        if closed.sent is not None and not closed.rcvd_then_sent:
            observed.fault = FAULTS.get(closed.sent.code, "")
    except OSError:
        return  # the near end was closed meanwhile


def _tell(tunnel: Tunnel, place: HybridConnection) -> None:
    seen = tunnel.observed
    level = logging.INFO if seen.close_code == CloseCode.NORMAL_CLOSURE and not seen.fault else logging.WARNING
    said = seen.fault or excerpt(seen.close_reason, ())
    log.log(
        level, "tunnel ended relay=%s/%s tracking=%s code=%s received=%s said=%s",
        place.namespace, place.path, tunnel.tracking, seen.close_code, seen.received, said,
    )  # fmt: skip
