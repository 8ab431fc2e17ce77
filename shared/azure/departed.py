"""The VMs that verified remaps moved machines away from: later plans of the site never go back to them by themselves.

One row a VM; its key is made of the hosting connection and the UUID, and the row keeps both as they are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from datetime import datetime

from shared.azure.in_parallel import in_parallel
from shared.azure.limits import TRANSACTION_ROWS, Value, checked, encode_key, quoted, storable, transactions
from shared.azure.row_time import to_text
from shared.azure.storage import Storage
from shared.azure.table import Table
from shared.errors import StorageError
from shared.model.nutanix import VmUuid
from shared.model.remap import DepartedVm
from shared.model.run import RunId


class Departed:
    """Raises ``StorageError`` when the account fails. Every operation is safe to repeat."""

    def __init__(self, storage: Storage) -> None:
        self._table: Table = storage.table("remaps")

    def add(self, site_id: str, vms: Collection[DepartedVm], run_id: RunId, now: datetime) -> None:
        rows = {_row_key(vm): _row(site_id, vm, run_id, now) for vm in vms}
        in_parallel(self._table.put_all, transactions(rows.values()))

    def remove(self, site_id: str, vms: Collection[DepartedVm]) -> None:
        """For VMs that a machine stands on again; those that are not there do not matter."""
        partition = _partition(site_id)
        in_parallel(lambda keys: self._table.delete_all(partition, keys), _groups(sorted({_row_key(vm) for vm in vms})))

    def of(self, site_id: str) -> frozenset[DepartedVm]:
        rows = self._table.query(f"PartitionKey eq {quoted(_partition(site_id))}", select=["connection", "uuid"])
        return frozenset(DepartedVm(row.values["connection"], VmUuid(row.values["uuid"])) for row in rows)


def _row(site_id: str, vm: DepartedVm, run_id: RunId, now: datetime) -> dict[str, Value]:
    try:
        return checked(
            {
                "PartitionKey": _partition(site_id),
                "RowKey": _row_key(vm),
                "connection": vm.connection,
                "uuid": vm.uuid,
                "runId": run_id,
                "at": to_text(now),
            }
        )
    except ValueError as error:
        raise StorageError(f"VM {vm.uuid[:80]} cannot be stored: {error}.", kind="failed", system="Storage") from error


def _partition(site_id: str) -> str:
    try:
        return f"departed:{encode_key(site_id)}"
    except ValueError as error:
        raise StorageError(f"The site has no id to keep VMs by: {error}.", kind="failed", system="Storage") from error


def _row_key(vm: DepartedVm) -> str:
    text = f"{storable(vm.connection).casefold()}|{vm.uuid.lower()}"
    try:
        return encode_key(text)
    except ValueError:  # too long for a key
        return hashlib.sha256(text.encode()).hexdigest()


def _groups(keys: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(keys), TRANSACTION_ROWS):
        yield keys[start : start + TRANSACTION_ROWS]
