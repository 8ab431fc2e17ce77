"""The app settings, read once from a mapping and handed out in small groups.

Nothing else in the product reads the environment: code takes the group that it needs. All that is missing or wrong is
reported together, so that an operator corrects a deployment once and not setting by setting.
"""

from __future__ import annotations

import os.path
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from shared.errors import SettingsInvalid

STORAGE = "AzureWebJobsStorage"
_ACCOUNT_NAME = re.compile(r"[a-z0-9]{3,24}")
_NOTIFY_HOST = re.compile(r"(\*\.)?[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?(:[0-9]{1,5})?")
_MOST_DAYS = 3650
_PUBLIC_AUTHORITY = "https://login.microsoftonline.com"
_CA_FILES = ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")
_LOWER_CASE_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
_PROXIES = (*_LOWER_CASE_PROXIES, *(name.upper() for name in _LOWER_CASE_PROXIES))


@dataclass(frozen=True, slots=True)
class StorageSettings:
    """Where tables and queues are: a connection string, or the services' URIs for an identity.

    ``connection_string`` wins when both are there, as for the Functions host (contract ``azure.md``, section 4.2).
    """

    connection_string: str | None = field(default=None, repr=False)
    table_uri: str | None = None
    queue_uri: str | None = None
    blob_uri: str | None = None


@dataclass(frozen=True, slots=True)
class TrustSettings:
    """Whom connections trust and which proxies they take, as the variables that ``shared.transport`` reads.

    At most one of ``REQUESTS_CA_BUNDLE`` and ``SSL_CERT_FILE``, and the proxies, whose URLs may hold a password.
    """

    variables: Mapping[str, str] = field(default_factory=dict, repr=False, hash=False)


@dataclass(frozen=True, slots=True)
class IdentitySettings:
    """Who the app is. ``managed`` means App Service's token endpoint; else a service principal of ``tenant_id``."""

    managed: bool
    endpoint: str | None = None
    header: str | None = field(default=None, repr=False)
    client_id: str | None = None
    tenant_id: str | None = None
    client_secret: str | None = field(default=None, repr=False)
    certificate_path: str | None = None
    authority: str = _PUBLIC_AUTHORITY
    trust: TrustSettings = field(default_factory=TrustSettings)


@dataclass(frozen=True, slots=True)
class VaultSettings:
    url: str


@dataclass(frozen=True, slots=True)
class ProfileSettings:
    """A folder, or the URL of a blob container; the other one is empty."""

    folder: str = ""
    container: str = ""


@dataclass(frozen=True, slots=True)
class RetentionSettings:
    """For how many days a run is kept after its last change."""

    days: int = 90


@dataclass(frozen=True, slots=True)
class AuthSettings:
    """``enabled`` is App Service's own word that Easy Auth is on; only then its headers can be trusted."""

    enabled: bool


@dataclass(frozen=True, slots=True)
class NotifySettings:
    """``hosts`` are those that webhooks may be at, in lower case, each with its port where that is not 443.

    ``home`` is the app's own address, ``https://host``, for links in messages; empty where the app does not know it.
    """

    hosts: tuple[str, ...] = ()
    home: str = ""


@dataclass(frozen=True, slots=True)
class TelemetrySettings:
    """``connection_string`` is Application Insights'; without it nothing is exported.

    ``as_identity``: whoever sends has to sign in. ``by_worker``: the platform's worker has set up OpenTelemetry itself.
    """

    connection_string: str | None = field(default=None, repr=False)
    as_identity: bool = False
    by_worker: bool = False


@dataclass(frozen=True, slots=True)
class Settings:
    storage: StorageSettings
    identity: IdentitySettings
    vault: VaultSettings
    profiles: ProfileSettings
    auth: AuthSettings
    trust: TrustSettings
    notify: NotifySettings = NotifySettings()
    retention: RetentionSettings = RetentionSettings()
    telemetry: TelemetrySettings = TelemetrySettings()


def load(environ: Mapping[str, str]) -> Settings:
    """Read every group. Raises ``SettingsInvalid`` with a sentence for each name that is missing or wrong."""
    problems: list[str] = []
    trust = _trust(environ, problems)
    settings = Settings(
        storage=_storage(environ, problems),
        identity=_identity(environ, trust, problems),
        vault=_vault(environ, problems),
        profiles=_profiles(environ, problems),
        auth=AuthSettings((_text(environ, "WEBSITE_AUTH_ENABLED") or "").lower() in {"true", "1"}),
        trust=trust,
        notify=_notify(environ, problems),
        retention=_retention(environ, problems),
        telemetry=_telemetry(environ),
    )
    if problems:
        raise SettingsInvalid(tuple(problems))
    return settings


