"""Answers of Prism Central v3: the envelope of its lists, and its errors (contract ``prism.md``, section 4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sandbox.front import Answer

Json = Any
API_VERSION = "3.1"
DEFAULT_LENGTH = 20


def error(status: int, reason: str, message: str, details: str | None = None) -> Answer:
    entry = {"reason": reason, "message": message} | ({} if details is None else {"details": details})
    body = {"state": "ERROR", "code": status, "api_version": API_VERSION, "message_list": [entry]}
    return Answer(status, body=body)


def refused(status: int, problems: Sequence[str]) -> Answer:
    """What is wrong with a request; a body that does not validate is a 422."""
    if status == 404:
        return error(404, "ENTITY_NOT_FOUND", "; ".join(problems))
    return error(422 if status == 400 else status, "INVALID_REQUEST", "; ".join(problems))


def missing(kind: str, uuid_text: str) -> Answer:
    return error(404, "ENTITY_NOT_FOUND", f"The entity of kind {kind} and uuid {uuid_text} does not exist.")


def refuse_what_is_not_served(request: Mapping[str, Json], kind: str, sortable: str = "name") -> None:
    """Raises ``ValueError`` for another kind than the list's, and for what a list cannot be sorted by."""
    if request.get("kind", kind) != kind:
        raise ValueError(f"The kind {request['kind']} is not valid here: this list is of kind {kind}.")
    if request.get("sort_attribute", sortable) != sortable:
        raise ValueError(f"Unrecognized field: {request['sort_attribute']}")


def list_metadata(kind: str, request: Mapping[str, Json], offset: int, returned: int, total: int) -> Json:
    echoed = {name: request[name] for name in ("filter", "sort_attribute", "sort_order") if name in request}
    return {"kind": kind, "offset": offset, "length": returned, "total_matches": total, **echoed}


def v3_page(kind: str, request: Mapping[str, Json], entities: Sequence[Json]) -> Answer:
    """The page that ``request`` asks for of all the entities that it matches."""
    offset = request.get("offset", 0)
    page = entities[offset : offset + request.get("length", DEFAULT_LENGTH)]
    metadata = list_metadata(kind, request, offset, len(page), len(entities))
    return Answer(body={"api_version": API_VERSION, "metadata": metadata, "entities": list(page)})
