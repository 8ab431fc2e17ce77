"""Runs functions as the Python worker does: sync ones in one shared thread pool, async ones on the event loop.

Over ``functionTimeout`` Azure restarts the worker process, and everything that ran in it fails. Here that is
``recycled``: every running invocation ends with ``WorkerRecycled``, and the server starts its own process again.
An ``async`` function that blocks stalls the whole host, which only the real one survives.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import threading
import time
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import azure.functions as func

from sandbox.host.loading import HttpTrigger, LoadedFunction

log = logging.getLogger(__name__)

_MAX_THREADS = 32


class WorkerRecycled(Exception):
    """The invocation did not end: a function ran over the time limit and took the worker process with it."""


class InvocationContext(func.Context):
    """What a function's ``context`` parameter holds. Retry policies and trace context don't exist here."""

    def __init__(self, function: str, directory: str, storage: threading.local) -> None:
        self._function = function
        self._directory = directory
        self._storage = storage
        self._id = str(uuid.uuid4())

    @property
    def invocation_id(self) -> str:
        return self._id

    @property
    def function_name(self) -> str:
        return self._function

    @property
    def function_directory(self) -> str:
        return self._directory

    @property
    def thread_local_storage(self) -> threading.local:  # type: ignore[override]  # the library says type[local]
        return self._storage

    @property
    def trace_context(self) -> None:  # type: ignore[override]
        return None

    @property
    def retry_context(self) -> None:  # type: ignore[override]
        return None


def thread_count(settings: Mapping[str, str]) -> int:
    """``PYTHON_THREADPOOL_THREAD_COUNT`` as the worker takes it: 1 to 32, by default Python's own choice."""
    text = settings.get("PYTHON_THREADPOOL_THREAD_COUNT", "")
    default = min(_MAX_THREADS, (os.cpu_count() or 1) + 4)
    return max(1, min(_MAX_THREADS, int(text))) if text.isdecimal() else default


class Invoker:
    """``timeout`` is in seconds, None for none. Make it inside the running event loop."""

    def __init__(self, *, threads: int, timeout: float | None, directory: str) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="function")
        self._timeout = timeout
        self._directory = directory
        self._storage = threading.local()
        self._running: set[asyncio.Future[object]] = set()
        self.recycled: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def running(self) -> int:
        """How many invocations have not ended."""
        return len(self._running)

    async def invoke(self, function: LoadedFunction, value: object) -> object:
        """Calls the function with ``value`` as its trigger's argument and gives what it returned.

        Raises:
            WorkerRecycled: this or another function ran over the time limit.
            Exception: whatever the function raised; it is logged already.
        """
        if self.recycled.done():
            raise WorkerRecycled(f"Function {function.name} was not started: the worker restarts.")
        context = InvocationContext(function.name, self._directory, self._storage)
        started = time.monotonic()
        log.info("executing function=%s invocation=%s", function.name, context.invocation_id)
        work = asyncio.ensure_future(self._call(function, value, context))
        self._running.add(work)
        work.add_done_callback(self._ended)
        ends: set[asyncio.Future[Any]] = {work, self.recycled}
        await asyncio.wait(ends, timeout=self._timeout, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            self._give_up(function, context)
            raise WorkerRecycled(f"Function {function.name} was cut off: the worker restarts.")
        took = round((time.monotonic() - started) * 1000)
        try:
            result = work.result()
        except Exception:
            log.exception("failed function=%s invocation=%s ms=%s", function.name, context.invocation_id, took)
            raise
        log.info("executed function=%s invocation=%s ms=%s", function.name, context.invocation_id, took)
        return result

    async def _call(self, function: LoadedFunction, value: object, context: InvocationContext) -> object:
        arguments = {function.argument: value}
        if function.wants_context:
            arguments["context"] = context
        if function.is_async:
            pending = function.call(**arguments)
            result: object = await pending  # type: ignore[misc]  # is_async says that it is a coroutine
        else:
            call = functools.partial(self._in_thread, function, arguments, context.invocation_id)
            result = await asyncio.get_running_loop().run_in_executor(self._pool, call)
        if result is not None and not isinstance(function.trigger, HttpTrigger):
            raise RuntimeError(f"Function {function.name} returned a value, but has no $return binding.")
        return result

    def _in_thread(self, function: LoadedFunction, arguments: Mapping[str, object], invocation_id: str) -> object:
        self._storage.invocation_id = invocation_id
        try:
            return function.call(**arguments)
        except SystemExit as error:
            # Let through, it would end the event loop instead of this one invocation.
            raise RuntimeError(f"Function {function.name} called sys.exit.") from error

    def _ended(self, work: asyncio.Future[object]) -> None:
        self._running.discard(work)
        if not work.cancelled():
            work.exception()  # else Python complains that nobody asked, when the invocation was given up before

    def _give_up(self, function: LoadedFunction, context: InvocationContext) -> None:
        if self.recycled.done():
            return
        log.critical(
            "function=%s invocation=%s ran over functionTimeout (%s s): the worker restarts, what runs fails",
            function.name,
            context.invocation_id,
            self._timeout,
        )
        self.recycled.set_result(None)

    def close(self) -> None:
        """Starts nothing new; threads that still work are left to the end of the process."""
        self._pool.shutdown(wait=False, cancel_futures=True)
