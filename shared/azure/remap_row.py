"""A remap as the few columns of its finding's row that reviewing, applying and rolling back need."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shared.azure.finding_row import hosting_of
from shared.azure.limits import Value, cut, decode_key, encode_key, storable
from shared.model.citrix import MachineId
from shared.model.finding import Confidence
from shared.model.remap import Remap
from shared.model.run import RemapState, RunId

REMAP_COLUMNS = (
    "RowKey",
    "machineName",
    "catalog",
    "confidence",
    "fromConnection",
    "fromConnectionId",
    "fromMachineId",
    "toConnection",
    "toConnectionId",
    "toMachineId",
    "state",
    "approvedBy",
    "sent",
    "error",
)
MOVED_COLUMNS = ("state", "error", "sent", "approvedBy")

_TEXT_UNITS = 8_000  # more is no sentence


def row_to_remap(row: Mapping[str, Any]) -> Remap:
    return Remap(
        machine=MachineId(decode_key(row["RowKey"])),
        machine_name=row["machineName"],
        before=hosting_of(row, "from"),
        after=hosting_of(row, "to"),
        confidence=Confidence(row["confidence"]),
        state=RemapState(row["state"]),
        catalog=row.get("catalog"),
        approved_by=row.get("approvedBy") or None,
        sent=bool(row.get("sent")),
        error=row.get("error") or None,
    )


def move_to_row(run_id: RunId, remap: Remap) -> dict[str, Value]:
    """What a move writes. A merge leaves alone what it does not name, so a member that became None is sent empty."""
    return {
        "PartitionKey": run_id,
        "RowKey": encode_key(remap.machine),
        "state": remap.state.value,
        "error": cut(storable(remap.error or ""), _TEXT_UNITS),
        "sent": remap.sent,
        "approvedBy": cut(storable(remap.approved_by or ""), _TEXT_UNITS),
    }


def stands_as(there: Mapping[str, Any], wanted: Mapping[str, Value]) -> bool:
    """True when a row already holds what a move would write."""
    return all((there.get(name) or "") == (wanted[name] or "") for name in MOVED_COLUMNS)
