"""Which site a host serves, found out once an hour and process: it never changes (contract ``citrix.md``, 3.1)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from shared.citrix.site import SiteIdentity

KEPT_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class SiteKey:
    """What decides the answer: who is asked, for which customer, by whom, and which of several sites was chosen."""

    origin: str
    customer_id: str
    chosen: str | None
    secret: str
    version: str


class SiteMemory:
    """``clock`` is monotonic, in seconds. Safe to use from several threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._guard = threading.Lock()
        self._kept: dict[SiteKey, tuple[float, SiteIdentity]] = {}

    def known(self, key: SiteKey) -> SiteIdentity | None:
        now = self._clock()
        with self._guard:
            for old in [each for each, (since, _) in self._kept.items() if now - since >= KEPT_SECONDS]:
                del self._kept[old]
            found = self._kept.get(key)
        return None if found is None else found[1]

    def learn(self, key: SiteKey, identity: SiteIdentity) -> None:
        now = self._clock()
        with self._guard:
            self._kept[key] = (now, identity)
