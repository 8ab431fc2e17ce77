"""Serves the function app of a directory as Azure Functions would: HTTP, timers and storage queues.

It is for machines without Azure Functions Core Tools. What it leaves out stops it with a sentence instead of being
ignored: other triggers, and bindings beside the trigger. A function that runs over ``functionTimeout`` makes the
process start itself again under the same process id and port, as Azure restarts its worker.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
import uuid
from argparse import Namespace
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

from aiohttp import web

from sandbox.host import app_settings, host_json, loading, logs, schedule, timer_status
from sandbox.host.host_json import HostConfig
from sandbox.host.invoking import Invoker, thread_count
from sandbox.host.loading import LoadedFunction, QueueTrigger, TimerTrigger
from sandbox.host.messages import Received, for_function
from sandbox.host.problems import FunctionError, HostError
from sandbox.host.queues import QueueListener
from sandbox.host.timer_status import TimerStatus
from sandbox.host.timers import TimerListener
from sandbox.host.trigger_queue import TriggerQueue, service
from sandbox.host.web import Fire, HttpFront, body_limit

log = logging.getLogger(__name__)

_ADDRESS = "127.0.0.1"
_GRACE_SECONDS = 10.0
_STORAGE_THREADS = 16
# Holds the port for the process that takes over, and tells it that the line about it is printed already.
_RESTARTED = "SANDBOX_HOST_RESTARTED_ON"


class Listener(Protocol):
    """A trigger that acts by itself: ``run`` returns some time after ``stop``, with nothing left in hand."""

    async def run(self) -> None: ...

    def stop(self) -> None: ...


def main(args: Namespace) -> int:
    """Serves ``args.app`` on ``args.port`` until a signal, which ends the process. Gives 2 if it can't be served."""
    logs.configure()
    directory = Path(args.app).resolve()
    restarted = os.environ.pop(_RESTARTED, "")
    try:
        config = host_json.load(directory)
        functions = loading.load(directory, os.environ.get("PYTHON_SCRIPT_FILE_NAME", "function_app.py"))
        asyncio.run(_serve(directory, config, functions, int(restarted or args.port), announce=not restarted))
    except HostError as error:
        log.error("%s", error)
        return 2
    return 0


async def _serve(
    directory: Path, config: HostConfig, functions: tuple[LoadedFunction, ...], port: int, *, announce: bool
) -> None:
    settings = os.environ
    invoker = Invoker(threads=thread_count(settings), timeout=config.function_timeout, directory=str(directory))
    enabled = tuple(function for function in functions if not app_settings.disabled(function.name, settings))
    listeners, fires = _listeners(enabled, config, invoker, settings)
    key = settings.get("SANDBOX_FUNCTION_KEY")
    front = HttpFront(enabled, invoker, prefix=config.route_prefix, function_key=key, fires=fires)
    stop = _stop_signal()
    runner = web.AppRunner(
        front.application(body_limit(settings)), access_log=None, auto_decompress=False, shutdown_timeout=_GRACE_SECONDS
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, _ADDRESS, port).start()
    except OSError as error:
        raise HostError(f"Port {port} can't be used: {error.strerror}. Choose another with --port.") from error
    bound = int(runner.addresses[0][1])
    work = [asyncio.create_task(_watched(listener)) for listener in listeners]
    off = sorted({function.name for function in functions} - {function.name for function in enabled})
    log.info("serving functions=%s disabled=%s port=%s", len(enabled), ",".join(off) or "none", bound)
    if announce:
        print(json.dumps({"app": f"http://{_ADDRESS}:{bound}"}), flush=True)
    await asyncio.wait({stop, invoker.recycled}, return_when=asyncio.FIRST_COMPLETED)
    for listener in listeners:
        listener.stop()
    await _settle(runner, front, work)
    if not stop.done():
        _start_again(bound)
    _leave(invoker)


