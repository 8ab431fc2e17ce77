"""Holds: a profile whose schedule starts nothing until a time. A DR run puts one, or a person does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shared.azure.limits import Value, cut, quoted, storable
from shared.azure.row_time import to_text
from shared.azure.storage import Storage
from shared.azure.table import Table
from shared.errors import EditedElsewhere

_PARTITION = "hold"
_TEXT_UNITS = 8_000  # more is no sentence
_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Hold:
    """``by`` is an actor's name, ``at`` when it was put."""

    until: datetime
    by: str
    at: datetime
    reason: str | None = None


class Holds:
    """Raises ``StorageError`` when the account fails."""

    def __init__(self, storage: Storage) -> None:
        self._table: Table = storage.table("locks")

    def put(self, profile: str, hold: Hold, *, replace: bool = False) -> Hold:
        """Put ``profile`` on hold; the hold that stands then.

        One that ends later, or at the same time, stays as it is, unless ``replace`` says that a person shortens it.
        """
        row = _row(profile, hold)
        for _ in range(_ATTEMPTS):
            if self._table.insert(row) is not None:
                return hold
            found = self._table.get(_PARTITION, profile)
            if found is None:
                continue
            there = _hold_of(found.values)
            if there == _hold_of(row) or (there.until >= hold.until and not replace):
                return there
            if self._table.replace(row, found.etag) is not None:
                return hold
        raise EditedElsewhere(f"Profile {profile} is put on hold by several at once. Try again.")

    def get(self, profile: str, now: datetime) -> Hold | None:
        """The hold of ``profile``; None when there is none, or it has expired."""
        found = self._table.get(_PARTITION, profile)
        hold = _hold_of(found.values) if found is not None else None
        return hold if hold is not None and hold.until > now else None

    def every(self, now: datetime) -> dict[str, Hold]:
        """The holds that have not expired, by profile."""
        rows = self._table.query(f"PartitionKey eq {quoted(_PARTITION)}")
        found = {row.values["RowKey"]: _hold_of(row.values) for row in rows}
        return {profile: hold for profile, hold in found.items() if hold.until > now}

    def end(self, profile: str) -> bool:
        """End the hold of ``profile``; false when there was none."""
        if self._table.get(_PARTITION, profile) is None:
            return False
        return self._table.delete(_PARTITION, profile)

    def remove_expired(self, now: datetime) -> int:
        """Remove the holds that are over; how many."""
        return self._table.delete_where(f"PartitionKey eq {quoted(_PARTITION)} and until lt {quoted(to_text(now))}")


def _row(profile: str, hold: Hold) -> dict[str, Value | None]:
    return {
        "PartitionKey": _PARTITION,
        "RowKey": profile,
        "until": to_text(hold.until),
        "by": cut(storable(hold.by), _TEXT_UNITS),
        "at": to_text(hold.at),
        "reason": cut(storable(hold.reason), _TEXT_UNITS) if hold.reason is not None else None,
    }


def _hold_of(row: Mapping[str, Any]) -> Hold:
    return Hold(datetime.fromisoformat(row["until"]), row["by"], datetime.fromisoformat(row["at"]), row.get("reason"))
