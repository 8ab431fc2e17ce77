"""Turns what a use case returns or raises into an HTTP answer: JSON, or one error shape (RFC 9457)."""

from __future__ import annotations

import json
import logging
import re
import uuid
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import azure.functions as func

from shared.errors import (
    InvalidRequest,
    MethodNotAllowed,
    NotAllowed,
    PlanChanged,
    ProfileBusy,
    ProfileInvalid,
    RealignError,
    RemapNotOpen,
    TooManyRequests,
)
from shared.telemetry.subject import working_on

if TYPE_CHECKING:
    from functions.contract.answers import Problem

log = logging.getLogger(__name__)

# On every answer. What is no page of ours loads nothing, is shown in no frame and tells nobody where it came from.
SAFE_HEADERS: Mapping[str, str] = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

Handler = Callable[[], func.HttpResponse]
H = TypeVar("H")

_TRACE = re.compile(r"^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}$")
_WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})


def respond(request: func.HttpRequest, handlers: Mapping[str, Handler]) -> func.HttpResponse:
    """Run the handler of the request's method. Routes take every method: the host's own answer is a bare 404."""
    with subject_of(request):
        try:
            return handler_for(request, handlers)()
        except Exception as error:  # noqa: BLE001 - the edge: the host would answer an empty 500
            return failed(request, error)


def subject_of(request: func.HttpRequest) -> AbstractContextManager[object]:
    """What the route says that the request is about, for the log lines of a ``with`` block."""
    return working_on(request.route_params.get("id") or "", request.route_params.get("name") or "")


def failed(request: func.HttpRequest, error: Exception) -> func.HttpResponse:
    """The answer to whatever a handler raised. What nobody expected is told to the log alone, with the ``traceId``."""
    if isinstance(error, RealignError):
        return problem(request, error)
    trace = _trace_id(request)
    log.error("unexpected error trace=%s", trace, exc_info=error)
    text = "Realign met an error that it did not expect. The app's log has the details beside the traceId."
    return problem(request, RealignError(text), trace)


def handler_for(request: func.HttpRequest, handlers: Mapping[str, H]) -> H:
    """The handler of the request's method. Raises ``MethodNotAllowed``, or ``NotAllowed`` for another site's page."""
    method = str(request.method).upper()
    if method not in handlers:
        allowed = tuple(sorted(handlers))
        raise MethodNotAllowed(f"This address does not know {method}. Use {' or '.join(allowed)}.", allowed=allowed)
    if method in _WRITES and not _own_page(request):
        raise NotAllowed("A page of another site may not change anything here. Use the review page or the API itself.")
    return handlers[method]


def _own_page(request: func.HttpRequest) -> bool:
    """False for a request that a browser sends for another site's page. Other callers send neither header."""
    fetched: str | None = request.headers.get("sec-fetch-site")
    if fetched is not None:
        return fetched in ("same-origin", "none")
    origin: str | None = request.headers.get("origin")
    if origin is None:
        return True
    try:
        # only hosts are compared: in front of the app TLS ends, and the URL may say http
        return urlsplit(origin).netloc.lower() == urlsplit(str(request.url)).netloc.lower() != ""
    except ValueError:
        return False


def json_answer(
    document: Any, *, status: int = 200, headers: Mapping[str, str] | None = None, mimetype: str = "application/json"
) -> func.HttpResponse:
    """A JSON answer that no cache keeps."""
    body = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    return func.HttpResponse(
        body.encode(errors="replace"),  # half a surrogate pair, which a profile file can hold, has no UTF-8
        status_code=status,
        headers={**SAFE_HEADERS, **(headers or {})},
        mimetype=mimetype,
    )


def problem(request: func.HttpRequest, error: RealignError, trace: str | None = None) -> func.HttpResponse:
    """An error as ``application/problem+json``; the ``traceId`` stands in the log beside it."""
    trace = trace or _trace_id(request)
    headers: dict[str, str] = {}
    match error:
        case TooManyRequests():
            headers["Retry-After"] = str(error.retry_after)
        case MethodNotAllowed():
            headers["Allow"] = ", ".join(error.allowed)
    level = logging.ERROR if error.status >= 500 else logging.INFO
    # the sentence of a refusal names who is refused, and nobody but they needs that
    said = error.title if isinstance(error, NotAllowed) else error
    log.log(level, "answered %s %s trace=%s: %s", error.status, error.code, trace, said)
    document = problem_shape(error, trace)
    return json_answer(document, status=error.status, headers=headers, mimetype="application/problem+json")


def problem_shape(error: RealignError, trace: str) -> Problem:
    """The members of RFC 9457, ours, and what only this kind of error knows."""
    shape: Problem = {
        "type": f"urn:realign:{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": str(error),
        "code": error.code,
        "traceId": trace,
    }
    match error:
        case InvalidRequest(field=str() as field):
            shape["field"] = field
        case ProfileInvalid():
            shape["errors"] = list(error.errors)
        case ProfileBusy():
            shape["runId"] = error.run_id
        case PlanChanged():
            shape["fingerprint"] = error.fingerprint
        case RemapNotOpen():
            shape["machines"] = list(error.machines)
    return shape


def _trace_id(request: func.HttpRequest) -> str:
    match = _TRACE.match(request.headers.get("traceparent", ""))
    return match[1] if match else uuid.uuid4().hex
