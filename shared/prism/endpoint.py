"""Asking one Prism, and saying to an operator what went wrong and what to do about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit

import requests
from requests.auth import AuthBase, HTTPBasicAuth

from shared.call_failure import CallFailed, excerpt
from shared.errors import PrismError
from shared.http import Limits, call
from shared.prism.sign_in import PrismCredential
from shared.prism.vendor_error import RATE_GROUPS, error_groups, vendor_message

DEFAULT_PORT = 9440


class PrismCallFailed(PrismError):
    """A call that Prism did not answer with what was asked for.

    ``http_status`` is None when there was no answer; ``groups`` are the error groups that v4 named.
    """

    def __init__(
        self,
        message: str,
        *,
        kind: str,
        system: str,
        retryable: bool = False,
        http_status: int | None = None,
        groups: frozenset[str] = frozenset(),
    ) -> None:
        super().__init__(message, kind=kind, system=system, retryable=retryable)
        self.http_status = http_status
        self.groups = groups


class Conduct(Protocol):
    """How the attempts of one call behave."""

    @property
    def request_id(self) -> str | None:
        """What Nutanix support asks for, of the last attempt."""
        ...

    def begin(self, limits: Limits) -> Limits:
        """Wait until the call may start; the answer holds for its further attempts, too."""
        ...

    def headers(self) -> Mapping[str, str]:
        """What the next attempt carries besides the credential."""
        ...

    def answered(self, response: requests.Response) -> None:
        """Hears of every answer, refusals included, before its body is read."""
        ...


class ApiKeyAuth(AuthBase):
    """A Prism Central API key (contract ``prism.md``, section 2)."""

    def __init__(self, credential: PrismCredential) -> None:
        self._credential = credential

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["X-Ntnx-Api-Key"] = self._credential.api_key or ""
        return request


class _Overheard(AuthBase):
    """Signs in as another ``AuthBase`` does, and passes on every answer: also those that are asked for again."""

    def __init__(self, sign_in: AuthBase, hear: Callable[[requests.Response], None]) -> None:
        self._sign_in = sign_in
        self._hear = hear

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        def hear(response: requests.Response, *_: Any, **__: Any) -> None:
            self._hear(response)

        signed: requests.PreparedRequest = self._sign_in(request)
        signed.register_hook("response", hear)  # type: ignore[no-untyped-call]
        return signed


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
        return self.ask("GET", path, limits, params=params)

    def list_by_post(self, path: str, limits: Limits, body: Mapping[str, Any]) -> dict[str, Any]:
        """A v3 list, which is a read although it is a POST. Raises ``PrismError``."""
        return self.ask("POST", path, limits, json=body)

    def malformed(self, what: str) -> PrismError:
        """The error for an answer that is JSON, but not what the contract promises."""
        return PrismError(
            f"{self.title} sent an answer that Realign cannot use: {what}. Run again; if it stays, check that the "
            "profile's api fits this Prism.",
            kind="malformed",
            system=self.title,
            retryable=True,
        )

    def ask(
        self,
        method: str,
        path: str,
        limits: Limits,
        *,
        params: Mapping[str, str | int] | None = None,
        json: Mapping[str, Any] | None = None,
        conduct: Conduct | None = None,
    ) -> dict[str, Any]:
        """The JSON object that a reading call answers. Raises ``PrismCallFailed``, or ``PrismError`` if it is none."""
        in_session = bool(self.session.cookies)
        try:
            return self._ask_once(method, path, limits, params, json, conduct)
        except CallFailed as failure:
            # A session cookie expires after 15 minutes. Signing in again once is right then, but a password that was
            # refused without any cookie is wrong, and one more try brings the account nearer to its lock. A refusal may
            # bring a cookie of its own, so what counts is what was sent.
            if failure.kind != "sign-in" or not in_session:
                raise self._explained(failure, path, conduct) from failure
        self.session.cookies.clear()
        try:
            return self._ask_once(method, path, limits, params, json, conduct)
        except CallFailed as failure:
            raise self._explained(failure, path, conduct) from failure

    def _ask_once(
        self,
        method: str,
        path: str,
        limits: Limits,
        params: Mapping[str, str | int] | None,
        json: Mapping[str, Any] | None,
        conduct: Conduct | None,
    ) -> dict[str, Any]:
        answer = call(
            self.session,
            method,
            self.base_url.rstrip("/") + path,
            system=self.title,
            limits=conduct.begin(limits) if conduct else limits,
            repeatable=True,
            headers=conduct.headers if conduct else dict,
            params=params,
            json=json,
            auth=_Overheard(self._auth(), conduct.answered) if conduct else self._auth(),
        )
        if not isinstance(answer.json, dict):
            raise self.malformed(f"{_bare(path)} is no JSON object")
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

    def _explained(self, failure: CallFailed, path: str, conduct: Conduct | None) -> PrismCallFailed:
        secret, status = self.credential.secret, f"HTTP {failure.http_status}"
        groups = error_groups(failure.said)
        kind = _kind(failure, groups)
        if kind == "sign-in":
            sentence = (
                f"refused the {self.credential.kind} of secret {secret} ({status}). Correct the secret; Prism locks "
                "accounts, so Realign does not try again for 20 minutes."
            )
        elif kind == "forbidden":
            sentence = (
                f"does not let the account of secret {secret} read {_bare(path)} ({status}). Give the account a role "
                "that may read, for example Viewer."
            )
        else:
            said = excerpt(vendor_message(failure.said), self._hidden()).removesuffix(".")
            to_do = failure.remedy or self._remedy(kind, failure.http_status)
            sentence = f"{failure.cause}{f': {said}' if said else ''}. {to_do}"
        if conduct and conduct.request_id and failure.http_status is not None:
            sentence += f" Request id for Nutanix support: {conduct.request_id}."
        return PrismCallFailed(
            f"{self.title} {sentence}",
            kind=kind,
            system=self.title,
            retryable=failure.retryable or kind == "throttled",
            http_status=failure.http_status,
            groups=groups,
        )

    def _remedy(self, kind: str, http_status: int | None) -> str:
        if http_status == 404:
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
        }.get(kind, "Run again; if it stays, look at the health of this Prism.")


def _kind(failure: CallFailed, groups: frozenset[str]) -> str:
    """v4 may say under another 4xx what 429 stands for (contract, 5.8). A 401 is never anything else.

    Nor is a 403, whatever words it has (contract, 2): taken for a refused password, one missing right would hold off
    the credential from every run.
    """
    if failure.kind != "sign-in" and 400 <= (failure.http_status or 0) < 500 and groups & RATE_GROUPS:
        return "throttled"
    return failure.kind


def _bare(path: str) -> str:
    return path.partition("?")[0]
