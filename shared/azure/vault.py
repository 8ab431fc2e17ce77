"""The secrets in Key Vault: read by name, at their newest version, never kept and never logged here.

Every failure becomes a ``VaultError`` whose sentence names the vault, the secret's name and the remedy
(contract ``azure.md``, section 4.4).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from azure.core.credentials import TokenCredential
from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError
from azure.keyvault.secrets import SecretClient

from shared.azure.failures import network_kind
from shared.azure.transport import open_transport
from shared.errors import Upstream, VaultError
from shared.settings.trust import TrustSettings

_NAME = re.compile(r"[0-9a-zA-Z-]{1,127}")
_LONGEST_REASON = 300


@dataclass(frozen=True, slots=True)
class Secret:
    """``version`` tells an audit which one was used; ``value`` never shows in a repr."""

    name: str
    value: str = field(repr=False)
    version: str


class Vault:
    """One Key Vault. Threads may share it. Without ``trust``: public authorities, no proxy.

    Raises ``VaultError`` (kind ``misconfigured``) when the certificates to trust cannot be read.
    """

    def __init__(self, url: str, credential: TokenCredential, *, trust: TrustSettings | None = None) -> None:
        self._host = urlsplit(url).netloc
        try:
            transport, self._session = open_transport(connections=8, trust=trust or TrustSettings(), system="vault")
        except Upstream as error:
            raise VaultError(str(error), kind=error.kind, system=f"Key Vault {self._host}") from error
        self._client = SecretClient(
            url,
            credential,
            transport=transport,
            retry_total=4,
            retry_status=4,
            retry_backoff_factor=0.8,
            retry_backoff_max=8,
        )

    def secret(self, name: str) -> Secret:
        """The newest version of secret ``name``. Raises ``VaultError``."""
        if not _NAME.fullmatch(name):
            raise self._error(
                f"cannot have a secret named {name[:127]!r}: names are letters, digits and hyphens.", "misconfigured"
            )
        try:
            found = self._client.get_secret(name)
        except AzureError as error:
            raise self._failure(name, error) from error
        except ValueError as error:  # the SDK's check that the challenge belongs to the vault
            raise self._error(
                f"answered a read of secret {name} with the sign-in challenge of another host. Correct KEY_VAULT_URL.",
                "misconfigured",
            ) from error
        if not found.value:
            raise self._error(f"holds secret {name} without a value. Set the secret again.", "malformed")
        return Secret(name, found.value, found.properties.version or "")

    def close(self) -> None:
        self._client.close()
        self._session.close()

    def _failure(self, name: str, error: AzureError) -> VaultError:
        if isinstance(error, HttpResponseError) and error.status_code is not None:
            return self._answered(name, error)
        if isinstance(error, ClientAuthenticationError):
            reason = str(error.message)[:_LONGEST_REASON]
            return self._error(f"could not be asked for secret {name}. {reason}", "sign-in")
        kind = network_kind(error)
        if kind == "tls":
            return self._error(
                f"has a certificate that is not trusted, so secret {name} was not read. "
                "Check what stands between the app and the vault (a proxy), or its CA in REQUESTS_CA_BUNDLE.",
                kind,
            )
        what = "did not answer in time" if kind == "timeout" else "could not be reached"
        return self._error(
            f"{what} for secret {name}. Check KEY_VAULT_URL, the vault's firewall or private endpoint, and the DNS.",
            kind,
            retryable=True,
        )

    def _answered(self, name: str, error: HttpResponseError) -> VaultError:
        status = error.status_code or 0
        if status == 403:
            return self._error(
                f"refuses to show secret {name} (HTTP 403). Give the app's identity the role Key Vault Secrets User "
                "on the vault or on the secret, check that the secret is enabled and that the vault's firewall lets "
                "the app in; a new role can take minutes to work.",
                "forbidden",
            )
        if status == 404:
            return self._error(
                f"has no secret {name} (HTTP 404). Create it, or correct its name in the profile.", "missing"
            )
        if status == 401:
            return self._error(
                f"does not accept the app's sign-in for secret {name} (HTTP 401). Check that the vault and the app's "
                "identity belong to the same tenant.",
                "sign-in",
            )
        if status == 429:
            return self._error(
                f"is throttling reads of secret {name} (HTTP 429). Try again in a minute.", "throttled", retryable=True
            )
        return self._error(
            f"failed to show secret {name} (HTTP {status}). Try again; if it stays so, see the vault's health in the "
            "portal.",
            "failed",
            retryable=status >= 500,
        )

    def _error(self, what: str, kind: str, *, retryable: bool = False) -> VaultError:
        system = f"Key Vault {self._host}"
        return VaultError(f"{system} {what}", kind=kind, system=system, retryable=retryable)
