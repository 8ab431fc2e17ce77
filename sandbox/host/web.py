"""HTTP triggers, and the admin route that fires a function at once.

What the real host does and a web framework would not (contract ``azure.md``, 3.2 and 3.8): the first function by name
whose route and method fit gets the call, nothing else is tried and every refusal has an empty body.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import azure.functions as func
from aiohttp import web
from multidict import CIMultiDict

from sandbox.host.invoking import Invoker
from sandbox.host.loading import HttpTrigger, LoadedFunction
from sandbox.host.routes import BadPath, RouteTemplate, joined, query, segments, template

log = logging.getLogger(__name__)

_BODY_LIMIT = 104_857_600
# aiohttp frames the answer itself.
_FRAMING = frozenset({"content-length", "transfer-encoding", "connection", "keep-alive"})

# Fires one function: takes the admin call's ``input``, ends when the function has ended.
Fire = Callable[[str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class _Route:
    template: RouteTemplate
    methods: frozenset[str]
    level: str
    function: LoadedFunction


def body_limit(settings: Mapping[str, str]) -> int:
    """``FUNCTIONS_REQUEST_BODY_SIZE_LIMIT`` in bytes; 100 MB unless set."""
    text = settings.get("FUNCTIONS_REQUEST_BODY_SIZE_LIMIT", "")
    return int(text) if text.isdecimal() else _BODY_LIMIT


class HttpFront:
    """Everything that answers HTTP. ``fires`` are the timer and queue functions by lower-case name."""

    def __init__(
        self,
        functions: tuple[LoadedFunction, ...],
        invoker: Invoker,
        *,
        prefix: str,
        function_key: str | None,
        fires: Mapping[str, Fire],
    ) -> None:
        self._routes = tuple(
            _Route(
                template=template(f"{prefix}/{function.trigger.route}"),
                methods=function.trigger.methods,
                level=function.trigger.level,
                function=function,
            )
            for function in sorted(functions, key=lambda function: function.name)
            if isinstance(function.trigger, HttpTrigger)
        )
        self._invoker = invoker
        self._function_key = function_key
        self._fires = fires
        self._fired: set[asyncio.Future[None]] = set()

    def application(self, limit: int = _BODY_LIMIT) -> web.Application:
        """The aiohttp application. Run it with ``auto_decompress=False``: bodies pass as they are."""
        application = web.Application(client_max_size=limit)
        application.router.add_route("*", "/{path:(?s:.*)}", self._answer)
        return application

    async def settled(self) -> None:
        """Returns when what the admin route fired has ended."""
        while self._fired:
            await asyncio.wait(self._fired)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        try:
            path = segments(request.rel_url.raw_path)
        except BadPath:
            return web.Response(status=400)
        if path[:1] and path[0].lower() == "admin":
            return await self._admin(request, path)
        for route in self._routes:
            parameters = route.template.match(path)
            if parameters is not None and (not route.methods or request.method in route.methods):
                return await self._call(route, parameters, request)
        return web.Response(status=404)

    async def _call(self, route: _Route, parameters: Mapping[str, str], request: web.Request) -> web.StreamResponse:
        parameters_of_query = query(request.rel_url.raw_query_string)
        if route.level != "anonymous" and not self._has_key(request, parameters_of_query):
            return web.Response(status=401)
        try:
            content = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return web.Response(status=413)
        value = func.HttpRequest(
            request.method,
            f"{request.scheme}://{request.host}{request.raw_path}",
            headers={name.lower(): text for name, text in joined(request.headers.items()).items()},
            params=parameters_of_query,
            route_params=parameters,
            body=content,
        )
        try:
            result = await self._invoker.invoke(route.function, value)
            return response(result)
        except Exception as error:  # noqa: BLE001  # the edge: whatever a function raises is a 500 with an empty body
            log.warning("function=%s answered 500: %s", route.function.name, error)
            return web.Response(status=500)

    def _has_key(self, request: web.Request, parameters: Mapping[str, str]) -> bool:
        given = request.headers.get("x-functions-key") or parameters.get("code", "")
        if not self._function_key:
            log.warning("a route needs a key, but SANDBOX_FUNCTION_KEY is not set: nobody can call it")
            return False
        return hmac.compare_digest(given.encode(), self._function_key.encode())

    async def _admin(self, request: web.Request, path: tuple[str, ...]) -> web.StreamResponse:
        if len(path) != 3 or path[1].lower() != "functions" or request.method != "POST" or not _from_here(request):
            return web.Response(status=404)
        fire = self._fires.get(path[2].casefold())
        if fire is None:
            return web.Response(status=404)
        task = asyncio.ensure_future(fire(_input(await request.read())))
        self._fired.add(task)
        task.add_done_callback(self._fired.discard)
        return web.Response(status=202)


def _from_here(request: web.Request) -> bool:
    try:
        return ipaddress.ip_address(request.remote or "").is_loopback
    except ValueError:
        return False


def _input(content: bytes) -> str:
    """The member ``input`` of an admin call's body; without one the empty text, as a timer needs none."""
    try:
        document = json.loads(content)
    except ValueError:
        return ""
    text = document.get("input", "") if isinstance(document, dict) else ""
    return text if isinstance(text, str) else json.dumps(text)


def response(result: object) -> web.Response:
    """The answer on the wire for what a function returned.

    Raises:
        TypeError: it is neither an ``HttpResponse`` nor text nor None (which is a 204).
    """
    if result is None:
        return web.Response(status=204)
    if isinstance(result, str):
        result = func.HttpResponse(result)
    if not isinstance(result, func.HttpResponse):
        raise TypeError(f"a function returned {type(result).__name__} instead of an HttpResponse")
    charset = f"; charset={result.charset}" if result.mimetype.startswith("text/") else ""
    headers: CIMultiDict[str] = CIMultiDict({"Content-Type": f"{result.mimetype}{charset}"})
    for name, value in result.headers.items():
        if name.lower() in _FRAMING:
            continue
        if name.lower() == "set-cookie":
            headers.add(name, value)
        else:
            # The library hands headers to the host by name: of several only the last one gets out, except for cookies.
            headers[name] = value
    return web.Response(status=result.status_code, body=result.get_body(), headers=headers)
