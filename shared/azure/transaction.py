"""A transaction of a table: one multipart request and its answer, written and read here, sent by the SDK's client.

The SDK composes and parses it with Python's e-mail package, which takes 0.6 ms of a core for each row: three seconds
for the 5,000 remaps of a failover, each time that they move. A test holds what is sent here against what the SDK sends.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.utils import formatdate
from enum import Enum
from typing import Any
from urllib.parse import quote, urlsplit

from azure.core.exceptions import HttpResponseError
from azure.core.rest import HttpRequest
from azure.data.tables import TableClient

from shared.azure.limits import Value

ACCEPTED = 202

_BOUNDARY = re.compile(rb"boundary=\"?([^\s\";]+)")  # the inner one: the outer stands in the answer's header
_STATUS = re.compile(rb"HTTP/1\.\d (\d{3})")
_ETAG = re.compile(rb"^etag:[ \t]*([^\r\n]*[^\s])", re.IGNORECASE | re.MULTILINE)
_INT32 = 2**31


class Verb(Enum):
    INSERT = "POST"
    REPLACE = "PUT"
    MERGE = "PATCH"
    DELETE = "DELETE"


@dataclass(frozen=True, slots=True)
class Operation:
    """What happens to one row. ``etag`` is the one that it must have; without one a replacement is an upsert."""

    verb: Verb
    row: Mapping[str, Value]
    etag: str | None = None


class TransactionFailed(HttpResponseError):
    """The service answered an error to the transaction as a whole, or in words that nobody can read."""

    def __init__(self, status: int, code: str | None) -> None:
        super().__init__(f"the transaction failed with {status} {code}")
        self.status_code = status
        self.error_code = code


class TransactionRefused(TransactionFailed):
    """Nothing of the transaction was done; status and code are those of the first operation that was refused."""


def transact(client: TableClient, operations: Sequence[Operation], options: Mapping[str, Any]) -> list[str | None]:
    """Do ``operations`` on rows of one partition, all or none; the new etags in their order, None for a deletion.

    Raises ``TransactionRefused``, ``TransactionFailed``, or another ``AzureError`` as any call of the SDK does.
    """
    split = urlsplit(client.url)
    account = f"{split.scheme}://{split.netloc}{split.path}"
    boundary = str(uuid.uuid4())
    request = HttpRequest(
        "POST",
        f"{account}/$batch",
        headers={
            "x-ms-version": client.api_version,
            "DataServiceVersion": "3.0",
            "MaxDataServiceVersion": "3.0;NetFx",
            "Content-Type": f"multipart/mixed; boundary=batch_{boundary}",
            "Accept": "application/json",
        },
        content=body_of(f"{account}/{client.table_name}", client.api_version, operations, boundary),
    )
    # The client's pipeline, with its sign-in, retries and transport; the public calls take no ready request.
    # Streamed, because a policy of it would else try to make sense of the answer.
    response = client._client.send_request(request, stream=True, **options)
    content = response.read()
    if response.status_code != ACCEPTED:
        raise TransactionFailed(response.status_code, response.headers.get("x-ms-error-code") or _code(content))
    return _outcomes(content, len(operations))


def body_of(table: str, version: str, operations: Sequence[Operation], boundary: str) -> bytes:
    """The multipart text of a transaction. Raises ``ValueError`` for a value that no row can hold."""
    date = formatdate(usegmt=True)
    head = f"--batch_{boundary}\r\nContent-Type: multipart/mixed; boundary=changeset_{boundary}\r\n\r\n"
    parts = [_part(table, version, date, number, each) for number, each in enumerate(operations)]
    changes = "".join(f"--changeset_{boundary}\r\n{part}\r\n" for part in parts)
    return f"{head}{changes}--changeset_{boundary}--\r\n\r\n--batch_{boundary}--\r\n".encode()


def _part(table: str, version: str, date: str, number: int, operation: Operation) -> str:
    row, verb = operation.row, operation.verb
    lines = ["Content-Type: application/http", "Content-Transfer-Encoding: binary", f"Content-ID: {number}", ""]
    address = table
    if verb is not Verb.INSERT:
        address += f"(PartitionKey='{_key(row['PartitionKey'])}',RowKey='{_key(row['RowKey'])}')"
    lines.append(f"{verb.value} {address} HTTP/1.1")
    body = "" if verb is Verb.DELETE else json.dumps(_typed(row), allow_nan=False)
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    accept = "application/json" if verb in (Verb.REPLACE, Verb.MERGE) else "application/json;odata=minimalmetadata"
    lines += [f"x-ms-version: {version}", "DataServiceVersion: 3.0", f"Accept: {accept}"]
    guard = operation.etag or ("*" if verb is Verb.DELETE else None)
    if guard is not None:
        lines.append(f"If-Match: {guard}")
    lines += [f"x-ms-date: {date}", f"Date: {date}", "", body]
    return "\r\n".join(lines)


def _typed(row: Mapping[str, Value]) -> dict[str, Value]:
    """The row with the types that the service has to be told. Naming those of texts, too, is what the SDK does."""
    typed: dict[str, Value] = {}
    for name, value in row.items():
        typed[name] = value
        if isinstance(value, str):
            typed[f"{name}@odata.type"] = "Edm.String"
        elif isinstance(value, float):
            typed[f"{name}@odata.type"] = "Edm.Double"
        elif not -_INT32 <= value < _INT32:
            raise ValueError(f"property {name} of a row holds 32 bits, not {value}")
    return typed


def _key(key: object) -> str:
    return quote(str(key).replace("'", "''"), safe="")


def _outcomes(content: bytes, count: int) -> list[str | None]:
    found = _BOUNDARY.search(content)
    parts = content.split(b"--" + found[1])[1:-1] if found is not None else []
    etags: list[str | None] = []
    for part in parts:
        status = _STATUS.search(part)
        if status is None or not 200 <= int(status[1]) < 300:
            raise TransactionRefused(int(status[1]) if status is not None else 500, _code(part))
        etag = _ETAG.search(part.split(b"\r\n\r\n{", 1)[0])
        etags.append(etag[1].decode() if etag is not None else None)
    if len(etags) != count:
        raise TransactionFailed(ACCEPTED, f"{len(etags)} answers to {count} operations")
    return etags


def _code(content: bytes) -> str | None:
    """The code of an ``odata.error`` in an answer or a part of one; None where there is none that can be read."""
    try:
        error = json.loads(content[content.index(b"{") : content.rindex(b"}") + 1])
        return str(error["odata.error"]["code"])
    except (ValueError, LookupError, TypeError):
        return None
