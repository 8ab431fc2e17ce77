"""What playing a deployment gives: resources, outputs, and texts that only Azure knows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


class Runtime(str):
    """A text that only Azure knows; it says where it comes from."""


class BicepError(Exception):
    """The Bicep is wrong, or uses what this does not know. Says where."""


@dataclass(frozen=True)
class Resource:
    """One resource as it would be sent: ``body`` has what stands in the Bicep, evaluated, without ``parent``."""

    symbol: str
    type: str
    version: str
    file: str
    name: str
    id: str
    body: Mapping[str, Any]
    existing: bool = False
    scope: str = ""

    @property
    def properties(self) -> Mapping[str, Any]:
        return self.body.get("properties", {})


@dataclass
class Deployment:
    resources: list[Resource] = field(default_factory=list)
    outputs: dict[str, Any] = field(default_factory=dict)

    def of(self, type_: str) -> list[Resource]:
        return [each for each in self.resources if each.type == type_ and not each.existing]

    def one(self, type_: str, name: str = "") -> Resource:
        found = [each for each in self.of(type_) if name in ("", each.name.rpartition("/")[2])]
        if len(found) != 1:
            raise AssertionError(f"{len(found)} of {type_} {name}: {[each.id for each in found]}")
        return found[0]
