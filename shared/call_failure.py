"""Naming what went wrong with a call: one error with a kind, and a clause that an operator understands.

The texts of requests and urllib3 hold URLs and object addresses, and an answer's body may hold anything; neither gets
into a message as it is.
"""

from __future__ import annotations

import base64
import html
import json
import re
import ssl
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

import requests
from urllib3.exceptions import HTTPError, LocationParseError, NameResolutionError, NewConnectionError, ReadTimeoutError

from shared.errors import Upstream
from shared.transport import CONNECT_TIMEOUT

_HIDDEN = "***"
_SHORT = 3
_NAME = r"(password|passwd|pwd|secret|token|api.?key)"
_QUOTED = r"\"[^\"]*\"|'[^']*'"
_LOOKS_SECRET = (
    (re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://)[^/?#\s]*@"), r"\1***@"),
    (re.compile(r"(?i)\b(bearer|basic)([ =]+)\S+"), r"\1\2***"),
    (re.compile(rf"(?i){_NAME}([\"']?\s*[:=]\s*)(?:{_QUOTED}|\S+)"), r"\1\2***"),
    (re.compile(rf"(?i){_NAME}(\s+(?:is|was)\s+)(?:{_QUOTED})"), r"\1\2***"),
    (re.compile(r"\beyJ[\w.-]+"), "***"),
)


class CallFailed(Upstream):
    """A call that stays without a usable answer. Clients turn it into their own error, with the remedy.

    ``cause`` is a clause that goes on after the system's name, ``http_status`` is what it answered, if it did, ``said``
    the decoded JSON of an error answer, ``unsent`` true when the request cannot have reached the system, ``remedy``
    what to do where a hop on the way knows it better than the client.
    """

    def __init__(
        self,
        cause: str,
        *,
        kind: str,
        system: str,
        retryable: bool = False,
        http_status: int | None = None,
        headers: Mapping[str, str] | None = None,
        said: Any = None,
        unsent: bool = False,
        remedy: str | None = None,
    ) -> None:
        super().__init__(f"{system} {cause}.", kind=kind, system=system, retryable=retryable)
        self.cause = cause
        self.http_status = http_status
        self.headers: Mapping[str, str] = headers or {}
        self.said = said
        self.unsent = unsent
        self.remedy = remedy


class HopFailed(NewConnectionError):
    """A hop on the way to a system, such as a relay, made no connection; nothing was sent to the system.

    ``cause`` goes on after the system's name, as in ``CallFailed``; ``remedy`` is what to do about the hop.
    """

    def __init__(self, cause: str, *, kind: str, retryable: bool, remedy: str) -> None:
        HTTPError.__init__(self, cause)  # a connection that was never made is not at hand everywhere
        self.cause = cause
        self.kind = kind
        self.retryable = retryable
        self.remedy = remedy


def refusal(response: requests.Response, body: bytes, system: str) -> CallFailed:
    """The failure that an answer outside 2xx stands for."""
    status = response.status_code
    kind = {401: "sign-in", 403: "forbidden", 429: "throttled"}.get(status, "failed")
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        said = None
    cause = f"answered HTTP {status}"
    if 300 <= status < 400:
        cause += ", a redirect that Realign does not follow"
    return CallFailed(
        cause,
        kind=kind,
        system=system,
        retryable=status == 429 or status >= 500,
        http_status=status,
        headers=response.headers,
        said=said,
    )


def network_failure(error: Exception, system: str, by_way_of: str = "") -> CallFailed:
    """The failure behind an exception of requests or urllib3; their own texts hold URLs and object addresses.

    ``by_way_of`` names a hop on the way, which may be its cause.
    """
    by_way = f", by way of {by_way_of}" if by_way_of else ""
    chain = list(_causes(error))

    def seen(*types: type[BaseException]) -> BaseException | None:
        return next((cause for cause in chain if isinstance(cause, types)), None)

    def failure(cause: str, kind: str, *, unsent: bool = False) -> CallFailed:
        retryable = kind in ("unreachable", "timeout", "malformed")
        return CallFailed(f"{cause}{by_way}", kind=kind, system=system, retryable=retryable, unsent=unsent)

    hop = seen(HopFailed)
    if isinstance(hop, HopFailed):
        return CallFailed(
            hop.cause, kind=hop.kind, system=system, retryable=hop.retryable, unsent=True, remedy=hop.remedy
        )
    untrusted = seen(ssl.SSLCertVerificationError)
    if isinstance(untrusted, ssl.SSLCertVerificationError):
        return failure(f"showed a certificate that is not trusted ({untrusted.verify_message})", "tls")
    if seen(requests.exceptions.InvalidURL, LocationParseError, UnicodeError):
        return failure("has a host name or URL that is not valid", "misconfigured")
    if seen(requests.exceptions.ProxyError):
        return failure("could not be reached through the proxy", "unreachable", unsent=True)
    if seen(requests.exceptions.ConnectTimeout):
        return failure(f"did not accept a connection within {CONNECT_TIMEOUT:.0f} s", "timeout", unsent=True)
    if seen(NameResolutionError):
        return failure("could not be reached: its host name is not known", "unreachable", unsent=True)
    if seen(NewConnectionError):
        why = "the connection was refused" if seen(ConnectionRefusedError) else "no connection could be made"
        return failure(f"could not be reached: {why}", "unreachable", unsent=True)
    if seen(requests.exceptions.ReadTimeout, ReadTimeoutError, TimeoutError):
        return failure("did not answer in time", "timeout")
    broken = seen(ssl.SSLEOFError, ssl.SSLZeroReturnError, ConnectionError)
    handshake = seen(ssl.SSLError)
    if isinstance(handshake, ssl.SSLError) and not broken:
        return failure(f"does not speak TLS as expected ({handshake.reason})", "tls")
    if seen(requests.exceptions.ConnectionError, requests.exceptions.SSLError):
        return failure("closed the connection before an answer came", "unreachable")
    return failure("sent an answer that broke off", "malformed")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The exceptions inside an exception: requests and urllib3 carry them as arguments, reason or cause."""
    yield error
    for inner in (*error.args, getattr(error, "reason", None), error.__cause__):
        if isinstance(inner, BaseException):
            yield from _causes(inner)


def excerpt(text: object, hide: Iterable[str], limit: int = 200) -> str:
    """What a vendor said, fit for a message: one line, cut, without credentials.

    ``hide``: the secret values that the caller used, such as a token, a password or ``user:password``. They go however
    they are spelt, and before the cut; what only looks like a credential goes too.
    """
    known = _spellings(hide)
    line = " ".join(known.sub(_HIDDEN, str(text or "")).split())
    line = known.sub(_HIDDEN, line)  # a secret with white space in it, if the vendor had wrapped it
    for pattern, shown in _LOOKS_SECRET:
        line = pattern.sub(shown, line)
    return line if len(line) <= limit else f"{line[:limit]}…"


def _spellings(secrets: Iterable[str]) -> re.Pattern[str]:
    """Finds each secret as it is, percent-encoded, as a form has it, inside JSON or HTML, and in base64 (Basic)."""
    found: set[str] = set()
    for secret in filter(None, secrets):
        octets = secret.encode()
        found |= {
            secret,
            " ".join(secret.split()),
            quote(secret, safe=""),
            quote(secret),
            quote_plus(secret),
            json.dumps(secret)[1:-1],
            json.dumps(secret, ensure_ascii=False)[1:-1],
            html.escape(secret),
            base64.b64encode(octets).decode().rstrip("="),
            base64.urlsafe_b64encode(octets).decode().rstrip("="),
        }
    found.discard("")
    # The longest first: "user:password" before "password". Percent-encodings come in either case.
    longest_first = sorted(found, key=len, reverse=True)
    return re.compile("|".join(map(_anywhere, longest_first)) or r"(?!)", re.IGNORECASE)


def _anywhere(value: str) -> str:
    """The pattern for ``value``; one that is very short counts as a word alone, or an "id" would hide in "invalid"."""
    exactly = re.escape(value)
    return exactly if len(value) > _SHORT else rf"(?<!\w){exactly}(?!\w)"
