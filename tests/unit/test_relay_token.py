"""The app's own identity signs in to a relay; which form of the audience it takes is found out."""

from __future__ import annotations

import time
from typing import Any

import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError

from shared.call_failure import HopFailed
from shared.relay.token import SCOPES, RelayToken


class Identity:
    def __init__(self, refusal: ClientAuthenticationError | None = None) -> None:
        self.asked: list[tuple[str, Any]] = []
        self._refusal = refusal

    def get_token(self, *scopes: str, claims: str | None = None, **_: Any) -> AccessToken:
        self.asked.append((scopes[0], claims))
        if self._refusal is not None:
            raise self._refusal
        return AccessToken(f"token-{len(self.asked)}", int(time.time()) + 3600)


def test_the_first_form_of_the_audience_is_asked_for() -> None:
    identity = Identity()
    assert RelayToken(identity).current().token == "token-1"
    assert identity.asked == [("https://relay.azure.net/.default", None)]
    assert SCOPES == ("https://relay.azure.net/.default", "https://relay.azure.net//.default")


def test_the_other_form_is_kept_once_it_was_needed() -> None:
    identity = Identity()
    token = RelayToken(identity)
    token.for_other_audience(token.current())
    token.current()
    assert [scope for scope, _ in identity.asked] == [SCOPES[0], SCOPES[1], SCOPES[1]]


def test_two_whose_tokens_were_refused_at_once_do_not_undo_each_other() -> None:
    token = RelayToken(Identity())
    first, second = token.current(), token.current()
    assert {token.for_other_audience(refused).scope for refused in (first, second)} == {SCOPES[1]}


def test_a_token_is_not_in_the_repr() -> None:
    assert "token-1" not in repr(RelayToken(Identity()).current())


def test_a_renewed_token_is_not_the_one_that_msal_keeps() -> None:
    identity = Identity()
    RelayToken(identity).renewed()
    assert identity.asked[0][1], "claims make msal ask anew"


def test_an_identity_without_a_token_is_a_failure_of_the_hop() -> None:
    refusal = ClientAuthenticationError(message="The app's managed identity got no token for it: no reason given.")
    with pytest.raises(HopFailed) as caught:
        RelayToken(Identity(refusal)).current()
    assert "The app's managed identity got no token" in caught.value.cause
    assert caught.value.retryable
