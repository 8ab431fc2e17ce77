from __future__ import annotations

import pytest
import requests
from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    ServiceRequestError,
    ServiceResponseTimeoutError,
)

from shared.azure.failures import storage_error, storage_failures
from shared.errors import StorageError


def answered(status: int, code: str) -> HttpResponseError:
    error = HttpResponseError("a body that quotes 'the signature abcdef'")
    error.status_code = status
    error.error_code = code  # type: ignore[attr-defined]
    return error


TLS = ServiceRequestError("no", error=requests.exceptions.SSLError("self-signed"))


@pytest.mark.parametrize(
    ("error", "kind", "retryable", "said"),
    [
        pytest.param(answered(403, "AuthorizationPermissionMismatch"), "forbidden", False, "Contributor", id="no-role"),
        pytest.param(answered(403, "AuthenticationFailed"), "forbidden", False, "AuthenticationFailed", id="bad-key"),
        pytest.param(answered(503, "ServerBusy"), "throttled", True, "Try again in a minute", id="busy"),
        pytest.param(answered(429, "TooMany"), "throttled", True, "too busy", id="throttled"),
        pytest.param(answered(500, "InternalError"), "failed", True, "HTTP 500", id="internal-error"),
        pytest.param(answered(409, "TableBeingDeleted"), "failed", True, "TableBeingDeleted", id="table-being-deleted"),
        pytest.param(answered(400, "InvalidInput"), "failed", False, "InvalidInput", id="bad-request"),
        pytest.param(ServiceRequestError("no"), "unreachable", True, "accountName", id="no-route"),
        pytest.param(ServiceResponseTimeoutError("no"), "timeout", True, "in time", id="no-answer"),
        pytest.param(TLS, "tls", False, "not trusted", id="untrusted-certificate"),
        pytest.param(
            ClientAuthenticationError("The identity got no token."), "sign-in", False, "got no token", id="no-token"
        ),
    ],
)
def test_a_failure_says_which_account_and_what_to_do(error: AzureError, kind: str, retryable: bool, said: str) -> None:
    ours = storage_error("acc.table.core.windows.net", "read table runs", error)
    assert (ours.kind, ours.retryable) == (kind, retryable)
    assert "acc.table.core.windows.net" in str(ours)
    assert "read table runs" in str(ours)
    assert said in str(ours)
    assert "signature" not in str(ours)


def test_what_is_no_failure_of_the_sdk_passes_through() -> None:
    with pytest.raises(KeyError), storage_failures("acc", "read"):
        raise KeyError("bug")
    with pytest.raises(StorageError), storage_failures("acc", "read"):
        raise answered(503, "ServerBusy")


def test_a_failure_without_an_error_code_is_still_a_sentence() -> None:
    error = HttpResponseError(response=None)
    error.status_code = 502
    assert "HTTP 502, no error code" in str(storage_error("acc", "read", error))
