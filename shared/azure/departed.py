"""The VMs that verified remaps moved machines away from: later plans of the site never go back to them by themselves.

They are kept by the run that moved, many in a row: a failover moves thousands, and every plan reads them all.
"""

from __future__ import annotations

import json
from collections.abc import Collection

from shared.azure.limits import Value, checked, encode_key, quoted, to_json, transactions, utf16_units
from shared.azure.storage import Storage
from shared.azure.table import Table
from shared.errors import StorageError
from shared.model.nutanix import VmUuid
from shared.model.remap import DepartedVm
from shared.model.run import RunId

UNITS_A_ROW = 30_000


class Departed:
    """Raises ``StorageError`` when the account fails. Every operation is safe to repeat."""

    def __init__(self, storage: Storage) -> None:
        self._table: Table = storage.table("remaps")

    def put(self, site_id: str, run_id: RunId, vms: Collection[DepartedVm]) -> None:
        """What a run moved machines away from, in place of what was kept of it before."""
        rows = [_row(site_id, f"{run_id}:{number:06d}", text) for number, text in enumerate(_texts(vms))]
        for group in transactions(rows):
            self._table.put_all(group)
        first_after = f"{run_id}:{len(rows):06d}"
        old = f"RowKey ge {quoted(first_after)} and RowKey lt {quoted(f'{run_id};')}"
        for row in self._table.query(f"PartitionKey eq {quoted(_partition(site_id))} and {old}", select=["RowKey"]):
            self._table.delete(_partition(site_id), row.values["RowKey"])

    def of(self, site_id: str, but: RunId | None = None) -> frozenset[DepartedVm]:
        """What all runs of a site left, without the run ``but``: what it has begun must not stand in its own way."""
        rows = self._table.query(f"PartitionKey eq {quoted(_partition(site_id))}", select=["RowKey", "vms"])
        return frozenset(
            DepartedVm(connection, VmUuid(uuid))
            for row in rows
            if but is None or row.values["RowKey"].partition(":")[0] != but
            for connection, uuid in json.loads(row.values["vms"])
        )


def _texts(vms: Collection[DepartedVm]) -> list[str]:
    """The VMs as JSON lists, each short enough for a property."""
    texts: list[str] = []
    group: list[str] = []
    units = 0
    for part in sorted(to_json([vm.connection, vm.uuid]) for vm in vms):
        size = utf16_units(part) + 1
        if group and units + size > UNITS_A_ROW:
            texts.append(f"[{','.join(group)}]")
            group, units = [], 0
        group.append(part)
        units += size
    return [*texts, f"[{','.join(group)}]"] if group else texts


def _row(site_id: str, key: str, text: str) -> dict[str, Value]:
    try:
        return checked({"PartitionKey": _partition(site_id), "RowKey": key, "vms": text})
    except ValueError as error:
        raise StorageError(f"VMs of a run cannot be stored: {error}.", kind="failed", system="Storage") from error


def _partition(site_id: str) -> str:
    return f"departed:{encode_key(site_id)}"
