"""Signing in to Citrix with care: a refused credential is left alone, and none is tried twice at once (design, 5)."""

from __future__ import annotations

from collections.abc import Sequence

from shared.citrix.token import Issued, SignIn
from shared.errors import CitrixError
from shared.http import Limits
from shared.runs.clients.refusal_memory import RefusalMemory


class CarefulSignIn:
    """``places``: where a refusal counts. A Windows account that one controller refused is refused by all of a site.

    ``account`` is held during a sign-in, so that whoever waits learns from its outcome.
    """

    def __init__(self, sign_in: SignIn, places: Sequence[RefusalMemory], account: RefusalMemory) -> None:
        self._sign_in = sign_in
        self._places = places
        self._account = account

    @property
    def secret(self) -> str:
        return self._sign_in.secret

    @property
    def hidden(self) -> tuple[str, ...]:
        return self._sign_in.hidden

    def sign_in(self, limits: Limits) -> Issued:
        """Ask for a token. Raises ``CitrixError``."""
        title = self._account.title
        with self._account.alone(limits.deadline.remaining()) as held:
            if not held:
                raise CitrixError(
                    f"{title} was being signed in to by another reader for as long as there was time. Check that it "
                    "is up, and run again.",
                    kind="timeout",
                    system=title,
                    retryable=True,
                )
            held_off = next(filter(None, (place.refused() for place in self._places)), None)
            if held_off is not None:
                raise CitrixError(held_off, kind="sign-in", system=title)
            try:
                return self._sign_in.sign_in(limits)
            except CitrixError as error:
                # a 403 may come from a proxy on the way
                if error.kind == "sign-in" and error.http_status != 403:
                    for place in self._places:
                        place.remember()
                raise