def load_identity(environ: Mapping[str, str]) -> IdentitySettings:
    """The identity alone, for those who need no more. Raises ``SettingsInvalid``."""
    problems: list[str] = []
    identity = _identity(environ, _trust(environ, problems), problems)
    if problems:
        raise SettingsInvalid(tuple(problems))
    return identity


def load_storage(environ: Mapping[str, str]) -> StorageSettings:
    """The storage alone, for those who need no more. Raises ``SettingsInvalid``."""
    problems: list[str] = []
    storage = _storage(environ, problems)
    if problems:
        raise SettingsInvalid(tuple(problems))
    return storage


def load_trust(environ: Mapping[str, str]) -> TrustSettings:
    """The trust and the proxies alone, for those who need no more. Raises ``SettingsInvalid``."""
    problems: list[str] = []
    trust = _trust(environ, problems)
    if problems:
        raise SettingsInvalid(tuple(problems))
    return trust


def _text(environ: Mapping[str, str], name: str) -> str | None:
    return (environ.get(name) or "").strip() or None


def _part(environ: Mapping[str, str], part: str) -> tuple[str, str | None]:
    """A member of the ``AzureWebJobsStorage__`` collection; the host reads these names ignoring case."""
    name = f"{STORAGE}__{part}"
    if name in environ:
        return name, _text(environ, name)
    spelt = next((key for key in environ if key.lower() == name.lower()), name)
    return spelt, _text(environ, spelt)


def _storage(environ: Mapping[str, str], problems: list[str]) -> StorageSettings:
    connection_string = _text(environ, STORAGE)
    if connection_string is not None:
        if not _is_connection_string(connection_string):
            problems.append(
                f"{STORAGE} is not a connection string: copy the whole one from the storage account's access keys, or "
                f"remove it and set {STORAGE}__accountName."
            )
        return StorageSettings(connection_string=connection_string)
    account_setting, account = _part(environ, "accountName")
    if account is not None and not _ACCOUNT_NAME.fullmatch(account):
        problems.append(f"{account_setting} must be a storage account's name: 3 to 24 lower-case letters and digits.")
        account = None
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
    name, uri = _part(environ, f"{service}ServiceUri")
    if uri is None:
        return f"https://{account}.{service}.core.windows.net" if account else None
    if not _is_https(uri):
        problems.append(f"{name} must be an https:// URI, such as https://account.{service}.core.windows.net.")
    return uri.rstrip("/")


def _is_connection_string(text: str) -> bool:
    if text.lower() == "usedevelopmentstorage=true":
        return True
    parts = {part.partition("=")[0].strip().lower() for part in text.split(";") if "=" in part}
    return bool(parts & {"accountkey", "sharedaccesssignature"}) and bool(parts & {"accountname", "tableendpoint"})


