"""Plays App Service with Easy Auth in front of the local host: the sandbox's sign-in, and the headers that it leads to.

Only ``serve`` puts it there. Nothing here is a proof of who somebody is: it listens on the loopback address and lets
anybody choose a user. What it does keep is the platform's promise that the principal's headers come from it alone.
"""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from urllib.parse import quote, urlencode

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from sandbox.easy_auth_users import USERS, User

_ADDRESS = "127.0.0.1"
_COOKIE = "AppServiceAuthSession"
_CHOICE = "X-Sandbox-User"
_STRIPPED = ("x-ms-client-principal", "x-ms-token-")
# Named by RFC 9110, section 7.6.1, and what each of the two connections frames for itself.
_HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "expect",
    }
)
# Azure's load balancer gives up on an answer after 230 s (contract azure.md, section 1.2).
_ANSWER_SECONDS = 230.0
_BODY_LIMIT = 210 * 1024 * 1024


class EasyAuthFront:
    """A reverse proxy on 127.0.0.1 that signs people in. Start and stop it on the same event loop."""

    def __init__(self) -> None:
        self._upstream = ""
        self._client: aiohttp.ClientSession | None = None
        self._runner: web.AppRunner | None = None

    async def start(self, upstream: str, port: int = 0) -> str:
        """Serves ``upstream`` (``http://host:port``) on ``port``, 0 for a free one, and gives its own base URL.

        Raises:
            OSError: the port is taken.
        """
        self._upstream = upstream.rstrip("/")
        self._client = aiohttp.ClientSession(
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, connect=10, sock_read=_ANSWER_SECONDS),
            connector=aiohttp.TCPConnector(limit=0),
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        )
        application = web.Application(client_max_size=_BODY_LIMIT)
        application.router.add_get("/.auth/login/aad", _login)
        application.router.add_get("/.auth/login/done", _done)
        application.router.add_get("/.auth/logout", _logout)
        application.router.add_get("/.auth/me", _me)
        application.router.add_route("*", "/{path:(?s:.*)}", self._forward)
        self._runner = web.AppRunner(application, access_log=None, auto_decompress=False, shutdown_timeout=5.0)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, _ADDRESS, port).start()
        except OSError:
            await self.stop()
            raise
        return f"http://{_ADDRESS}:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        """Ends the proxy; answers under way get five seconds. May be called twice."""
        runner, self._runner = self._runner, None
        client, self._client = self._client, None
        if runner is not None:
            await runner.cleanup()
        if client is not None:
            await client.close()

    async def _forward(self, request: web.Request) -> web.StreamResponse:
        # Anything but a path would choose the host that the request goes to.
        if not request.raw_path.startswith("/") or request.raw_path.lower().startswith("/.auth/"):
            return web.Response(status=404 if request.raw_path.startswith("/") else 400)
        choice = request.headers.get(_CHOICE)
        if choice is not None and choice not in USERS:
            return web.Response(status=400, text=f"{_CHOICE} is one of {', '.join(USERS)}.\n")
        user = USERS[choice] if choice else _signed_in(request)
        if self._client is None:
            return web.Response(status=503)
        response: web.StreamResponse | None = None
        try:
            async with self._client.request(
                request.method,
                URL(self._upstream + request.raw_path, encoded=True),
                headers=_request_headers(request, user),
                data=request.content if request.body_exists else None,
                allow_redirects=False,
            ) as upstream:
                response = web.StreamResponse(status=upstream.status, reason=upstream.reason)
                _copy(upstream.headers, response.headers)
                await response.prepare(request)
                async for chunk in upstream.content.iter_any():
                    await response.write(chunk)
                await response.write_eof()
                return response
        except (aiohttp.ClientError, TimeoutError):
            if response is not None and response.prepared:
                # Too late for another status: the caller must see that the answer broke off.
                if request.transport is not None:
                    request.transport.abort()
                return response
            return web.Response(status=502, text="The function app did not answer.\n")


def _request_headers(request: web.Request, user: User | None) -> CIMultiDict[str]:
    headers: CIMultiDict[str] = CIMultiDict()
    _copy(request.headers, headers)
    for name in [name for name in headers if name.lower().startswith(_STRIPPED) or name.lower() == _CHOICE.lower()]:
        headers.popall(name, None)
    headers["X-Forwarded-For"] = request.remote or _ADDRESS
    headers["X-Forwarded-Proto"] = "http"
    headers.update(user.headers() if user else {})
    return headers


def _copy(source: Mapping[str, str], target: CIMultiDict[str]) -> None:
    pairs = list(source.items())
    named = {name.strip().lower() for key, value in pairs if key.lower() == "connection" for name in value.split(",")}
    for key, value in pairs:
        if key.lower() not in _HOP_BY_HOP | named:
            target.add(key, value)


def _signed_in(request: web.Request) -> User | None:
    return USERS.get(request.cookies.get(_COOKIE, ""))


def _same_site(path: str, fallback: str) -> str:
    """``path`` if a browser stays on this site when it follows it, else ``fallback``."""
    plain = path.isprintable() and "\\" not in path
    return path if plain and path.startswith("/") and not path.startswith("//") else fallback


async def _login(request: web.Request) -> web.Response:
    wanted = request.query.get("post_login_redirect_uri", "")
    key = request.query.get("user")
    if key is None:
        return _page("Sign in to the sandbox", _choices(wanted))
    if key not in USERS:
        return web.Response(status=400, text=f"user is one of {', '.join(USERS)}.\n")
    answer = web.Response(status=302, headers={"Location": _location(_same_site(wanted, "/.auth/login/done"))})
    answer.set_cookie(_COOKIE, key, path="/", httponly=True, samesite="Lax")
    return answer


async def _done(request: web.Request) -> web.Response:
    user = _signed_in(request)
    who = f"You are signed in as {html.escape(user.name)}." if user else "You are not signed in."
    return _page("Sandbox sign-in", f'<p>{who}</p><p><a href="/.auth/logout">Sign out</a></p>')


async def _logout(request: web.Request) -> web.Response:
    wanted = _same_site(request.query.get("post_logout_redirect_uri", ""), "/.auth/login/done")
    answer = web.Response(status=302, headers={"Location": _location(wanted)})
    answer.del_cookie(_COOKIE, path="/")
    return answer


async def _me(request: web.Request) -> web.Response:
    user = _signed_in(request)
    if user is None:
        return web.Response(status=401)
    entry = {"provider_name": "aad", "user_id": user.principal_name, "user_claims": user.claims()}
    return web.Response(text=json.dumps([entry]), content_type="application/json")


def _location(path: str) -> str:
    # The query came decoded: a header takes ASCII alone. "%" stays, it belongs to what is encoded already.
    return quote(path, safe="/?#[]@!$&'()*+,;=:%~")


def _choices(wanted: str) -> str:
    items = []
    for user in USERS.values():
        query = {"user": user.key} | ({"post_login_redirect_uri": wanted} if wanted else {})
        link = html.escape(f"/.auth/login/aad?{urlencode(query)}")
        roles = ", ".join(role.removeprefix("Realign.") for role in user.roles) or "no role"
        items.append(f'<li><a href="{link}">{html.escape(user.name)}</a> ({html.escape(roles)})</li>')
    return f"<p>Who are you? In Azure, Entra ID would ask.</p><ul>{''.join(items)}</ul>"


def _page(title: str, body: str) -> web.Response:
    text = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        f"<body><h1>{title}</h1>{body}</body></html>"
    )
    return web.Response(text=text, content_type="text/html", headers={"Cache-Control": "no-store"})
