"""Credentials that an outside system refused: not tried again for 20 minutes, by any run, retry or probe.

Prism locks accounts. A new version of the secret is another credential and may be tried at once.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta

from shared.azure.limits import quoted
from shared.azure.row_time import to_text
from shared.azure.storage import Storage
from shared.azure.table import Table

HOLD_OFF = timedelta(minutes=20)
LONGEST = timedelta(days=1)  # that anybody leaves one alone


class Refusals:
    """Raises ``StorageError`` when the account fails."""

    def __init__(self, storage: Storage) -> None:
        self._table: Table = storage.table("refusals")

    def remember(self, secret: str, version: str, host: str, now: datetime) -> datetime:
        """Note that ``host`` refused this version of ``secret``; until when it is left alone."""
        until = now + HOLD_OFF
        self._table.put(
            {
                "PartitionKey": secret,
                "RowKey": _row_key(version, host),
                "version": version,
                "host": host.lower(),
                "until": to_text(until),
            }
        )
        return until

    def refused_until(
        self, secret: str, version: str, host: str, now: datetime, hold_off: timedelta = HOLD_OFF
    ) -> datetime | None:
        """Until when the credential must not be tried at ``host``: ``hold_off`` after its refusal; None when it may."""
        found = self._table.get(secret, _row_key(version, host))
        if found is None:
            return None
        until = datetime.fromisoformat(found.values["until"]) - HOLD_OFF + hold_off
        return until if until > now else None

    def remove_expired(self, now: datetime) -> int:
        """Remove the refusals of more than a day ago, which hold nobody off any more; how many."""
        return self._table.delete_where(f"until lt {quoted(to_text(now - LONGEST))}")


def _row_key(version: str, host: str) -> str:
    return hashlib.sha256(f"{version}@{host.lower()}".encode()).hexdigest()
