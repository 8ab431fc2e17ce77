"""The findings of a run and the remaps among them: one partition a run, one row a machine.

A plan is written in transactions, several at a time, and whoever writes proves before each that it still holds the
profile's lock. A plan that is made again after a crash replaces the one before it, row by row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice

from shared.azure.finding_row import StoredFinding, finding_to_row, row_to_finding
from shared.azure.limits import TRANSACTION_ROWS, Value, checked, encode_key, quoted, transactions
from shared.azure.storage import Storage
from shared.azure.table import Row, Table
from shared.errors import StorageError
from shared.model.citrix import MachineId
from shared.model.finding import Finding, FindingKind
from shared.model.run import RemapState, RunId

WRITERS = 8


class Remaps:
    """Raises ``StorageError`` when the account fails."""

    def __init__(self, storage: Storage, writers: int = WRITERS) -> None:
        self._table: Table = storage.table("remaps")
        self._writers = writers

    def replace(self, run_id: RunId, findings: Iterable[Finding], check: Callable[[], None]) -> int:
        """Make ``findings`` the run's only ones; how many there are.

        ``check`` is called before each transaction, by several threads, and stops the whole by raising (``LockLost``).
        Rows of an earlier attempt that are not among ``findings`` go last.
        """
        left_over = {row.values["RowKey"] for row in self._query(run_id, select=["RowKey"])}
        written: set[str] = set()

        def rows() -> Iterator[dict[str, Value]]:
            for finding in findings:
                row = _row_of(run_id, finding)
                key = str(row["RowKey"])
                if key in written:
                    raise ValueError(f"machine {finding.machine.id} has two findings in run {run_id}")
                written.add(key)
                yield row

        def put(group: list[dict[str, Value]]) -> None:
            check()
            # Inserting is the faster of the two; what a lost answer left behind is then replaced.
            if left_over or not self._table.insert_all(group):
                self._table.put_all(group)

        self._in_parallel(put, transactions(rows()))

        def delete(keys: tuple[str, ...]) -> None:
            check()
            self._table.delete_all(run_id, keys)

        self._in_parallel(delete, _batches(sorted(left_over - written)))
        return len(written)

    def page(
        self,
        run_id: RunId,
        *,
        finding: FindingKind | None = None,
        state: RemapState | None = None,
        q: str | None = None,
        after: MachineId | None = None,
        limit: int,
    ) -> tuple[list[StoredFinding], MachineId | None]:
        """At most ``limit`` findings in the order of their machines' ids, and where the next page begins (None: none).

        ``q`` is a part of the machine's name, ignoring case.
        """
        conditions = []
        if after is not None:
            conditions.append(f"RowKey gt {quoted(encode_key(after))}")
        if finding is not None:
            conditions.append(f"finding eq {quoted(finding.value)}")
        if state is not None:
            conditions.append(f"state eq {quoted(state.value)}")
        part = (q or "").lower()
        # The service cannot search within a text: with q whole pages are read and looked through here.
        rows = self._query(run_id, *conditions, page=1000 if part else limit + 1)
        matching = (row.values for row in rows if part in row.values["machineNameLower"])
        found = [row_to_finding(values) for values in islice(matching, limit + 1)]
        if len(found) <= limit:
            return found, None
        return found[:limit], found[limit - 1].machine

    def _query(
        self, run_id: RunId, *conditions: str, select: list[str] | None = None, page: int = 1000
    ) -> Iterator[Row]:
        odata = " and ".join((f"PartitionKey eq {quoted(run_id)}", *conditions))
        return self._table.query(odata, select=select, page=page)

    def _in_parallel(self, work: Callable[..., None], groups: Iterable[object]) -> None:
        """Do ``work`` on each group, at most ``writers`` at a time; the first failure ends it and is raised.

        Groups are taken only as fast as they are done: a plan of 50,000 machines is never in memory as rows.
        """
        waiting = iter(groups)
        with ThreadPoolExecutor(self._writers) as writers:
            running: set[Future[None]] = set()
            while True:
                running |= {writers.submit(work, group) for group in islice(waiting, self._writers - len(running))}
                if not running:
                    return
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    future.result()


def _row_of(run_id: RunId, finding: Finding) -> dict[str, Value]:
    try:
        return checked(finding_to_row(run_id, finding))
    except ValueError as error:
        raise StorageError(
            f"The finding of machine {finding.machine.name[:80]} cannot be stored: {error}.",
            kind="failed",
            system="Storage",
        ) from error


def _batches(keys: list[str]) -> Iterator[tuple[str, ...]]:
    for start in range(0, len(keys), TRANSACTION_ROWS):
        yield tuple(keys[start : start + TRANSACTION_ROWS])
