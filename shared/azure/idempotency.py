"""One run for one ``Idempotency-Key``, however often the request arrives: kept 24 hours, per profile and caller.

The client's key is hashed: its text could break the rules for table keys.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.azure.limits import quoted
from shared.azure.row_time import to_text
from shared.azure.storage import Storage
from shared.azure.table import Table
from shared.errors import EditedElsewhere, IdempotencyMismatch
from shared.model.run import RunId

KEPT = timedelta(hours=24)
_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Claim:
    """``run_id`` is the run to answer with; ``replayed`` says that an earlier request chose it.

    A replayed claim may name a run that is not there: the earlier request broke off before it stored it. Creating a
    run is safe to repeat, so the caller then creates it under that id.
    """

    run_id: RunId
    replayed: bool


class Idempotency:
    """Raises ``StorageError`` when the account fails."""

    def __init__(self, storage: Storage) -> None:
        self._table: Table = storage.table("idempotency")

    def find(self, profile: str, caller: str, key: str, body_hash: str, now: datetime) -> RunId | None:
        """The run that ``key`` was claimed for, or None. Raises ``IdempotencyMismatch`` for another body."""
        found = self._table.get(profile, _row_key(caller, key))
        if found is None or now - datetime.fromisoformat(found.values["createdAt"]) >= KEPT:
            return None
        if found.values["bodyHash"] != body_hash:
            raise _mismatch()
        return RunId(found.values["runId"])

    def claim(self, profile: str, caller: str, key: str, body_hash: str, run_id: RunId, now: datetime) -> Claim:
        """Claim ``key`` for ``run_id``, or learn which run has it. Raises ``IdempotencyMismatch`` for another body."""
        row_key = _row_key(caller, key)
        row = {
            "PartitionKey": profile,
            "RowKey": row_key,
            "runId": run_id,
            "bodyHash": body_hash,
            "createdAt": to_text(now),
        }
        for _ in range(_ATTEMPTS):
            if self._table.insert(row) is not None:
                return Claim(run_id, replayed=False)
            found = self._table.get(profile, row_key)
            if found is None:
                continue
            if now - datetime.fromisoformat(found.values["createdAt"]) >= KEPT:
                if self._table.replace(row, found.etag) is not None:
                    return Claim(run_id, replayed=False)
                continue
            if found.values["bodyHash"] != body_hash:
                raise _mismatch()
            # The same run id is the echo of this very request, whose first answer was lost.
            return Claim(RunId(found.values["runId"]), replayed=found.values["runId"] != run_id)
        raise EditedElsewhere("Several requests with this Idempotency-Key arrived at once. Send it again.")

    def remove_expired(self, now: datetime) -> int:
        """Remove the keys that no request can replay any more; how many."""
        return self._table.delete_where(f"createdAt lt {quoted(to_text(now - KEPT))}")


def _row_key(caller: str, key: str) -> str:
    return hashlib.sha256(f"{len(caller)}:{caller}{key}".encode("utf-8", "surrogatepass")).hexdigest()


def _mismatch() -> IdempotencyMismatch:
    return IdempotencyMismatch(
        "This Idempotency-Key was used with another body in the last 24 hours. Send the same body again, or take a "
        "new key."
    )
