"""One table: the few operations that the repositories need, with outcomes instead of SDK exceptions.

A lost race or an absent row is an answer (``None`` or ``False``); only what an operator must act on is an error. The
SDK repeats a write whose answer was lost, so "exists already" and "changed in the meantime" may be the echo of our own
first attempt: callers compare contents before they believe it (contract ``azure.md``, section 5.2).
"""

from __future__ import annotations

import math
import threading
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, Generic, Literal, TypeVar
from urllib.parse import urlsplit

from azure.core import MatchConditions
from azure.core.exceptions import AzureError, ResourceExistsError, ResourceModifiedError, ResourceNotFoundError
from azure.data.tables import TableClient, TableEntity, TableErrorCode, UpdateMode

from shared.azure.failures import storage_failures
from shared.azure.in_parallel import in_parallel
from shared.azure.limits import TRANSACTION_ROWS, Value, checked, quoted
from shared.azure.row_version import UPGRADES, VERSION, Upgrade, WrittenByNewer, stamped, upgraded
from shared.azure.transaction import Operation, TransactionRefused, Verb, transact
from shared.errors import StorageError

MOST_ROWS = 1000  # of one answer of the service

T = TypeVar("T")


def rows_at_a_time(wanted: int) -> int:
    """How many rows to ask for at once where ``wanted`` are: with 1,000 at a time the 1,001st would cost 1,000 more."""
    return math.ceil(wanted / math.ceil(wanted / MOST_ROWS))


@dataclass(frozen=True, slots=True)
class Versioned(Generic[T]):
    """A value as it was read, with the etag that guards its update."""

    value: T
    etag: str


@dataclass(frozen=True, slots=True)
class Row:
    values: Mapping[str, Any]
    etag: str
    changed_at: datetime | None = None


