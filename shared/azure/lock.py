"""The locks: at most one run plans, applies or rolls back a profile at a time, and at most one writes to a site.

A lock is a row that expires after 60 seconds. Its holder renews it every 15 from a thread and asks ``check`` before
each write; a worker that is gone is taken over once its row has expired. No lock stops a worker that is paused, so
what it protects checks its own preconditions too (contract ``azure.md``, section 5.5).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from contextvars import copy_context
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import partial
from types import TracebackType
from typing import Any

from shared.azure.limits import decode_key, encode_key
from shared.azure.row_time import to_text
from shared.azure.storage import Storage
from shared.azure.table import Table
from shared.errors import EditedElsewhere, LockLost, StorageError
from shared.model.run import RunId

EXPIRY = timedelta(seconds=60)
RENEW_EVERY = 15.0  # seconds
MARGIN = 10.0  # seconds before the expiry that the holder stops: for clocks that differ, and a write on its way

_ATTEMPTS = 5

log = logging.getLogger(__name__)


def _utc_now() -> datetime:
    return datetime.now(UTC)


class LockKind(StrEnum):
    """What a lock is of. Profiles may overlap on a site, so writing to one takes the site's lock too."""

    PROFILE = "profile"
    SITE = "site"


@dataclass(frozen=True, slots=True)
class Held:
    """Another worker has the lock, for ``run_id``, at least until ``until`` unless it lets go."""

    run_id: RunId
    until: datetime


class Lock:
    """A lock that is held. As a context manager it renews itself and lets go at the end."""

    def __init__(self, table: Table, row: Mapping[str, Any], etag: str, held_since: float, times: _Times) -> None:
        self._table = table
        self._row = dict(row)
        self._etag = etag
        self._times = times
        self._sure_until = held_since + EXPIRY.total_seconds() - MARGIN
        self._lost = False
        self._guard = threading.Lock()
        self._done = threading.Event()
        self._renewer: threading.Thread | None = None

    @property
    def kind(self) -> LockKind:
        return LockKind(self._row["PartitionKey"])

    @property
    def key(self) -> str:
        """The profile's name or the site's id."""
        return decode_key(self._row["RowKey"])

    @property
    def run_id(self) -> RunId:
        return RunId(self._row["runId"])

    @property
    def fencing(self) -> int:
        """Grows with every holder of this lock."""
        return int(self._row["fencing"])

    def check(self) -> None:
        """Raise ``LockLost`` unless this worker surely holds the lock. No request is made."""
        if self._lost or self._times.monotonic() >= self._sure_until:
            raise LockLost(
                f"The lock of {self.kind} {self.key} was lost while run {self.run_id} worked: it was not renewed in "
                "time, or another worker took over. The run goes on by itself with its next attempt."
            )

    def renew(self) -> None:
        """Extend the lock to 60 seconds from now. Raises ``LockLost`` when it is another's, or ``StorageError``."""
        with self._guard:
            self.check()
            asked_at = self._times.monotonic()
            row = {**self._row, "expiresAt": to_text(self._times.clock() + EXPIRY)}
            etag = self._table.replace(row, self._etag)
            if etag is None:
                ours = self._ours()
                etag = self._table.replace(row, ours) if ours is not None else None
            if etag is None:
                self._lost = True
                self.check()
                return
            self._row, self._etag = row, etag
            self._sure_until = asked_at + EXPIRY.total_seconds() - MARGIN

    def release(self) -> None:
        """Let go, if the lock is still this worker's. Raises ``StorageError``."""
        with self._guard:
            self._lost = True
            if not self._delete(self._etag):
                ours = self._ours()
                if ours is not None:
                    self._delete(ours)

    def __enter__(self) -> Lock:
        # in this context: what it tells is about the run that holds the lock
        work = partial(copy_context().run, self._keep)
        self._renewer = threading.Thread(target=work, name=f"lock-{self.kind}-{self.key}", daemon=True)
        self._renewer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        if self._renewer is not None:
            self._renewer.join()  # bounded: the table's calls for locks have short time-outs
        try:
            self.release()
        except StorageError as failure:
            # What was done under the lock stands; the row expires by itself.
            log.warning("lock not released %s=%s run=%s error=%s", self.kind, self.key, self.run_id, failure)

    def _keep(self) -> None:
        pause = self._times.renew_every
        while not self._done.wait(pause):
            try:
                self.renew()
                pause = self._times.renew_every
            except LockLost as lost:
                log.warning("lock lost %s=%s run=%s: %s", self.kind, self.key, self.run_id, lost)
                return
            except StorageError as failure:
                log.warning("lock not renewed %s=%s run=%s error=%s", self.kind, self.key, self.run_id, failure)
                pause = self._times.renew_every / 5

    def _ours(self) -> str | None:
        """The etag of the row if it still bears this worker's token: the answer to an earlier write was lost."""
        found = self._table.get(self._row["PartitionKey"], self._row["RowKey"])
        return found.etag if found is not None and found.values["token"] == self._row["token"] else None

    def _delete(self, etag: str) -> bool:
        return self._table.delete(self._row["PartitionKey"], self._row["RowKey"], etag)


