"""Where a machine stands in Citrix: comparing two such places, naming them, and finding the hosting connection now.

Names and UUIDs are compared ignoring case; a hosting connection by its id where both sides tell one, since an id
outlives a rename.
"""

from __future__ import annotations

from collections.abc import Iterable

from shared.model.citrix import Hosting, HostingConnection
from shared.planning.names import fold


def same(one: Hosting, other: Hosting) -> bool:
    """True where both name the same VM under the same hosting connection."""
    if fold(one.machine_id or "") != fold(other.machine_id or ""):
        return False
    if one.connection_id and other.connection_id:
        return fold(one.connection_id) == fold(other.connection_id)
    return fold(one.connection or "") == fold(other.connection or "")


def described(hosting: Hosting) -> str:
    """The place in a sentence."""
    return f"{hosting.connection or 'no hosting connection'} and {hosting.machine_id or 'no VM'}"


class Connections:
    """The hosting connections of a site as they are now."""

    def __init__(self, connections: Iterable[HostingConnection]) -> None:
        there = tuple(connections)
        self._by_id = {fold(connection.id): connection for connection in there}
        self._by_name = {fold(connection.name): connection for connection in there}

    def of(self, hosting: Hosting) -> HostingConnection | None:
        """By id; by name only where no id is known, since another connection may bear the name by now."""
        if hosting.connection_id:
            return self._by_id.get(fold(hosting.connection_id))
        return self._by_name.get(fold(hosting.connection)) if hosting.connection is not None else None
