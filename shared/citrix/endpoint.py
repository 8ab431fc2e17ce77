"""Asking Citrix: its headers, one renewal of a refused token, and sentences that carry the transaction id."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import quote
from uuid import uuid4

import requests

from shared.call_failure import CallFailed, excerpt
from shared.citrix.refusal import DOUBT, SITE_FROZEN, not_sent, remedy, surely_refused, vendor_message
from shared.citrix.wording import Wording, site_title, wording
from shared.errors import CitrixError
from shared.http import RETRYABLE, Answer, Limits, call, wished_pause

BASE = "/cvad/manage"
# Citrix lists 500 for every call and advises to repeat reads (contract citrix.md, 9.2).
READ_AGAIN_ON = RETRYABLE | {500}
TRANSACTION = "Citrix-TransactionId"

Params = Mapping[str, str | int]
Body = Mapping[str, Any] | Callable[[str], Mapping[str, Any]]


class Token(Protocol):
    """What signs requests to a site, and can be told that its token was refused."""

    @property
    def secret(self) -> str: ...

    @property
    def hidden(self) -> tuple[str, ...]: ...

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest: ...

    def bearer(self) -> str: ...

    def ready(self, limits: Limits) -> None: ...

    def renew(self, refused: str) -> None: ...

    def renew_bearer(self, refused: str) -> None: ...


@dataclass(frozen=True, slots=True)
class _Ask:
    """One call as it is sent, and sent again with another token."""

    method: str
    path: str
    site_id: str | None
    params: Params | None = None
    body: Body | None = field(default=None, repr=False)
    repeatable: bool = True
    wait_out_429: bool = True
    check: Callable[[], None] | None = None

    @property
    def writes(self) -> bool:
        return self.method != "GET"

    @property
    def must_not_repeat(self) -> bool:
        return self.writes and not self.repeatable


class _Sent:
    """What the last attempt carried: its transaction id, fresh each time, and the token that may be refused."""

    def __init__(self, token: Token) -> None:
        self.transaction_id = ""
        self.authorization = ""
        self._token = token
        self._tokens: set[str] = set()

    @property
    def hidden(self) -> tuple[str, ...]:
        """What no message may show. Another thread may have renewed the token, so those that were sent go too."""
        return (*self._token.hidden, self.authorization, *self._tokens)

    def new_transaction(self) -> str:
        self.transaction_id = str(uuid4())
        return self.transaction_id

    def body(self, wanted: Body | None) -> Mapping[str, Any] | None:
        if not callable(wanted):
            return wanted
        token = self._token.bearer()
        self._tokens.add(token)
        return wanted(token)

    def sign(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        signed = self._token(request)
        self.authorization = str(signed.headers.get("Authorization") or "")
        self._tokens.add(self.authorization.rpartition("bearer=")[2])
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

    def get(self, path: str, limits: Limits, *, site_id: str | None, params: Params | None = None) -> dict[str, Any]:
        """The JSON object at ``path`` below ``/cvad/manage``. ``site_id`` is None for ``/Me`` alone.

        Raises ``CitrixError``.
        """
        answer, transaction_id = self._answered(_Ask("GET", path, site_id, params), limits)
        if not isinstance(answer.json, dict):
            raise self.malformed(f"{path} is no JSON object", transaction_id)
        return answer.json

    def pages(
        self, path: str, limits: Limits, *, site_id: str | None, params: Params | None = None
    ) -> Iterator[dict[str, Any]]:
        """The pages of a list. It ends when no continuation token comes back, and only then.

        Raises ``CitrixError``.
        """
        seen: set[str] = set()
        asked = params or {}
        while True:
            body = self.get(path, limits, site_id=site_id, params=asked)
            yield body
            token = body.get("ContinuationToken")
            if not token:
                return
            if token in seen:
                raise self.malformed(f"{path} sent the same continuation token twice, so it would never end")
            seen.add(str(token))
            asked = {**asked, "continuationToken": str(token)}

    def send(
        self,
        method: str,
        path: str,
        limits: Limits,
        site_id: str | None,
        *,
        params: Params | None = None,
        body: Body | None = None,
        repeatable: bool,
        wait_out_429: bool = True,
        check: Callable[[], None] | None = None,
    ) -> Answer:
        """Ask for something to be done at ``path`` below ``/cvad/manage``; any 2xx is an answer.

        ``body`` is JSON, or makes it from the token in use: a call that goes again with a new token has it in its body
        too. What is not ``repeatable`` goes again only after a 429, a 401, or when it was never sent. ``check`` is
        called before each attempt, when all else is ready, and stops it by raising.
        Raises ``CitrixError``, whose ``unsent`` tells whether nothing was executed.
        """
        ask = _Ask(method, path, site_id, params, body, repeatable, wait_out_429, check)
        return self._answered(ask, limits)[0]

    def malformed(self, what: str, transaction_id: str | None = None) -> CitrixError:
        """The error for an answer that is JSON, but not what the contract promises."""
        return self._error(f"sent an answer that Realign cannot use: {what}", "Run again.", "malformed", transaction_id)

    def malformed_answer(self, what: str, answer: Answer) -> CitrixError:
        """``malformed`` with the transaction that ``answer`` names."""
        return self.malformed(what, excerpt(answer.headers.get(TRANSACTION), self.token.hidden) or None)

    def _answered(self, ask: _Ask, limits: Limits) -> tuple[Answer, str]:
        """The answer and the transaction id of the attempt that got it."""
        sent = _Sent(self.token)
        try:
            return self._ask_once(ask, limits, sent), sent.transaction_id
        except CitrixError as error:
            if error.http_status != 401 or not sent.authorization:
                raise
        # Tokens end early when Citrix says so; a second refusal is about the account, not about its token.
        self.token.renew(sent.authorization)
        return self._ask_once(ask, limits, sent), sent.transaction_id

    def _ask_once(self, ask: _Ask, limits: Limits, sent: _Sent) -> Answer:
        def headers() -> dict[str, str]:
            own = {"Citrix-CustomerId": self.customer_id, TRANSACTION: sent.new_transaction()}
            if ask.site_id is not None:
                own["Citrix-InstanceId"] = ask.site_id
            if ask.body is not None:
                own["Content-Type"] = "application/json; charset=utf-8"
            return own

        def sign(request: requests.PreparedRequest) -> requests.PreparedRequest:
            signed = sent.sign(request)
            if ask.check is not None:
                ask.check()
            return signed

        try:
            return call(
                self.session,
                ask.method,
                self.base_url.rstrip("/") + BASE + ask.path,
                system=self.title,
                limits=limits,
                repeatable=ask.repeatable,
                headers=headers,
                params=ask.params,
                json=sent.body(ask.body),
                auth=sign,
                retry_on=RETRYABLE if ask.writes else READ_AGAIN_ON,
                wait_out_429=ask.wait_out_429,
            )
        except CallFailed as failure:
            raise self._explained(failure, ask, sent) from failure
        except CitrixError as error:  # of the sign-in: what it was for has not gone out
            raise not_sent(error, unsent=ask.must_not_repeat) from error

    def _explained(self, failure: CallFailed, ask: _Ask, sent: _Sent) -> CitrixError:
        hidden, status = sent.hidden, failure.http_status
        transaction_id = excerpt(failure.headers.get(TRANSACTION), hidden) or sent.transaction_id
        said = excerpt(vendor_message(failure.said), hidden)
        cause = f"{failure.cause} to {ask.path}" if status else failure.cause
        unsent = ask.must_not_repeat and (failure.unsent or surely_refused(status))
        to_do = failure.remedy or remedy(self.wording, self.token.secret, failure.kind, status, writes=ask.writes)
        return self._error(
            f"{cause}{f': {said}' if said else ''}",
            f"{DOUBT} {to_do}" if ask.must_not_repeat and not unsent else to_do,
            "missing" if ask.writes and status == 404 else failure.kind,
            transaction_id,
            retryable=failure.retryable and status != SITE_FROZEN,
            http_status=status,
            unsent=unsent,
            retry_after=wished_pause(failure.headers.get("Retry-After")),
        )

    def _error(
        self,
        what: str,
        remedy: str,
        kind: str,
        transaction_id: str | None,
        *,
        retryable: bool = True,
        http_status: int | None = None,
        unsent: bool = False,
        retry_after: float | None = None,
    ) -> CitrixError:
        trace = f" (transaction {transaction_id})" if transaction_id else ""
        return CitrixError(
            f"{self.title} {what}{trace}. {remedy}",
            kind=kind,
            system=self.title,
            retryable=retryable,
            transaction_id=transaction_id,
            http_status=http_status,
            unsent=unsent,
            retry_after=retry_after,
        )


def segment(text: str) -> str:
    """One segment of a path, percent-encoded with nothing safe. Raises ``ValueError`` for one that would be none."""
    if text in ("", ".", ".."):
        raise ValueError(f"{text!r} cannot be a segment of a path")
    return quote(text, safe="")
