"""Calls that are held from outside: a test stops one at a named place, does what it wants, and lets it go on.

``sandbox.holds.hold("citrix", "submitBatch", when="after")`` holds the next such call after it was executed and before
it is answered; ``before`` holds one that has arrived and of which nothing is done. Of a storage call the operation is
its method (``hold("storage/table", "POST", match=...)``). A held call whose client dies is dropped: nothing more is
done for it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Literal

from aiohttp import web

CHECK_SECONDS = 0.005

When = Literal["before", "after"]
Match = Callable[[str, str, bytes], bool]


class Hold:
    """Holds one call. Every method may be called from any thread; as a context manager it releases at the end."""

    def __init__(self, system: str, operation: str, when: When, nth: int, match: Match | None) -> None:
        self._subject = (system, operation, when)
        self._match = match
        self._left = nth
        self._reached = threading.Event()
        self._released = threading.Event()
        self._dropped = threading.Event()

    def reached(self, timeout: float) -> bool:
        """Waits until a call is held, for ``timeout`` seconds at most; False where none came."""
        return self._reached.wait(timeout)

    def dropped(self, timeout: float) -> bool:
        """Waits until the client of the held call is seen to be gone, for ``timeout`` seconds at most."""
        return self._dropped.wait(timeout)

    def release(self) -> None:
        """Lets the held call go on; without one, lets pass what would have been held."""
        self._released.set()

    def catches(self, subject: tuple[str, str, When], request: web.Request, body: bytes) -> bool:
        """Counts the call when it is one to be held; True for the one that is."""
        if self._released.is_set() or self._left <= 0 or subject != self._subject:
            return False
        if self._match is not None and not self._match(request.method, request.path_qs, body):
            return False
        self._left -= 1
        return self._left == 0

    async def keep(self, request: web.Request) -> bool:
        """Waits for the release; False where the client has gone by then."""
        self._reached.set()
        while not self._released.is_set() and not _gone(request):
            await asyncio.sleep(CHECK_SECONDS)
        # The end of a client that died right before the release is still on its way, through a relay even longer.
        await asyncio.sleep(CHECK_SECONDS)
        if _gone(request):
            self._dropped.set()
        return not _gone(request)

    def __enter__(self) -> Hold:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


class Holds:
    """The holds of one sandbox."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holds: list[Hold] = []

    def hold(
        self, system: str, operation: str, when: When = "before", nth: int = 1, match: Match | None = None
    ) -> Hold:
        """Holds the ``nth`` call from now on.

        ``system`` and ``operation`` are ``citrix``, ``cvad/ddc01`` or ``prism/paris`` with an operation id of the
        contract (``submitBatch``), ``vault`` with ``getSecret``, ``storage/table``, ``storage/queue`` or
        ``storage/blob`` with a method; storage needs the sandbox's proxy. ``match`` gets method, path with query, and
        body, and says whether the call counts.
        """
        made = Hold(system, operation, when, nth, match)
        with self._lock:
            self._holds.append(made)
        return made

    def release_all(self) -> None:
        with self._lock:
            for each in self._holds:
                each.release()

    async def passes(self, when: When, system: str, operation: str, request: web.Request, body: bytes) -> bool:
        """Waits where the call is held; False where its client has gone meanwhile, so that it must be dropped."""
        with self._lock:
            caught = [each for each in self._holds if each.catches((system, operation, when), request, body)]
        for each in caught:
            if not await each.keep(request):
                return False
        return True


def abort(request: web.Request) -> web.Response:
    """Ends the connection without an answer; what it returns is only what aiohttp asks of a handler."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=502)


def _gone(request: web.Request) -> bool:
    return request.transport is None or request.transport.is_closing()