@dataclass(frozen=True, slots=True)
class _Times:
    """Wall time for what other workers read; monotonic time for what this one believes of itself."""

    clock: Callable[[], datetime]
    monotonic: Callable[[], float]
    renew_every: float


class Locks:
    """Raises ``StorageError`` when the account fails. ``clock`` is UTC, the other times are seconds."""

    def __init__(
        self,
        storage: Storage,
        *,
        clock: Callable[[], datetime] = _utc_now,
        monotonic: Callable[[], float] = time.monotonic,
        renew_every: float = RENEW_EVERY,
    ) -> None:
        self._table: Table = storage.table("locks")
        self._times = _Times(clock, monotonic, renew_every)

    def acquire(self, kind: LockKind, key: str, owner_run: RunId, token: str, now: datetime) -> Lock | Held:
        """Take the lock of ``key`` (a profile's name, a site's id) for ``owner_run``, or learn who has it.

        ``token`` is random and this worker's own: it tells two workers on the same run apart.
        """
        asked_at = self._times.monotonic()  # once, as ``now``: the row's expiry counts from here whatever the attempt
        for _ in range(_ATTEMPTS):
            row = _row(kind, key, owner_run, token, now, after=0)
            etag = self._table.insert(row)
            if etag is not None:
                return Lock(self._table, row, etag, asked_at, self._times)
            found = self._table.get(kind.value, _row_key(kind, key))
            if found is None:
                continue
            expires_at = datetime.fromisoformat(found.values["expiresAt"])
            if found.values["token"] != token and expires_at > now:
                return Held(RunId(found.values["runId"]), expires_at)
            row = _row(kind, key, owner_run, token, now, after=int(found.values["fencing"]))
            etag = self._table.replace(row, found.etag)
            if etag is not None:
                if found.values["token"] != token:
                    log.warning("lock taken over %s=%s run=%s from=%s", kind, key, owner_run, found.values["runId"])
                return Lock(self._table, row, etag, asked_at, self._times)
        raise EditedElsewhere(f"Several workers asked for the lock of {kind} {key} at once. Try again.")

    def holder(self, kind: LockKind, key: str, now: datetime) -> Held | None:
        """Who holds the lock of ``key``; None when nobody does, or it has expired."""
        found = self._table.get(kind.value, _row_key(kind, key))
        if found is None:
            return None
        until = datetime.fromisoformat(found.values["expiresAt"])
        return Held(RunId(found.values["runId"]), until) if until > now else None


def _row_key(kind: LockKind, key: str) -> str:
    try:
        return encode_key(key)
    except ValueError as error:
        raise StorageError(f"The {kind} cannot be locked: {error}.", kind="failed", system="Storage") from error


def _row(kind: LockKind, key: str, run_id: RunId, token: str, now: datetime, *, after: int) -> dict[str, str | None]:
    # Time makes the number grow over a release, which removes the row; text, since it passes 32 bits.
    fencing = max(after + 1, int(now.timestamp() * 1_000_000))
    return {
        "PartitionKey": kind.value,
        "RowKey": _row_key(kind, key),
        "runId": run_id,
        "token": token,
        "fencing": str(fencing),
        "expiresAt": to_text(now + EXPIRY),
    }
