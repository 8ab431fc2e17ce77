"""How the Azure SDK clients reach the network: one pooled session, time-outs on every call, bounded patience.

The session reads nothing from the process: requests would let a netrc entry replace the bearer token, and mix other
bundles and proxies into what the settings say. Verification is never off.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import requests
from azure.core.exceptions import AzureError
from azure.core.pipeline.transport import HttpRequest, RequestsTransport

from shared.azure.failures import network_kind
from shared.settings.trust import TrustSettings
from shared.telemetry import telling
from shared.telemetry.call import Call
from shared.transport import CONNECT_TIMEOUT, Proxies, Transport, trust_anchors

READ_TIMEOUT = 20.0
CHALLENGE = 401
LONGEST_WAIT = 15.0  # seconds between two attempts, whatever Retry-After asks for: a lock lives for 60


class BoundedTransport(RequestsTransport):  # type: ignore[misc]  # exported lazily: mypy sees Any
    """The SDK sleeps through its transport, for as long as ``Retry-After`` says; this one caps it.

    It also tells telemetry of each attempt; ``system`` is the word for the other side, None for calls of telemetry
    itself. The SDK's retries send the same request object again, and a vault answers the first request of a process
    with the challenge that it signs in by.
    """

    def __init__(self, *, system: str | None, **options: Any) -> None:
        super().__init__(**options)
        self._system = system
        self._attempts: WeakKeyDictionary[HttpRequest, int] = WeakKeyDictionary()

    def send(self, request: HttpRequest, **options: Any) -> Any:
        if self._system is None:
            return super().send(request, **options)
        attempt = self._attempts.get(request, 0) + 1
        told = Call.to(self._system, request.method, request.url, attempt)
        told.sent(request.headers)
        try:
            response = super().send(request, **options)
        except AzureError as error:
            self._attempts[request] = attempt
            told.failed(network_kind(error))
            telling.called(told)
            raise
        if response.status_code != CHALLENGE:
            self._attempts[request] = attempt
        told.answered(response.status_code, response.headers)
        telling.called(told)
        return response

    def sleep(self, duration: float) -> None:
        super().sleep(min(duration, LONGEST_WAIT))


class _ClosingTransport(Transport):
    """urllib3 leaves the closing of a pool to the garbage collector, and an SDK error that is kept keeps its pool.

    Only for pools that nobody queues for: who waits for a connection of a closed pool waits for ever.
    """

    def close(self) -> None:
        for manager in (self.poolmanager, *self.proxy_manager.values()):
            for key in list(manager.pools.keys()):
                pool = manager.pools.get(key)
                if pool is not None:
                    pool.close()
        super().close()


def session_over(transport: Transport) -> requests.Session:
    """A session whose every connection is ``transport``'s, and that takes nothing from the process's environment."""
    session = requests.Session()
    session.trust_env = False
    session.mount("https://", transport)
    session.mount("http://", transport)
    return session


def open_transport(
    *, connections: int, trust: TrustSettings, system: str | None
) -> tuple[BoundedTransport, requests.Session]:
    """A transport and the session that it uses; the caller closes the session. ``connections`` is per host,
    ``system`` telemetry's word for the other side, or None for calls of which it is not told.

    Raises ``Upstream`` of kind ``misconfigured`` when the certificates to trust cannot be read.
    """
    session = session_over(
        # Retries are the SDK policies' work; a second layer here would multiply them.
        _ClosingTransport(
            trust_anchors(None, trust.variables),
            Proxies.of(trust.variables),
            read_timeout=READ_TIMEOUT,
            connections=connections,
            queueing=False,
        )
    )
    transport = BoundedTransport(
        system=system,
        session=session,
        session_owner=False,
        use_env_settings=False,
        connection_timeout=CONNECT_TIMEOUT,
        read_timeout=READ_TIMEOUT,
    )
    return transport, session
