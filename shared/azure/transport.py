"""How the Azure SDK clients reach the network: one pooled session, time-outs on every call, bounded patience.

The session reads nothing from the process: requests would let a netrc entry replace the bearer token, and mix other
bundles and proxies into what the settings say. Verification is never off.
"""

from __future__ import annotations

import requests
from azure.core.pipeline.transport import RequestsTransport

from shared.settings import TrustSettings
from shared.transport import CONNECT_TIMEOUT, Proxies, Transport, trust_anchors

READ_TIMEOUT = 20.0
LONGEST_WAIT = 15.0  # seconds between two attempts, whatever Retry-After asks for: a lock lives for 60


class BoundedTransport(RequestsTransport):  # type: ignore[misc]  # exported lazily: mypy sees Any
    """The SDK sleeps through its transport, for as long as ``Retry-After`` says; this one caps it."""

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


def open_transport(*, connections: int, trust: TrustSettings) -> tuple[BoundedTransport, requests.Session]:
    """A transport and the session that it uses; the caller closes the session. ``connections`` is per host.

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
        session=session,
        session_owner=False,
        use_env_settings=False,
        connection_timeout=CONNECT_TIMEOUT,
        read_timeout=READ_TIMEOUT,
    )
    return transport, session
