"""Who did what in a run, when: rows that are only ever added, in the order of time."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any

from shared.azure.in_parallel import in_parallel
from shared.azure.limits import Value, checked, cut, quoted, storable, transactions
from shared.azure.row_time import to_text
from shared.azure.storage import Storage
from shared.azure.table import Table, rows_at_a_time
from shared.errors import StorageError
from shared.model.citrix import MachineId
from shared.model.run import Event, RunId


def event_to_row(run_id: RunId, event: Event, entropy: str) -> dict[str, Value | None]:
    """``entropy`` tells events of one microsecond apart."""
    microseconds = int(event.at.timestamp()) * 1_000_000 + event.at.microsecond
    return {
        "PartitionKey": run_id,
        "RowKey": f"{microseconds:017d}-{entropy}",
        "at": to_text(event.at),
        "actor": cut(storable(event.actor), 1_000),
        "action": event.action,
        "detail": cut(storable(event.detail)),
        "machine": event.machine,
    }


def row_to_event(row: Mapping[str, Any]) -> Event:
    machine = row.get("machine")
    return Event(
        at=datetime.fromisoformat(row["at"]),
        actor=row["actor"],
        action=row["action"],
        detail=row["detail"],
        machine=MachineId(machine) if machine is not None else None,
    )


class Events:
    """Raises ``StorageError`` when the account fails."""

    def __init__(self, storage: Storage) -> None:
        self._table: Table = storage.table("events")

    def append(self, run_id: RunId, event: Event) -> None:
        # A row with this key can only be the first attempt of this very request.
        self._table.insert(event_to_row(run_id, event, secrets.token_hex(4)))

    def append_all(self, run_id: RunId, events: Sequence[Event]) -> None:
        """Add ``events`` in transactions; those of one microsecond keep the order of the sequence."""
        entropy = secrets.token_hex(4)
        rows = (self._checked(run_id, event, f"{entropy}{number:07d}") for number, event in enumerate(events))
        # Rows that are there already can only be the first attempt of this very request, as above.
        in_parallel(self._table.insert_all, transactions(rows))

    def page(self, run_id: RunId, after: str | None, limit: int) -> tuple[list[Event], str | None]:
        """At most ``limit`` events, oldest first, and the mark after which the next page begins (None: none)."""
        odata = f"PartitionKey eq {quoted(run_id)}"
        if after is not None:
            odata += f" and RowKey gt {quoted(after)}"
        rows = [row.values for row in islice(self._table.query(odata, page=rows_at_a_time(limit + 1)), limit + 1)]
        events = [row_to_event(row) for row in rows[:limit]]
        return events, rows[limit - 1]["RowKey"] if len(rows) > limit else None

    def every(self, run_id: RunId) -> Iterator[Event]:
        """All of them, oldest first, read as they are taken."""
        return (row_to_event(row.values) for row in self._table.query(f"PartitionKey eq {quoted(run_id)}"))

    def _checked(self, run_id: RunId, event: Event, entropy: str) -> dict[str, Value]:
        try:
            return checked(event_to_row(run_id, event, entropy))
        except ValueError as error:
            raise StorageError(
                f"Event {event.action} of run {run_id} cannot be stored: {error}.", kind="failed", system="Storage"
            ) from error

    def remove(self, run_id: RunId) -> None:
        """Remove all that is kept of a run here."""
        self._table.empty(run_id)
