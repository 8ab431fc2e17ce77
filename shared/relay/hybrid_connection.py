"""One hybrid connection of an Azure Relay namespace, as a profile names it."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote
from uuid import UUID

from shared.profile.endpoints import RelayRoute

AZBRIDGE = "azbridge"


@dataclass(frozen=True, slots=True)
class HybridConnection:
    """``namespace`` is a host name, with a port where it is not 443; ``port_name`` is what azbridge is told."""

    namespace: str
    path: str
    listener: str
    port_name: str

    @classmethod
    def of(cls, route: RelayRoute, port: int) -> HybridConnection:
        """The one that leads to ``port`` of a host: azbridge names a target by its port unless it was told another
        name (contract ``relay.md``, section 6.2)."""
        return cls(route.namespace, route.path, route.listener, route.port_name or str(port))

    @property
    def title(self) -> str:
        """The hop in messages."""
        return f"relay {self.namespace}/{self.path}"

    def connect_url(self, tracking: UUID) -> str:
        """Where a sender connects (contract, section 2). The token goes in a header: URLs end up in logs."""
        return f"wss://{self.namespace}/$hc/{quote(self.path)}?sb-hc-action=connect&sb-hc-id={tracking}"
