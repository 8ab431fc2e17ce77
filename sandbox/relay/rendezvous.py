"""Senders that wait until a listener has taken them in (contract ``relay.md``, sections 2 and 6.4)."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, urlencode

from sandbox.relay.control import ControlChannel
from sandbox.relay.refusals import NOT_ACCEPTED, Refused
from sandbox.relay.tunnel import Side

# Microsoft's listener library refuses a sender without the key of its handshake, so that stays.
NOT_PASSED_ON = ("servicebusauthorization",)
GATEWAY_TIMEOUT = 504


class ListenerLost(Exception):
    """The listener that was asked has gone before it accepted."""


@dataclass(slots=True)
class Waiting:
    """A sender that waits. ``headers`` and ``query`` are its own; ``suffix`` what follows the entity in its path."""

    path: str
    suffix: str
    correlation: str
    headers: Mapping[str, str]
    query: Mapping[str, str]
    remote: tuple[str, int]
    key: str = field(default_factory=lambda: secrets.token_urlsafe(12))
    arrived: asyncio.Future[Side] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def message(self, gateway: str) -> dict[str, object]:
        """The accept command; the listener connects to its address exactly as it is."""
        # A listener tells the service's parameters from the sender's by their prefix.
        own = {key: value for key, value in self.query.items() if not key.lower().startswith("sb-hc-")}
        query = {"sb-hc-action": "accept", "sb-hc-id": self.correlation, "sb-hc-rendezvous": self.key, **own}
        address = f"wss://{gateway}/$hc/{quote(self.path + self.suffix)}?{urlencode(query)}"
        passed = {key: value for key, value in self.headers.items() if key.lower() not in NOT_PASSED_ON}
        host, port = self.remote
        return {
            "address": address,
            "id": self.correlation,
            "connectHeaders": passed,
            "remoteEndpoint": {"address": host, "port": port},
        }

    def refuse(self, refused: Refused) -> None:
        if not self.arrived.done():
            self.arrived.set_exception(refused)


class Rendezvous:
    """``seconds`` is how long a listener has; ``late`` the status for a sender that nobody took in by then.

    The contract knows 504 and, from a log of another product, 404.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.late = GATEWAY_TIMEOUT
        self._waiting: dict[str, Waiting] = {}

    def take(self, key: str) -> Waiting | None:
        """Who waits under ``key``; an address is good for one use."""
        return self._waiting.pop(key, None)

    async def meet(self, waiting: Waiting, listener: ControlChannel, gateway: str) -> Side:
        """The listener's side. Raises ``Refused`` (the listener's own or a late one) or ``ListenerLost``."""
        self._waiting[waiting.key] = waiting
        lost = asyncio.ensure_future(listener.lost.wait())
        try:
            await listener.offer(waiting.message(gateway))
            await asyncio.wait((waiting.arrived, lost), timeout=self.seconds, return_when=asyncio.FIRST_COMPLETED)
        except ConnectionError:
            raise ListenerLost from None
        finally:
            lost.cancel()
            self._waiting.pop(waiting.key, None)
        if waiting.arrived.done():
            return waiting.arrived.result()
        if listener.lost.is_set():
            raise ListenerLost
        # A listener that comes now finds nobody.
        waiting.arrived.cancel()
        raise Refused(self.late, NOT_ACCEPTED)
