"""What a table row may hold, checked before it is sent: the emulator accepts what Azure refuses.

The numbers are those of contract ``azure.md``, section 5.1. Text is counted in UTF-16 units, as the service does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

CUT_MARK = "…[cut]"
TEXT_UNITS = 32_000  # a property holds 32,768 units; the rest is room to spare
KEY_UNITS = 256
ROW_BYTES = 1_000_000
ROW_PROPERTIES = 251  # of 252: a row has its version too
TRANSACTION_ROWS = 100
TRANSACTION_BYTES = 3_500_000  # of 4 MiB: the estimate leaves out the envelope of each part

_FORBIDDEN = re.compile(r"[/\\#?%\x00-\x1f\x7f-\x9f]")
_ESCAPED = re.compile(r"%([0-9A-F]{2})")

Value = str | int | bool | float


def utf16_units(text: str) -> int:
    return len(text) if text.isascii() else len(text) + sum(character > "\uffff" for character in text)


def cut(text: str, units: int = TEXT_UNITS) -> str:
    """``text``, or as much of it as leaves room for the mark within ``units`` UTF-16 units."""
    if len(text) * 2 <= units or utf16_units(text) <= units:
        return text
    room = (units - len(CUT_MARK)) * 2
    return text.encode("utf-16-le", "surrogatepass")[:room].decode("utf-16-le", "ignore") + CUT_MARK


def storable(text: str) -> str:
    """``text`` without the lone surrogates that a vendor's JSON may hold: UTF-8 has no place for them."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def to_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def list_to_json(
    items: Sequence[Mapping[str, Any]],
    marker: Callable[[int], Mapping[str, Any]],
    *,
    units: int = TEXT_UNITS,
    keep_last: bool = False,
) -> str:
    """``items`` as a JSON list of at most ``units`` UTF-16 units.

    What does not fit is left out, from the end (or, with ``keep_last``, from the start), and ``marker(count)`` stands
    in its place: the list stays valid JSON.
    """
    parts = [to_json(item) for item in items]
    sizes = [utf16_units(part) + 1 for part in parts]
    if sum(sizes) + 1 <= units:
        return f"[{','.join(parts)}]"
    room = units - 1 - utf16_units(to_json(marker(len(items)))) - 1
    kept: list[str] = []
    order = range(len(parts) - 1, -1, -1) if keep_last else range(len(parts))
    for index in order:
        room -= sizes[index]
        if room < 0:
            break
        kept.append(parts[index])
    mark = to_json(marker(len(parts) - len(kept)))
    listed = [mark, *reversed(kept)] if keep_last else [*kept, mark]
    return f"[{','.join(listed)}]"


def encode_key(text: str) -> str:
    """``text`` as a table key: what keys may not hold is percent-encoded, and ``%`` itself, so that it can come back.

    Raises ``ValueError`` for text that is empty or too long for a key.
    """
    key = _FORBIDDEN.sub(lambda found: f"%{ord(found[0]):02X}", text)
    if not key or utf16_units(key) > KEY_UNITS:
        raise ValueError(f"a table key holds 1 to {KEY_UNITS} characters, not {len(key)}: {text[:60]!r}")
    return key


def decode_key(key: str) -> str:
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), key)


def quoted(text: str) -> str:
    """``text`` as an OData string literal."""
    return "'" + text.replace("'", "''") + "'"


def checked(row: Mapping[str, Value | None]) -> dict[str, Value]:
    """``row`` as it may be sent: without its None members, its keys and sizes within Azure's limits.

    Raises ``ValueError`` naming the member that does not fit.
    """
    sent = {
        name: storable(value) if isinstance(value, str) else value for name, value in row.items() if value is not None
    }
    for key in ("PartitionKey", "RowKey"):
        text = str(sent.get(key, ""))
        if not text or utf16_units(text) > KEY_UNITS or _FORBIDDEN.search(text.replace("%", "")):
            raise ValueError(f"{key} {text[:60]!r} is no table key")
    if len(sent) > ROW_PROPERTIES:
        raise ValueError(f"a row holds {ROW_PROPERTIES} properties, not {len(sent)}")
    for name, value in sent.items():
        if isinstance(value, str) and len(value) * 2 > TEXT_UNITS and utf16_units(value) > 32_767:
            raise ValueError(f"property {name} of a row holds 32,767 characters, not {len(value):,}")
    if _row_bytes(sent) > ROW_BYTES:
        raise ValueError("a row holds 1 MiB in all")
    return sent


def _row_bytes(row: Mapping[str, Value]) -> int:
    return sum(
        8 + 2 * len(name) + (2 * utf16_units(value) if isinstance(value, str) else 8) for name, value in row.items()
    )


def _sent_bytes(row: Mapping[str, Value]) -> int:
    """How much of a transaction's body a row takes, at most: JSON escapes what is not ASCII in six bytes a unit."""
    body = 0
    for name, value in row.items():
        size = (2 * len(value) if value.isascii() else 6 * utf16_units(value)) if isinstance(value, str) else 24
        body += len(name) + size + 8
    return body + 800  # the headers and the address of its part


def transactions(rows: Iterable[dict[str, Value]]) -> Iterator[list[dict[str, Value]]]:
    """``rows`` of one partition in groups that one transaction may hold."""
    group: list[dict[str, Value]] = []
    size = 0
    for row in rows:
        row_size = _sent_bytes(row)
        if group and (len(group) == TRANSACTION_ROWS or size + row_size > TRANSACTION_BYTES):
            yield group
            group, size = [], 0
        group.append(row)
        size += row_size
    if group:
        yield group
