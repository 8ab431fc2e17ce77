"""Tries a way through a relay to its end, and tells the two kinds of listener apart (contract ``relay.md``, 11)."""

from __future__ import annotations

import ssl
import time
from dataclasses import replace

from urllib3.exceptions import HTTPError

from shared.relay.refusal import PreambleRefused, is_raw
from shared.relay.transport import RelayConnection
from shared.relay.tunnels import Way

LEAST_SECONDS = 1.0


def probe(way: Way, host: str, port: int, context: ssl.SSLContext, seconds: float) -> None:
    """Return where TLS of ``host`` comes through; whether its certificate is trusted is no business of the relay.

    A listener that does not answer as azbridge is spoken to once as the other kind, in what is left of ``seconds``.
    Raises ``HopFailed``, or what TLS itself fails with: ``OSError`` or urllib3's ``HTTPError``.
    """
    ends = time.monotonic() + seconds
    try:
        _reach(way, host, port, context, seconds)
    except PreambleRefused:
        raw = replace(way, place=replace(way.place, listener="hcm"))
        try:
            _reach(raw, host, port, context, max(LEAST_SECONDS, ends - time.monotonic()))
        except (OSError, HTTPError):
            pass
        else:
            raise is_raw(way.place) from None
        raise


def _reach(way: Way, host: str, port: int, context: ssl.SSLContext, seconds: float) -> None:
    connection = RelayConnection(way, host=host, port=port, timeout=seconds, ssl_context=context)
    try:
        connection.connect()
    except ssl.SSLCertVerificationError:
        return
    finally:
        connection.close()
