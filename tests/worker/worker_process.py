"""Microsoft's worker library in a process of its own, and the host's side of the talk with it.

The messages are those of ``messages.py`` as JSON. How the host writes a trigger's value into them is taken from its
public source (``GrpcMessageConversionExtensions.cs`` and ``ScriptInvocationContextExtensions.cs`` of
azure-functions-host): text stays text, bytes stay bytes, and everything else, numbers and times too, is JSON. A request
has its headers in lower case, and a body only if it has a length. Not compared with a running host.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import tempfile
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from azure.storage.queue import QueueMessage

FOLDER = Path(__file__).parent
PYTHON = FOLDER / ".venv-3.13" / "bin" / "python"

Message = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """What an HTTP function answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class FunctionFailed(Exception):
    """The worker reported an invocation as failed: the host takes that for the function's own exception."""


class WorkerProcess:
    """The worker for the app in ``app``, with ``settings`` as its whole environment; ``functions`` by their names."""

    def __init__(self, app: Path, settings: Mapping[str, str]) -> None:
        self.started: Message = {}
        self.functions: dict[str, Message] = {}
        self._app = app
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115  # closed with the process
        self._process = subprocess.Popen(
            [PYTHON, "-I", FOLDER / "proxy.py", app],
            env={**settings, "PATH": os.defpath, "PYTHONDONTWRITEBYTECODE": "1"},
            cwd=app,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )

    def start(self) -> None:
        """What the host does before the first invocation: start, list the functions, load each."""
        self.started = self._ask("worker_init", {"function_app_directory": str(self._app), "host_version": "4"})
        listed = self._ask("functions_metadata", {}, "function_metadata")
        self.functions = {each["name"]: each for each in listed.get("function_metadata_results", [])}
        for function in self.functions.values():
            loaded = self._ask("function_load", {"function_id": function["function_id"], "metadata": function})
            assert loaded["result"] == {"status": "Success"}

    def call(
        self,
        function: str,
        method: str,
        path: str,
        *,
        route: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: object = None,
    ) -> Answer:
        """An HTTP request; ``body`` is sent as JSON."""
        request: Message = {
            "method": method,
            "url": f"https://realign.example/api/{path}",
            "headers": {name.lower(): value for name, value in (headers or {}).items()},
            "params": dict(route or {}),
        }
        if body is not None:
            request["headers"]["content-type"] = "application/json"
            request["body"] = {"bytes": base64.b64encode(json.dumps(body).encode()).decode()}
        answered = self._invoke(function, "req", {"http": request})["return_value"]["http"]
        content = base64.b64decode(answered["body"].get("bytes", ""))
        return Answer(int(answered["status_code"]), answered["headers"], content)

    def fire(self, function: str, *, past_due: bool = False) -> None:
        """A timer's occurrence."""
        info = {"Schedule": {"AdjustForDST": True}, "ScheduleStatus": None, "IsPastDue": past_due}
        self._invoke(function, "timer", {"json": json.dumps(info)})

    def deliver(self, function: str, message: QueueMessage) -> None:
        """A message as the host took it from a queue. Raises ``FunctionFailed`` where it has to come again."""
        text = base64.b64decode(message.content).decode()
        of_message = {
            "DequeueCount": {"json": json.dumps(message.dequeue_count)},
            "ExpirationTime": {"json": json.dumps(message.expires_on.isoformat())},
            "Id": {"string": message.id},
            "InsertionTime": {"json": json.dumps(message.inserted_on.isoformat())},
            "NextVisibleTime": {"json": json.dumps(message.next_visible_on.isoformat())},
            "PopReceipt": {"string": message.pop_receipt},
            "QueueTrigger": {"string": text},
        }
        # the host adds the properties of a JSON message
        properties = {name: {"string": value} for name, value in json.loads(text).items()}
        self._invoke(function, "msg", {"string": text}, {**of_message, **properties})

    def _invoke(self, function: str, argument: str, data: Message, metadata: Message | None = None) -> Message:
        request = {
            "invocation_id": str(uuid.uuid4()),
            "function_id": self.functions[function]["function_id"],
            "input_data": [{"name": argument, "data": data}],
            "trigger_metadata": metadata or {},
        }
        answered = self._ask("invocation", request)
        if answered["result"].get("status") != "Success":
            raise FunctionFailed(answered["result"]["exception"]["message"])
        return answered

    def _ask(self, what: str, request: Message, answered: str = "") -> Message:
        message = {"request_id": str(uuid.uuid4()), f"{what}_request": request}
        out, back = self._process.stdin, self._process.stdout
        assert out is not None
        assert back is not None
        out.write(json.dumps(message) + "\n")
        out.flush()
        line = back.readline()
        assert line, f"the worker ended: {self.log()[-4000:]}"
        answer: Message = json.loads(line)
        assert answer["request_id"] == message["request_id"]
        found: Message = answer[f"{answered or what}_response"]
        return found

    def log(self) -> str:
        """All that the worker and the app have logged."""
        self._log.seek(0)
        return self._log.read()

    def __enter__(self) -> WorkerProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process.kill()
        self._process.wait()
        self._log.close()
