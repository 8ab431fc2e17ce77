"""Reading a v4 list page by page (contract ``prism.md``, sections 5.3 and 9)."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from itertools import count
from typing import Any

from shared.prism.client import Listing
from shared.prism.endpoint import Endpoint
from shared.prism.entity import BadEntity, entries, member

PAGE = 100  # the most; the default is 50
_DOUBTFUL = frozenset({"hasError", "isTruncated"})


def read_list(
    endpoint: Endpoint,
    what: str,
    ask: Callable[[int], dict[str, Any]],
    keep: Callable[[dict[str, Any]], Hashable],
) -> Listing[Hashable]:
    """Hand every entity of a list to ``keep``, which answers the key that tells repeats apart.

    ``ask`` answers the page with a number, from 0 on. ``keep`` may raise ``BadEntity``. The links of an answer are
    never followed: their scheme, host and port need not be reachable. The last page's total counts.
    """
    seen: dict[Hashable, None] = {}
    listed, cut = 0, False
    for number in count():
        body = ask(number)
        before, total = len(seen), _total(endpoint, what, body)
        for entity in entries(body.get("data")):
            listed += 1
            try:
                seen[keep(entity)] = None
            except BadEntity as error:
                raise endpoint.malformed(f"entity {listed} of {what} is {error}") from error
        cut = cut or _doubtful(body)
        # a page that brings nothing new is empty, or one that Prism Central repeats without end
        if listed >= total or len(seen) == before:
            return Listing(tuple(seen), len(seen), total, cut)
    raise AssertionError("unreachable: the loop above only ends by return or raise")


def _total(endpoint: Endpoint, what: str, body: dict[str, Any]) -> int:
    total = member(body, "metadata").get("totalAvailableResults")
    if isinstance(total, int):
        return total
    if body.get("data"):
        raise endpoint.malformed(f"{what} has no metadata.totalAvailableResults")
    return 0  # members without a value are left out, and so is an empty list


def _doubtful(body: dict[str, Any]) -> bool:
    """Whether Prism Central itself says that the list is not whole."""
    flags = entries(member(body, "metadata").get("flags"))
    return any(flag.get("name") in _DOUBTFUL and flag.get("value") is True for flag in flags)
