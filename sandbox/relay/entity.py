"""A hybrid connection of the simulated namespace: what the portal would show of it, and who is connected.

Plain mutable data, as the rest of the world: a test changes a field and the next call meets it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import StrEnum


class Right(StrEnum):
    LISTEN = "Listen"
    SEND = "Send"
    MANAGE = "Manage"


@dataclass(frozen=True, slots=True)
class SasKey:
    """A shared access key. ``text`` is used as it is written: the service never decodes it."""

    name: str
    text: str = field(repr=False)
    rights: frozenset[Right]


@dataclass(slots=True)
class Entity:
    """``name`` is what faults call it, ``path`` what addresses do.

    ``roles`` are the rights of identities by client id; None gives all of them to every identity. ``firewall`` shuts
    out every caller, as an address rule does.
    """

    path: str
    name: str
    user_metadata: str = ""
    keys: dict[str, SasKey] = field(default_factory=dict)
    roles: dict[str, frozenset[Right]] | None = None
    requires_client_authorization: bool = True
    firewall: bool = False


def target_metadata(target: str) -> str:
    """The metadata that names the one target of an entity, ``host:port``, as Hybrid Connection Manager reads it."""
    return json.dumps([{"key": "endpoint", "value": target}])


def metadata_target(text: str) -> str | None:
    """``host:port`` of ``target_metadata``; None where the text does not have it."""
    try:
        entries = json.loads(text)
        found = [each["value"] for each in entries if each["key"] == "endpoint"]
    except (ValueError, TypeError, KeyError):
        return None
    return str(found[0]) if found else None
