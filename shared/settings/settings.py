"""The app settings, read once from a mapping and handed out in small groups.

Nothing else in the product reads the environment: code takes the group that it needs. All that is missing or wrong is
reported together, so that an operator corrects a deployment once and not setting by setting.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from shared.errors import SettingsInvalid
from shared.settings.identity import IdentitySettings, read_identity
from shared.settings.reading import is_https, value_of
from shared.settings.storage import StorageSettings, read_storage
from shared.settings.trust import TrustSettings, read_trust

_NOTIFY_HOST = re.compile(r"(\*\.)?[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?(:[0-9]{1,5})?")
_MOST_DAYS = 3650


@dataclass(frozen=True, slots=True)
class VaultSettings:
    url: str


@dataclass(frozen=True, slots=True)
class ProfileSettings:
    """A folder, or the URL of a blob container; the other one is empty.

    ``schedule`` is when the platform starts the scheduled ones. Without it the app works, and its schedule does not.
    """

    folder: str = ""
    container: str = ""
    schedule: str | None = None


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

    ``as_identity``: whoever sends has to sign in.
    """

    connection_string: str | None = field(default=None, repr=False)
    as_identity: bool = False


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
    trust = read_trust(environ, problems)
    settings = Settings(
        storage=read_storage(environ, problems),
        identity=read_identity(environ, trust, problems),
        vault=_vault(environ, problems),
        profiles=_profiles(environ, problems),
        auth=AuthSettings((value_of(environ, "WEBSITE_AUTH_ENABLED") or "").lower() in {"true", "1"}),
        trust=trust,
        notify=_notify(environ, problems),
        retention=_retention(environ, problems),
        telemetry=_telemetry(environ),
    )
    if problems:
        raise SettingsInvalid(tuple(problems))
    return settings


def _vault(environ: Mapping[str, str], problems: list[str]) -> VaultSettings:
    url = value_of(environ, "KEY_VAULT_URL")
    if url is None:
        problems.append("KEY_VAULT_URL is not set: give the vault's URL, such as https://name.vault.azure.net.")
    elif not is_https(url):
        problems.append("KEY_VAULT_URL must be an https:// URL, such as https://name.vault.azure.net.")
    return VaultSettings((url or "").rstrip("/"))


def _notify(environ: Mapping[str, str], problems: list[str]) -> NotifySettings:
    entries = [entry.strip().lower() for entry in (value_of(environ, "REALIGN_NOTIFY_HOSTS") or "").split(",")]
    hosts = tuple(entry.removesuffix(":443") for entry in entries if entry)
    wrong = [host for host in hosts if not _NOTIFY_HOST.fullmatch(host)]
    if wrong:
        problems.append(
            f"REALIGN_NOTIFY_HOSTS names {wrong[0][:80]}, which is no host: write names such as hooks.corp.example or "
            "*.logic.azure.com, with commas and without https:// or a path."
        )
    name = value_of(environ, "WEBSITE_HOSTNAME")
    return NotifySettings(hosts, f"https://{name}" if name is not None else "")


def _profiles(environ: Mapping[str, str], problems: list[str]) -> ProfileSettings:
    place, schedule = value_of(environ, "REALIGN_PROFILES") or "profiles", value_of(environ, "REALIGN_SCHEDULE")
    if not re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*://", place):
        return ProfileSettings(folder=place, schedule=schedule)
    # a signature in the URL would be a secret in an app setting, and it would end some day
    if not re.fullmatch(r"https?://[^/?#@]+(/[a-z0-9]+)?/[a-z0-9](-?[a-z0-9]){2,62}/?", place):
        problems.append(
            "REALIGN_PROFILES is neither a folder nor the URL of a blob container: write it as "
            "https://account.blob.core.windows.net/profiles, without a signature."
        )
    return ProfileSettings(container=place.rstrip("/"), schedule=schedule)


def _retention(environ: Mapping[str, str], problems: list[str]) -> RetentionSettings:
    text = value_of(environ, "REALIGN_RETENTION_DAYS")
    if text is None:
        return RetentionSettings()
    if not (text.isascii() and text.isdecimal() and len(text) <= 4 and 1 <= int(text) <= _MOST_DAYS):
        problems.append(f"REALIGN_RETENTION_DAYS is {text[:20]!r}: give a number of days from 1 to {_MOST_DAYS}.")
        return RetentionSettings()
    return RetentionSettings(int(text))


def _telemetry(environ: Mapping[str, str]) -> TelemetrySettings:
    """Nothing here is a problem: an app whose telemetry is set up wrongly still does its work."""
    way = (value_of(environ, "APPLICATIONINSIGHTS_AUTHENTICATION_STRING") or "").lower()
    return TelemetrySettings(
        connection_string=value_of(environ, "APPLICATIONINSIGHTS_CONNECTION_STRING"),
        as_identity="authorization=aad" in way.replace(" ", "").split(";"),
    )
