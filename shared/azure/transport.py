"""How the Azure SDK clients reach the network: one pooled session, time-outs on every call, bounded patience.

Trust is the SDK's own way: ``REQUESTS_CA_BUNDLE`` and the proxy variables are honoured by requests, and ``ca_bundle``
replaces the public certificate authorities. Verification is never off.
"""

from __future__ import annotations

import requests
from azure.core.pipeline.transport import RequestsTransport
from requests.adapters import HTTPAdapter

CONNECT_TIMEOUT = 5.0
READ_TIMEOUT = 20.0
LONGEST_WAIT = 15.0  # seconds between two attempts, whatever Retry-After asks for: a lock lives for 60


class BoundedTransport(RequestsTransport):  # type: ignore[misc]  # exported lazily: mypy sees Any
    """The SDK sleeps through its transport, for as long as ``Retry-After`` says; this one caps it."""

    def sleep(self, duration: float) -> None:
        super().sleep(min(duration, LONGEST_WAIT))


class _ClosingAdapter(HTTPAdapter):
    """urllib3 leaves the closing of a pool to the garbage collector, and an SDK error that is kept keeps its pool."""

    def close(self) -> None:
        pools = self.poolmanager.pools
        for key in list(pools.keys()):
            pool = pools.get(key)
            if pool is not None:
                pool.close()
        super().close()


def open_transport(*, connections: int, ca_bundle: str | None) -> tuple[BoundedTransport, requests.Session]:
    """A transport and the session that it uses; the caller closes the session. ``connections`` is per host."""
    session = requests.Session()
    # Retries are the SDK policies' work; a second layer here would multiply them.
    adapter = _ClosingAdapter(pool_connections=4, pool_maxsize=connections, max_retries=0)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    transport = BoundedTransport(
        session=session,
        session_owner=False,
        connection_timeout=CONNECT_TIMEOUT,
        read_timeout=READ_TIMEOUT,
        connection_verify=ca_bundle or True,
    )
    return transport, session
