"""What stands on premises, and the way to each: a TCP relay, or a hybrid connection of the simulated Azure Relay."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from sandbox.citrix_cvad import DeliveryController
from sandbox.faults import Fault, Faults
from sandbox.front import Origin, Simulator
from sandbox.hybrid_connections import Behind, HybridConnection, HybridConnections
from sandbox.prism_central import Central
from sandbox.prism_v2 import ElementV2
from sandbox.relayed import Relayed
from sandbox.server import Background, Server
from sandbox.tcp_relay import TcpRelay
from sandbox.world import Prism, World
from sandbox.world_builder import DNS_SUFFIX

PRISM_PORT, CONTROLLER_PORT = 9440, 443
TUNNEL_FAULTS = ("relay-drop", "relay-silent", "relay-503", "relay-rogue", "relay-token")
NO_AZURE_RELAY = (
    "The fault {} cannot strike here: nothing of this sandbox stands behind the simulated Azure Relay. "
    'Choose a scenario where something does, or start it with relay="hcm".'
)

Relay = TcpRelay | HybridConnection
RelayKind = Literal["hcm", "azbridge", "tcp"]
# Starts what answers, with a certificate for these names, or for the loopback ones where there is none.
Simulate = Callable[[Simulator | Origin, tuple[str, ...]], Server]


class Premises:
    """``relays`` are the ways to the Prisms, ``controller_relays`` those to the Delivery Controllers, by name.

    With ``kind`` every Prism and, of a site on premises, every controller is reached so, whatever the world says.
    """

    def __init__(self, world: World, faults: Faults, background: Background, kind: RelayKind | None) -> None:
        self.relays: dict[str, Relay] = {}
        self.controller_relays: dict[str, Relay] = {}
        self._world = world
        self._faults = faults
        self._background = background
        self._kind = kind

    def start(self, simulate: Simulate, hybrid: HybridConnections) -> None:
        """Starts everything. What raises leaves behind what ``stop`` ends."""
        site = self._world.site
        for name, up in site.controllers.items():
            behind = Behind(name, f"cvad-{name}", f"{name}.{DNS_SUFFIX}", CONTROLLER_PORT)
            # Beside a customer in the cloud they are no part of the profile.
            relayed = self._relayed(site.relayed.get(name)) if site.kind == "cvad" else site.relayed.get(name)
            server = simulate(DeliveryController(name, self._world, self._faults), _names(behind, relayed))
            self.controller_relays[name] = self._way(hybrid, server, behind, relayed, up=up)
        for prism in self._world.prisms.values():
            behind = Behind(prism.name, f"prism-{prism.name}", f"prism-{prism.name}.{DNS_SUFFIX}", PRISM_PORT)
            relayed = self._relayed(prism.relayed)
            server = simulate(_origin(prism, self._faults), _names(behind, relayed))
            self.relays[prism.name] = self._way(hybrid, server, behind, relayed, up=prism.up)
        self._faults.watch("relay-down", self._down)
        if not self.behind_azure():
            for fault in TUNNEL_FAULTS:
                self._faults.rule_out(fault, NO_AZURE_RELAY.format(fault))

    def stop(self) -> None:
        for relay in (*self.controller_relays.values(), *self.relays.values()):
            relay.stop()

    def behind_azure(self) -> list[HybridConnection]:
        """The hybrid connections that there are."""
        ways = (*self.relays.values(), *self.controller_relays.values())
        return [way for way in ways if isinstance(way, HybridConnection)]

    def _relayed(self, said: Relayed | None) -> Relayed | None:
        if self._kind is None:
            return said
        return None if self._kind == "tcp" else Relayed(self._kind, 1 if said is None else said.listeners)

    def _way(
        self, hybrid: HybridConnections, server: Server, behind: Behind, relayed: Relayed | None, *, up: bool
    ) -> Relay:
        if relayed is not None:
            return hybrid.open(behind, relayed, server.port, up=up)
        relay = TcpRelay(self._background, server.port)
        relay.start(cut=not up)
        return relay

    def _down(self, fault: Fault | None) -> None:
        """A site in the cloud has no relay, so without a name the fault strikes controllers of a site on premises."""
        site = self._world.site
        prisms = [(name, relay, self._world.prisms[name].up, True) for name, relay in self.relays.items()]
        controllers = [
            (name, relay, site.controllers[name], site.kind == "cvad") for name, relay in self.controller_relays.items()
        ]
        for name, relay, up, unnamed in [*prisms, *controllers]:
            if fault is not None and (fault.only == name or (fault.only is None and unnamed)):
                relay.cut()
                self._faults.record("relay-down")
            elif up:
                relay.restore()


def _origin(prism: Prism, faults: Faults) -> Simulator | Origin:
    return ElementV2(prism, faults) if prism.api == "element-v2" else Central(prism, faults)


def _names(behind: Behind, relayed: Relayed | None) -> tuple[str, ...]:
    return () if relayed is None else (behind.host,)
