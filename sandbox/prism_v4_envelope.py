"""Answers of Prism Central v4: the envelope of lists and single reads, and both shapes of errors (5.3 and 5.8)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from sandbox.entity_cache import listing
from sandbox.front import Answer, Call, Handler
from sandbox.odata import BadOption

Json = Any
DEFAULT_LIMIT = 50
# As recorded: plain HTTP, no port, an address of the Prism Central's own network. Who follows it gets nowhere.
LINK_ORIGIN = "http://192.168.1.150"


def minor_of(call: Call) -> int:
    """The minor version that a path names."""
    return int(call.path["version"].removeprefix("v4."))


def namespace_of(path: str) -> str:
    """``vmm`` of ``/api/vmm/v4.2/...``."""
    parts = path.split("/")
    return parts[2] if len(parts) > 2 and parts[2] else "vmm"


def path_of(call: Call) -> str:
    return call.operation.template.format_map(call.path)


def typed(name: str, minor: int) -> Json:
    """What the server adds to an object; ``name`` is its type, such as ``vmm.v4.ahv.config.Vm``."""
    version = "v1.r0" if name.startswith("common.v1.") else f"v4.r{minor}"
    return {"$objectType": name, "$reserved": {"$fv": version}}


def first_typed(items: Sequence[Json], name: str, minor: int) -> list[Json]:
    """A nested list: the first element alone tells its type."""
    return [{**typed(name, minor), **item} if index == 0 else item for index, item in enumerate(items)]


def page_of(call: Call) -> tuple[int, int]:
    """The first index and the one after the last."""
    limit = call.query.get("$limit", DEFAULT_LIMIT)
    start = call.query.get("$page", 0) * limit
    return start, start + limit


def listed(call: Call, kind: str, item_type: str, texts: Sequence[bytes], total: int) -> Answer:
    """A page of a list. ``kind`` is the operation's word (``ListVms``), ``item_type`` the full type of an item.

    ``data`` is absent when nothing is on the page.
    """
    minor = minor_of(call)
    package = item_type.rpartition(".")[0]
    envelope = {**typed(f"{package}.{kind}ApiResponse", minor), "metadata": _list_metadata(call, minor, total)}
    if not texts:
        return Answer(body=envelope)
    envelope["$dataItemDiscriminator"] = f"List<{item_type}>"
    judged, payload = listing(envelope, "data", texts)
    return Answer(body=judged, payload=payload)


def single(call: Call, kind: str, entity: Json) -> Answer:
    """One entity, with its ``ETag``."""
    minor = minor_of(call)
    item_type = entity["$objectType"]
    digest = hashlib.sha256(repr(entity).encode()).hexdigest()[:32]
    body = {
        **typed(f"{item_type.rpartition('.')[0]}.{kind}ApiResponse", minor),
        "$dataItemDiscriminator": item_type,
        "data": entity,
        "metadata": {
            **typed("common.v1.response.ApiResponseMetadata", minor),
            "flags": _flags(minor, paginated=False),
            "links": [{"href": f"{LINK_ORIGIN}{path_of(call)}", "rel": "self"}],
        },
    }
    return Answer(body=body, headers={"ETag": f'"{digest}"'})


def app_error(status: int, namespace: str, message: str, group: str, code: str = "", **arguments: str) -> Answer:
    """The first error shape: a list of messages."""
    package = f"{namespace}.v4.error"
    entry = {"message": message, "severity": "ERROR", "errorGroup": group, "locale": "en-US"}
    entry |= {"code": code} if code else {}
    body = _error(package, f"List<{package}.AppMessage>", [{"$objectType": f"{package}.AppMessage", **entry}])
    if arguments:
        body["data"]["error"][0]["argumentsMap"] = arguments
    return Answer(status, body=body)


def schema_error(status: int, path: str, problems: Sequence[tuple[str, str]]) -> Answer:
    """The second error shape, an object. ``problems`` are the parts of the request and what is wrong with each."""
    package = f"{namespace_of(path)}.v4.error"
    messages = [
        {"location": "QUERY_PARAMETERS" if part.startswith("$") else "REQUEST", "message": text, "attributePath": part}
        for part, text in problems
    ]
    error = {
        "$objectType": f"{package}.SchemaValidationError",
        "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "statusCode": status,
        "error": HTTPStatus(status).phrase,
        "path": path,
    }
    error |= {"validationErrorMessages": messages} if messages else {}
    return Answer(status, body=_error(package, f"{package}.SchemaValidationError", error))


def not_found(call: Call, thing: str, group: str = "ENTITY_NOT_FOUND") -> Answer:
    """404 on an identifier: the thing is gone."""
    wanted = call.path["extId"]
    message = f"Failed to perform the operation on the {thing} with UUID '{wanted}', because it is not found."
    return app_error(404, namespace_of(path_of(call)), message, group, ext_id=wanted)


def vm_not_found(wanted: str) -> Answer:
    message = f"Failed to perform the operation on the VM with UUID '{wanted}', because it is not found."
    return app_error(404, "vmm", message, "VM_NOT_FOUND", "VMM-30100", vm_uuid=wanted)


def options_judged(handler: Callable[[Call], Answer]) -> Handler:
    """``handler`` with its ``BadOption`` answered as the validation error that it is."""

    def judged(call: Call) -> Answer:
        try:
            return handler(call)
        except BadOption as wrong:
            return schema_error(400, path_of(call), [(wrong.option, str(wrong))])

    return judged


def _error(package: str, discriminator: str, error: Json) -> Json:
    inner = {
        "$objectType": f"{package}.ErrorResponse",
        "$errorItemDiscriminator": discriminator,
        "error": error,
    }
    return {"$dataItemDiscriminator": f"{package}.ErrorResponse", "data": inner}


def _list_metadata(call: Call, minor: int, total: int) -> Json:
    limit = call.query.get("$limit", DEFAULT_LIMIT)
    page = call.query.get("$page", 0)
    last = max(0, (total - 1) // limit)
    pages = {"self": page, "first": 0, "last": last}
    pages |= {"next": page + 1} if page < last else {}
    pages |= {"prev": page - 1} if 0 < page <= last else {}
    base = f"{LINK_ORIGIN}{path_of(call)}"
    links = [{"href": f"{base}?$page={number}&$limit={limit}", "rel": rel} for rel, number in pages.items()]
    extra = [{"name": "truncatedIndexes"}]
    return {
        **typed("common.v1.response.ApiResponseMetadata", minor),
        "totalAvailableResults": total,
        "flags": _flags(minor, paginated=True),
        "links": first_typed(links, "common.v1.response.ApiLink", minor),
        "extraInfo": first_typed(extra, "common.v1.config.KVPair", minor),
    }


def _flags(minor: int, *, paginated: bool) -> list[Json]:
    flags = {"hasError": False, "isPaginated": paginated, "isTruncated": False}
    named = [{"name": name, "value": value} for name, value in flags.items()]
    return first_typed(named, "common.v1.config.Flag", minor)
