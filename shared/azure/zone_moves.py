"""The catalogs that a run moves to another zone: kept before Citrix is asked, so that a roll back knows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shared.azure.limits import Value, decode_key, encode_key, quoted
from shared.azure.storage import Storage
from shared.azure.table import Table
from shared.errors import StorageError
from shared.model.remap import ZoneMove, ZoneMoveState
from shared.model.run import RunId


def zone_move_to_row(run_id: RunId, move: ZoneMove) -> dict[str, Value | None]:
    """Raises ``ValueError`` for a catalog id that no table key can hold."""
    return {
        "PartitionKey": _partition(run_id),
        "RowKey": encode_key(move.catalog_id),
        "catalog": move.catalog,
        "fromZone": move.from_zone,
        "fromZoneId": move.from_zone_id,
        "toZone": move.to_zone,
        "toZoneId": move.to_zone_id,
        "state": move.state.value,
    }


def row_to_zone_move(row: Mapping[str, Any]) -> ZoneMove:
    return ZoneMove(
        catalog=row["catalog"],
        catalog_id=decode_key(row["RowKey"]),
        from_zone=row["fromZone"],
        from_zone_id=row["fromZoneId"],
        to_zone=row["toZone"],
        to_zone_id=row["toZoneId"],
        state=ZoneMoveState(row["state"]),
    )


class ZoneMoves:
    """Raises ``StorageError`` when the account fails."""

    def __init__(self, storage: Storage) -> None:
        self._table: Table = storage.table("runs")

    def put(self, run_id: RunId, move: ZoneMove) -> None:
        """Keep a catalog's move, in place of what was kept of that catalog in this run."""
        try:
            row = zone_move_to_row(run_id, move)
        except ValueError as error:
            raise StorageError(
                f"The move of catalog {move.catalog[:80]} cannot be stored: {error}.", kind="failed", system="Storage"
            ) from error
        self._table.put(row)

    def of(self, run_id: RunId) -> list[ZoneMove]:
        """The moves of a run, in the order of their catalogs' ids."""
        rows = self._table.query(f"PartitionKey eq {quoted(_partition(run_id))}")
        return [row_to_zone_move(row.values) for row in rows]

    def remove(self, run_id: RunId) -> None:
        """Remove all that is kept of a run here."""
        self._table.empty(_partition(run_id))


def _partition(run_id: RunId) -> str:
    return f"zone:{run_id}"
