"""Asking one Prism, and saying to an operator what went wrong and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.auth import AuthBase, HTTPBasicAuth

from shared.call_failure import CallFailed, excerpt
from shared.errors import PrismError
from shared.http import Limits, call
from shared.prism.sign_in import PrismCredential

DEFAULT_PORT = 9440


class ApiKeyAuth(AuthBase):
    """A Prism Central API key (contract ``prism.md``, section 2)."""

    def __init__(self, credential: PrismCredential) -> None:
        self._credential = credential

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["X-Ntnx-Api-Key"] = self._credential.api_key or ""
        return request


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One Prism as the profile names it. ``product`` is ``Prism Element`` or ``Prism Central``."""

    session: requests.Session
    base_url: str
    credential: PrismCredential
    cluster: str
    product: str

    @property
    def host(self) -> str:
        parts = urlsplit(self.base_url)
        return parts.hostname or self.base_url if parts.port in (None, DEFAULT_PORT) else parts.netloc

    @property
    def title(self) -> str:
        return f"{self.product} {self.host} (cluster {self.cluster})"

    def get(self, path: str, limits: Limits, params: Mapping[str, str | int] | None = None) -> dict[str, Any]:
        """The JSON object at ``path``. Raises ``PrismError``."""
        return self._ask("GET", path, limits, params=params)

    def list_by_post(self, path: str, limits: Limits, body: Mapping[str, Any]) -> dict[str, Any]:
        """A v3 list, which is a read although it is a POST. Raises ``PrismError``."""
        return self._ask("POST", path, limits, json=body)

    def malformed(self, what: str) -> PrismError:
        """The error for an answer that is JSON, but not what the contract promises."""
        return PrismError(
            f"{self.title} sent an answer that Realign cannot use: {what}. Run again; if it stays, check that the "
            "profile's api fits this Prism.",
            kind="malformed",
            system=self.title,
            retryable=True,
        )

    def _ask(
        self,
        method: str,
        path: str,
        limits: Limits,
        *,
        params: Mapping[str, str | int] | None = None,
        json: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        try:
            return self._ask_once(method, path, limits, params, json)
        except CallFailed as failure:
            # A session cookie expires after 15 minutes. Signing in again once is right then, but a password that was
            # refused without any cookie is wrong, and one more try brings the account nearer to its lock.
            if failure.kind != "sign-in" or not self.session.cookies:
                raise self._explained(failure, path) from failure
        self.session.cookies.clear()
        try:
            return self._ask_once(method, path, limits, params, json)
        except CallFailed as failure:
            raise self._explained(failure, path) from failure

    def _ask_once(
        self,
        method: str,
        path: str,
        limits: Limits,
        params: Mapping[str, str | int] | None,
        json: Mapping[str, Any] | None,
    ) -> dict[str, Any]:
        answer = call(
            self.session,
            method,
            self.base_url.rstrip("/") + path,
            system=self.title,
            limits=limits,
            repeatable=True,
            params=params,
            json=json,
            auth=self._auth(),
        )
        if not isinstance(answer.json, dict):
            raise self.malformed(f"{path} is no JSON object")
        return answer.json

    def _auth(self) -> AuthBase:
        if self.credential.api_key:
            return ApiKeyAuth(self.credential)
        # Bytes, because requests would encode text as Latin-1.
        return HTTPBasicAuth((self.credential.username or "").encode(), (self.credential.password or "").encode())

    def _hidden(self) -> tuple[str, ...]:
        """What no message may show; the user name alone may."""
        key, username, password = self.credential.api_key, self.credential.username, self.credential.password
        return (key or "", password or "", f"{username}:{password}" if password else "")

    def _explained(self, failure: CallFailed, path: str) -> PrismError:
        secret, status = self.credential.secret, f"HTTP {failure.http_status}"
        if failure.kind == "sign-in":
            sentence = (
                f"refused the {self.credential.kind} of secret {secret} ({status}). Correct the secret; Prism locks "
                "accounts, so Realign does not try again for 20 minutes."
            )
        elif failure.kind == "forbidden":
            sentence = (
                f"does not let the account of secret {secret} read {path} ({status}). Give the account a role that "
                "may read, for example Viewer."
            )
        else:
            said = excerpt(vendor_message(failure.said), self._hidden())
            sentence = f"{failure.cause}{f': {said}' if said else ''}. {self._remedy(failure)}"
        return PrismError(f"{self.title} {sentence}", kind=failure.kind, system=self.title, retryable=failure.retryable)

    def _remedy(self, failure: CallFailed) -> str:
        if failure.http_status == 404:
            return "Check that the profile's api fits what answers at this host."
        parts = urlsplit(self.base_url)
        way = f"Check that it is up and that the way to {parts.hostname}, port {parts.port or DEFAULT_PORT}, is open "
        return {
            "unreachable": f"{way}(hybrid connection).",
            "timeout": f"{way}(hybrid connection).",
            "tls": (
                "Let the profile's ca name the secret with the CA that signed its certificate, which has to be "
                f"issued for {parts.hostname}."
            ),
            "throttled": "Run again later, or let fewer clients read it at the same time.",
            "misconfigured": "Correct the host of the cluster in the profile.",
        }.get(failure.kind, "Run again; if it stays, look at the health of this Prism.")


def vendor_message(said: Any) -> str:
    """What Prism says about an error: v2 ``message``, v3 ``message_list[].message`` (contract, 3.6 and 4.4)."""
    if not isinstance(said, dict):
        return ""
    messages = said.get("message_list")
    if isinstance(messages, list):
        return "; ".join(str(entry.get("message") or "") for entry in messages if isinstance(entry, dict))
    return str(said.get("message") or "")
