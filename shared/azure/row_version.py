"""The version of a table's rows, and the way from older rows to today's.

A member that is only added needs no version: readers take its absence. What changes the meaning or the shape of a
member gets a step in ``UPGRADES``: rows of before are read through it, and become today's when they are next written
whole. A merge leaves a row's version alone, so a step leaves as they are members that have today's shape already.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from shared.azure.limits import Value

VERSION = "schema"
FIRST = 1  # and of rows that were written before rows said it

Upgrade = Callable[[Mapping[str, Any]], Mapping[str, Any]]
V = TypeVar("V", bound="Value | None")

# By table, in order: the first leads from version 1 to 2. A step sees the members that were asked for, and no others.
UPGRADES: Mapping[str, Sequence[Upgrade]] = {}


class WrittenByNewer(ValueError):
    """The row has a version that this code does not know."""


def stamped(row: Mapping[str, V], upgrades: Sequence[Upgrade]) -> dict[str, V | int]:
    """``row`` with today's version."""
    return {**row, VERSION: FIRST + len(upgrades)}


def upgraded(row: Mapping[str, Any], upgrades: Sequence[Upgrade]) -> Mapping[str, Any]:
    """``row`` as today's code writes it, without the version. Raises ``WrittenByNewer``."""
    found = int(row.get(VERSION, FIRST))
    if found > FIRST + len(upgrades):
        raise WrittenByNewer(f"a row has version {found}, and this version of Realign knows {FIRST + len(upgrades)}")
    if VERSION in row:
        row = {name: value for name, value in row.items() if name != VERSION}
    for step in upgrades[found - FIRST :]:
        row = step(row)
    return row
