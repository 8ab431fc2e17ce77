"""The findings of a run and the remaps among them: one partition a run, one row a machine.

A plan is written in transactions, several at a time, and whoever writes proves before each that it still holds the
profile's lock. A plan that is made again after a crash replaces the one before it, row by row. Every write names the
etag that it builds on: one that is repeated late, by a worker that lost its lock, changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice

from shared.azure.finding_row import StoredFinding, finding_to_row, resolved_to_row, row_to_finding
from shared.azure.in_parallel import WRITERS, in_parallel
from shared.azure.limits import TRANSACTION_ROWS, Value, checked, encode_key, quoted, transactions
from shared.azure.remap_moves import edited, move_remaps
from shared.azure.remap_row import REMAP_COLUMNS, row_to_remap
from shared.azure.storage import Storage
from shared.azure.table import MOST_ROWS, Row, Table, Versioned, rows_at_a_time
from shared.errors import EditedElsewhere, NotFound, StorageError
from shared.model.citrix import Hosting, MachineId
from shared.model.finding import Finding, FindingKind
from shared.model.remap import Remap
from shared.model.run import RemapState, RunId
from shared.telemetry.threads import Threads

POINT_READS = 300  # more rows than that are read in pages

_ATTEMPTS = 3
_REPLACED_COLUMNS = ("RowKey", "machineName", "state", "sent")
_PLANNED = frozenset({None, RemapState.PROPOSED.value, RemapState.APPROVED.value})


def _proposed(_: Finding) -> RemapState:
    return RemapState.PROPOSED


class Remaps:
    """Raises ``StorageError`` when the account fails."""

    def __init__(self, storage: Storage, writers: int = WRITERS) -> None:
        self._table: Table = storage.table("remaps")
        self._writers = writers

    def replace(
        self,
        run_id: RunId,
        findings: Iterable[Finding],
        check: Callable[[], None],
        state_of: Callable[[Finding], RemapState] = _proposed,
    ) -> int:
        """Make ``findings`` the run's only ones; how many there are. ``state_of`` says what each remap begins as.

        ``check`` is called before each transaction, by several threads, and stops the whole by raising (``LockLost``).
        Rows of an earlier attempt that are not among ``findings`` go last. Raises ``EditedElsewhere`` where a remap is
        being applied already: then another worker has planned the run, and this one is late.
        """
        left_over = _replaceable(run_id, self._query(run_id, select=_REPLACED_COLUMNS))
        written: set[str] = set()

        def rows() -> Iterator[dict[str, Value]]:
            for finding in findings:
                row = _row_of(run_id, finding, state_of)
                key = str(row["RowKey"])
                if key in written:
                    raise ValueError(f"machine {finding.machine.id} has two findings in run {run_id}")
                written.add(key)
                yield row

        def put(group: list[dict[str, Value]]) -> None:
            there: Mapping[str, str] = left_over
            for _ in range(_ATTEMPTS):
                check()
                if self._table.replace_all([(row, there.get(str(row["RowKey"]))) for row in group]) is not None:
                    return
                # what a lost answer left behind, or an attempt that went on for a while
                keys = {str(row["RowKey"]) for row in group}
                there = _replaceable(run_id, self._table.rows_of(run_id, keys, select=_REPLACED_COLUMNS))
            raise _written_at_once(run_id)

        in_parallel(put, transactions(rows()), self._writers)

        def delete(keys: tuple[str, ...]) -> None:
            check()
            if not self._table.delete_all(run_id, keys, left_over):
                raise _written_at_once(run_id)

        in_parallel(delete, _batches(sorted(left_over.keys() - written)), self._writers)
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
        # the service cannot search within a text: whole pages are looked through here
        rows = MOST_ROWS if q else rows_at_a_time(limit + 1)
        every = self.every(run_id, finding=finding, state=state, q=q, after=after, rows=rows)
        found = list(islice(every, limit + 1))
        if len(found) <= limit:
            return found, None
        return found[:limit], found[limit - 1].machine

    def every(
        self,
        run_id: RunId,
        *,
        finding: FindingKind | None = None,
        state: RemapState | None = None,
        q: str | None = None,
        after: MachineId | None = None,
        rows: int = MOST_ROWS,
    ) -> Iterator[StoredFinding]:
        """The findings in the order of their machines' ids, read ``rows`` at a time as they are taken."""
        conditions = []
        if after is not None:
            conditions.append(f"RowKey gt {quoted(encode_key(after))}")
        if finding is not None:
            conditions.append(f"finding eq {quoted(finding.value)}")
        if state is not None:
            conditions.append(f"state eq {quoted(state.value)}")
        part = (q or "").lower()
        for row in self._query(run_id, *conditions, page=rows):
            if part in row.values["machineNameLower"]:
                yield _finding_of(row).value

    def load(self, run_id: RunId, states: Collection[RemapState] | None = None) -> list[Versioned[Remap]]:
        """Every remap of a run, or those in ``states``, in the order of their machines' ids."""
        conditions = [f"finding eq {quoted(FindingKind.REMAP.value)}"]
        if states is not None:
            if not states:
                return []
            any_of = " or ".join(f"state eq {quoted(state.value)}" for state in sorted(set(states)))
            conditions.append(f"({any_of})")
        rows = self._query(run_id, *conditions, select=REMAP_COLUMNS)
        return sorted((Versioned(_remap_of(row), row.etag) for row in rows), key=lambda each: each.value.machine)

    def one(self, run_id: RunId, machine: MachineId) -> Versioned[StoredFinding]:
        """Raises ``NotFound``."""
        found = self._find(run_id, machine)
        if found is None:
            raise NotFound(f"Run {run_id} has no finding for machine {machine[:80]!r}. Check the machine's id.")
        return found

    def findings_of(self, run_id: RunId, machines: Collection[MachineId]) -> dict[MachineId, Versioned[StoredFinding]]:
        """The findings of ``machines``, by machine; those that the run has no row for are left out."""
        wanted = set(machines)
        if len(wanted) <= POINT_READS:
            with Threads(self._writers) as readers:
                found = list(readers.map(lambda machine: self._find(run_id, machine), sorted(wanted)))
        else:
            keys = {key for machine in wanted if (key := _key_or_none(machine)) is not None}
            found = [_finding_of(row) for row in self._table.rows_of(run_id, keys)]
        return {each.value.machine: each for each in found if each is not None}

    def move(
        self, run_id: RunId, moves: Sequence[tuple[Versioned[Remap], Remap]], check: Callable[[], None]
    ) -> list[Versioned[Remap]]:
        """Move each remap, as it was read, to what it becomes; their new versions in the order of ``moves``.

        A move changes ``state``, ``error``, ``sent`` and ``approved_by`` and nothing else. Raises ``IllegalMove``
        before anything is written, and ``EditedElsewhere`` naming a machine whose row is another by now. ``check`` is
        called before each transaction, by several threads, and stops the whole by raising (``LockLost``). Each
        transaction is all or none; others may have been written when one fails, so read again then.
        """
        return move_remaps(self._table, run_id, moves, check, self._writers)

    def resolve(
        self,
        run_id: RunId,
        found: Versioned[StoredFinding],
        after: Hosting,
        explanation: str,
    ) -> None:
        """Make a finding that a person decided a proposed remap to ``after``; evidence and candidates stay.

        Raises ``IllegalMove`` for a finding that is a remap already, unless it was chosen and is only proposed, and
        ``EditedElsewhere`` when it was changed since it was read.
        """
        row = checked(resolved_to_row(run_id, found.value, after, explanation))
        if self._table.merge_all([(row, found.etag)]) is not None:
            return
        there = self._table.get(run_id, str(row["RowKey"]))
        if there is None or any((there.values.get(name) or "") != value for name, value in row.items()):
            raise edited(run_id, found.value.machine_name, there)

    def _find(self, run_id: RunId, machine: MachineId) -> Versioned[StoredFinding] | None:
        key = _key_or_none(machine)
        row = self._table.get(run_id, key) if key is not None else None
        return _finding_of(row) if row is not None else None

    def _query(
        self, run_id: RunId, *conditions: str, select: Sequence[str] | None = None, page: int = MOST_ROWS
    ) -> Iterator[Row]:
        odata = " and ".join((f"PartitionKey eq {quoted(run_id)}", *conditions))
        return self._table.query(odata, select=select, page=page)

    def remove(self, run_id: RunId) -> None:
        """Remove all that is kept of a run here."""
        self._table.empty(run_id)


