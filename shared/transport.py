"""What a connection may trust and which way it goes: TLS anchors, proxies, the pool and its default time-outs.

``requests`` would mix certifi or the environment's bundle into every connection, and its proxy look-up reads the
process environment. Here both are decided once, from values that are handed in. What is asked over a connection, and
how often, is the business of ``shared.http``.
"""

from __future__ import annotations

import ipaddress
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3.util import Retry

from shared.errors import Upstream

CONNECT_TIMEOUT = 5.0
CONNECTIONS_PER_HOST = 16


def trust_anchors(ca: str | None, environ: Mapping[str, str], *, ca_name: str = "ca") -> ssl.SSLContext:
    """A verifying TLS context. ``ca`` (PEM text) is the only anchor where it is given; ``ca_name`` is its secret.

    Without it: the file (or folder) in ``REQUESTS_CA_BUNDLE`` or ``SSL_CERT_FILE`` of ``environ``, else certifi.
    Raises ``Upstream`` of kind ``misconfigured`` when the certificates cannot be read.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # A company often names its issuing CA, or an appliance's own certificate, instead of the root above it.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if ca is not None:
        try:
            context.load_verify_locations(cadata=ca)
        except (ssl.SSLError, ValueError) as error:
            raise Upstream(
                f"The CA certificate in secret {ca_name} cannot be read. Store it as PEM text, from "
                "-----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----, with its line breaks.",
                kind="misconfigured",
                system=f"secret {ca_name}",
            ) from error
        return context
    setting = next((name for name in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE") if environ.get(name)), None)
    path = environ[setting] if setting else DEFAULT_CA_BUNDLE_PATH
    try:
        if os.path.isdir(path):
            context.load_verify_locations(capath=path)
        else:
            context.load_verify_locations(cafile=path)
    except (OSError, ValueError) as error:
        raise Upstream(
            f"The CA certificates in {path} (setting {setting or 'none, certifi'}) cannot be read. "
            "Let the setting name a readable PEM file.",
            kind="misconfigured",
            system=setting or "certifi",
        ) from error
    return context


@dataclass(frozen=True, slots=True)
class Proxies:
    """The proxies of an environment, by URL scheme. ``bypass`` are the entries of ``no_proxy``."""

    by_scheme: Mapping[str, str] = field(default_factory=dict, repr=False)  # the URLs may hold a password
    bypass: tuple[str, ...] = ()

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Proxies:
        """Lower-case names win over upper-case ones, as with curl."""

        def read(name: str) -> str:
            return environ.get(name) or environ.get(name.upper()) or ""

        schemes = {scheme: read(f"{scheme}_proxy") or read("all_proxy") for scheme in ("http", "https")}
        bypass = tuple(part.strip().lower() for part in read("no_proxy").split(",") if part.strip())
        return cls({scheme: url for scheme, url in schemes.items() if url}, bypass)

    def for_url(self, url: str) -> dict[str, str]:
        """The mapping that ``requests`` takes for this URL; empty for a direct connection."""
        parts = urlsplit(url)
        proxy = self.by_scheme.get(parts.scheme)
        if proxy is None or any(_covers(entry, parts.hostname or "", parts.port) for entry in self.bypass):
            return {}
        return {parts.scheme: proxy}


def _covers(entry: str, host: str, port: int | None) -> bool:
    """True when an entry of ``no_proxy`` (name, ``.suffix``, ``host:port``, address, network, ``*``) covers a host."""
    if entry == "*":
        return True
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(entry, strict=False)
    except ValueError:
        suffix = entry.removeprefix("*").lstrip(".")
        return any(name == suffix or name.endswith(f".{suffix}") for name in (host, f"{host}:{port}"))


class Transport(HTTPAdapter):
    """The adapter of every session: one trust, its own proxies, and time-outs on calls that bring none.

    ``connect_timeout`` is the longest, in seconds. ``connections`` is per host. Who needs one more waits for it, or
    with ``queueing`` off gets one that is not kept. ``system`` is telemetry's word for the other side.
    """

    connect_timeout = CONNECT_TIMEOUT

    def __init__(
        self,
        context: ssl.SSLContext,
        proxies: Proxies,
        *,
        read_timeout: float,
        connections: int = CONNECTIONS_PER_HOST,
        queueing: bool = True,
        retries: Retry | int = 0,
        system: str = "other",
    ) -> None:
        self.system = system
        self.context = context
        self._proxies = proxies
        self.read_timeout = read_timeout
        super().__init__(pool_connections=8, pool_maxsize=connections, pool_block=queueing, max_retries=retries)

    @property
    def hop(self) -> str:
        """What lies between here and the host, for messages; empty where nothing is known to."""
        return ""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs, ssl_context=self.context)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        return super().proxy_manager_for(proxy, **kwargs, ssl_context=self.context)

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """The context has decided. The base class would have the pool trust certifi or ``verify`` as well."""

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: Any = None,
    ) -> requests.Response:
        connect, read = timeout if isinstance(timeout, tuple) else (timeout, timeout)
        bounded = (
            min(connect or self.connect_timeout, self.connect_timeout),
            min(read or self.read_timeout, self.read_timeout),
        )
        # "verify" goes no further: a bundle named there would be loaded into the context, next to the named CA.
        return super().send(
            request, stream=stream, timeout=bounded, cert=cert, proxies=self._proxies.for_url(request.url or "")
        )
