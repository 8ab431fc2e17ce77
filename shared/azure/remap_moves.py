"""Moves of remaps from state to state: by the table of states, in transactions, each row guarded by its etag."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from shared.azure.in_parallel import in_parallel
from shared.azure.limits import Value, checked, transactions
from shared.azure.remap_row import MOVED_COLUMNS, move_to_row, stands_as
from shared.azure.table import Row, Table, Versioned
from shared.errors import EditedElsewhere
from shared.model.remap import Remap
from shared.model.run import RunId
from shared.model.states import check_remap_move

_READ_BACK = ("RowKey", "machineName", *MOVED_COLUMNS)


def move_remaps(
    table: Table,
    run_id: RunId,
    moves: Sequence[tuple[Versioned[Remap], Remap]],
    check: Callable[[], None],
    writers: int,
) -> list[Versioned[Remap]]:
    """``Remaps.move`` says what this does and raises."""
    for read, after in moves:
        check_remap_move(read.value.state, after.state)
    rows = [_row(run_id, read.value, after) for read, after in moves]
    if len({row["RowKey"] for row in rows}) != len(rows):
        raise ValueError(f"a machine of run {run_id} is moved twice at once")
    etags = [read.etag for read, _ in moves]

    def merge(part: tuple[slice, list[dict[str, Value]]]) -> None:
        here, group = part
        check()
        merged = table.merge_all(list(zip(group, etags[here], strict=True)))
        etags[here] = merged if merged is not None else _as_wanted(table, run_id, group, etags[here])

    in_parallel(merge, _parts(rows), writers)
    return [Versioned(after, etag) for (_, after), etag in zip(moves, etags, strict=True)]


def edited(run_id: RunId, machine: str, there: Row | None) -> EditedElsewhere:
    """The error for a machine's row that is not as it was read; ``there`` is what stands in its place."""
    state = there.values.get("state") or "no remap" if there is not None else "gone"
    return EditedElsewhere(
        f"Machine {machine} of run {run_id} was changed in the meantime (it is {state} now). Look at the run again."
    )


def _row(run_id: RunId, before: Remap, after: Remap) -> dict[str, Value]:
    moved = replace(before, state=after.state, error=after.error, sent=after.sent, approved_by=after.approved_by)
    if moved != after:
        raise ValueError(f"a move of machine {before.machine} changes more than its state")
    return checked(move_to_row(run_id, after))


def _parts(rows: Sequence[dict[str, Value]]) -> Iterator[tuple[slice, list[dict[str, Value]]]]:
    start = 0
    for group in transactions(rows):
        yield slice(start, start + len(group)), group
        start += len(group)


def _as_wanted(table: Table, run_id: RunId, group: Sequence[Mapping[str, Value]], etags: Sequence[str]) -> list[str]:
    """The etags of rows that a refused transaction would have made what they are already.

    The SDK repeats a write whose answer was lost, and the second attempt is refused. Raises ``EditedElsewhere``.
    """
    keys = [str(row["RowKey"]) for row in group]
    there = {row.values["RowKey"]: row for row in table.rows_of(run_id, set(keys), select=_READ_BACK)}
    others = [
        key for key, row in zip(keys, group, strict=True) if key not in there or not stands_as(there[key].values, row)
    ]
    if not others:
        return [there[key].etag for key in keys]
    read = dict(zip(keys, etags, strict=True))
    # a transaction is refused as a whole: name a machine whose row is another, rather than one beside it
    changed = [key for key in keys if key not in there or there[key].etag != read[key]]
    key = next((key for key in changed if key in others), (changed or others)[0])
    found = there.get(key)
    raise edited(run_id, found.values["machineName"] if found is not None else key, found)
