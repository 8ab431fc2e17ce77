"""Keeps the JSON text of each entity until the entity changes: 10,000 VMs are built once, then joined."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Iterable
from typing import Any

from sandbox.contract import sample

Json = Any


class EntityCache:
    """Text by key; ``state`` is everything that the text depends on, compared at each use."""

    def __init__(self) -> None:
        self._texts: dict[Hashable, tuple[Hashable, bytes]] = {}

    def text(self, key: Hashable, state: Hashable, build: Callable[[], Json]) -> bytes:
        held = self._texts.get(key)
        if held is None or held[0] != state:
            held = (state, json.dumps(build(), separators=(",", ":")).encode())
            self._texts[key] = held
        return held[1]


def listing(envelope: dict[str, Json], member: str, texts: Iterable[bytes]) -> tuple[dict[str, Json], bytes]:
    """A list answer of prepared items: what the contract judges (a sample of the items) and what is sent (all)."""
    items = list(texts)
    judged = {**envelope, member: [json.loads(text) for text in sample(items)]}
    head = json.dumps(envelope, separators=(",", ":")).encode().removesuffix(b"}")
    comma = b"," if envelope else b""
    return judged, head + comma + json.dumps(member).encode() + b":[" + b",".join(items) + b"]}"
