"""Profiles that are kept in a blob container: a change counts at the next call, and takes no deployment.

They are listed each time, and only what is new or has changed is fetched and checked: a profile seldom changes, and
every start of a run asks for one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from azure.core.credentials import TokenCredential
from azure.core.exceptions import ResourceNotFoundError
from azure.storage.blob import BlobProperties, BlobServiceClient, ContainerClient, StorageErrorCode

from shared.azure.failures import storage_failures
from shared.azure.transport import open_transport
from shared.errors import StorageError, Upstream
from shared.profile_files import ProfileFile, by_name, decode_profile, unusable
from shared.settings.storage import StorageSettings
from shared.settings.trust import TrustSettings
from shared.telemetry.threads import Threads

LARGEST = 1_000_000  # bytes; a profile has some hundred
READERS = 8
# The newest version that the emulator knows too (contract azure.md, section 7); nothing here needs a newer one.
BLOB_VERSION = "2025-11-05"
_RETRIES: dict[str, Any] = {"retry_total": 4, "retry_connect": 3, "retry_read": 3, "retry_status": 4}


class ProfileBlobs:
    """The ``*.json`` blobs at the root of the container at ``url``.

    Where the app's storage is a connection string and ``url`` lies in that account, its key is used; else the identity
    that ``credential`` opens. Raises ``StorageError`` for what no client can be built from.
    """

    def __init__(
        self,
        url: str,
        storage: StorageSettings,
        credential: Callable[[], TokenCredential],
        *,
        trust: TrustSettings | None = None,
    ) -> None:
        self._account = urlsplit(url).netloc
        try:
            transport, self._session = open_transport(
                connections=READERS, trust=trust or TrustSettings(), system="storage"
            )
        except Upstream as error:
            raise StorageError(str(error), kind=error.kind, system="Storage") from error
        options: dict[str, Any] = {
            "transport": transport, "api_version": BLOB_VERSION, "initial_backoff": 1, "increment_base": 2, **_RETRIES
        }  # fmt: skip
        client = _with_key(url, storage, options)
        if client is None and urlsplit(url).scheme != "https":
            raise StorageError(
                "REALIGN_PROFILES is an http:// URL outside the account of AzureWebJobsStorage. Write it with https://.",
                kind="misconfigured",
                system="Storage",
            )
        self._client = client or ContainerClient.from_container_url(url, credential=credential(), **options)
        self._lock = threading.Lock()
        self._known: dict[tuple[str, str], ProfileFile] = {}

    def read(self) -> dict[str, ProfileFile]:
        """All profiles by name, broken ones included. Raises ``StorageError`` where the container cannot be read."""
        container = self._client.container_name
        role = "the role Storage Blob Data Reader"
        with storage_failures(self._account, f"read container {container}", role):
            try:
                blobs = [blob for blob in self._client.list_blobs() if _is_profile(blob)]
                with Threads(READERS) as readers:
                    entries = [entry for entry in readers.map(self._entry, blobs) if entry is not None]
            except ResourceNotFoundError as error:
                raise StorageError(
                    f"Storage {self._account} has no container {container}. Create it and put the profiles there, or "
                    "correct REALIGN_PROFILES.",
                    kind="missing",
                    system=f"Storage {self._account}",
                ) from error
        with self._lock:
            self._known = {(blob.name, blob.etag): entry for blob, entry in entries}
        return by_name(entry for _, entry in entries)

    def close(self) -> None:
        self._session.close()

    def _entry(self, blob: BlobProperties) -> tuple[BlobProperties, ProfileFile] | None:
        """None where the blob was deleted since it was listed."""
        known = self._known.get((blob.name, blob.etag))
        if known is not None:
            return blob, known
        if blob.size > LARGEST:
            return blob, unusable(blob.name, f"has {blob.size:,} bytes, too many for a profile. Replace the file.")
        try:
            content = self._client.download_blob(blob.name).readall()
        except ResourceNotFoundError as error:
            if getattr(error, "error_code", None) == StorageErrorCode.CONTAINER_NOT_FOUND:
                raise
            return None
        return blob, decode_profile(content, file=blob.name)


def _with_key(url: str, storage: StorageSettings, options: dict[str, Any]) -> ContainerClient | None:
    """None where ``url`` lies in another account than the connection string's, or there is none."""
    if storage.connection_string is None:
        return None
    try:
        account = BlobServiceClient.from_connection_string(storage.connection_string, **options)
    except ValueError:
        # Not chained: the SDK may quote the connection string.
        return None
    place = account.primary_endpoint.rstrip("/")
    return account.get_container_client(url[len(place) + 1 :]) if url.startswith(f"{place}/") else None


def _is_profile(blob: BlobProperties) -> bool:
    return blob.name.endswith(".json") and "/" not in blob.name
