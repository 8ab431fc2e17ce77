"""Whom connections trust, and which proxies they take."""

from __future__ import annotations

import os.path
from collections.abc import Mapping
from dataclasses import dataclass, field

from shared.errors import SettingsInvalid
from shared.settings.reading import value_of

_CA_FILES = ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")
_LOWER_CASE_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
_PROXIES = (*_LOWER_CASE_PROXIES, *(name.upper() for name in _LOWER_CASE_PROXIES))


@dataclass(frozen=True, slots=True)
class TrustSettings:
    """Whom connections trust and which proxies they take, as the variables that ``shared.transport`` reads.

    At most one of ``REQUESTS_CA_BUNDLE`` and ``SSL_CERT_FILE``, and the proxies, whose URLs may hold a password.
    """

    variables: Mapping[str, str] = field(default_factory=dict, repr=False, hash=False)


def load_trust(environ: Mapping[str, str]) -> TrustSettings:
    """The trust and the proxies alone, for those who need no more. Raises ``SettingsInvalid``."""
    problems: list[str] = []
    trust = read_trust(environ, problems)
    if problems:
        raise SettingsInvalid(tuple(problems))
    return trust


def read_trust(environ: Mapping[str, str], problems: list[str]) -> TrustSettings:
    given = {name: text for name in (*_CA_FILES, *_PROXIES) if (text := value_of(environ, name)) is not None}
    ca_file = next((name for name in _CA_FILES if name in given), None)
    if ca_file is not None and not os.path.exists(given[ca_file]):
        problems.append(f"{ca_file} names no file: give the path of a PEM file, or remove the setting.")
    return TrustSettings({name: text for name, text in given.items() if name == ca_file or name in _PROXIES})
