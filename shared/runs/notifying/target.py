"""Where a profile's messages go: its address and key from Key Vault, and whether this app may call that host at all."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import urlsplit

from pydantic import Field, ValidationError

from shared.azure.vault import Secret
from shared.errors import Upstream
from shared.profile.parts import HOST, Part
from shared.profile.webhook import Webhook
from shared.runs.notifying.signature import LONGEST, SHORTEST, key_of
from shared.runs.resources import Resources
from shared.settings.settings import NotifySettings
from shared.validation import explain

SETTING = "REALIGN_NOTIFY_HOSTS"
HTTPS = 443


class WebhookSecret(Part):
    """The value of the Key Vault secret. ``url`` where the address is a secret itself, such as a Logic App's."""

    key: str = Field(repr=False)
    url: str | None = Field(None, repr=False)


@dataclass(frozen=True, slots=True)
class Target:
    """``place`` is the host, with its port where that is not 443; of the address nothing else may be told."""

    place: str
    url: str = field(repr=False)
    key: bytes = field(repr=False)
    ca: str | None = None


def target_of(resources: Resources, webhook: Webhook) -> Target:
    """Raises ``VaultError``, and ``Upstream`` of kind ``misconfigured`` with what to correct."""
    secret = resources.vault.secret(webhook.credential)
    found = _read(secret)
    url = webhook.url or found.url
    if url is None:
        raise _wrong(f"Secret {secret.name} has no 'url', and the profile's notify has none either. Add it to one.")
    key = key_of(found.key)
    if key is None:
        raise _wrong(
            f"The 'key' in secret {secret.name} is no key: write whsec_ and {SHORTEST} to {LONGEST} random bytes in "
            "base64, such as the output of: openssl rand -base64 32."
        )
    place = place_of(url)
    if place is None:
        raise _wrong(f"The 'url' in secret {secret.name} is no address: write https://host/path.")
    if not allowed(place, resources.settings.notify):
        raise _wrong(
            f"{place} is not in the app setting {SETTING}, so it is not called. Add it there, or correct the address."
        )
    ca = resources.vault.secret(webhook.ca).value if webhook.ca is not None else None
    return Target(place, url, key, ca)


def allowed(place: str, settings: NotifySettings) -> bool:
    """Whether ``place`` (``host``, or ``host:port`` where that is not 443) is one of the setting's.

    An entry ``*.example`` stands for every name below ``example``; a port counts only where it is written.
    """
    host, _, port = place.partition(":")
    for entry in settings.hosts:
        name, _, its_port = entry.partition(":")
        same = host.endswith(name[1:]) if name.startswith("*.") else host == name
        if same and port == its_port:
            return True
    return False


def _read(secret: Secret) -> WebhookSecret:
    try:
        return WebhookSecret.model_validate_json(secret.value)
    except ValidationError as error:
        said = " ".join(explain(error, WebhookSecret))
        # not chained: pydantic's text quotes the secret
        raise _wrong(f'Secret {secret.name} is not {{"key": "whsec_...", "url": "https://..."}}: {said}') from None


def place_of(url: str) -> str | None:
    """``host``, or ``host:port`` where that is not 443; None for what is no plain address of an https host.

    Parsers disagree about odd addresses: of ``https://a\\.b`` one reads the host ``a\\.b``, and the one that makes the
    connection ``a``. So the host has to be one that all of them read alike.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return None
    odd = not url.isascii() or not url.isprintable() or " " in url or "\\" in url or "@" in parts.netloc
    if parts.scheme != "https" or odd or not HOST.fullmatch(host):
        return None
    return host if port in (None, HTTPS) else f"{host}:{port}"


def _wrong(message: str) -> Upstream:
    return Upstream(message, kind="misconfigured", system="webhook")
