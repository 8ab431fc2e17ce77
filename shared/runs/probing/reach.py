"""The way to a host below HTTP: name, TCP and TLS, one after the other, each with what to do where it ends.

The clients meet the same troubles; here each has a stage of its own, and nobody signs in anywhere.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping
from urllib.parse import urlsplit

from shared.errors import Upstream
from shared.runs.probing.check import Walk
from shared.transport import CONNECT_TIMEOUT, Proxies

HTTPS = 443
_PORTS = {"http": 80, "https": HTTPS}
_MOST_ADDRESSES = 4


def reach(walk: Walk, origin: str, trust: ssl.SSLContext, environ: Mapping[str, str], setting: str) -> None:
    """Walk to ``origin`` (``https://host:port``); ``setting`` says where its name is written, for the remedy.

    Where a proxy stands between, only the way to that is walked: what lies behind it only the proxy sees. Raises
    ``Upstream`` with what to do.
    """
    parts = urlsplit(origin)
    host, port = parts.hostname or "", parts.port or _PORTS.get(parts.scheme, HTTPS)
    proxy = next(iter(Proxies.of(environ).for_url(origin).values()), None)
    if proxy is not None:
        between = urlsplit(proxy)
        with walk.stage("proxy") as note:
            note(f"{between.hostname}:{between.port or _PORTS['http']}")
            _connect(between.hostname or "", between.port or _PORTS["http"], "the proxy settings").close()
        return
    with walk.stage("name") as note:
        note(" ".join(_addresses(host, port, setting)))
    with walk.stage("tcp") as note:
        note(f"{host}:{port}")
        connection = _connect(host, port, setting)
    with connection:
        if parts.scheme == "https":
            with walk.stage("tls") as note:
                note(_secured(connection, host, trust, setting))


def _certificate(tls: ssl.SSLSocket) -> str:
    """The version of TLS, and whose certificate it is until when."""
    found = tls.getpeercert() or {}
    subject = [item for part in found.get("subject", ()) for item in part]
    common = [str(item[1]) for item in subject if item[0] == "commonName"]
    whose = next(iter([*common, *(str(each[1]) for each in found.get("subjectAltName", ()))]), "no name")
    return f"{tls.version()} with the certificate of {whose}, valid until {found.get('notAfter', 'an unknown time')}"


def _distrusted(host: str, error: ssl.SSLError, setting: str) -> Upstream:
    """What to do about a certificate that is not trusted, or TLS that does not come about."""
    if isinstance(error, ssl.SSLCertVerificationError):
        said = error.verify_message
        if "expired" in said or "not yet valid" in said:
            what = "Renew it, or set the clock of this machine."
        elif "match" in said.lower():
            what = f"Write the name that the certificate bears in {setting}."
        else:
            what = "Name the CA that issued it: in the profile's ca, or for Azure's services in REQUESTS_CA_BUNDLE."
        return _ended(host, f"shows a certificate that is not trusted ({said}). {what}", "tls")
    reason = error.reason or "the connection was closed"
    return _ended(host, f"does not speak TLS as expected ({reason}). Check host and port in {setting}.", "tls")


def _addresses(host: str, port: int, setting: str) -> list[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        what = f"is a name that is not known here. Check it in {setting}, and the DNS that this machine asks."
        raise _ended(host, what, "unreachable") from error
    every = list(dict.fromkeys(str(each[4][0]) for each in found))
    return every[:_MOST_ADDRESSES]


def _connect(host: str, port: int, setting: str) -> socket.socket:
    try:
        return socket.create_connection((host, port), timeout=CONNECT_TIMEOUT)
    except ConnectionRefusedError as error:
        what = (
            f"refuses connections at port {port}. Check the port in {setting}, that the service runs, and what leads "
            "there, such as a hybrid connection."
        )
        raise _ended(host, what, "unreachable") from error
    except TimeoutError as error:
        what = f"does not accept a connection at port {port} within {CONNECT_TIMEOUT:.0f} s. A firewall may be between."
        raise _ended(host, what, "timeout") from error
    except OSError as error:
        what = (
            f"cannot be reached at port {port} ({error.strerror or type(error).__name__}). Check routes and firewall."
        )
        raise _ended(host, what, "unreachable") from error


def _secured(connection: socket.socket, host: str, trust: ssl.SSLContext, setting: str) -> str:
    try:
        with trust.wrap_socket(connection, server_hostname=host) as tls:
            return _certificate(tls)
    except ssl.SSLError as error:
        raise _distrusted(host, error, setting) from error
    except TimeoutError as error:
        what = (
            f"accepts a connection and then says nothing for {CONNECT_TIMEOUT:.0f} s. Check that it is not overloaded, "
            "and what leads there, such as a proxy or a hybrid connection whose end does not reach it."
        )
        raise _ended(host, what, "timeout") from error
    except OSError as error:
        what = f"closed the connection while TLS was agreed on. Check host and port in {setting}."
        raise _ended(host, what, "unreachable") from error


def _ended(host: str, what: str, kind: str) -> Upstream:
    return Upstream(f"{host} {what}", kind=kind, system=host)
