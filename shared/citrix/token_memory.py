"""The tokens in use, one for a credential at a host, shared by all clients of the process: Citrix throttles sign-ins.

Contract ``citrix.md``, section 2.1: a client that signs in before every call, or each time anew, meets that limit.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Held:
    """``header`` is the value of ``Authorization``; ``renew_at`` is on the clock of the token's owner."""

    header: str = field(repr=False)
    renew_at: float


class TokenCell:
    """The place of one token. Who signs in holds ``lock``, so that several who need a token sign in once."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.held: Held | None = None


@dataclass(frozen=True, slots=True)
class TokenKey:
    """Whose token it is: the host and the customer that it is for, and the version of the secret behind it."""

    origin: str
    customer_id: str
    secret: str
    version: str


class TokenMemory:
    """Safe to use from several threads. Tokens live in memory alone."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._cells: dict[TokenKey, TokenCell] = {}

    def cell(self, key: TokenKey) -> TokenCell:
        with self._guard:
            return self._cells.setdefault(key, TokenCell())
