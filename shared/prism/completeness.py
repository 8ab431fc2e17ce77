"""No list of Prism is a snapshot: one whose length is not the announced one is read once more."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from shared.prism.client import BudgetSpent, Listing

T = TypeVar("T")


def read_whole(read: Callable[[], Listing[T]], *, key: Callable[[T], object]) -> Listing[T]:
    """Read; where the number differs from the announced total, once more (a VM may come or go between two pages)."""
    first = read()
    if first.whole:
        return first
    try:
        second = read()
    except BudgetSpent:
        return first  # what it saw exists: half a list is better than a cluster that counts as dead
    if second.whole:
        return second
    # What either read saw exists; where both saw it, the later word holds.
    seen: dict[object, T] = {key(item): item for item in (*first.items, *second.items)}
    return Listing(tuple(seen.values()), second.distinct, second.announced, second.cut)
