"""The two sign-ins of Citrix and what the API asks of every request's headers (contract, sections 2.1, 2.3 and 2.4)."""

from __future__ import annotations

import base64
import hmac
import re
import secrets
import time
from collections import deque
from datetime import UTC, datetime, timedelta
from typing import Protocol

from sandbox.citrix_errors import error_data, platform_error
from sandbox.citrix_site import CitrixSite
from sandbox.front import Answer, Call

TOKEN_SECONDS = 3600
TOKENS_A_MINUTE = 60
BEARER = re.compile(r"CWSAuth bearer=(\S+)", re.IGNORECASE)
# The form inside of a batch (section 6.1).
ITEM_BEARER = re.compile(r"Bearer (\S+)", re.IGNORECASE)
ON_PREMISES = "CitrixOnPremises"
WITHOUT_SITE = ("getMe", "listSites", "getSite", "getHealth")


class Door(Protocol):
    """How callers get in. ``operation`` is the sign-in in the contract, ``customer_id`` whose site they may ask for."""

    operation: str
    customer_id: str

    def issue(self, call: Call) -> Answer: ...

    def revoke(self, call: Call) -> None: ...

    def refusal(self, call: Call) -> Answer | None:
        """None for a call with a token that holds."""

    def caller(self, call: Call) -> str:
        """Who signed in with the call's token, which holds."""


class _Tokens:
    """The tokens that one door has given out; each holds for an hour."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}
        self._callers: dict[str, str] = {}

    def new(self, caller: str) -> str:
        token = f"eyJhbGciOiJub25lIn0.{secrets.token_urlsafe(48)}"
        self._until[token] = time.monotonic() + TOKEN_SECONDS
        self._callers[token] = caller
        return token

    def caller(self, call: Call) -> str:
        return self._callers[_bearer(call)]

    def forget(self, call: Call) -> None:
        self._until.pop(_bearer(call), None)

    def fault(self, call: Call) -> str | None:
        """What is wrong with a call's token, None when it holds."""
        token = _bearer(call)
        if not token:
            return "missing"
        if self._until.get(token, 0.0) <= time.monotonic():
            return "expired" if token in self._until else "invalid"
        return None


class CloudDoor:
    """The token service of Citrix Cloud. It refuses to issue more than a set number of tokens a minute."""

    operation = "createCloudToken"

    def __init__(self, site: CitrixSite, limit: int = TOKENS_A_MINUTE) -> None:
        self.customer_id = site.customer_id
        self._site = site
        self._limit = limit
        self._tokens = _Tokens()
        self._issued: deque[float] = deque()

    def issue(self, call: Call) -> Answer:
        if call.path["customerId"].lower() not in (self._site.customer_id.lower(), "root"):
            return _unauthenticated("invalid")
        client = call.body["client_id"]
        known = {**self._site.accounts, self._site.client_id: self._site.client_secret}
        secret = call.body["client_secret"]
        if not secret or not hmac.compare_digest(secret.encode(), known.get(client, "").encode()):
            return _unauthenticated("invalid")
        now = time.monotonic()
        while self._issued and self._issued[0] < now - 60:
            self._issued.popleft()
        if len(self._issued) >= self._limit:
            return error_data(429, "Too many tokens were requested. Reuse the token until it expires.")
        self._issued.append(now)
        # The official SDK reads the lifetime as a text.
        body = {"token_type": "bearer", "access_token": self._tokens.new(client), "expires_in": str(TOKEN_SECONDS)}
        return Answer(body=body)

    def revoke(self, call: Call) -> None:
        self._tokens.forget(call)

    def caller(self, call: Call) -> str:
        return self._tokens.caller(call)

    def refusal(self, call: Call) -> Answer | None:
        fault = self._tokens.fault(call)
        return None if fault is None else _unauthenticated(fault)


class WindowsDoor:
    """The sign-in of one Delivery Controller: a Windows account by HTTP Basic. Its tokens hold at this one alone."""

    operation = "createOnPremToken"
    customer_id = ON_PREMISES

    def __init__(self, site: CitrixSite) -> None:
        self._site = site
        self._tokens = _Tokens()

    def issue(self, call: Call) -> Answer:
        user, password = _basic(call)
        known = {**self._site.accounts, self._site.username: self._site.password}
        if not password or not hmac.compare_digest(password.encode(), known.get(user, "").encode()):
            refused = error_data(401, "The user name or password is incorrect.")
            refused.headers["WWW-Authenticate"] = "Basic"
            return refused
        ends = datetime.now(UTC) + timedelta(seconds=TOKEN_SECONDS)
        body = {
            "Token": self._tokens.new(user),
            "Principal": user,
            "UserId": "S-1-5-21-1004336348-1177238915-682003330-1105",
            "CustomerId": ON_PREMISES,
            "ExpiresAt": ends.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        return Answer(body=body)

    def revoke(self, call: Call) -> None:
        self._tokens.forget(call)

    def caller(self, call: Call) -> str:
        return self._tokens.caller(call)

    def refusal(self, call: Call) -> Answer | None:
        fault = self._tokens.fault(call)
        return None if fault is None else error_data(401, f"The token is {fault}.")


def header_refusal(site: CitrixSite, customer_id: str, call: Call) -> Answer | None:
    """What the service says to wrong headers; missing ones that the contract requires are left to the contract."""
    customer = call.headers.get("Citrix-CustomerId")
    if customer is not None and customer.lower() != customer_id.lower():
        return platform_error(403, "authorization", "Access to the customer is denied", "customer")
    refusal = accept_refusal(call)
    if refusal is not None:
        return refusal
    if call.raw_body:
        media_type, _, rest = call.headers.get("Content-Type", "").lower().partition(";")
        charset = rest.partition("charset=")[2].strip(' "')
        if media_type.strip() != "application/json" or charset not in ("", "utf-8"):
            return error_data(415, "The Content-Type header must be application/json; charset=utf-8.")
    instance = call.headers.get("Citrix-InstanceId")
    if call.operation.id not in WITHOUT_SITE and instance is not None and instance.lower() != site.id.lower():
        return error_data(404, f"The site {instance} does not exist.")
    return None


def accept_refusal(call: Call) -> Answer | None:
    """The gateway asks for ``Accept`` on every call, the token route included (sections 2.1 and 2.4)."""
    if "application/json" in call.headers.get("Accept", "").lower():
        return None
    return error_data(406, "The Accept header must be application/json.")


def _bearer(call: Call) -> str:
    form = ITEM_BEARER if call.item else BEARER
    found = form.fullmatch(call.headers.get("Authorization", ""))
    return found[1] if found else ""


def _basic(call: Call) -> tuple[str, str]:
    """User and password of the HTTP Basic header; empty where there is none that can be read."""
    scheme, _, given = call.headers.get("Authorization", "").partition(" ")
    try:
        text = base64.b64decode(given, validate=True).decode()
    except ValueError:
        return "", ""
    user, _, password = text.partition(":")
    return (user, password) if scheme.lower() == "basic" else ("", "")


def _unauthenticated(reason: str) -> Answer:
    return platform_error(401, "authentication", "Missing or invalid authentication details", reason)