def _is_https(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme.lower() == "https" and bool(parts.hostname) and parts.username is None
    except ValueError:
        return False


def _identity(environ: Mapping[str, str], trust: TrustSettings, problems: list[str]) -> IdentitySettings:
    endpoint, header = _text(environ, "IDENTITY_ENDPOINT"), _text(environ, "IDENTITY_HEADER")
    if endpoint and header:
        client_id = _text(environ, "REALIGN_IDENTITY_CLIENT_ID") or _part(environ, "clientId")[1]
        return IdentitySettings(managed=True, endpoint=endpoint, header=header, client_id=client_id)
    if endpoint or header:
        problems.append("IDENTITY_ENDPOINT and IDENTITY_HEADER must both be set; App Service sets them together.")
        return IdentitySettings(managed=True)
    return _service_principal(environ, trust, problems)


def _service_principal(environ: Mapping[str, str], trust: TrustSettings, problems: list[str]) -> IdentitySettings:
    tenant, client_id = _text(environ, "AZURE_TENANT_ID"), _text(environ, "AZURE_CLIENT_ID")
    secret, certificate = _text(environ, "AZURE_CLIENT_SECRET"), _text(environ, "AZURE_CLIENT_CERTIFICATE_PATH")
    if not (tenant or client_id or secret or certificate):
        problems.append(
            "The app has no identity: on Azure switch on its managed identity (IDENTITY_ENDPOINT and IDENTITY_HEADER "
            "appear by themselves); elsewhere set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET or "
            "AZURE_CLIENT_CERTIFICATE_PATH."
        )
        return IdentitySettings(managed=False)
    if not tenant:
        problems.append("AZURE_TENANT_ID is not set: give the directory (tenant) ID of the app registration.")
    if not client_id:
        problems.append("AZURE_CLIENT_ID is not set: give the application (client) ID of the app registration.")
    if not (secret or certificate):
        problems.append("Set AZURE_CLIENT_SECRET, or AZURE_CLIENT_CERTIFICATE_PATH to a PEM file with its key.")
    if certificate and not secret and not os.path.isfile(certificate):
        problems.append("AZURE_CLIENT_CERTIFICATE_PATH names no file: give the path of a PEM file with its key.")
    authority = (_text(environ, "AZURE_AUTHORITY_HOST") or _PUBLIC_AUTHORITY).rstrip("/")
    if not _is_https(authority):
        problems.append(f"AZURE_AUTHORITY_HOST must be an https:// URL, such as {_PUBLIC_AUTHORITY}.")
    return IdentitySettings(
        managed=False,
        client_id=client_id,
        tenant_id=tenant,
        client_secret=secret,
        certificate_path=None if secret else certificate,
        authority=authority,
        trust=trust,
    )


def _vault(environ: Mapping[str, str], problems: list[str]) -> VaultSettings:
    url = _text(environ, "KEY_VAULT_URL")
    if url is None:
        problems.append("KEY_VAULT_URL is not set: give the vault's URL, such as https://name.vault.azure.net.")
    elif not _is_https(url):
        problems.append("KEY_VAULT_URL must be an https:// URL, such as https://name.vault.azure.net.")
    return VaultSettings((url or "").rstrip("/"))


def _notify(environ: Mapping[str, str], problems: list[str]) -> NotifySettings:
    entries = [entry.strip().lower() for entry in (_text(environ, "REALIGN_NOTIFY_HOSTS") or "").split(",")]
    hosts = tuple(entry.removesuffix(":443") for entry in entries if entry)
    wrong = [host for host in hosts if not _NOTIFY_HOST.fullmatch(host)]
    if wrong:
        problems.append(
            f"REALIGN_NOTIFY_HOSTS names {wrong[0][:80]}, which is no host: write names such as hooks.corp.example or "
            "*.logic.azure.com, with commas and without https:// or a path."
        )
    name = _text(environ, "WEBSITE_HOSTNAME")
    return NotifySettings(hosts, f"https://{name}" if name is not None else "")


def _profiles(environ: Mapping[str, str], problems: list[str]) -> ProfileSettings:
    place = _text(environ, "REALIGN_PROFILES") or "profiles"
    if not re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*://", place):
        return ProfileSettings(folder=place)
    # a signature in the URL would be a secret in an app setting, and it would end some day
    if not re.fullmatch(r"https?://[^/?#@]+(/[a-z0-9]+)?/[a-z0-9](-?[a-z0-9]){2,62}/?", place):
        problems.append(
            "REALIGN_PROFILES is neither a folder nor the URL of a blob container: write it as "
            "https://account.blob.core.windows.net/profiles, without a signature."
        )
    return ProfileSettings(container=place.rstrip("/"))


def _retention(environ: Mapping[str, str], problems: list[str]) -> RetentionSettings:
    text = _text(environ, "REALIGN_RETENTION_DAYS")
    if text is None:
        return RetentionSettings()
    if not (text.isascii() and text.isdecimal() and len(text) <= 4 and 1 <= int(text) <= _MOST_DAYS):
        problems.append(f"REALIGN_RETENTION_DAYS is {text[:20]!r}: give a number of days from 1 to {_MOST_DAYS}.")
        return RetentionSettings()
    return RetentionSettings(int(text))


def _telemetry(environ: Mapping[str, str]) -> TelemetrySettings:
    """Nothing here is a problem: an app whose telemetry is set up wrongly still does its work."""
    way = (_text(environ, "APPLICATIONINSIGHTS_AUTHENTICATION_STRING") or "").lower()
    return TelemetrySettings(
        connection_string=_text(environ, "APPLICATIONINSIGHTS_CONNECTION_STRING"),
        as_identity="authorization=aad" in way.replace(" ", "").split(";"),
        by_worker=(_text(environ, "PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY") or "").lower() in {"true", "1"},
    )


def _trust(environ: Mapping[str, str], problems: list[str]) -> TrustSettings:
    given = {name: text for name in (*_CA_FILES, *_PROXIES) if (text := _text(environ, name)) is not None}
    ca_file = next((name for name in _CA_FILES if name in given), None)
    if ca_file is not None and not os.path.exists(given[ca_file]):
        problems.append(f"{ca_file} names no file: give the path of a PEM file, or remove the setting.")
    return TrustSettings({name: text for name, text in given.items() if name == ca_file or name in _PROXIES})
