"""Mounts a relay under a session: every connection to one host goes through a tunnel of its own, TLS end to end inside.

Time-outs, pooling and the checks of the certificate stay those of urllib3; no name of a host on premises is looked up.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from weakref import WeakSet

import requests
from urllib3 import HTTPSConnectionPool
from urllib3.connection import HTTPSConnection
from urllib3.exceptions import HTTPError

from shared.call_failure import HopFailed
from shared.relay.refusal import before_tls
from shared.relay.tunnels import Tunnel, Tunnels, Way
from shared.transport import Proxies, Transport

CONNECT_SECONDS = 15.0  # the listener joins in first; the relay itself gives up after 30
CONNECTIONS = 8  # the relay charges for each, and carries 5,000 a namespace
MOST_IDLE = 45.0  # seconds; a listener may not tell that Prism hung up (contract relay.md, 6.1)
OLDEST = 30 * 60.0  # seconds

_tunnels = Tunnels()


class RelayTransport(Transport):
    """The adapter for one host behind ``way``, in the place of ``direct``."""

    connect_timeout = CONNECT_SECONDS

    def __init__(self, way: Way, direct: Transport) -> None:
        self._way = way
        self._open: WeakSet[RelayConnection] = WeakSet()
        super().__init__(
            direct.context,
            Proxies(),
            read_timeout=direct.read_timeout,
            connections=CONNECTIONS,
            system=direct.system,
        )

    @property
    def hop(self) -> str:
        """The relay, with what it did wrong in a connection that is still at hand."""
        faults = sorted({connection.fault for connection in list(self._open)} - {""})
        return f"{self._way.place.title}{f', which {faults[0]}' if faults else ''}"

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"https": self._pool}

    def close(self) -> None:
        super().close()
        for connection in list(self._open):  # urllib3 leaves those in its pool to the garbage collector
            connection.close()

    def _pool(self, *args: Any, **kwargs: Any) -> HTTPSConnectionPool:
        pool = RelayPool(*args, **kwargs)
        pool.ConnectionCls = self._connection  # type: ignore[assignment]
        return pool

    def _connection(self, **kwargs: Any) -> RelayConnection:
        connection = RelayConnection(self._way, **kwargs)
        self._open.add(connection)
        return connection


class RelayConnection(HTTPSConnection):
    """A connection whose socket is the near end of a tunnel. ``clock`` is monotonic, in seconds."""

    def __init__(self, way: Way, *, clock: Callable[[], float] = time.monotonic, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._way = way
        self._clock = clock
        self._through: Tunnel | None = None
        self._opened_at = self._idle_since = clock()
        self._handing_over = False

    @property
    def is_connected(self) -> bool:
        now = self._clock()
        fresh = now - self._idle_since < MOST_IDLE and now - self._opened_at < OLDEST
        return fresh and super().is_connected

    @property
    def fault(self) -> str:
        """What no relay sends, and came all the same; empty where nothing did."""
        return self._through.observed.fault if self._through is not None else ""

    def idle(self) -> None:
        """It goes back into the pool."""
        self._idle_since = self._clock()

    def connect(self) -> None:
        """Raises ``HopFailed`` where no TLS came up, and what came through the tunnel tells why."""
        try:
            super().connect()
        except HopFailed:
            raise
        except ssl.SSLCertVerificationError:
            raise  # its end was reached, and is not the one that was meant
        except (OSError, HTTPError) as error:
            waited = isinstance(error, TimeoutError)
            told = before_tls(self._way.place, self._through.observed, waited=waited) if self._through else None
            if told is None:
                raise
            raise told from error
        self._opened_at = self._idle_since = self._clock()

    def close(self) -> None:
        # A listener may keep its connection to Prism until TLS says goodbye (contract relay.md, 6.1).
        if not self._handing_over and isinstance(self.sock, ssl.SSLSocket):
            with suppress(OSError, ValueError):
                self.sock.settimeout(0)
                self.sock.unwrap()
        super().close()

    def getresponse(self) -> Any:
        # http.client closes a connection that ends with its answer, before the answer is read
        self._handing_over = True
        try:
            return super().getresponse()
        finally:
            self._handing_over = False

    def _new_conn(self) -> socket.socket:
        seconds = self.timeout if isinstance(self.timeout, int | float) else CONNECT_SECONDS
        self._through = None
        self._through = _tunnels.open(self._way, seconds)
        near = self._through.socket
        near.settimeout(seconds)
        return near


class RelayPool(HTTPSConnectionPool):
    """Tells a connection when it begins to be idle."""

    def _put_conn(self, conn: Any) -> None:
        if isinstance(conn, RelayConnection):
            conn.idle()
        super()._put_conn(conn)


def mount(session: requests.Session, origin: str, way: Way) -> None:
    """Send what ``session`` asks of ``origin`` through ``way``, with the trust and time-outs that it has."""
    direct = session.get_adapter(origin)
    if not isinstance(direct, Transport):
        raise TypeError(f"{origin} is not asked over a Transport")
    session.mount(f"{origin}/", RelayTransport(way, direct))
