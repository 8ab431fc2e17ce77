"""The small readings that the entities of every Prism API share: text, UUIDs, addresses, references, lists.

Past these functions UUIDs and MACs are lower case and an empty string is absent (contract ``prism.md``, section 6).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

# Cluster UUIDs are no RFC 4122 version 4 values: the shape is all that can be checked.
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}").fullmatch
_NOT_HEX = re.compile(r"[^0-9a-f]")


class BadEntity(ValueError):
    """An entity without a field that Realign cannot do without; the message names the field."""


def text(value: Any) -> str | None:
    """Text without the space around it, None for null, empty text and anything that is no text."""
    return value.strip() or None if isinstance(value, str) else None


def uuid(value: Any) -> str | None:
    """A UUID in lower case, None for anything else."""
    lower = value.strip().lower() if isinstance(value, str) else ""
    return lower if _UUID(lower) else None


def required_uuid(entity: dict[str, Any], field: str, what: str) -> str:
    """Raises ``BadEntity`` where the field is absent or no UUID."""
    found = uuid(entity.get(field))
    if found is None:
        raise BadEntity(f"{what} without a valid {field}")
    return found


def member(value: Any, name: str) -> dict[str, Any]:
    """The object under ``name``; an empty one for null, absent and anything else."""
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}


def entries(value: Any) -> Iterator[dict[str, Any]]:
    """The objects of a list; nothing for null and absent."""
    return (entry for entry in value if isinstance(entry, dict)) if isinstance(value, list) else iter(())


def mac(value: Any) -> str | None:
    """A MAC address in lower case with colons, None for anything else."""
    digits = _NOT_HEX.sub("", value.lower()) if isinstance(value, str) else ""
    return ":".join(digits[at : at + 2] for at in range(0, 12, 2)) if len(digits) == 12 else None


def present(values: Iterable[str | None]) -> tuple[str, ...]:
    """The values that are there, in order and without repeats."""
    return tuple(dict.fromkeys(value for value in values if value))


def time_utc(value: Any) -> datetime | None:
    """An RFC 3339 time as aware UTC. None for the year 1, which Prism Central writes for "not yet"."""
    if not isinstance(value, str):
        return None
    try:
        parsed = datetime.fromisoformat(value)
        if parsed.year <= 1:
            return None
        return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
    except (ValueError, OverflowError):  # the last day of the year 9999, elsewhere
        return None
