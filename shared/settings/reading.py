"""How a setting is read: trimmed, an empty one as none, and ``AzureWebJobsStorage__`` names ignoring case."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

STORAGE = "AzureWebJobsStorage"


def value_of(environ: Mapping[str, str], name: str) -> str | None:
    return (environ.get(name) or "").strip() or None


def member_of(environ: Mapping[str, str], part: str) -> tuple[str, str | None]:
    """A member of the ``AzureWebJobsStorage__`` collection; the host reads these names ignoring case."""
    name = f"{STORAGE}__{part}"
    if name in environ:
        return name, value_of(environ, name)
    spelt = next((key for key in environ if key.lower() == name.lower()), name)
    return spelt, value_of(environ, spelt)


def is_https(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme.lower() == "https" and bool(parts.hostname) and parts.username is None
    except ValueError:
        return False
