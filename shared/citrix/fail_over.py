"""Several hosts that serve one site: the first that can is asked, and reading starts over on the next when it dies.

Only what is about a host leads to the next one. A refused account, missing rights and a wrong profile are the same
everywhere, and a password that one controller refused must not be tried on the next: Windows accounts get locked.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from shared.citrix.site import CitrixSite, read_limits
from shared.citrix.wording import on_premises_title
from shared.errors import CitrixError
from shared.http import Deadline, Limits

PROBE_SECONDS = 15.0
PROBE_SILENCE = 12.0
ATTEMPTS_BEFORE_THE_NEXT = 3

log = logging.getLogger(__name__)

T = TypeVar("T")
Open = Callable[[str, Callable[[], Limits]], CitrixSite]


class SiteHosts:
    """The hosts of one site by their origins, in the order in which they are asked.

    ``open_client`` makes the client of one origin with the limits of its calls. ``limits`` are those of the last host;
    while there is another to go to, a host gets 15 s to sign in and to say who it is, and three attempts a call.
    """

    def __init__(self, origins: Sequence[str], open_client: Open, limits: Callable[[], Limits] = read_limits) -> None:
        self._origins = tuple(origins)
        self._open = open_client
        self._limits = limits

    def run(self, work: Callable[[CitrixSite], T]) -> T:
        """What ``work`` returns for the first host that lasts until its end. ``work`` must be harmless to repeat.

        Raises ``CitrixError``: the host's own, or one that tells of every host where none could be used.
        """
        return self._first_of(lambda origin, others: self._tried(origin, work, others))

    def first(self) -> CitrixSite:
        """The first host that lets itself be probed, for work that must not start over on another one; the only host is
        not probed. Raises ``CitrixError`` as ``run`` does.
        """
        if len(self._origins) == 1:
            return self._open(self._origins[0], self._limits)
        return self._first_of(self._probed)

    def _first_of(self, use: Callable[[str, int], T]) -> T:
        """``use`` gets an origin, and how many others come after it."""
        failures: list[CitrixError] = []
        for index, origin in enumerate(self._origins):
            try:
                return use(origin, len(self._origins) - index - 1)
            except CitrixError as error:
                if not may_differ_elsewhere(error):
                    raise
                failures.append(error)
                log.warning("site host left host=%s kind=%s cause=%s", origin, error.kind, error)
        raise failures[0] if len(failures) == 1 else self._none_left(failures)

    def _tried(self, origin: str, work: Callable[[CitrixSite], T], others: int) -> T:
        if not others:
            return work(self._open(origin, self._limits))
        client = self._open(origin, lambda: _hurried(self._limits(), ATTEMPTS_BEFORE_THE_NEXT))
        client.probe(self._probe_limits(others))
        found = work(client)
        log.info("site served host=%s", origin)
        return found

    def _probed(self, origin: str, others: int) -> CitrixSite:
        client = self._open(origin, self._limits)
        client.probe(self._probe_limits(others))
        log.info("site host chosen host=%s", origin)
        return client

    def _probe_limits(self, others: int) -> Limits:
        """What a host gets to sign in and to say who it is; the last one has the time that is left."""
        bounds = self._limits()
        if not others:
            return bounds
        share = min(PROBE_SECONDS, bounds.deadline.remaining() / (others + 1))
        deadline = Deadline.after(share, bounds.deadline.clock)
        return replace(_hurried(bounds, 2), deadline=deadline, silence=min(bounds.silence, PROBE_SILENCE))

    def _none_left(self, failures: Sequence[CitrixError]) -> CitrixError:
        kinds = {failure.kind for failure in failures}
        told = " ".join(str(failure) for failure in failures)
        return CitrixError(
            f"None of the {len(failures)} Delivery Controllers of the site could be used. {told}",
            kind=kinds.pop() if len(kinds) == 1 else "failed",
            system=on_premises_title(*self._origins),
            retryable=any(failure.retryable for failure in failures),
        )


def may_differ_elsewhere(error: CitrixError) -> bool:
    """True for what another host of the same site may do better."""
    about_the_host = error.kind in ("unreachable", "timeout", "tls", "throttled", "malformed")
    return about_the_host or (error.http_status is not None and error.http_status >= 500)


def _hurried(limits: Limits, attempts: int) -> Limits:
    return replace(limits, attempts=min(limits.attempts, attempts))
