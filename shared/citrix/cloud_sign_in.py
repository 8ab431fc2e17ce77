"""Signing in to Citrix Cloud: the secret as a customer stores it, and what is exchanged for it (``citrix.md``, 2.1)."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

import requests

from shared.call_failure import CallFailed, excerpt
from shared.citrix.token import Issued
from shared.errors import CitrixError
from shared.http import Limits, call

EXPECTED = '{"clientId": "...", "clientSecret": "..."} or the text of the downloaded Secure Client CSV (ID,Secret)'
DEFAULT_LIFETIME = 3600.0
# A text box may have eaten the line break behind the header, so nothing needs to stand between it and the values.
_CSV_HEADER = re.compile(r'\s*"?id"?\s*,\s*"?secret"?\s*', re.IGNORECASE)
# One host serves US, EU and AP-S; Japan is a cloud of its own (contract, section 1).
_HOSTS = {
    "us": "https://api.cloud.com",
    "eu": "https://api.cloud.com",
    "ap-s": "https://api.cloud.com",
    "jp": "https://api.citrixcloud.jp",
}


@dataclass(frozen=True, slots=True)
class CloudCredential:
    """An API client of Citrix Cloud. ``secret`` is the name of the Key Vault secret, for messages."""

    secret: str
    client_id: str = field(repr=False)
    client_secret: str = field(repr=False)


def cloud_host(region: str) -> str:
    """The origin of a region's API, without a path. Raises ``CitrixError`` (``misconfigured``)."""
    try:
        return _HOSTS[region.lower()]
    except KeyError:
        raise CitrixError(
            f"Citrix Cloud has no region {region}. Set region to one of {', '.join(_HOSTS)}, or set baseUrl.",
            kind="misconfigured",
            system="Citrix Cloud",
        ) from None


def cloud_title(origin: str) -> str:
    return f"Citrix Cloud {urlsplit(origin).netloc}"


def parse_cloud_secret(text: str, *, name: str) -> CloudCredential:
    """Read the text of secret ``name``. Raises ``CitrixError`` (``misconfigured``) that says what form is expected."""
    content = text.lstrip("\ufeff").strip()
    header = _CSV_HEADER.match(content)
    client_id, client_secret = _from_csv(content[header.end() :]) if header else _from_json(content)
    if not client_id or not client_secret:
        raise CitrixError(
            f"Secret {name} holds no Citrix API client. Store it as {EXPECTED}.",
            kind="misconfigured",
            system=f"secret {name}",
        )
    return CloudCredential(name, client_id, client_secret)


def _from_csv(rows: str) -> tuple[str, str]:
    """Id and secret from the one row that stands behind the header; empty where it is not exactly that."""
    found = [[cell.strip() for cell in row] for row in csv.reader(rows.splitlines(), skipinitialspace=True) if row]
    if len(found) != 1 or len(found[0]) != 2:
        return "", ""
    return found[0][0], found[0][1]


def _from_json(content: str) -> tuple[str, str]:
    try:
        values = json.loads(content)
    except (ValueError, RecursionError):
        return "", ""
    if not isinstance(values, dict):
        return "", ""
    client_id, client_secret = values.get("clientId"), values.get("clientSecret")
    if not isinstance(client_id, str) or not isinstance(client_secret, str):
        return "", ""
    return client_id.strip(), client_secret.strip()


class CloudSignIn:
    """The sign-in of one API client for one customer. ``origin`` is scheme and host of the API."""

    def __init__(self, session: requests.Session, origin: str, customer_id: str, credential: CloudCredential) -> None:
        self._session = session
        self._origin = origin.rstrip("/")
        self._customer_id = customer_id
        self._credential = credential
        self._title = cloud_title(self._origin)

    @property
    def secret(self) -> str:
        return self._credential.secret

    @property
    def hidden(self) -> tuple[str, ...]:
        """The API client's id and secret."""
        return (self._credential.client_secret, self._credential.client_id)

    def sign_in(self, limits: Limits) -> Issued:
        """Ask for a token. Raises ``CitrixError``."""
        try:
            answer = call(
                self._session,
                "POST",
                f"{self._origin}/cctrustoauth2/{quote(self._customer_id, safe='')}/tokens/clients",
                system=self._title,
                limits=limits,
                repeatable=True,
                data={
                    "grant_type": "client_credentials",
                    "client_id": self._credential.client_id,
                    "client_secret": self._credential.client_secret,
                },
            )
        except CallFailed as failure:
            raise self._explained(failure) from failure
        body: dict[str, Any] = answer.json if isinstance(answer.json, dict) else {}
        token = body.get("access_token")
        if body.get("error") or not isinstance(token, str) or not token:
            words = body.get("error_description") or body.get("error") or "the answer holds no token"
            raise self._refused(words, answer.status)
        return Issued(token, _seconds(body.get("expires_in")))

    def _explained(self, failure: CallFailed) -> CitrixError:
        if failure.http_status in (400, 401, 403):
            said = failure.said if isinstance(failure.said, dict) else {}
            words = said.get("error_description") or said.get("detail") or said.get("error")
            return self._refused(words or "no reason given", failure.http_status)
        return CitrixError(
            f"{self._title} {failure.cause} when Realign signed in for customer {self._customer_id}. Check the way to "
            "this host (proxy, firewall, baseUrl) and run again.",
            kind=failure.kind,
            system=self._title,
            retryable=failure.retryable,
            http_status=failure.http_status,
        )

    def _refused(self, words: object, http_status: int) -> CitrixError:
        said = excerpt(words, self.hidden)
        return CitrixError(
            f"{self._title} refused the API client of secret {self._credential.secret} for customer "
            f"{self._customer_id} (HTTP {http_status}): {said}. Check the customer id, and that the client exists and "
            "its secret is right.",
            kind="sign-in",
            system=self._title,
            http_status=http_status,
        )


def _seconds(value: Any) -> float:
    """``expires_in``, which is a string or a number (contract, 2.1)."""
    try:
        return max(float(value), 0.0)
    except (TypeError, ValueError):
        return DEFAULT_LIFETIME
