"""The app's token for a relay: an Entra ID token of its own identity, so that there is no key to store.

Contract ``relay.md``, section 4: which of two forms of the audience a namespace takes is not verified, so the second
is tried where the first is refused for its audience. msal keeps the tokens.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from azure.core.credentials import TokenCredential
from azure.core.exceptions import ClientAuthenticationError

from shared.call_failure import HopFailed

SCOPES = ("https://relay.azure.net/.default", "https://relay.azure.net//.default")
RENEW = "{}"  # claims without a claim: the kept token is not used


@dataclass(frozen=True, slots=True)
class Bearer:
    """A token, and which form of the audience it was asked for with."""

    scope: str
    token: str = field(repr=False)


class RelayToken:
    """Safe to use from several threads. Raises ``HopFailed`` where no token can be had."""

    def __init__(self, credential: TokenCredential) -> None:
        self._credential = credential
        self._guard = threading.Lock()
        self._scope = SCOPES[0]

    def current(self) -> Bearer:
        """A token that lasts for some minutes at least."""
        return self._asked_for(None)

    def renewed(self) -> Bearer:
        """A new one, whatever is kept: the relay said that the last one has expired."""
        return self._asked_for(RENEW)

    def for_other_audience(self, refused: Bearer) -> Bearer:
        """A token of the other form of the audience than ``refused`` has; that form is used from now on."""
        with self._guard:
            if self._scope == refused.scope:  # another thread may have changed over already
                self._scope = next(scope for scope in SCOPES if scope != refused.scope)
        return self._asked_for(None)

    def _asked_for(self, claims: str | None) -> Bearer:
        scope = self._scope
        try:
            return Bearer(scope, self._credential.get_token(scope, claims=claims).token)
        except ClientAuthenticationError as error:
            cause = f"could not be reached: the relay wants a token. {error.message or error}".rstrip(". ")
            remedy = "Then try again."
            raise HopFailed(cause, kind="unreachable", retryable=True, remedy=remedy) from None
