"""The host takes no line of the log that names no invocation; of the threads of pools the worker knows none."""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
from collections.abc import Iterator
from typing import Any

import azure.functions as func
import pytest
from azure.functions.queue import QueueMessage

from functions import health, hooks, queues, review, start, timers
from sandbox.host.invoking import InvocationContext
from shared.errors import StorageError
from shared.telemetry.subject import mark_log_lines
from shared.telemetry.threads import Threads
from tests.unit.requests_to_functions import http_request

log = logging.getLogger("anybody")


class Worker(logging.Handler):
    """Asks the thread that logs which invocation it works for, as the platform's worker does."""

    def __init__(self) -> None:
        super().__init__()
        self.storage = threading.local()
        self.sent: list[tuple[str, str | None]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.sent.append((record.getMessage(), getattr(self.storage, "invocation_id", None)))


@pytest.fixture
def worker() -> Iterator[Worker]:
    before, root = logging.getLogRecordFactory(), logging.getLogger()
    handler, level = Worker(), root.level
    mark_log_lines()
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield handler
    root.setLevel(level)
    root.removeHandler(handler)
    logging.setLogRecordFactory(before)


def resources() -> Any:
    log.info("here")
    with Threads(1) as pool:
        pool.submit(log.info, "in a pool").result()
    raise StorageError("Storage X is down.", kind="failed")


def functions() -> dict[str, Any]:
    app = func.FunctionApp()
    for triggers in (health, hooks, queues, review, start, timers):
        app.register_functions(triggers.blueprint(resources))
    found = {each.get_function_name(): each.get_user_function() for each in app.get_functions()}
    del found["health_live"]  # it does nothing
    return found


@pytest.mark.parametrize("name", functions())
def test_a_line_of_whatever_thread_names_the_invocation(worker: Worker, name: str) -> None:
    call = functions()[name]
    context = InvocationContext(name, "", worker.storage)
    given: dict[str, Any] = {"context": context}
    if "req" in inspect.signature(call).parameters:
        given["req"] = http_request("GET" if name == "health_ready" else "POST")
    elif "msg" in inspect.signature(call).parameters:
        given["msg"] = QueueMessage(body=b"{}")
    else:
        given["timer"] = None
    try:
        done = call(**given)
        if inspect.isawaitable(done):
            asyncio.run(done)  # type: ignore[arg-type]
    except StorageError:
        pass  # of what is no request the platform hears
    assert {"here", "in a pool"} <= {text for text, _ in worker.sent}
    assert {invocation for _, invocation in worker.sent} == {context.invocation_id}
