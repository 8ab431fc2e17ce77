"""Which invocation of a function a log line belongs to: the host takes no line that names none.

The worker knows it of the threads that it calls functions in, and of no other (contract ``azure.md``, section 3.6):
what pools and the tunnels' loop log would be lost on its way to Application Insights. The worker asks the thread that
logs, so that one says it before each line. The worker library of Python 3.13 has a context variable for it as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol


class Invocation(Protocol):
    """What the platform hands a function that has a parameter ``context``."""

    @property
    def invocation_id(self) -> str: ...

    @property
    def thread_local_storage(self) -> Any: ...


_invocation: ContextVar[Invocation | None] = ContextVar("invocation", default=None)


@contextmanager
def invoked(context: Invocation) -> Iterator[None]:
    """Log lines of the block, and of what copies its context, belong to this invocation."""
    token = _invocation.set(context)
    try:
        yield
    finally:
        _invocation.reset(token)


def name_invocation() -> None:
    """Tell the worker which invocation this thread is about to log for, where that is known."""
    invocation = _invocation.get()
    if invocation is not None:
        invocation.thread_local_storage.invocation_id = invocation.invocation_id
