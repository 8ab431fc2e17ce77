"""Asking Citrix: its headers, one renewal of a refused token, and sentences that carry the transaction id."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import uuid4

import requests

from shared.call_failure import CallFailed, excerpt
from shared.citrix.wording import Wording, site_title, wording
from shared.errors import CitrixError
from shared.http import RETRYABLE, Limits, call

BASE = "/cvad/manage"
# Citrix lists 500 for every call and advises to repeat reads (contract citrix.md, 9.2).
READ_AGAIN_ON = RETRYABLE | {500}
SITE_FROZEN = 530


class Token(Protocol):
    """What signs requests to a site, and can be told that its token was refused."""

    @property
    def secret(self) -> str: ...

    @property
    def hidden(self) -> tuple[str, ...]: ...

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest: ...

    def ready(self, limits: Limits) -> None: ...

    def renew(self, refused: str) -> None: ...


class _Sent:
    """What the last attempt carried: its transaction id, fresh each time, and the token that may be refused."""

    def __init__(self, token: Token) -> None:
        self.transaction_id = ""
        self.authorization = ""
        self._token = token

    @property
    def hidden(self) -> tuple[str, ...]:
        """What no message may show. Another thread may have renewed the token, so the one that was sent goes too."""
        return (*self._token.hidden, self.authorization, self.authorization.rpartition("bearer=")[2])

    def new_transaction(self) -> str:
        self.transaction_id = str(uuid4())
        return self.transaction_id

    def sign(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        signed = self._token(request)
        self.authorization = str(signed.headers.get("Authorization") or "")
        return signed


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One site's API. ``base_url`` is an origin without a path."""

    session: requests.Session
    base_url: str
    customer_id: str
    token: Token

    @property
    def title(self) -> str:
        return site_title(self.base_url, self.customer_id)

    @property
    def wording(self) -> Wording:
        return wording(self.customer_id)

    def get(
        self, path: str, limits: Limits, *, site_id: str | None, params: Mapping[str, str | int] | None = None
    ) -> dict[str, Any]:
        """The JSON object at ``path`` below ``/cvad/manage``. ``site_id`` is None for ``/Me`` alone.

        Raises ``CitrixError``.
        """
        sent = _Sent(self.token)
        try:
            return self._get_once(path, limits, site_id, params, sent)
        except CitrixError as error:
            if error.http_status != 401 or not sent.authorization:
                raise
        # Tokens end early when Citrix says so; a second refusal is about the account, not about its token.
        self.token.renew(sent.authorization)
        return self._get_once(path, limits, site_id, params, sent)

    def malformed(self, what: str, transaction_id: str | None = None) -> CitrixError:
        """The error for an answer that is JSON, but not what the contract promises."""
        return self._error(f"sent an answer that Realign cannot use: {what}", "Run again.", "malformed", transaction_id)

    def _get_once(
        self,
        path: str,
        limits: Limits,
        site_id: str | None,
        params: Mapping[str, str | int] | None,
        sent: _Sent,
    ) -> dict[str, Any]:
        def headers() -> dict[str, str]:
            own = {"Citrix-CustomerId": self.customer_id, "Citrix-TransactionId": sent.new_transaction()}
            return own if site_id is None else {**own, "Citrix-InstanceId": site_id}

        try:
            answer = call(
                self.session,
                "GET",
                self.base_url.rstrip("/") + BASE + path,
                system=self.title,
                limits=limits,
                repeatable=True,
                headers=headers,
                params=params,
                auth=sent.sign,
                retry_on=READ_AGAIN_ON,
            )
        except CallFailed as failure:
            raise self._explained(failure, path, sent) from failure
        if not isinstance(answer.json, dict):
            raise self.malformed(f"{path} is no JSON object", sent.transaction_id)
        return answer.json

    def _explained(self, failure: CallFailed, path: str, sent: _Sent) -> CitrixError:
        hidden = sent.hidden
        transaction_id = excerpt(failure.headers.get("Citrix-TransactionId"), hidden) or sent.transaction_id
        said = excerpt(vendor_message(failure.said), hidden)
        cause = f"{failure.cause} to {path}" if failure.http_status else failure.cause
        remedy = self._remedy(failure)
        return self._error(
            f"{cause}{f': {said}' if said else ''}",
            remedy,
            failure.kind,
            transaction_id,
            retryable=failure.retryable and failure.http_status != SITE_FROZEN,
            http_status=failure.http_status,
        )

    def _remedy(self, failure: CallFailed) -> str:
        if failure.http_status == SITE_FROZEN:
            return "The site is frozen: open it once in the Citrix Cloud console to wake it, then run again."
        words = self.wording
        if failure.http_status == 404:
            return words.not_found
        account = f"the {words.account} of secret {self.token.secret}"
        return {
            "sign-in": f"A new token was refused, too: check {account}.",
            "forbidden": f"Give {account} {words.role}.",
            "throttled": "Run again later, or let fewer clients use this site at the same time.",
            "tls": words.tls,
            "unreachable": words.way,
            "timeout": words.way,
        }.get(failure.kind, words.support)

    def _error(
        self,
        what: str,
        remedy: str,
        kind: str,
        transaction_id: str | None,
        *,
        retryable: bool = True,
        http_status: int | None = None,
    ) -> CitrixError:
        trace = f" (transaction {transaction_id})" if transaction_id else ""
        return CitrixError(
            f"{self.title} {what}{trace}. {remedy}",
            kind=kind,
            system=self.title,
            retryable=retryable,
            transaction_id=transaction_id,
            http_status=http_status,
        )


def vendor_message(said: Any) -> str:
    """What Citrix says: ``ErrorMessage`` of the orchestration service, ``detail`` of the platform (contract, 9.1)."""
    if not isinstance(said, dict):
        return ""
    keys = {str(key).lower(): value for key, value in said.items()}
    return str(keys.get("errormessage") or keys.get("detail") or "")
