"""Plays Azure's proxy worker for Python 3.13: takes the host's messages and hands them to the worker library.

    .venv-3.13/bin/python -I proxy.py APP

The real one speaks gRPC; this one reads a ``StreamingMessage`` as a line of JSON from standard input and writes the
answer as a line. What it does in between is what ``proxy_worker/dispatcher.py`` of azure-functions-python-worker does
for each message: it starts the library's thread pool before the first one, wraps the message in a ``WorkerRequest``
(``request``, and at the start ``properties`` with ``protos`` and ``host``), and awaits the library's handler on the one
event loop of the process. The app's folder goes first on ``sys.path``, as on the Dedicated plan
(``proxy_worker/utils/dependency.py``).

Imports nothing of Realign but what the library imports itself, from APP.
"""

import asyncio
import logging
import os
import sys
from dataclasses import dataclass

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from google.protobuf import json_format  # noqa: E402
from messages import protos  # noqa: E402

sys.path.pop(0)


@dataclass
class WorkerRequest:
    name: str
    request: object
    properties: dict | None = None


HANDLERS = {
    "worker_init_request": ("WorkerInitRequest", "worker_init_response"),
    "functions_metadata_request": ("WorkerMetadataRequest", "function_metadata_response"),
    "function_load_request": ("FunctionLoadRequest ", "function_load_response"),
    "invocation_request": ("FunctionInvocationRequest", "invocation_response"),
}


async def answer(library, message):
    content = message.WhichOneof("content")
    name, response = HANDLERS[content]
    properties = {"protos": protos, "host": "127.0.0.1"} if content == "worker_init_request" else None
    if properties:
        library.start_threadpool_executor()
    answered = await getattr(library, content)(WorkerRequest(name, message, properties))
    return protos.StreamingMessage(request_id=message.request_id, **{response: answered})


async def serve(app, out):
    sys.path.insert(0, app)
    import azure_functions_runtime as library

    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        message = json_format.Parse(line, protos.StreamingMessage())
        text = json_format.MessageToJson(await answer(library, message), preserving_proto_field_name=True, indent=None)
        out.write(text + "\n")
        out.flush()


if __name__ == "__main__":
    # the app and the library may print; the answers have their own way out
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    asyncio.run(serve(sys.argv[1], answers))
    os._exit(0)  # as the platform ends it: threads of the app may still be at work
