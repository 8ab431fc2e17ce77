"""The hybrid connections of a sandbox: a relay namespace, and listeners on premises before Prisms and controllers.

What is behind one has no other way in: its name is in no DNS, and the address behind the name is known to its listeners
alone.
"""

from __future__ import annotations

import secrets
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sandbox.relay.azbridge import AzbridgeListener
from sandbox.relay.entity import Entity, Right, SasKey, target_metadata
from sandbox.relay.hcm import HcmListener
from sandbox.relay.listener import Listener, Names, Registration
from sandbox.relay.service import RelayService
from sandbox.relayed import Relayed
from sandbox.server import Background

SENDER, LISTENER = "defaultSender", "defaultListener"

Json = Any


@dataclass(frozen=True, slots=True)
class Behind:
    """What is to be reached: ``name`` for faults, ``path`` in the namespace, ``host`` and ``port`` for the profile."""

    name: str
    path: str
    host: str
    port: int

    @property
    def target(self) -> str:
        return f"{self.host}:{self.port}"


class HybridConnection:
    """One entity with its listeners. It is cut and restored as a TCP relay is.

    ``names`` tell the listeners where they find what is ``behind``: at ``target_port`` of loopback. ``route`` is the
    relay part of a profile.
    """

    def __init__(
        self,
        entity: Entity,
        behind: Behind,
        listeners: Sequence[Listener],
        names: Names,
        target_port: int,
        route: Json,
    ) -> None:
        self.entity = entity
        self.behind = behind
        self.listeners = tuple(listeners)
        self.names = names
        self.target_port = target_port
        self.route = route

    @property
    def place(self) -> tuple[str, int]:
        """Host and port for the profile; only through the relay does anybody come there."""
        return self.behind.host, self.behind.port

    def cut(self) -> None:
        """The listeners go, and with them what is open."""
        for listener in self.listeners:
            listener.stop()

    def restore(self) -> None:
        for listener in self.listeners:
            listener.restore()

    def stop(self) -> None:
        self.cut()


class HybridConnections:
    """Makes hybrid connections in the namespace ``namespace`` (``host:port``), whose certificate ``trust`` verifies."""

    def __init__(self, background: Background, service: RelayService, namespace: str, trust: ssl.SSLContext) -> None:
        self._background = background
        self._service = service
        self._namespace = namespace
        self._trust = trust

    def open(self, behind: Behind, relayed: Relayed, port: int, *, up: bool) -> HybridConnection:
        """To what answers at ``port`` of 127.0.0.1; listeners are there at once where it is ``up``."""
        keys = (
            SasKey(SENDER, secrets.token_urlsafe(32), frozenset({Right.SEND})),
            SasKey(LISTENER, secrets.token_urlsafe(32), frozenset({Right.LISTEN})),
        )
        metadata = target_metadata(behind.target)
        entity = Entity(behind.path, behind.name, metadata, {key.name: key for key in keys})
        self._service.add(entity)
        registration = Registration(self._namespace, behind.path, keys[1], self._trust)
        names = Names({behind.target: ("127.0.0.1", port)})
        listeners = [self._listener(behind, relayed, registration, names) for _ in range(relayed.listeners)]
        made = HybridConnection(entity, behind, listeners, names, port, self._route(behind, relayed))
        if up:
            made.restore()
        return made

    def _listener(self, behind: Behind, relayed: Relayed, registration: Registration, names: Names) -> Listener:
        if relayed.kind == "hcm":
            return HcmListener(self._background, registration, names)
        return AzbridgeListener(self._background, registration, names, {str(behind.port): behind.target})

    def _route(self, behind: Behind, relayed: Relayed) -> Json:
        """The relay part of the profile."""
        route = {"namespace": self._namespace, "path": behind.path, "listener": relayed.kind}
        return route | ({"portName": str(behind.port)} if relayed.kind == "azbridge" else {})
