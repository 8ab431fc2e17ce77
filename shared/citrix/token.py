"""One bearer token for all threads that ask a site: asked for when it is needed, renewed before it ends.

How a token is asked for differs between Citrix Cloud and a Delivery Controller; that is a ``SignIn`` of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import requests
from requests.auth import AuthBase

from shared.citrix.token_memory import Held, TokenCell
from shared.errors import CitrixError
from shared.http import Deadline, Limits

RENEW_BEFORE = 300.0
SIGN_IN_SECONDS = 60.0
SCHEME = "CWSAuth bearer="


@dataclass(frozen=True, slots=True)
class Issued:
    """A token as it was issued; ``lifetime`` in seconds from the moment it was asked for."""

    token: str = field(repr=False)
    lifetime: float


class SignIn(Protocol):
    """Exchanges one credential for a token."""

    @property
    def secret(self) -> str:
        """The name of the Key Vault secret with the credential."""

    @property
    def hidden(self) -> tuple[str, ...]:
        """What no message may show."""

    def sign_in(self, limits: Limits) -> Issued:
        """Ask for a token. Raises ``CitrixError``; its kind is ``sign-in`` where the credential was refused."""


def _sign_in_limits() -> Limits:
    return Limits(Deadline.after(SIGN_IN_SECONDS))


class BearerToken(AuthBase):
    """Puts ``CWSAuth bearer=`` on requests, with one token for all threads that share this object.

    A credential that was refused is not tried again by this object: Windows accounts get locked, and several
    threads read a site. ``limits`` bound a sign-in that a request asks for; ``clock`` is monotonic, in seconds; a
    ``cell`` shares the token with other clients of the process.
    """

    def __init__(
        self,
        sign_in: SignIn,
        *,
        limits: Callable[[], Limits] = _sign_in_limits,
        clock: Callable[[], float] = time.monotonic,
        cell: TokenCell | None = None,
    ) -> None:
        self._sign_in = sign_in
        self._limits = limits
        self._clock = clock
        self._cell = cell or TokenCell()
        self._refusal: CitrixError | None = None

    @property
    def secret(self) -> str:
        """The name of the Key Vault secret behind the token."""
        return self._sign_in.secret

    @property
    def hidden(self) -> tuple[str, ...]:
        """What no message may show: the credential, and the token in use."""
        held = self._cell.held  # without the lock: a sign-in that fails holds it
        return self._sign_in.hidden if held is None else (*self._sign_in.hidden, held.header.removeprefix(SCHEME))

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = self._current(None).header
        return request

    def bearer(self) -> str:
        """The token in use, for the items of a batch, which sign in each for itself. Raises ``CitrixError``."""
        return self._current(None).header.removeprefix(SCHEME)

    def ready(self, limits: Limits) -> None:
        """Sign in within ``limits`` where there is no token yet. Raises ``CitrixError``."""
        self._current(limits)

    def renew(self, refused: str) -> None:
        """Forget the token of the ``Authorization`` header that was refused, if it is still the one in use.

        So threads that were refused together sign in once.
        """
        self.renew_bearer(refused.removeprefix(SCHEME))

    def renew_bearer(self, refused: str) -> None:
        """``renew`` for a token that an item of a batch carried."""
        cell = self._cell
        with cell.lock:
            if cell.held is not None and cell.held.header == f"{SCHEME}{refused}":
                cell.held = None

    def _current(self, limits: Limits | None) -> Held:
        cell = self._cell
        with cell.lock:
            if self._refusal is not None:
                raise self._refusal
            if cell.held is None or self._clock() >= cell.held.renew_at:
                cell.held = self._asked_for(limits or self._limits())
            return cell.held

    def _asked_for(self, limits: Limits) -> Held:
        began = self._clock()
        try:
            issued = self._sign_in.sign_in(limits)
        except CitrixError as error:
            if error.kind == "sign-in":
                self._refusal = error
            raise
        early = min(RENEW_BEFORE, issued.lifetime / 2)
        return Held(f"{SCHEME}{issued.token}", began + issued.lifetime - early)
