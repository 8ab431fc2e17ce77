"""Opens one WebSocket through a relay, and says azbridge's preamble where azbridge listens.

Contract ``relay.md``, sections 2 and 6.2.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from urllib.parse import urlsplit
from uuid import UUID

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidProxy,
    InvalidProxyStatus,
    InvalidStatus,
    ProxyError,
    WebSocketException,
)  # fmt: skip
from websockets.frames import CloseCode

from shared.call_failure import HopFailed
from shared.relay.hybrid_connection import AZBRIDGE, HybridConnection
from shared.relay.refusal import by_proxy, no_preamble, no_way, not_accepted, refused

LARGEST_MESSAGE = 16 * 1024 * 1024  # listeners write 64 KiB at most
PING_EVERY = 60.0  # seconds; idle flows die after about four minutes
CLOSE_SECONDS = 2.0
PREAMBLE_SECONDS = 5.0  # azbridge answers before it dials; the Hybrid Connection Manager may never do
NAMESPACE = "Check relay.namespace of the profile."
VERSION, ACCEPTED = b"\x01\x00\x00", b"\x01\x00\x00"

_silent = logging.getLogger("shared.relay.handshake.silent")
_silent.addHandler(logging.NullHandler())
_silent.propagate = False  # what the library logs may hold headers, and with them the token


class _Connect(connect):
    """``connect`` that follows no redirect: the token would go with it."""

    def process_redirect(self, exc: Exception) -> Exception:
        return exc


async def opened(
    place: HybridConnection, token: str, tracking: UUID, trust: ssl.SSLContext, proxy: str | None, seconds: float
) -> ClientConnection:
    """The connection, once a listener has accepted it, within ``seconds``. Raises ``HopFailed``."""
    try:
        async with asyncio.timeout(seconds):
            connection = await _Connect(
                place.connect_url(tracking),
                additional_headers={"ServiceBusAuthorization": token},
                compression=None,
                ssl=trust,
                proxy=_http_proxy(place, proxy),
                max_size=LARGEST_MESSAGE,
                open_timeout=None,
                close_timeout=CLOSE_SECONDS,
                ping_interval=PING_EVERY,
                ping_timeout=None,  # whether a relay answers pings is not verified
                logger=_silent,
            )
    except (OSError, ValueError, WebSocketException) as error:
        # not chained: what the library says of a proxy holds its URL, and with it a password
        raise failure_of(error, place, token, proxy, seconds) from None
    if place.listener == AZBRIDGE:
        try:
            await _say_preamble(connection, place)
        except BaseException:
            connection.transport.abort()
            raise
    return connection


def _http_proxy(place: HybridConnection, proxy: str | None) -> str | None:
    """The proxy's URL with its scheme, which settings may leave out. Raises ``HopFailed`` for what is no HTTP proxy."""
    if proxy is None:
        return None
    url = proxy if "://" in proxy else f"http://{proxy}"
    if urlsplit(url).scheme not in ("http", "https"):
        raise by_proxy(place, _host(url), "is no HTTP proxy, which it has to be", retryable=False)
    return url


def _host(proxy: str) -> str:
    return urlsplit(proxy if "://" in proxy else f"http://{proxy}").netloc.rpartition("@")[2]


def failure_of(error: Exception, place: HybridConnection, token: str, proxy: str | None, seconds: float) -> HopFailed:
    """What kept a connection from being made: an ``OSError``, ``ValueError`` or ``WebSocketException``."""
    if isinstance(error, InvalidStatus):
        return refused(place, error.response.status_code, error.response.reason_phrase, (token,))
    if isinstance(error, InvalidProxyStatus):
        return by_proxy(place, _host(proxy or ""), f"answered HTTP {error.response.status_code}", retryable=False)
    if isinstance(error, InvalidProxy | ProxyError):
        return by_proxy(place, _host(proxy or ""), "let no connection through")
    if isinstance(error, WebSocketException):
        return no_way(place, f"something answered that is no relay ({type(error).__name__})", retryable=False)
    if isinstance(error, ssl.SSLCertVerificationError):
        why = f"a certificate that is not trusted was shown ({error.verify_message})"
        return no_way(place, why, kind="tls", retryable=False)
    if isinstance(error, ssl.SSLError):
        return no_way(place, f"no TLS was spoken as expected ({error.reason})", kind="tls", retryable=False)
    if isinstance(error, TimeoutError):
        return not_accepted(place, seconds)
    if isinstance(error, ValueError):  # a name or a port that no address can have
        return no_way(place, "there can be nobody", remedy=NAMESPACE, retryable=False)
    if proxy is not None:
        return by_proxy(place, _host(proxy), "could not be reached")
    if isinstance(error, socket.gaierror):
        return no_way(place, "its host name is not known", remedy=NAMESPACE)
    return no_way(place, "no connection could be made")


async def _say_preamble(connection: ClientConnection, place: HybridConnection) -> None:
    name = place.port_name.encode()
    reply = b""
    try:
        async with asyncio.timeout(PREAMBLE_SECONDS):
            await connection.send(VERSION + bytes([len(name)]) + name)
            while len(reply) < len(ACCEPTED):
                reply += await connection.recv(decode=False)
    except ConnectionClosed as closed:
        in_order = closed.rcvd is not None and closed.rcvd.code == CloseCode.NORMAL_CLOSURE
        raise no_preamble(place, b"", "hung up", retryable=not in_order) from None
    except TimeoutError:
        raise no_preamble(place, b"", "said nothing", retryable=True) from None
    if reply != ACCEPTED:  # whoever serves TLS speaks only when it has been spoken to
        raise no_preamble(place, reply, "")
