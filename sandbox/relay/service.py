"""A simulated Azure Relay namespace with hybrid connections (contract ``relay.md``).

Listeners hold control channels, senders connect, and each sender is joined to the rendezvous of one listener, drawn at
random. A sender is told 101 only when its listener has come; whether that reaches its target nobody knows by then.
"""

from __future__ import annotations

import asyncio
import random
import uuid
from dataclasses import dataclass, field
from urllib.parse import unquote

from aiohttp import web

from sandbox.calls import Calls
from sandbox.faults import Faults
from sandbox.relay import atom, refusals, rogue
from sandbox.relay.control import ControlChannel
from sandbox.relay.entity import Entity, Right
from sandbox.relay.refusals import Refused
from sandbox.relay.rendezvous import ListenerLost, Rendezvous, Waiting
from sandbox.relay.tokens import Gate, Issuer, token_of
from sandbox.relay.tunnel import Side, Tunnel

PREFIX = "/$hc/"
SYSTEM = "relay"
ACCEPT_SECONDS = 30.0
DROP_AFTER_BYTES = 8_192
MOST_LISTENERS = 25
MOST_CONNECTIONS = 5_000
GOING_AWAY = 1001
GONE = 410


@dataclass(slots=True)
class _Place:
    """An entity and who is connected to it."""

    entity: Entity
    listeners: list[ControlChannel] = field(default_factory=list)
    tunnels: set[Tunnel] = field(default_factory=set)


