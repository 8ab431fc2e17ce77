"""The storage account: its tables and its work queue, over one connection pool.

Tables and queues are created at first use, once a process. One ``Storage`` serves all threads of a process.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from azure.core.credentials import TokenCredential
from azure.core.exceptions import ResourceNotFoundError
from azure.data.tables import TableClient
from azure.storage.queue import QueueClient, TextBase64EncodePolicy

from shared.azure.failures import storage_failures
from shared.azure.table import Table
from shared.azure.transport import open_transport
from shared.errors import StorageError, Upstream
from shared.settings.storage import StorageSettings
from shared.settings.trust import TrustSettings

TABLES = ("runs", "remaps", "inputs", "events", "locks", "idempotency", "refusals")
WORK_QUEUE = "realign-work"
POISON_QUEUE = "realign-work-poison"
NOTIFY_QUEUE = "realign-notify"
NOTIFY_POISON_QUEUE = "realign-notify-poison"
QUEUES = (WORK_QUEUE, POISON_QUEUE, NOTIFY_QUEUE, NOTIFY_POISON_QUEUE)

CONNECTIONS = 40  # worker threads (32) and 8 parallel transactions
# The newest version that the emulator knows too (contract azure.md, section 7); nothing here needs a newer one.
QUEUE_VERSION = "2025-11-05"
# A lock must be renewed well within its 60 seconds, or be known as lost.
LOCK_OPTIONS = {"connection_timeout": 3, "read_timeout": 6, "retry_total": 1}

_RETRIES: dict[str, Any] = {"retry_total": 4, "retry_connect": 3, "retry_read": 3, "retry_status": 4}


class Storage:
    """Without ``trust``: public authorities, no proxy.

    Raises ``StorageError`` (kind ``misconfigured``) for settings that no client can be built from.
    """

    def __init__(
        self,
        settings: StorageSettings,
        credential: TokenCredential | None = None,
        *,
        trust: TrustSettings | None = None,
    ) -> None:
        if settings.connection_string is None and credential is None:
            raise _misconfigured("needs an identity when AzureWebJobsStorage is no connection string")
        self._settings = settings
        self._credential = credential
        try:
            self._transport, self._session = open_transport(
                connections=CONNECTIONS, trust=trust or TrustSettings(), system="storage"
            )
        except Upstream as error:
            raise StorageError(str(error), kind=error.kind, system="Storage") from error
        self._tables: dict[str, Table] = {}
        self._lock = threading.Lock()
        try:
            self._tables = {name: self._open_table(name) for name in TABLES}
            self._queues = {name: self._open_queue(name) for name in QUEUES}
        except ValueError as error:
            self._session.close()
            # Not chained: the SDK may quote the connection string.
            raise _misconfigured(
                f"cannot be used as AzureWebJobsStorage describes it ({type(error).__name__})"
            ) from None

    def table(self, name: str) -> Table:
        return self._tables[name]

    def queue(self, name: str) -> tuple[QueueClient, str]:
        """The queue's client and its host, for sentences. The caller creates the queue at first use."""
        client = self._queues[name]
        return client, urlsplit(client.url).netloc

    @property
    def origin(self) -> str:
        """Where the account's tables are, ``https://host``."""
        return self.table("runs").origin

    def probe(self) -> datetime:
        """A row written and deleted, a queue looked at: the service's time, in UTC, to the second.

        Raises ``StorageError`` when the account cannot be used.
        """
        at = self.table("locks").probe()
        client, account = self.queue(WORK_QUEUE)
        with storage_failures(account, f"look at queue {WORK_QUEUE}"), suppress(ResourceNotFoundError):
            client.get_queue_properties()  # nobody has sent anything yet where there is none
        return at

    def close(self) -> None:
        self._session.close()

    def _open_table(self, name: str) -> Table:
        options: dict[str, Any] = {
            "transport": self._transport, "retry_backoff_factor": 0.4, "retry_backoff_max": 8, **_RETRIES
        }  # fmt: skip
        if self._settings.connection_string is not None:
            client = TableClient.from_connection_string(self._settings.connection_string, name, **options)
        else:
            client = TableClient(self._settings.table_uri or "", name, credential=self._credential, **options)
        return Table(client, urlsplit(client.url).netloc, LOCK_OPTIONS if name == "locks" else None)

    def _open_queue(self, name: str) -> QueueClient:
        options: dict[str, Any] = {
            "transport": self._transport,
            "message_encode_policy": TextBase64EncodePolicy(),
            "api_version": QUEUE_VERSION,
            "initial_backoff": 1,
            "increment_base": 2,
            **_RETRIES,
        }
        if self._settings.connection_string is not None:
            return QueueClient.from_connection_string(self._settings.connection_string, name, **options)
        return QueueClient(self._settings.queue_uri or "", name, credential=self._credential, **options)


def _misconfigured(what: str) -> StorageError:
    return StorageError(
        f"The storage account {what}. Set AzureWebJobsStorage__accountName to the account's name, or "
        "AzureWebJobsStorage to its whole connection string.",
        kind="misconfigured",
        system="Storage",
    )
