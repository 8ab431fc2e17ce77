"""The runs: found by id, newest first for a profile and over all, and those at work. Always by key, never by a scan.

A run has a main row (partition ``run``), a pointer in its profile's partition, and, while it is at work, one in the
partition ``active``, which the sweeper reads. Pointers are written before the main row, and the one to a run at work
is removed after it, so a crash leaves at worst a pointer too many; readers tolerate that.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from datetime import datetime, timedelta
from itertools import islice

from shared.azure.limits import checked, quoted
from shared.azure.run_row import RUN_PARTITION, row_to_run, run_to_row
from shared.azure.storage import Storage
from shared.azure.table import Row, Table, Versioned
from shared.errors import EditedElsewhere, NotFound, StorageError
from shared.model.run import Run, RunId, RunStatus
from shared.model.states import check_run_move
from shared.telemetry.subject import met
from shared.telemetry.telling import changed
from shared.telemetry.threads import Threads

ACTIVE = frozenset({RunStatus.QUEUED, RunStatus.PLANNING, RunStatus.APPLYING, RunStatus.ROLLING_BACK})

_ACTIVE_PARTITION = "active"
RUN_ID = re.compile(r"[0-9A-Za-z]{1,64}")
_LAST_MICROSECOND = 16**13 - 1  # of the year 2112
_SETTLED = timedelta(minutes=10)
_READERS = 8

log = logging.getLogger(__name__)


def new_run_id(now: datetime, entropy: bytes) -> RunId:
    """An id of ``0-9a-f``: later runs sort first. ``entropy`` is five random bytes, for runs of one microsecond."""
    microseconds = int(now.timestamp()) * 1_000_000 + now.microsecond
    return RunId(f"{_LAST_MICROSECOND - microseconds:013x}{entropy[:5].hex()}")


class Runs:
    """Raises ``StorageError`` when the account fails."""

    def __init__(self, storage: Storage) -> None:
        self._table: Table = storage.table("runs")

    def create(self, run: Run) -> Versioned[Run]:
        """Store a new run. Safe to repeat: a run that is there already is left alone, and returned as it is."""
        if run.status in ACTIVE:
            self._table.put(_pointer(_ACTIVE_PARTITION, run.id))
        self._table.put(_pointer(_profile_partition(run.profile), run.id))
        etag = self._table.insert(run_to_row(run))
        created = Versioned(run, etag) if etag is not None else self.get(run.id)
        if created.value.status not in ACTIVE:
            self._table.delete(_ACTIVE_PARTITION, run.id)
        return created

    def get(self, run_id: RunId) -> Versioned[Run]:
        """Raises ``NotFound``."""
        found = self.find(run_id)
        if found is None:
            raise NotFound(f"There is no run {run_id[:60]}. Check the id; old runs are removed after a while.")
        met(found.value)
        return found

    def update(self, run: Run, read: Versioned[Run]) -> Versioned[Run]:
        """Replace the run that was ``read``. Raises ``IllegalMove``, ``EditedElsewhere`` or ``NotFound``."""
        check_run_move(read.value.status, run.status)
        at_work = run.status in ACTIVE
        pointer = None
        if at_work and read.value.status not in ACTIVE:
            self._table.put(_pointer(_ACTIVE_PARTITION, run.id))
        elif not at_work:
            # Read before the main row is written: a run that goes back to work meanwhile renews the pointer.
            pointer = self._table.get(_ACTIVE_PARTITION, run.id)
        row = run_to_row(run)
        written = self._table.replace(row, read.etag)
        if written is None:
            current = self.get(run.id)
            # A repeated request may have met its own first attempt.
            if run_to_row(current.value) != row:
                raise EditedElsewhere(
                    f"Run {run.id} was changed in the meantime (it is {current.value.status} now). Look at it again."
                )
            written = current.etag
        changed(read.value, run, rests=not at_work and run.status is not read.value.status)
        if pointer is not None:
            self._table.delete(_ACTIVE_PARTITION, run.id, pointer.etag)
        return Versioned(run, written)

    def newest(
        self, profile: str | None, statuses: frozenset[RunStatus] | None, before: RunId | None, limit: int
    ) -> list[Run]:
        """At most ``limit`` runs, newest first, of one profile or of all; ``before`` is the last one of a page.

        Those that another version of Realign wrote are left out: whoever looks for the others must find them.
        """
        if profile is None:
            found: Iterator[Run] = self._newest_of_all(statuses, before, limit)
        else:
            found = self._newest_of(profile, before, limit, self._if_readable)
        return list(islice((run for run in found if statuses is None or run.status in statuses), limit))

    def newest_first(self, profile: str, most: int) -> Generator[Run, None, None]:
        """The newest ``most`` runs of a profile, read as they are taken; close it where not all are. As ``newest``."""
        with closing(self._newest_of(profile, None, _READERS, self._if_readable)) as found:
            yield from islice(found, most)

    def newest_plan(self, profile: str) -> Run | None:
        """The newest run of a profile that has made a plan, whatever became of it."""
        with closing(self._newest_of(profile, None, _READERS)) as found:
            return next((run for run in found if run.fingerprint is not None), None)

    def count_since(self, profile: str, since: datetime, most: int) -> int:
        """How many runs of a profile were created after ``since``; counts to ``most`` and no further."""
        odata = f"{_after(_profile_partition(profile), None)} and RowKey lt {quoted(new_run_id(since, b''))}"
        return sum(1 for _ in islice(self._table.query(odata, select=["RowKey"], page=most), most))

    def active(self) -> list[RunId]:
        """The runs at work, newest first. A run that came to rest a moment ago may still be among them."""
        rows = self._table.query(f"PartitionKey eq {quoted(_ACTIVE_PARTITION)}", select=["RowKey"])
        return [RunId(row.values["RowKey"]) for row in rows]

    def forget_rested(self, run_id: RunId, now: datetime) -> bool:
        """Take a run that rests, or was never stored, out of ``active``; true if that was needed.

        For what a crash left behind: a pointer younger than ten minutes may belong to an update that is on its way.
        """
        pointer = self._table.get(_ACTIVE_PARTITION, run_id)
        if pointer is None or pointer.changed_at is None or now - pointer.changed_at < _SETTLED:
            return False
        found = self.find(run_id)
        if found is not None and found.value.status in ACTIVE:
            return False
        return self._table.delete(_ACTIVE_PARTITION, run_id, pointer.etag)

    def created_before(self, before: datetime) -> Iterator[tuple[str, RunId]]:
        """Profile and id of every run created before then, also of those whose removal or creation was cut short."""
        of_profiles = f"PartitionKey ge {quoted(_profile_partition(''))} and PartitionKey lt {quoted('profile;')}"
        odata = f"{of_profiles} and RowKey gt {quoted(new_run_id(before, b''))}"
        for row in self._table.query(odata, select=["PartitionKey", "RowKey"]):
            yield str(row.values["PartitionKey"]).removeprefix(_profile_partition("")), RunId(row.values["RowKey"])

    def remove(self, read: Versioned[Run]) -> bool:
        """Remove a run as it was ``read``; false where it has changed meanwhile. Its profile still points to it."""
        return self._table.delete(RUN_PARTITION, read.value.id, read.etag)

    def forget(self, profile: str, run_id: RunId) -> None:
        """Take a removed run out of its profile's list: the last trace of it."""
        self._table.delete(_profile_partition(profile), run_id)

    def find(self, run_id: RunId) -> Versioned[Run] | None:
        """The run; None where there is none."""
        if not RUN_ID.fullmatch(run_id):  # ids are ours: what does not look like one is no key either
            return None
        row = self._table.get(RUN_PARTITION, run_id)
        return Versioned(_run_of(row), row.etag) if row is not None else None

    def _newest_of_all(self, statuses: frozenset[RunStatus] | None, before: RunId | None, limit: int) -> Iterator[Run]:
        odata = _after(RUN_PARTITION, before)
        if statuses is not None:
            odata += f" and ({_any_status(statuses)})"
        for row in self._table.query(odata, page=limit, unread=_not_listed):
            try:
                run = _run_of(row)
            except StorageError as error:
                _not_listed(row.values["RowKey"], error)
            else:
                yield run

    def _if_readable(self, run_id: RunId) -> Versioned[Run] | None:
        try:
            return self.find(run_id)
        except StorageError as error:
            if error.kind != "malformed":
                raise
            _not_listed(run_id, error)
            return None

    def _newest_of(
        self,
        profile: str,
        before: RunId | None,
        limit: int,
        find: Callable[[RunId], Versioned[Run] | None] | None = None,
    ) -> Generator[Run, None, None]:
        pointers = self._table.query(_after(_profile_partition(profile), before), select=["RowKey"], page=limit)
        ids = (RunId(row.values["RowKey"]) for row in pointers)
        with Threads(_READERS) as readers:
            while group := list(islice(ids, max(limit, _READERS))):
                # A pointer without its run is a run whose creation was cut short.
                yield from (found.value for found in readers.map(find or self.find, group) if found is not None)


def _pointer(partition: str, run_id: RunId) -> dict[str, str | int | bool | float]:
    try:
        return checked({"PartitionKey": partition, "RowKey": run_id})
    except ValueError as error:
        raise StorageError(f"Run {run_id!r} cannot be stored: {error}.", kind="failed", system="Storage") from error


def _run_of(row: Row) -> Run:
    try:
        return row_to_run(row.values)
    except (ValueError, TypeError, LookupError) as error:
        raise StorageError(
            f"Run {row.values['RowKey']} was written by another version of Realign and cannot be read by this one. "
            "Deploy that version again, or delete the row.",
            kind="malformed",
            system="Storage",
        ) from error


def _not_listed(run_id: str, error: StorageError) -> None:
    log.error("run not listed run=%s: %s", run_id, error)


def _profile_partition(profile: str) -> str:
    return f"profile:{profile}"


def _after(partition: str, before: RunId | None) -> str:
    odata = f"PartitionKey eq {quoted(partition)}"
    return f"{odata} and RowKey gt {quoted(before)}" if before is not None else odata


def _any_status(statuses: Iterable[RunStatus]) -> str:
    return " or ".join(f"status eq {quoted(status.value)}" for status in sorted(statuses)) or "status eq ''"