def _listeners(
    functions: tuple[LoadedFunction, ...], config: HostConfig, invoker: Invoker, settings: Mapping[str, str]
) -> tuple[list[Listener], dict[str, Fire]]:
    """A listener for every timer and queue function, and how the admin route fires each, by lower-case name."""
    threads = ThreadPoolExecutor(_STORAGE_THREADS, thread_name_prefix="storage")
    listeners: list[Listener] = []
    fires: dict[str, Fire] = {}
    for function in functions:
        try:
            match function.trigger:
                case TimerTrigger() as timer:
                    after = schedule.next_occurrence(app_settings.resolve(timer.schedule, settings))
                    listener = TimerListener(
                        function,
                        after,
                        invoker,
                        run_on_startup=timer.run_on_startup,
                        status=_timer_status(function, timer, after, settings),
                    )
                    listeners.append(listener)
                    fires[function.name.casefold()] = _fire_timer(listener)
                case QueueTrigger() as trigger:
                    name = app_settings.resolve(trigger.queue, settings)
                    queue = TriggerQueue(service(trigger.connection, settings), name, threads)
                    listeners.append(QueueListener(function, queue, config.queues, invoker))
                    fires[function.name.casefold()] = _fire_queue(function, invoker)
        except FunctionError as error:
            log.error("Function %s is not served: %s", function.name, error)
    return listeners, fires


async def _watched(listener: Listener) -> None:
    try:
        await listener.run()
    except Exception:  # a defect of the host: without this line its trigger would fall silent
        log.exception("a trigger of the host ended by itself; restart the host")


def _timer_status(
    function: LoadedFunction, timer: TimerTrigger, after: Callable[[datetime], datetime], settings: Mapping[str, str]
) -> TimerStatus | None:
    folder = settings.get(timer_status.SETTING)
    if not folder or not timer_status.monitored(timer.use_monitor, after, datetime.now(UTC)):
        return None
    return TimerStatus(Path(folder), function.name, after)


def _fire_timer(listener: TimerListener) -> Fire:
    async def fire(_input: str) -> None:
        await listener.fire()

    return fire


def _fire_queue(function: LoadedFunction, invoker: Invoker) -> Fire:
    async def fire(text: str) -> None:
        now = datetime.now(UTC)
        message = Received(str(uuid.uuid4()), text, "", 1, now, now + timedelta(days=7), now)
        # No queue is behind this message: a failure is in the log, and nothing is tried again.
        with contextlib.suppress(Exception):
            await invoker.invoke(function, for_function(message, text.encode()))

    return fire


def _stop_signal() -> asyncio.Future[None]:
    loop = asyncio.get_running_loop()
    stop: asyncio.Future[None] = loop.create_future()

    def request_stop() -> None:
        if not stop.done():
            stop.set_result(None)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, request_stop)
    return stop


async def _settle(runner: web.AppRunner, front: HttpFront, work: list[asyncio.Task[None]]) -> None:
    """Takes nothing new and gives what is under way ten seconds to end."""
    ending = [asyncio.create_task(runner.cleanup()), asyncio.create_task(front.settled()), *work]
    _, left = await asyncio.wait(ending, timeout=_GRACE_SECONDS)
    if left:
        log.warning("%s parts of the host did not end within %s s and are cut off", len(left), _GRACE_SECONDS)


def _start_again(port: int) -> None:
    _flush()
    # The command line as it was given: what started the host may have put something of its own around it.
    environ = {**os.environ, _RESTARTED: str(port)}
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environ)  # noqa: S606  # no shell: our own command line


def _leave(invoker: Invoker) -> None:
    if invoker.running:
        log.warning("%s invocations are cut off; their queue messages come back when the lease ends", invoker.running)
    log.info("stopped")
    _flush()
    # Not sys.exit: it waits for every thread that the app left behind, and a function may be stuck in one.
    os._exit(0)


def _flush() -> None:
    logging.shutdown()
    sys.stdout.flush()
