"""Lists of the Citrix API: pages behind a continuation token, and items with the fields that were asked for."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import TypeVar

from sandbox.citrix_entities import MACHINE_PROPERTIES
from sandbox.citrix_errors import error_data
from sandbox.contract import Json
from sandbox.entity_cache import listing
from sandbox.front import Answer, Call

T = TypeVar("T")
DEFAULT_LIMIT = 250


def page(call: Call, items: list[T], text: Callable[[T], bytes]) -> Answer:
    """One page. The token holds the query it was made for: another query with it is refused."""
    query = sorted([name, value] for name, value in call.raw_query if name != "continuationToken")
    offset = 0
    given = call.query.get("continuationToken")
    if given is not None:
        held = _open_token(given)
        if held is None or held[1] != query:
            return error_data(400, "The continuation token is not valid for this query.", "InvalidInput")
        offset = held[0]
    limit = call.query.get("limit", DEFAULT_LIMIT)
    shown = items[offset : offset + limit]
    more = offset + len(shown) < len(items)
    token = _seal_token(offset + len(shown), query) if more else None
    envelope = {"ContinuationToken": token, "TotalItems": None}
    judged, payload = listing(envelope, "Items", [text(each) for each in shown])
    return Answer(body=judged, payload=payload)


def machine_fields(call: Call) -> tuple[str, ...]:
    """The properties to answer: those asked for and ``Id``, or all. Names that do not exist are passed over."""
    asked = call.query.get("fields")
    if not asked:
        return tuple(MACHINE_PROPERTIES)
    wanted = {name.strip().lower() for name in asked.split(",")} | {"id"}
    return tuple(name for name in MACHINE_PROPERTIES if name.lower() in wanted)


def trimmed(call: Call, item: dict[str, Json], without: tuple[str, ...] = ()) -> dict[str, Json]:
    """The item with the fields that are asked for; where none are, with all but ``without``."""
    asked = call.query.get("fields")
    if not asked:
        return {name: value for name, value in item.items() if name not in without}
    # A delivery group's name is required in every answer, as its id is.
    wanted = {name.strip().lower() for name in asked.split(",")} | {"id", "name"}
    return {name: value for name, value in item.items() if name.lower() in wanted}


def compact(item: Json) -> bytes:
    return json.dumps(item, separators=(",", ":")).encode()


def _seal_token(offset: int, query: list[list[str]]) -> str:
    # "+", "/" and "=" on purpose: a client that does not URL-encode the token loses it here as it would there.
    return "+/" + base64.b64encode(json.dumps([offset, query]).encode()).decode() + "=="


def _open_token(token: str) -> tuple[int, list[list[str]]] | None:
    try:
        offset, query = json.loads(base64.b64decode(token.removeprefix("+/").removesuffix("==") + "=="))
    except ValueError:
        return None
    return (int(offset), query) if token.startswith("+/") else None