def _row_of(run_id: RunId, finding: Finding, state_of: Callable[[Finding], RemapState]) -> dict[str, Value]:
    try:
        state = state_of(finding) if finding.kind is FindingKind.REMAP else RemapState.PROPOSED
        return checked(finding_to_row(run_id, finding, state))
    except ValueError as error:
        raise StorageError(
            f"The finding of machine {finding.machine.name[:80]} cannot be stored: {error}.",
            kind="failed",
            system="Storage",
        ) from error


def _replaceable(run_id: RunId, rows: Iterable[Row]) -> dict[str, str]:
    """The etags of the rows that a plan replaces. Raises ``EditedElsewhere`` if one is not only planned any more."""
    etags = {}
    for row in rows:
        if row.values.get("state") not in _PLANNED or row.values.get("sent"):
            raise edited(run_id, row.values["machineName"], row)
        etags[row.values["RowKey"]] = row.etag
    return etags


def _written_at_once(run_id: RunId) -> EditedElsewhere:
    return EditedElsewhere(f"The findings of run {run_id} are written by several workers at once. Try again.")


def _remap_of(row: Row) -> Remap:
    try:
        return row_to_remap(row.values)
    except (ValueError, LookupError) as error:
        raise _unreadable(row) from error


def _finding_of(row: Row) -> Versioned[StoredFinding]:
    try:
        return Versioned(row_to_finding(row.values), row.etag)
    except (ValueError, TypeError, LookupError) as error:
        raise _unreadable(row) from error


def _unreadable(row: Row) -> StorageError:
    return StorageError(
        f"The finding of machine {row.values['RowKey']} was written by another version of Realign and cannot be read "
        "by this one. Deploy that version again, or start a new run.",
        kind="malformed",
        system="Storage",
    )


def _key_or_none(machine: MachineId) -> str | None:
    try:
        return encode_key(machine)
    except ValueError:
        return None  # no finding can have been stored under it


def _batches(keys: list[str]) -> Iterator[tuple[str, ...]]:
    for start in range(0, len(keys), TRANSACTION_ROWS):
        yield tuple(keys[start : start + TRANSACTION_ROWS])
