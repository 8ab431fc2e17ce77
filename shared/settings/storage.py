"""Where tables, queues and blobs are."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from shared.errors import SettingsInvalid
from shared.settings.reading import STORAGE, is_https, member_of, value_of

_ACCOUNT_NAME = re.compile(r"[a-z0-9]{3,24}")


@dataclass(frozen=True, slots=True)
class StorageSettings:
    """Where tables and queues are: a connection string, or the services' URIs for an identity.

    ``connection_string`` wins when both are there, as for the Functions host (contract ``azure.md``, section 4.2).
    """

    connection_string: str | None = field(default=None, repr=False)
    table_uri: str | None = None
    queue_uri: str | None = None
    blob_uri: str | None = None


def load_storage(environ: Mapping[str, str]) -> StorageSettings:
    """The storage alone, for those who need no more. Raises ``SettingsInvalid``."""
    problems: list[str] = []
    storage = read_storage(environ, problems)
    if problems:
        raise SettingsInvalid(tuple(problems))
    return storage


def read_storage(environ: Mapping[str, str], problems: list[str]) -> StorageSettings:
    connection_string = value_of(environ, STORAGE)
    if connection_string is not None:
        if not _is_connection_string(connection_string):
            problems.append(
                f"{STORAGE} is not a connection string: copy the whole one from the storage account's access keys, or "
                f"remove it and set {STORAGE}__accountName."
            )
        return StorageSettings(connection_string=connection_string)
    account_setting, account = member_of(environ, "accountName")
    if account is not None and not _ACCOUNT_NAME.fullmatch(account):
        problems.append(f"{account_setting} must be a storage account's name: 3 to 24 lower-case letters and digits.")
        return StorageSettings()
    uris = {service: _service_uri(environ, service, account, problems) for service in ("table", "queue", "blob")}
    missing = [f"{STORAGE}__{service}ServiceUri" for service in ("table", "queue") if uris[service] is None]
    if len(missing) == 2 and uris["blob"] is None:
        problems.append(
            f"{STORAGE}__accountName is not set: give the name of the storage account (or the URIs of its services as "
            f"{STORAGE}__blobServiceUri, __queueServiceUri and __tableServiceUri)."
        )
    else:
        problems.extend(f"{name} is not set: give the URI of that service of the storage account." for name in missing)
    return StorageSettings(table_uri=uris["table"], queue_uri=uris["queue"], blob_uri=uris["blob"])


def _service_uri(environ: Mapping[str, str], service: str, account: str | None, problems: list[str]) -> str | None:
    name, uri = member_of(environ, f"{service}ServiceUri")
    if uri is None:
        return f"https://{account}.{service}.core.windows.net" if account else None
    if not is_https(uri):
        problems.append(f"{name} must be an https:// URI, such as https://account.{service}.core.windows.net.")
    return uri.rstrip("/")


def _is_connection_string(text: str) -> bool:
    if text.lower() == "usedevelopmentstorage=true":
        return True
    parts = {part.partition("=")[0].strip().lower() for part in text.split(";") if "=" in part}
    return bool(parts & {"accountkey", "sharedaccesssignature"}) and bool(parts & {"accountname", "tableendpoint"})
