"""What went wrong in an Azure SDK call, as one of our errors.

Vendor bodies stay out of the sentences: a refused signature, for one, is quoted in them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import requests
from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    ServiceRequestTimeoutError,
    ServiceResponseTimeoutError,
)

from shared.errors import StorageError

_LONGEST_REASON = 300
_ROLES = "the roles Storage Table Data Contributor and Storage Queue Data Contributor"


def network_kind(error: AzureError) -> str:
    """``tls``, ``timeout`` or ``unreachable``, for an error of a call that got no answer."""
    if isinstance(error.inner_exception, requests.exceptions.SSLError):
        return "tls"
    if isinstance(error, ServiceRequestTimeoutError | ServiceResponseTimeoutError):
        return "timeout"
    return "unreachable"


@contextmanager
def storage_failures(account: str, doing: str, roles: str = _ROLES) -> Iterator[None]:
    """Turn what the SDK raises inside into a ``StorageError``. ``doing`` completes "while it …".

    ``roles`` are those that it takes, for whoever lacks them.
    """
    try:
        yield
    except AzureError as error:
        raise storage_error(account, doing, error, roles) from error


def storage_error(account: str, doing: str, error: AzureError, roles: str = _ROLES) -> StorageError:
    """The ``StorageError`` for ``error``; ``account`` is the service's host."""
    system = f"Storage {account}"
    if isinstance(error, HttpResponseError) and error.status_code is not None:
        return _answered(system, doing, error, roles)
    if isinstance(error, ClientAuthenticationError):
        reason = str(error.message)[:_LONGEST_REASON]
        return StorageError(f"{system} could not be asked to {doing}. {reason}", kind="sign-in", system=system)
    kind = network_kind(error)
    if kind == "tls":
        return StorageError(
            f"{system} has a certificate that is not trusted, so the app did not {doing}. Check what stands between "
            "the app and the account (a proxy), or its CA in REQUESTS_CA_BUNDLE.",
            kind=kind,
            system=system,
        )
    what = "did not answer in time" if kind == "timeout" else "could not be reached"
    return StorageError(
        f"{system} {what} when asked to {doing}. Check the account's name in AzureWebJobsStorage__accountName, its "
        "firewall or private endpoint, and the DNS.",
        kind=kind,
        system=system,
        retryable=True,
    )


def _answered(system: str, doing: str, error: HttpResponseError, roles: str) -> StorageError:
    status = error.status_code or 0
    raw_code = getattr(error, "error_code", None)
    code = str(getattr(raw_code, "value", raw_code) or "no error code")
    said = f"(HTTP {status}, {code})"
    if status in {401, 403}:
        return StorageError(
            f"{system} refuses to {doing} {said}. Give the app's identity {roles} on the account, and check "
            "that the account's firewall lets the app in; a new role can take minutes to work.",
            kind="forbidden",
            system=system,
        )
    if status in {429, 503} or code == "ServerBusy":
        return StorageError(
            f"{system} is too busy to {doing} {said}. Try again in a minute.",
            kind="throttled",
            system=system,
            retryable=True,
        )
    return StorageError(
        f"{system} failed to {doing} {said}. Try again; if it stays so, see the account's health in the portal.",
        kind="failed",
        system=system,
        retryable=status >= 500 or code in {"TableBeingDeleted", "QueueBeingDeleted"},
    )
