"""What a run's webhook is told: kept before it is tried, so that a crash neither loses it nor changes its words."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from shared.azure.limits import Value, quoted
from shared.azure.row_time import to_text
from shared.azure.storage import Storage
from shared.azure.table import Table, Versioned
from shared.model.notice import Notice, NoticeEvent, NoticeState
from shared.model.run import RunId


def notice_to_row(run_id: RunId, notice: Notice) -> dict[str, Value | None]:
    return {
        "PartitionKey": _partition(run_id),
        "RowKey": notice.key,
        "event": notice.event.value,
        "body": notice.body,
        "madeAt": to_text(notice.made_at),
        "due": to_text(notice.due),
        "attempts": notice.attempts,
        "state": notice.state.value,
    }


def row_to_notice(row: Mapping[str, Any]) -> Notice:
    return Notice(
        key=row["RowKey"],
        event=NoticeEvent(row["event"]),
        body=row["body"],
        made_at=datetime.fromisoformat(row["madeAt"]),
        due=datetime.fromisoformat(row["due"]),
        attempts=row["attempts"],
        state=NoticeState(row["state"]),
    )


class Notices:
    """Raises ``StorageError`` when the account fails."""

    def __init__(self, storage: Storage) -> None:
        self._table: Table = storage.table("runs")

    def keep(self, run_id: RunId, notice: Notice) -> None:
        """Keep a new notice; one with its key that is there already is left as it is."""
        self._table.insert(notice_to_row(run_id, notice))

    def open(self, run_id: RunId) -> list[Versioned[Notice]]:
        """Those that are neither sent nor given up, oldest first."""
        rows = self._table.query(f"PartitionKey eq {quoted(_partition(run_id))}")
        found = [Versioned(row_to_notice(row.values), row.etag) for row in rows]
        waiting = [each for each in found if each.value.state is NoticeState.OPEN]
        return sorted(waiting, key=lambda each: each.value.made_at)

    def update(self, run_id: RunId, notice: Notice, read: Versioned[Notice]) -> Versioned[Notice] | None:
        """The notice in place of the one that was ``read``; None where somebody else has changed it."""
        etag = self._table.replace(notice_to_row(run_id, notice), read.etag)
        return Versioned(notice, etag) if etag is not None else None

    def remove(self, run_id: RunId) -> None:
        """Remove all that is kept of a run here."""
        self._table.empty(_partition(run_id))


def _partition(run_id: RunId) -> str:
    return f"notice:{run_id}"