class Table:
    """``account`` is the service's host, for sentences; ``options`` go with every call (time-outs, retries).

    A row that is written whole gets today's version, and one that is read is as ``upgrades`` lead it there.
    """

    def __init__(
        self,
        client: TableClient,
        account: str,
        options: Mapping[str, Any] | None = None,
        upgrades: Sequence[Upgrade] | None = None,
    ) -> None:
        self._client = client
        self.account = account
        self._options = dict(options or {})
        self._upgrades = UPGRADES.get(client.table_name, ()) if upgrades is None else upgrades
        self._lock = threading.Lock()
        self._created = False

    @property
    def name(self) -> str:
        return self._client.table_name

    @property
    def origin(self) -> str:
        """Where the service is, ``https://host``."""
        parts = urlsplit(self._client.url)
        return f"{parts.scheme}://{parts.netloc}"

    def probe(self) -> datetime:
        """Write a row and delete it again: the service's time, in UTC, to the second."""
        row: dict[str, Value] = {"PartitionKey": "probe", "RowKey": uuid.uuid4().hex}
        with self._doing("write to"):
            written = self._ready().upsert_entity(self._checked(row), mode=UpdateMode.REPLACE, **self._options)
        self.delete("probe", str(row["RowKey"]))
        at: datetime = written["date"]
        return at

    def insert(self, row: Mapping[str, Value | None]) -> str | None:
        """The new row's etag, or None when there is one with its keys already."""
        with self._doing("write to"):
            try:
                return _etag(self._ready().create_entity(self._checked(row), **self._options))
            except ResourceExistsError:
                return None

    def get(self, partition: str, row: str) -> Row | None:
        with self._doing("read"):
            try:
                return self._row(self._ready().get_entity(partition, row, **self._options))
            except ResourceNotFoundError as error:
                if _code(error) == TableErrorCode.TABLE_NOT_FOUND:
                    raise
                return None

    def put(self, row: Mapping[str, Value | None]) -> str:
        """Insert or replace whatever is there; the new etag."""
        with self._doing("write to"):
            return _etag(self._ready().upsert_entity(self._checked(row), mode=UpdateMode.REPLACE, **self._options))

    def replace(self, row: Mapping[str, Value | None], etag: str) -> str | None:
        """The new etag, or None when the row is gone or has another etag."""
        with self._doing("write to"):
            try:
                written = self._ready().update_entity(
                    self._checked(row),
                    mode=UpdateMode.REPLACE,
                    etag=etag,
                    match_condition=MatchConditions.IfNotModified,
                    **self._options,
                )
            except (ResourceModifiedError, ResourceNotFoundError):
                return None
            return _etag(written)

    def delete(self, partition: str, row: str, etag: str | None = None) -> bool:
        """False when ``etag`` is given and the row has another one. An absent row counts as deleted."""
        with self._doing("delete from"):
            condition: dict[str, Any] = {"etag": etag, "match_condition": MatchConditions.IfNotModified} if etag else {}
            try:
                self._ready().delete_entity(partition, row, **condition, **self._options)
            except ResourceModifiedError:
                return False
            return True

    def query(
        self,
        odata: str,
        *,
        select: Sequence[str] | None = None,
        page: int = MOST_ROWS,
        unread: Callable[[str, StorageError], None] | None = None,
    ) -> Iterator[Row]:
        """The rows that ``odata`` selects, by key, read ``page`` at a time (at most 1,000) as they are taken.

        Keys are the same in every version. ``unread`` is told of each row that a newer version wrote, by its row key;
        without it such a row is an error.
        """
        keys_alone = select is not None and _KEYS.issuperset(select)
        with self._doing("read"):
            found = self._ready().query_entities(
                odata,
                # a service may leave the etag out of a list; the SDK then makes it from the time stamp
                select=[*select, *(() if keys_alone else (VERSION,)), "Timestamp"] if select else None,
                results_per_page=max(1, min(page, MOST_ROWS)),
                **self._options,
            )
            for entity in found:
                try:
                    row = _row_of(entity, entity) if keys_alone else self._row(entity)
                except StorageError as error:
                    if unread is None:
                        raise
                    unread(str(entity["RowKey"]), error)
                    continue
                yield row

    def rows_of(self, partition: str, keys: Collection[str], *, select: Sequence[str] | None = None) -> Iterator[Row]:
        """The rows of a partition that have one of ``keys``, read in pages from the first to the last of these."""
        if not keys:
            return
        between = f"RowKey ge {quoted(min(keys))} and RowKey le {quoted(max(keys))}"
        for row in self.query(f"PartitionKey eq {quoted(partition)} and {between}", select=select):
            if row.values["RowKey"] in keys:
                yield row

    def insert_all(self, rows: Sequence[Mapping[str, Value]]) -> bool:
        """Insert new ``rows`` of one partition; false, and nothing done, when one of them is there already."""
        return self.replace_all([(row, None) for row in rows]) is not None

    def put_all(self, rows: Sequence[Mapping[str, Value]]) -> None:
        """Insert or replace ``rows`` of one partition, all or none. They fit one transaction and were ``checked``."""
        self._transact([Operation(Verb.REPLACE, stamped(row, self._upgrades)) for row in rows], "write to")

    def replace_all(self, rows: Sequence[tuple[Mapping[str, Value], str | None]]) -> list[str] | None:
        """Write ``checked`` rows of one partition, all or none: each in place of the one with the etag beside it.

        Without an etag it has to be new. The new etags; None, and nothing done, when one of them is refused.
        """
        return self._guarded(rows, Verb.REPLACE)

    def merge_all(self, rows: Sequence[tuple[Mapping[str, Value], str]]) -> list[str] | None:
        """Set what ``checked`` rows of one partition name, all or none, where each still has the etag beside it.

        The new etags; None, and nothing done, when one of them is gone or has another etag.
        """
        return self._guarded(rows, Verb.MERGE)

    def delete_all(self, partition: str, keys: Sequence[str], etags: Mapping[str, str] | None = None) -> bool:
        """Delete rows of one partition; those that are gone already do not matter.

        False when ``etags`` has one by a row's key and the row has another; it is left there.
        """
        guards = etags or {}
        rows = [{"PartitionKey": partition, "RowKey": key} for key in keys]
        try:
            self._transact([Operation(Verb.DELETE, row, guards.get(row["RowKey"])) for row in rows], "delete from")
        except _Refused:
            return all([self.delete(partition, key, guards.get(key)) for key in keys])
        return True

    def empty(self, partition: str) -> None:
        """Delete every row of a partition."""
        rows = self.query(f"PartitionKey eq {quoted(partition)}", select=["RowKey"])
        keys = (str(row.values["RowKey"]) for row in rows)
        groups = iter(lambda: list(islice(keys, TRANSACTION_ROWS)), [])
        in_parallel(lambda group: self.delete_all(partition, group), groups)

    def delete_where(self, odata: str) -> int:
        """Delete the rows that ``odata`` selects, wherever they are, but those that change meanwhile; how many."""
        found = list(self.query(odata, select=["PartitionKey", "RowKey"]))
        keys = [(str(row.values["PartitionKey"]), str(row.values["RowKey"]), row.etag) for row in found]
        in_parallel(lambda key: self.delete(*key), keys)
        return len(keys)

    def _guarded(self, rows: Sequence[tuple[Mapping[str, Value], str | None]], verb: Verb) -> list[str] | None:
        operations = [
            Operation(verb, row, etag)
            if verb is Verb.MERGE
            else Operation(verb if etag is not None else Verb.INSERT, stamped(row, self._upgrades), etag)
            for row, etag in rows
        ]
        try:
            return [str(etag) for etag in self._transact(operations, "write to")]
        except _Refused:
            return None

    def _transact(self, operations: Sequence[Operation], doing: Literal["write to", "delete from"]) -> list[str | None]:
        if not operations:
            return []
        if len(operations) > TRANSACTION_ROWS:
            raise ValueError(f"a transaction holds {TRANSACTION_ROWS} rows, not {len(operations)}")
        with self._doing(doing):
            try:
                return transact(self._ready(), operations, self._options)
            except TransactionRefused as error:
                if error.status_code in _REFUSALS and error.error_code not in _TROUBLE:
                    raise _Refused from error
                raise

    def _ready(self) -> TableClient:
        """The client, once the table exists: the app creates what it needs at first use."""
        if not self._created:
            with self._lock:
                if not self._created:
                    try:
                        self._client.create_table()
                    except ResourceExistsError as error:
                        if _code(error) not in (None, TableErrorCode.TABLE_ALREADY_EXISTS):
                            raise
                    self._created = True
        return self._client

    def _checked(self, row: Mapping[str, Value | None]) -> dict[str, Value]:
        try:
            return checked(stamped(row, self._upgrades))
        except ValueError as error:
            raise StorageError(
                f"A row does not fit table {self.name}: {error}.", kind="failed", system=f"Storage {self.account}"
            ) from error

    def _row(self, entity: TableEntity) -> Row:
        try:
            values = upgraded(entity, self._upgrades)
        except WrittenByNewer as error:
            raise StorageError(
                f"Table {self.name} was written by a newer version of Realign: {error}. Deploy that version again.",
                kind="malformed",
                system=f"Storage {self.account}",
            ) from error
        return _row_of(values, entity)

    @contextmanager
    def _doing(self, what: str) -> Iterator[None]:
        with storage_failures(self.account, f"{what} table {self.name}"):
            yield


class _Refused(Exception):
    """A transaction was refused because one of its rows is gone, is there already, or has another etag."""


_REFUSALS = frozenset({404, 409, 412})
# of the table, or of the account, and of no row
_TROUBLE = frozenset({TableErrorCode.TABLE_NOT_FOUND, TableErrorCode.TABLE_BEING_DELETED})


_KEYS = frozenset({"PartitionKey", "RowKey"})


def _row_of(values: Mapping[str, Any], entity: TableEntity) -> Row:
    return Row(values, str(entity.metadata["etag"]), entity.metadata.get("timestamp"))


def _code(error: AzureError) -> object:
    return getattr(error, "error_code", None)


def _etag(metadata: Mapping[str, Any]) -> str:
    return str(metadata["etag"])