class RelayService:
    """The namespace. What a test may change: ``gate``, ``rendezvous``, ``answers_pings``, the two limits.

    Whether the service answers pings is not documented, so that it does not unless it is told to. ``seed`` draws the
    listener of a sender and the places where messages are cut.
    """

    def __init__(
        self, issuer: Issuer, faults: Faults, calls: Calls, *, accept_seconds: float = ACCEPT_SECONDS, seed: int = 1
    ) -> None:
        self.gate = Gate(issuer)
        self.rendezvous = Rendezvous(accept_seconds)
        self.answers_pings = False
        self.most_listeners = MOST_LISTENERS
        self.most_connections = MOST_CONNECTIONS
        self.drop_after = DROP_AFTER_BYTES
        self._faults = faults
        self._calls = calls
        self._random = random.Random(seed)
        self._places: dict[str, _Place] = {}
        self.app = web.Application()
        self.app.router.add_get("/{path:.*}", self._handle)

    def add(self, entity: Entity) -> None:
        self._places[entity.path.lower()] = _Place(entity)

    async def remove(self, path: str) -> None:
        """Deletes the entity: everybody who is connected to it gets a Close 1001."""
        place = self._places.pop(path.lower())
        for tunnel in list(place.tunnels):
            await tunnel.close(GOING_AWAY)
        for listener in list(place.listeners):
            await listener.close(GOING_AWAY)

    def entity(self, path: str) -> Entity:
        return self._places[path.lower()].entity

    def listeners(self, path: str) -> int:
        return len(self._places[path.lower()].listeners)

    def tunnels(self, path: str) -> tuple[Tunnel, ...]:
        return tuple(self._places[path.lower()].tunnels)

    def drop_tunnels(self, path: str) -> None:
        """Breaks every open connection without a Close. On the loop."""
        for tunnel in self.tunnels(path):
            tunnel.drop()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        raw = request.rel_url.raw_path
        if not raw.startswith(PREFIX):
            return self._describe(request, unquote(raw).strip("/"))
        path, action = unquote(raw.removeprefix(PREFIX)), request.query.get("sb-hc-action", "")
        self._calls.add(SYSTEM, "GET", action or PREFIX)
        try:
            place, suffix = self._find(path)
            match action:
                case "connect":
                    return await self._connect(request, place, suffix)
                case "listen":
                    return await self._listen(request, place)
                case "accept":
                    return await self._accept(request)
                case _:
                    raise Refused(400, "Bad Request")
        except Refused as refused:
            return refused.answer(request.host, path, request.query.get("sb-hc-id"))

    def _find(self, path: str) -> tuple[_Place, str]:
        """The entity of a path and what follows it: a suffix is the listener's business."""
        parts = path.strip("/").split("/")
        for length in range(len(parts), 0, -1):
            place = self._places.get("/".join(parts[:length]).lower())
            if place is not None:
                return place, "".join(f"/{part}" for part in parts[length:])
        raise Refused(404, refusals.NO_ENTITY)

    def _describe(self, request: web.Request, path: str) -> web.Response:
        self._calls.add(SYSTEM, "GET", "/{path}")
        place = self._places.get(path.lower())
        try:
            if request.query.get("api-version") != atom.API_VERSION:
                raise Refused(400, "Bad Request")
            if place is None:
                return atom.nothing()
            self._admit(request, place, request.headers.get("Authorization"), Right.SEND, Right.LISTEN)
        except Refused as refused:
            return refusals.detail(refused, request.host, path)
        return atom.entry(place.entity, len(place.listeners))

    def _admit(self, request: web.Request, place: _Place, token: str | None, *rights: Right) -> float:
        if place.entity.firewall:
            raise Refused(401, refusals.FIREWALL)
        return self.gate.admit(token, place.entity, _host(request), *rights)

    async def _listen(self, request: web.Request, place: _Place) -> web.StreamResponse:
        expires = self._admit(request, place, token_of(request), Right.LISTEN)
        if len(place.listeners) >= self.most_listeners:
            raise Refused(503, "Service Unavailable")
        ws = web.WebSocketResponse(compress=False)
        await ws.prepare(request)
        channel = ControlChannel(request, ws, expires)
        place.listeners.append(channel)

        def renewed(token: str) -> float | None:
            try:
                return self.gate.admit(token, place.entity, _host(request), Right.LISTEN)
            except Refused:
                return None

        try:
            await channel.serve(renewed)
        finally:
            place.listeners.remove(channel)
        return ws

    async def _connect(self, request: web.Request, place: _Place, suffix: str) -> web.StreamResponse:
        name = place.entity.name
        if self._faults.hits("relay-503", name):
            raise Refused(503, "Service Unavailable")
        rogue_answer = self._faults.take("relay-rogue", name)
        if rogue_answer is not None:
            return await rogue.answer(rogue_answer.kind, request)
        if place.entity.requires_client_authorization or token_of(request):
            self._admit(request, place, token_of(request), Right.SEND)
        if self._faults.hits("relay-token", name):
            raise Refused(401, refusals.EXPIRED)
        if sum(len(each.tunnels) for each in self._places.values()) >= self.most_connections:
            raise Refused(503, "Service Unavailable")
        listener = await self._accepted(request, place, suffix)
        ws = self._websocket()
        try:
            await ws.prepare(request)
        except BaseException:
            listener.abort()
            raise
        sender = Side(request, ws, self.answers_pings)
        tunnel = Tunnel(sender, listener, _Trouble(self._faults, name, self.drop_after), self._random)
        place.tunnels.add(tunnel)
        try:
            await tunnel.run()
        finally:
            place.tunnels.discard(tunnel)
        return ws

    async def _accepted(self, request: web.Request, place: _Place, suffix: str) -> Side:
        remote = request.transport.get_extra_info("peername") if request.transport is not None else None
        correlation = request.query.get("sb-hc-id") or str(uuid.uuid4())
        while place.listeners:
            waiting = Waiting(
                place.entity.path, suffix, correlation, request.headers, request.query, remote or ("127.0.0.1", 0)
            )
            try:
                return await self.rendezvous.meet(waiting, self._random.choice(place.listeners), request.host)
            except ListenerLost:
                # It is no longer in the list, but perhaps another one is: the loop gives its end a turn.
                await asyncio.sleep(0)
        raise Refused(404, refusals.NO_LISTENER)

    async def _accept(self, request: web.Request) -> web.StreamResponse:
        """The listener's part of a rendezvous. Its address is its token."""
        waiting = self.rendezvous.take(request.query.get("sb-hc-rendezvous", ""))
        if waiting is None:
            raise Refused(GONE, "Gone")
        status = request.query.get("sb-hc-statusCode", "")
        if status:
            known = status.isdecimal() and 400 <= int(status) <= 599
            waiting.refuse(Refused(int(status) if known else 400, request.query.get("sb-hc-statusDescription", "")))
            raise Refused(GONE, "Gone")
        ws = self._websocket()
        await ws.prepare(request)
        side = Side(request, ws, answers_pings=True)
        if waiting.arrived.done():
            side.abort()
            return ws
        waiting.arrived.set_result(side)
        await side.ended.wait()
        return ws

    @staticmethod
    def _websocket() -> web.WebSocketResponse:
        return web.WebSocketResponse(autoclose=False, autoping=False, compress=False, max_msg_size=0)


@dataclass(frozen=True, slots=True)
class _Trouble:
    faults: Faults
    name: str
    drop_after: int

    def silent(self) -> bool:
        return self.faults.hits("relay-silent", self.name)

    def dropped(self, received: int) -> bool:
        return received >= self.drop_after and self.faults.hits("relay-drop", self.name)


def _host(request: web.Request) -> str:
    """The namespace as tokens name it: without a port."""
    return request.host.partition(":")[0]
