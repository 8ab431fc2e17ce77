"""``review/{*path}``: the review page, the files of ``functions/page/`` as a browser runs them.

The files hold no data, so anybody may read them: somebody who is signed out needs the style of that state too. The
document itself leads whoever is signed out to the sign-in. What the page shows it asks the API for, under the same
roles as every other caller.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

import azure.functions as func

from functions.conditional import ANY, known_tags
from functions.principal import caller_of
from functions.respond import SAFE_HEADERS, respond
from shared.errors import NotAllowed, NotAuthenticated, NotFound
from shared.runs.access import Role

if TYPE_CHECKING:
    from shared.runs.resources import Resources

ROOT = "/api/review"
SIGN_IN = "/.auth/login/aad"
SIGNED_OUT = "signed-out"

_FOLDER = Path(__file__).with_name("page")
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_DOCUMENT = "index.html"
# Stands in the document before the files that belong to it. All of a version are below one address, so that modules of
# two deployments never meet in one browser, and each may be kept for good.
_VERSION = "v-00000000"
_VERSIONED = re.compile(r"(v-[0-9a-f]{8})/(.+)")
# the addresses that the page's own router knows; everything else is 404, whatever the folder holds
_VIEWS = re.compile(r"(runs(/[^/]+(/history|/machines/[^/]+)?)?|profiles|health|start|signed-out)?")

_HEADERS: Mapping[str, str] = MappingProxyType(
    {
        **SAFE_HEADERS,
        "Content-Security-Policy": (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
            "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
        ),
        "Cross-Origin-Opener-Policy": "same-origin",
        "X-Frame-Options": "DENY",
    }
)
# kept, and asked for again each time: a deployment shows at once, and an unchanged document costs no body
_ASK_AGAIN = "no-cache"
_FOR_GOOD = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class _File:
    content: bytes
    mimetype: str

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.content).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class _Page:
    """``files`` by their path below the page; ``version`` stands for all of them."""

    document: _File
    files: Mapping[str, _File]
    version: str


def blueprint(resources: Callable[[], Resources]) -> func.Blueprint:
    bp = func.Blueprint()

    @bp.function_name("review_page")
    @bp.route(route="review/{*path}", auth_level=func.AuthLevel.ANONYMOUS)
    def review_page(req: func.HttpRequest) -> func.HttpResponse:
        return respond(req, {"GET": lambda: _page(req, resources)})

    return bp


def _page(req: func.HttpRequest, resources: Callable[[], Resources]) -> func.HttpResponse:
    path = (req.route_params.get("path") or "").strip("/")
    page = _loaded()
    version, name = found.groups() if (found := _VERSIONED.fullmatch(path)) else (None, path)
    if name in page.files:
        return _sent(req, page.files[name], cache=_FOR_GOOD if version == page.version else _ASK_AGAIN)
    if not _VIEWS.fullmatch(path):
        raise NotFound(f"The review page has nothing at this address. It begins at {ROOT}.")
    if path == SIGNED_OUT:
        return _sent(req, page.document)
    easy_auth = resources().settings.auth.enabled
    try:
        caller_of(req, easy_auth=easy_auth, role=Role.READER, what="use Realign")
    except NotAuthenticated:
        # without Easy Auth there is nowhere to sign in; the page then says so in the API's words
        return _to_sign_in(req, path) if easy_auth else _sent(req, page.document, status=401)
    except NotAllowed:
        return _sent(req, page.document, status=403)
    return _sent(req, page.document)


@cache
def _loaded() -> _Page:
    """What a request names is looked up among these and never joined to a path."""
    files = {
        file.relative_to(_FOLDER).as_posix(): _File(file.read_bytes(), _TYPES[file.suffix])
        for file in sorted(_FOLDER.rglob("*"))
        if file.suffix in _TYPES
    }
    document = files.pop(_DOCUMENT)
    every = "".join(f"{name} {file.digest} " for name, file in files.items())
    version = f"v-{hashlib.sha256(every.encode()).hexdigest()[:8]}"
    document = replace(document, content=document.content.replace(_VERSION.encode(), version.encode()))
    return _Page(document, MappingProxyType(files), version)


def _sent(req: func.HttpRequest, file: _File, *, status: int = 200, cache: str = _ASK_AGAIN) -> func.HttpResponse:
    content = file.content
    headers = {**_HEADERS, "Cache-Control": cache, "ETag": f'"{file.digest}"'}
    if status != 200:
        headers["Cache-Control"] = "no-store"  # who may see it is asked again each time
    elif not {ANY, file.digest}.isdisjoint(known_tags(req) or ()):
        status, content = 304, b""
    return func.HttpResponse(content, status_code=status, headers=headers, mimetype=file.mimetype, charset="utf-8")


def _to_sign_in(req: func.HttpRequest, path: str) -> func.HttpResponse:
    """Back to the very view afterwards, filters included. It is built below ``ROOT``, so it never leaves this site."""
    here = f"{ROOT}/{quote(path)}".rstrip("/")
    query = urlencode(dict(req.params))
    location = f"{SIGN_IN}?{urlencode({'post_login_redirect_uri': f'{here}?{query}' if query else here})}"
    headers = {**_HEADERS, "Location": location}
    return func.HttpResponse(b"", status_code=302, headers=headers, mimetype="text/html", charset="utf-8")
