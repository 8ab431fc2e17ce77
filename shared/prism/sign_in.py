"""What signs in to Prism: the text of a Key Vault secret, checked once, and never shown again."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from shared.errors import PrismError

EXPECTED = '{"username": "...", "password": "..."} or, for Prism Central, {"apiKey": "..."}'


@dataclass(frozen=True, slots=True)
class PrismCredential:
    """Either a user with a password or an API key. ``secret`` is the name of the Key Vault secret, for messages."""

    secret: str
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    api_key: str | None = field(default=None, repr=False)

    @property
    def kind(self) -> str:
        return "API key" if self.api_key else "user name or password"


def parse_secret(text: str, *, name: str) -> PrismCredential:
    """Read the text of secret ``name``. Raises ``PrismError`` (``misconfigured``) that says what form is expected."""
    try:
        content = json.loads(text.lstrip("\ufeff"))
    except (ValueError, RecursionError):
        content = None  # and no chained error: it would quote the secret
    if not isinstance(content, dict):
        raise _malformed(name, "is not a JSON object")
    values = {key: value for key, value in content.items() if isinstance(value, str) and value.strip()}
    if "apiKey" in values:
        key = values["apiKey"].strip()
        if not (key.isascii() and key.isprintable()):
            raise _malformed(name, "has an apiKey with characters that no header can carry")
        return PrismCredential(name, api_key=key)
    missing = [key for key in ("username", "password") if key not in values]
    if missing:
        raise _malformed(name, f"has no {' and no '.join(missing)}")
    if ":" in values["username"]:
        raise _malformed(name, "has a username with a colon, which HTTP Basic cannot carry")
    return PrismCredential(name, username=values["username"], password=values["password"])


def _malformed(name: str, what: str) -> PrismError:
    return PrismError(f"Secret {name} {what}. Store it as {EXPECTED}.", kind="misconfigured", system=f"secret {name}")
