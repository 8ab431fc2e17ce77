"""How Realign asks an outside system: one session a host and run, one function for every call.

``requests`` retries no body that breaks off, and ``urllib3.Retry`` can neither keep a deadline nor change a header
between attempts (Citrix wants a new transaction id each time). So the session's adapters send once, and ``call``
repeats: within a count, within a deadline, and only what the caller says may be repeated. An adapter mounted on the
session for one host changes nothing here.
"""

from __future__ import annotations

import json as json_module
import logging
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import requests
import urllib3
from urllib3.exceptions import HTTPError
from urllib3.util import Retry

from shared.call_failure import CallFailed, network_failure, refusal
from shared.telemetry import telling
from shared.telemetry.call import Call
from shared.transport import Proxies, Transport, trust_anchors

VERSION = "0.1.0"
MAX_BODY_BYTES = 256 * 1024 * 1024
ASK_AGAIN_FOR_BODY = 2
RETRYABLE = frozenset({429, 502, 503, 504})

Auth = Callable[[requests.PreparedRequest], requests.PreparedRequest]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment on a monotonic clock, in seconds, by which a piece of work has to be over."""

    ends: float
    clock: Callable[[], float] = time.monotonic

    @classmethod
    def after(cls, seconds: float, clock: Callable[[], float] = time.monotonic) -> Deadline:
        return cls(clock() + seconds, clock)

    def remaining(self) -> float:
        """Seconds left; negative when it has passed."""
        return self.ends - self.clock()


@dataclass(frozen=True, slots=True)
class Limits:
    """What a call may cost. One ``Limits`` may serve many calls: they share the deadline.

    ``attempts`` counts the first one; ``silence`` is how many seconds, over all attempts of one call, may pass without
    an answer; ``backoff`` and ``ceiling`` are seconds of the growing pause between attempts; ``body_bytes``
    is the longest answer, decompressed.
    """

    deadline: Deadline
    attempts: int = 4
    silence: float = 60.0
    backoff: float = 0.5
    ceiling: float = 30.0
    body_bytes: int = MAX_BODY_BYTES
    pause: Callable[[float], None] = time.sleep
    jitter: Callable[[], float] = random.random


@dataclass(frozen=True, slots=True)
class Answer:
    """A 2xx answer. ``json`` is the decoded body, None when there is none. Header names ignore case."""

    status: int
    headers: Mapping[str, str]
    json: Any


def open_session(
    *,
    ca: str | None,
    environ: Mapping[str, str],
    ca_name: str = "ca",
    read_timeout: float = 60.0,
    kind: type[Transport] = Transport,
    system: str = "other",
) -> requests.Session:
    """A pooled session that trusts what ``trust_anchors`` says and takes its proxies from ``environ`` alone.

    Every call has time-outs (connect 5 s; ``read_timeout`` seconds between two bytes). ``kind`` is its adapter's class,
    ``system`` telemetry's word for the other side. Close it after the run.
    """
    session = requests.Session()
    session.trust_env = False  # requests would let REQUESTS_CA_BUNDLE win over a named CA, and read .netrc
    trust = trust_anchors(ca, environ, ca_name=ca_name)
    transport = kind(trust, Proxies.of(environ), read_timeout=read_timeout, system=system)
    session.mount("https://", transport)
    session.mount("http://", transport)
    session.headers["User-Agent"] = f"realign/{VERSION}"
    session.headers["Accept"] = "application/json"
    return session


@dataclass(frozen=True, slots=True)
class _Request:
    """One request, to be sent as often as its caller allows. ``headers`` is asked again for each attempt."""

    method: str
    url: str
    system: str
    headers: Callable[[], Mapping[str, str]]
    params: Mapping[str, str | int] | None
    json: Any = field(repr=False)  # a batch of Citrix carries tokens
    data: Mapping[str, str] | None = field(repr=False)
    auth: Auth | None


def call(
    session: requests.Session,
    method: str,
    url: str,
    *,
    system: str,
    limits: Limits,
    repeatable: bool,
    headers: Callable[[], Mapping[str, str]] = dict,
    params: Mapping[str, str | int] | None = None,
    json: Any = None,
    data: Mapping[str, str] | None = None,
    auth: Auth | None = None,
    retry_on: frozenset[int] = RETRYABLE,
    wait_out_429: bool = True,
) -> Answer:
    """Ask once, or as often as ``limits`` allows. ``repeatable`` is the caller's word that asking twice does no harm;
    without ``wait_out_429`` a caller that sets its own pace hears of a 429 at once.

    ``system`` names the other side in messages ("Prism Element prism.corp.example"). Raises ``CallFailed`` for
    everything but a whole 2xx answer; its ``kind`` is one of those of ``Upstream``. Redirects are not followed.
    """
    request = _Request(method, url, system, headers, params, json, data, auth)
    silence, broken_bodies = limits.silence, 0
    for attempt in count(1):
        patience = min(silence, limits.deadline.remaining())
        if patience <= 0:
            cause = "did not answer in the time that was left"
            # what may not be repeated goes again only when nothing was done before
            unsent = attempt == 1 or not repeatable
            raise CallFailed(cause, kind="timeout", system=system, retryable=True, unsent=unsent)
        began = limits.deadline.clock()
        try:
            return _ask_once(session, request, patience, limits, attempt)
        except CallFailed as failure:
            if failure.kind in ("timeout", "unreachable"):
                silence -= limits.deadline.clock() - began
            broken_bodies += failure.kind == "malformed"
            wait = delay(attempt, failure.headers.get("Retry-After"), limits)
            worth_it = should_repeat(failure, repeatable=repeatable, retry_on=retry_on, wait_out_429=wait_out_429)
            exhausted = attempt >= limits.attempts or broken_bodies > ASK_AGAIN_FOR_BODY
            if not worth_it or exhausted or silence <= 0 or wait >= limits.deadline.remaining():
                raise
            log.info("asking again system=%s cause=%s attempt=%s wait=%.1f", system, failure.kind, attempt, wait)
            limits.pause(wait)
    raise AssertionError("unreachable: the loop above only ends by return or raise")


@contextmanager
def attempt_told(session: requests.Session, method: str, url: str, attempt: int) -> Iterator[Call]:
    """Telemetry hears of this attempt; of one that another error stopped before it went out it does not."""
    told = Call.to(_of_adapter(session, url, "system") or "other", method, url, attempt)
    try:
        yield told
    except CallFailed as failure:
        if failure.http_status is None:
            told.failed(failure.kind)
        telling.called(told)
        raise
    telling.called(told)


def should_repeat(
    failure: CallFailed, *, repeatable: bool, retry_on: frozenset[int] = RETRYABLE, wait_out_429: bool = True
) -> bool:
    """After a 429, or when nothing was sent, nothing has happened. After anything else a write may have."""
    if failure.unsent:
        return failure.retryable
    if failure.http_status == 429:
        return wait_out_429
    if not repeatable:
        return False
    return failure.http_status in retry_on if failure.http_status is not None else failure.retryable


def delay(attempt: int, retry_after: str | None, limits: Limits) -> float:
    """Seconds to wait after attempt number ``attempt``. ``Retry-After`` (seconds or a date) goes first."""
    backoff: float = min(limits.ceiling, limits.backoff * 2 ** (attempt - 1))
    spread = limits.jitter()
    wished = wished_pause(retry_after)
    return backoff * (0.5 + spread / 2) if wished is None else wished + spread * limits.backoff


def wished_pause(retry_after: str | None) -> float | None:
    """The seconds that a ``Retry-After`` asks for; None without one that says something."""
    if retry_after is None:
        return None
    try:
        return float(Retry().parse_retry_after(retry_after))
    except HTTPError:  # neither seconds nor a date
        return None


def _ask_once(session: requests.Session, request: _Request, patience: float, limits: Limits, attempt: int) -> Answer:
    """``patience``: seconds to wait for each sign of life."""
    headers = dict(request.headers())
    with attempt_told(session, request.method, request.url, attempt) as told:
        told.sent(headers)
        return _decoded(*_asked(session, request, headers, patience, limits, told), request.system)


def _asked(
    session: requests.Session,
    request: _Request,
    headers: Mapping[str, str],
    patience: float,
    limits: Limits,
    told: Call,
) -> tuple[requests.Response, bytes]:
    """A 2xx answer and its body. Raises ``CallFailed``."""
    try:
        with session.request(
            request.method,
            request.url,
            headers=dict(headers),
            params=request.params,
            json=request.json,
            data=request.data,
            auth=request.auth,
            timeout=patience,  # the adapter knows how long a connection may take
            allow_redirects=False,
            stream=True,
        ) as response:
            told.answered(response.status_code, response.headers)
            body = _read_body(response, request.system, limits)
    except (requests.RequestException, HTTPError, UnicodeError) as error:
        raise network_failure(error, request.system, _of_adapter(session, request.url, "hop")) from error
    if not 200 <= response.status_code < 300:
        raise refusal(response, body, request.system)
    return response, body


def _decoded(response: requests.Response, body: bytes, system: str) -> Answer:
    if not body.strip():
        return Answer(response.status_code, response.headers, None)
    try:
        return Answer(response.status_code, response.headers, json_module.loads(body))
    except (ValueError, RecursionError) as error:
        # "from None": the decoder's error quotes the document, and a document may hold what no log should.
        cause = f"sent an answer that is no valid JSON ({len(body)} bytes)"
        position = f" from position {error.pos}" if isinstance(error, json_module.JSONDecodeError) else ""
        raise CallFailed(f"{cause}{position}", kind="malformed", system=system, retryable=True) from None


def _of_adapter(session: requests.Session, url: str, name: str) -> str:
    try:
        return str(getattr(session.get_adapter(url), name, ""))
    except requests.exceptions.InvalidSchema:
        return ""


def _read_body(response: requests.Response, system: str, limits: Limits) -> bytes:
    chunks: list[bytes] = []
    size = 0
    try:
        for chunk in _chunks(response):
            chunks.append(chunk)
            size += len(chunk)
            if size > limits.body_bytes:
                cause = f"sent more than {limits.body_bytes / 2**20:.0f} MB"
                raise CallFailed(cause, kind="failed", system=system)
            if limits.deadline.remaining() <= 0:
                cause = "was still sending its answer when the time was up"
                raise CallFailed(cause, kind="timeout", system=system, retryable=True)
    except (requests.RequestException, HTTPError, CallFailed):
        # A refusal counts without its text. Above all a 401 must not look like a broken answer and be asked again.
        if 200 <= response.status_code < 300:
            raise
    return b"".join(chunks)


def _chunks(response: requests.Response) -> Iterator[bytes]:
    if not isinstance(response.raw, urllib3.HTTPResponse):
        yield from response.iter_content(65536)
        return
    # read1 comes back with what is there: a body that trickles in cannot hide from the deadline.
    while chunk := response.raw.read1(65536, decode_content=True):
        yield chunk
