"""Posts one message to a receiver whose answers have no form, within a time that nothing can stretch.

The time-outs of a connection count from one byte to the next: an answer whose headers trickle in would hold a worker
for as long as it likes, and past ``functionTimeout`` the host restarts the process with every run in it. So a
connection whose time is up is cut from outside.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import requests
from urllib3.exceptions import HTTPError

from shared.call_failure import CallFailed, network_failure, refusal
from shared.http import attempt_told, open_session
from shared.transport import Transport

CUT_AGAIN_EVERY = 1.0  # seconds: a connection that is still being made is cut once it is there


class CuttableTransport(Transport):
    """An adapter whose connections somebody else can end while they are read from."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._made: list[Any] = []
        super().__init__(*args, **options)

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        kind = type(pool).ConnectionCls

        def connection(**options: Any) -> Any:
            self._made.append(kind(**options))
            return self._made[-1]

        pool.ConnectionCls = connection
        return pool

    def cut(self) -> None:
        for connection in self._made:
            with suppress(OSError, TypeError):  # it has ended, or has no socket yet
                # the plain socket's way: that of TLS would take its state away from under whoever reads
                socket.socket.shutdown(connection.sock, socket.SHUT_RDWR)


def deliver(
    url: str,
    body: bytes,
    *,
    headers: Mapping[str, str],
    system: str,
    ca: str | None,
    ca_name: str,
    environ: Mapping[str, str],
    patience: float,
    attempt: int = 1,
) -> int:
    """POST ``body`` as it is, once, and give the status of a 2xx; what else the answer says is not read.

    ``ca``, ``ca_name`` and ``environ`` as for ``open_session``; ``patience`` is in seconds, connecting included;
    ``attempt`` is for telemetry. Raises ``CallFailed`` for everything but a 2xx in that time, and ``Upstream`` for a
    ``ca`` that cannot be read. Redirects are not followed.
    """
    session = open_session(
        ca=ca, environ=environ, ca_name=ca_name, read_timeout=patience, kind=CuttableTransport, system="webhook"
    )
    told = attempt_told(session, "POST", url, attempt)
    with session, told as call, _cut_after(patience, session.get_adapter(url), system):
        try:
            with session.post(url, data=body, headers=dict(headers), allow_redirects=False, stream=True) as response:
                call.answered(response.status_code, response.headers)
                if not 200 <= response.status_code < 300:
                    raise refusal(response, b"", system)
                return response.status_code
        except (requests.RequestException, HTTPError, UnicodeError) as error:
            raise network_failure(error, system) from error


@contextmanager
def _cut_after(seconds: float, transport: Any, system: str) -> Iterator[None]:
    """Cuts what ``transport`` has open once the time is up, and says so: what is cut can look like a whole answer."""
    done, late = threading.Event(), threading.Event()

    def watch() -> None:
        wait = seconds
        while not done.wait(wait):
            late.set()
            transport.cut()
            wait = CUT_AGAIN_EVERY

    threading.Thread(target=watch, name="webhook-watch", daemon=True).start()
    try:
        yield
    except CallFailed:
        if not late.is_set():
            raise
    finally:
        done.set()
    if late.is_set():
        raise CallFailed("did not answer in time", kind="timeout", system=system, retryable=True)
