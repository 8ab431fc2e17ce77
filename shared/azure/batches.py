"""The batches of changes that a run sends to Citrix: each is kept before it is sent, and its job's id before it is
waited for, so that a worker that takes over knows what may be under way (design, section 5).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from shared.azure.limits import Value, encode_key, quoted, storable, to_json
from shared.azure.row_time import to_text
from shared.azure.storage import Storage
from shared.azure.table import Table
from shared.model.citrix import MachineId
from shared.model.remap import Batch, SendingStep
from shared.model.run import RunId

MOST_MACHINES = 400  # their ids fit one property of a row


def batch_to_row(run_id: RunId, batch: Batch) -> dict[str, Value | None]:
    return {
        "PartitionKey": _partition(run_id),
        "RowKey": f"{batch.number:06d}",
        "step": batch.step.value,
        "machines": storable(to_json(batch.machines)),
        "beganAt": to_text(batch.began_at),
        "job": batch.job,
        "ended": batch.ended,
        "alone": batch.alone,
        "nested": storable(to_json(batch.nested)) if batch.nested else None,
    }


def row_to_batch(row: Mapping[str, Any]) -> Batch:
    return Batch(
        number=int(row["RowKey"]),
        step=SendingStep(row["step"]),
        machines=tuple(MachineId(machine) for machine in json.loads(row["machines"])),
        began_at=datetime.fromisoformat(row["beganAt"]),
        job=row.get("job"),
        ended=bool(row["ended"]),
        alone=bool(row["alone"]),
        nested=tuple((MachineId(machine), job) for machine, job in json.loads(row.get("nested") or "[]")),
    )


class Batches:
    """Raises ``StorageError`` when the account fails, or the ids of a batch's machines do not fit its row."""

    def __init__(self, storage: Storage) -> None:
        self._table: Table = storage.table("runs")

    def put(self, run_id: RunId, batch: Batch) -> None:
        """Keep a batch, in place of what was kept under its number. Raises ``ValueError`` for over 400 machines."""
        if len(batch.machines) > MOST_MACHINES:
            raise ValueError(f"a batch holds {MOST_MACHINES} machines, not {len(batch.machines)}")
        self._table.put(batch_to_row(run_id, batch))

    def of(self, run_id: RunId) -> list[Batch]:
        """The batches of a run, by number."""
        return [row_to_batch(row.values) for row in self._table.query(f"PartitionKey eq {quoted(_partition(run_id))}")]

    def begin(self, site_id: str, run_id: RunId) -> None:
        """A run is about to send: until ``rest`` it is among those that may have something under way at the site."""
        self._table.put({"PartitionKey": _site_partition(site_id), "RowKey": run_id})

    def rest(self, site_id: str, run_id: RunId) -> None:
        """The run has come to its end; it stays among those of the site as long as one of its batches has not ended."""
        if all(batch.ended for batch in self.of(run_id)):
            self._table.delete(_site_partition(site_id), run_id)

    def remove(self, site_id: str | None, run_id: RunId) -> None:
        """Remove all that is kept of a run here, also what it had begun at its site and never ended."""
        if site_id is not None:
            self._table.delete(_site_partition(site_id), run_id)
        self._table.empty(_partition(run_id))

    def begun(self, site_id: str) -> list[RunId]:
        """The runs that may have something under way at a site."""
        odata = f"PartitionKey eq {quoted(_site_partition(site_id))}"
        return [RunId(row.values["RowKey"]) for row in self._table.query(odata, select=["RowKey"])]


def _site_partition(site_id: str) -> str:
    return f"begun:{encode_key(site_id)}"


def _partition(run_id: RunId) -> str:
    return f"batch:{run_id}"
