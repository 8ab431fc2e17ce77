"""The app's token for a relay: an Entra ID token of its own identity, so that there is no key to store.

Contract ``relay.md``, section 4: which of two forms of the audience a namespace takes is not verified, so the second
is tried where the first is refused for its audience. msal keeps the tokens.
"""

from __future__ import annotations

import threading

from azure.core.credentials import TokenCredential
from azure.core.exceptions import ClientAuthenticationError

from shared.call_failure import HopFailed

SCOPES = ("https://relay.azure.net/.default", "https://relay.azure.net//.default")
RENEW = "{}"  # claims without a claim: the kept token is not used


class RelayToken:
    """Safe to use from several threads. Raises ``HopFailed`` where no token can be had."""

    def __init__(self, credential: TokenCredential) -> None:
        self._credential = credential
        self._guard = threading.Lock()
        self._scope = SCOPES[0]

    def current(self) -> str:
        """A token that lasts for some minutes at least."""
        return self._asked_for(None)

    def renewed(self) -> str:
        """A new one, whatever is kept: the relay said that the last one has expired."""
        return self._asked_for(RENEW)

    def for_other_audience(self) -> str:
        """A token of the other form of the audience, which is used from now on."""
        with self._guard:
            self._scope = SCOPES[1] if self._scope == SCOPES[0] else SCOPES[0]
        return self._asked_for(None)

    def _asked_for(self, claims: str | None) -> str:
        try:
            return self._credential.get_token(self._scope, claims=claims).token
        except ClientAuthenticationError as error:
            cause = f"could not be reached: the relay wants a token. {error.message or error}".rstrip(". ")
            remedy = "Then try again."
            raise HopFailed(cause, kind="unreachable", retryable=True, remedy=remedy) from None
