"""Signing in to a Delivery Controller: a Windows account, sent once as HTTP Basic (``citrix.md``, 2.3)."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import requests

from shared.call_failure import CallFailed, excerpt
from shared.citrix.endpoint import BASE
from shared.citrix.refusal import vendor_message
from shared.citrix.token import Issued
from shared.citrix.wording import ON_PREMISES, on_premises_title
from shared.errors import CitrixError
from shared.http import Limits, call

EXPECTED = '{"username": "DOMAIN\\\\user", "password": "..."}'
# Citrix's own client takes a token without a readable end for one call. One that ends early is renewed on its 401 all
# the same, so asking once a minute is as safe and spares the domain controller a logon for every page.
UNREADABLE_LIFETIME = 120.0


@dataclass(frozen=True, slots=True)
class WindowsCredential:
    """An account of the site's domain. ``secret`` is the name of the Key Vault secret, for messages."""

    secret: str
    username: str = field(repr=False)
    password: str = field(repr=False)


def parse_windows_secret(text: str, *, name: str) -> WindowsCredential:
    """Read the text of secret ``name``. Raises ``CitrixError`` (``misconfigured``) that says what form is expected."""
    try:
        content = json.loads(text.lstrip("\ufeff"))
    except (ValueError, RecursionError):
        content = None  # and no chained error: it would quote the secret
    if not isinstance(content, dict):
        raise _malformed(name, "is not a JSON object")
    values = {key: value for key, value in content.items() if isinstance(value, str) and value.strip()}
    missing = [key for key in ("username", "password") if key not in values]
    if missing:
        raise _malformed(name, f"has no {' and no '.join(missing)}")
    username = values["username"].strip()
    if ":" in username:
        raise _malformed(name, "has a username with a colon, which HTTP Basic cannot carry")
    if not username.isprintable():
        # "CORP\tom" in JSON is a tab: it would be refused, and count towards a lock
        raise _malformed(name, "has a username with a control character, as a single backslash makes it")
    return WindowsCredential(name, username, values["password"])


class OnPremisesSignIn:
    """The sign-in at one Delivery Controller. ``origin`` is its scheme and host; ``wall`` tells the time of day."""

    def __init__(
        self,
        session: requests.Session,
        origin: str,
        credential: WindowsCredential,
        *,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._session = session
        self._origin = origin.rstrip("/")
        self._credential = credential
        self._wall = wall
        self._title = on_premises_title(self._origin)

    @property
    def secret(self) -> str:
        return self._credential.secret

    @property
    def hidden(self) -> tuple[str, ...]:
        """The account, its password, and both as Basic carries them."""
        name, password = self._credential.username, self._credential.password
        return (f"{name}:{password}", password, name)

    def sign_in(self, limits: Limits) -> Issued:
        """Ask for a token. Raises ``CitrixError``."""
        try:
            answer = call(
                self._session,
                "POST",
                f"{self._origin}{BASE}/Tokens",
                system=self._title,
                limits=limits,
                repeatable=True,
                auth=self._basic,
            )
        except CallFailed as failure:
            raise self._explained(failure) from failure
        body = {str(key).lower(): value for key, value in answer.json.items()} if isinstance(answer.json, dict) else {}
        token = body.get("token")
        if not isinstance(token, str) or not token:
            raise self._error("sent an answer without a token. Run again.", "malformed", retryable=True)
        return Issued(token, _lifetime(body.get("expiresat"), answer.headers, self._wall))

    def _basic(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        # requests would encode the pair as Latin-1, or fail
        pair = f"{self._credential.username}:{self._credential.password}".encode()
        request.headers["Authorization"] = f"Basic {base64.b64encode(pair).decode('ascii')}"
        return request

    def _explained(self, failure: CallFailed) -> CitrixError:
        said = excerpt(vendor_message(failure.said), self.hidden)
        words = f": {said}" if said else ""
        secret = self._credential.secret
        if failure.http_status == 401:
            what = (
                f"refused user name or password of secret {secret} (HTTP 401){words}. Store the right ones as "
                f"{EXPECTED}, and check that the account is not locked."
            )
        else:
            what = f"{failure.cause} when Realign signed in{words}. {self._remedy(failure)}"
        return self._error(what, failure.kind, retryable=failure.retryable, http_status=failure.http_status)

    def _remedy(self, failure: CallFailed) -> str:
        if failure.remedy is not None:
            return failure.remedy
        if failure.http_status == 403:
            return f"Make the account of secret {self._credential.secret} an administrator of the Citrix site."
        if failure.http_status == 404:
            return ON_PREMISES.not_found
        if failure.kind == "tls":
            return ON_PREMISES.tls
        if failure.kind in ("unreachable", "timeout"):
            return ON_PREMISES.way
        return "Run again; if it stays, look at the Citrix Orchestration service on this controller."

    def _error(self, what: str, kind: str, *, retryable: bool = False, http_status: int | None = None) -> CitrixError:
        return CitrixError(
            f"{self._title} {what}", kind=kind, system=self._title, retryable=retryable, http_status=http_status
        )


def _lifetime(expires_at: Any, headers: Mapping[str, str], wall: Callable[[], datetime]) -> float:
    """Seconds until ``ExpiresAt`` (RFC 3339) by the controller's own clock, which may differ from this one."""
    try:
        ends = datetime.fromisoformat(str(expires_at))
        left = (ends - _now(headers, wall)).total_seconds()
    except (ValueError, TypeError, OverflowError):  # no time, or one without a zone
        return UNREADABLE_LIFETIME
    return left if left > 0 else UNREADABLE_LIFETIME


def _now(headers: Mapping[str, str], wall: Callable[[], datetime]) -> datetime:
    try:
        told = parsedate_to_datetime(headers["Date"])
    except (KeyError, ValueError):
        return wall()
    return told if told.tzinfo is not None else told.replace(tzinfo=UTC)


def _malformed(name: str, what: str) -> CitrixError:
    return CitrixError(f"Secret {name} {what}. Store it as {EXPECTED}.", kind="misconfigured", system=f"secret {name}")
