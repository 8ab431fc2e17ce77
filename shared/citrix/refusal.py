"""What a refusal of Citrix, or its silence, means for an operator, and for who may have to send again."""

from __future__ import annotations

from typing import Any

from shared.citrix.wording import Wording
from shared.errors import CitrixError

SITE_FROZEN = 530
NOT_SURE = frozenset({408, 499})  # gateways answer these for a service that may still be at work
DOUBT = "It may have been done all the same: what Citrix has now is read before it goes again."


def remedy(words: Wording, secret: str, kind: str, http_status: int | None, *, writes: bool) -> str:
    """What to do, in a sentence. ``secret`` names the credential, ``kind`` is one of those of ``Upstream``."""
    if http_status == SITE_FROZEN:
        return "The site is frozen: open it once in the Citrix Cloud console to wake it, then run again."
    if http_status == 404:
        return words.gone if writes else words.not_found
    if writes and http_status in (400, 409):
        return words.refused
    account = f"the {words.account} of secret {secret}"
    return {
        "sign-in": f"A new token was refused, too: check {account}.",
        "forbidden": f"Give {account} {words.write_role if writes else words.role}.",
        "throttled": "Run again later, or let fewer clients use this site at the same time.",
        "tls": words.tls,
        "unreachable": words.way,
        "timeout": words.way,
    }.get(kind, words.support)


def surely_refused(http_status: int | None) -> bool:
    """True where a write was not executed, since it was refused."""
    return http_status is not None and 400 <= http_status < 500 and http_status not in NOT_SURE


def vendor_message(said: Any) -> str:
    """What Citrix says: ``ErrorMessage`` of the orchestration service, ``detail`` of the platform (contract, 9.1)."""
    if not isinstance(said, dict):
        return ""
    keys = {str(key).lower(): value for key, value in said.items()}
    return str(keys.get("errormessage") or keys.get("detail") or "")


def not_sent(error: CitrixError, *, unsent: bool) -> CitrixError:
    """The error of a sign-in, which several calls may share, as that of one call that it kept from being sent."""
    return CitrixError(
        str(error),
        kind=error.kind,
        system=error.system,
        retryable=error.retryable,
        transaction_id=error.transaction_id,
        http_status=error.http_status,
        unsent=unsent,
        retry_after=error.retry_after,
    )
