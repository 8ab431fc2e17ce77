"""The way of a request through a simulator: route, count, hold, faults, admission, contract, handler, contract, answer.

What the outside systems have in common stands here; what one of them does stands in its own module. A request that
breaks the contract is refused as the real system would; one for a path that nobody serves goes the same way, and is
refused once its credentials are known. An answer that breaks the contract is a defect of the sandbox: it is recorded,
and the caller gets a 500, so that no test passes on it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable
from urllib.parse import parse_qsl

from aiohttp import web

from sandbox.calls import Calls
from sandbox.contract import UNKNOWN, Contract, Operation
from sandbox.holds import Holds, abort

Json = Any
JSON_TYPE = "application/json"
MAX_REQUEST_BYTES = 64 * 1024 * 1024


class Inside(Protocol):
    """What a simulator does without a caller, such as the items of a batch, goes the way of a call all the same."""

    async def pause(self) -> None:
        """As long as a call takes on its way."""

    async def ask(self, call: Call) -> Answer:
        """Admission, contract, handler, contract."""


@dataclass(slots=True)
class Call:
    """One request, read by its contract. ``body`` is None where none was sent, or none that could be read.

    ``caller`` is who signed in, as the simulator's admission found; ``item``: it is an item of a batch.
    """

    operation: Operation
    path: dict[str, str]
    headers: Mapping[str, str]
    cookies: Mapping[str, str]
    raw_query: list[tuple[str, str]]
    inside: Inside
    raw_body: bytes = b""
    item: bool = False
    caller: str = ""
    query: dict[str, Json] = field(default_factory=dict)
    body: Json = None


@dataclass(slots=True)
class Answer:
    """``body`` is what the contract judges; ``payload`` is what is sent, where that is more than ``body``.

    ``cut`` sends half of it and breaks off; ``drop`` closes the connection without an answer. ``gateway`` is the
    answer of something in front of the system, which knows nothing of the system's headers.
    """

    status: int = 200
    body: Json = None
    payload: bytes | None = None
    media_type: str = JSON_TYPE
    headers: dict[str, str] = field(default_factory=dict)
    cookies: tuple[str, ...] = ()
    cut: bool = False
    drop: bool = False
    gateway: bool = False

    def bytes(self) -> bytes:
        if self.payload is not None:
            return self.payload
        return b"" if self.body is None else json.dumps(self.body, separators=(",", ":")).encode()


Handler = Callable[[Call], Answer | Awaitable[Answer]]


class Simulator(Protocol):
    """What a simulated system adds to the common way. ``probe`` is an operation whose errors all others share."""

    system: str
    probe: str
    contract: Contract
    handlers: Mapping[str, Handler]

    async def trouble(self, call: Call) -> Answer | None:
        """A fault that strikes before anything is done: waits, or answers in the system's place or the gateway's."""

    def admit(self, call: Call) -> Answer | None:
        """Credentials and headers: the refusal, or None."""

    def prepare(self, call: Call) -> None:
        """Bends a request that the system takes although the document does not."""

    def refuse(self, status: int, problems: list[str]) -> Answer:
        """An error in the system's own shape."""

    def finish(self, call: Call, answer: Answer) -> Answer:
        """Headers of every answer, and the faults that strike after the work was done."""


@runtime_checkable
class Origin(Protocol):
    """Several simulators behind one address, as the APIs of one system are."""

    def serving(self, raw_path: str) -> Simulator:
        """The one that answers this path; every path has one."""


class Defects:
    """Answers of the sandbox that broke a contract. A test session ends red when there are any."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def add(self, text: str) -> None:
        self.found.append(text)


class Front:
    """An aiohttp application in front of one address. ``latency`` is in seconds, and may be changed at any time.

    Answers are ``judged`` by the contract, which takes longer than to make them.
    """

    def __init__(
        self,
        origin: Simulator | Origin,
        calls: Calls,
        defects: Defects,
        latency: float = 0.0,
        holds: Holds | None = None,
        *,
        judged: bool = True,
    ) -> None:
        self._origin = origin
        self._judged = judged
        self._calls = calls
        self._defects = defects
        self._holds = holds or Holds()
        self.latency = latency
        self.app = web.Application(client_max_size=MAX_REQUEST_BYTES)
        self.app.router.add_route("*", "/{path:.*}", self._handle)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        origin = self._origin
        simulator = origin.serving(request.rel_url.raw_path) if isinstance(origin, Origin) else origin
        system = simulator.system
        operation, path = route(simulator, request.method, request.rel_url.raw_path)
        self._calls.add(system, operation.method, operation.template)
        call = Call(
            operation=operation,
            path=path,
            headers=request.headers,
            cookies=request.cookies,
            raw_query=list(request.query.items()),
            inside=_Inside(self, simulator),
            raw_body=await request.read(),
        )
        if not await self._holds.passes("before", system, operation.id, request, call.raw_body):
            return abort(request)
        if self.latency:
            await asyncio.sleep(self.latency)
        trouble = await simulator.trouble(call)
        answer = await self.answer(simulator, call) if trouble is None else self._checked(simulator, call, trouble)
        if answer.status == 429:
            self._calls.add_throttled(system, operation.method, operation.template)
        if not answer.gateway:
            answer = simulator.finish(call, answer)
        if not await self._holds.passes("after", system, operation.id, request, call.raw_body):
            return abort(request)
        return await _send(request, answer)

    async def answer(self, simulator: Simulator, call: Call) -> Answer:
        """What the simulator says to a call, judged by the contract."""
        return self._checked(simulator, call, await _answer(simulator, call))

    def _checked(self, simulator: Simulator, call: Call, answer: Answer) -> Answer:
        if not self._judged:
            return answer
        media_type = None if answer.body is None and answer.payload is None else answer.media_type
        contract = simulator.contract
        problems = contract.check_answer(call.operation, answer.status, media_type, answer.body, answer.headers)
        if not problems:
            return answer
        text = f"{simulator.system} {call.operation.id} {answer.status}: {'; '.join(problems[:5])}"
        self._defects.add(text)
        return Answer(500, payload=f"sandbox defect: {text}".encode(), media_type="text/plain")


@dataclass(frozen=True, slots=True)
class _Inside:
    front: Front
    simulator: Simulator

    async def pause(self) -> None:
        await asyncio.sleep(self.front.latency)

    async def ask(self, call: Call) -> Answer:
        return await self.front.answer(self.simulator, call)


def route(simulator: Simulator, method: str, raw_path: str) -> tuple[Operation, dict[str, str]]:
    """The operation that a request names, with its path parameters; the unknown one where nobody serves the path."""
    found = simulator.contract.match(method, raw_path)
    if found is not None and found[0].id in simulator.handlers:
        return found
    return simulator.contract.unknown(method, raw_path, simulator.probe), {}


async def _answer(simulator: Simulator, call: Call) -> Answer:
    problems = _read(simulator, call)
    refused = simulator.admit(call)
    if refused is not None:
        return refused
    if call.operation.id == UNKNOWN:
        return simulator.refuse(404, [f"{call.operation.method.upper()} {call.operation.template} does not exist"])
    wanted = call.operation.body_type
    if wanted is not None and call.raw_body and _media_type(call) != wanted:
        # A form is an old habit of web servers: what is none of it has no parameters, so the request is bad.
        return simulator.refuse(415 if wanted == JSON_TYPE else 400, [f"The Content-Type must be {wanted}."])
    if problems:
        return simulator.refuse(400, problems)
    answer = simulator.handlers[call.operation.id](call)
    return answer if isinstance(answer, Answer) else await answer


def _read(simulator: Simulator, call: Call) -> list[str]:
    contract = simulator.contract
    checked = contract.check_request(call.operation, call.path, call.raw_query, call.headers)
    call.query = checked.query
    if call.operation.body_type == JSON_TYPE and call.raw_body:
        try:
            call.body = json.loads(call.raw_body)
        except ValueError:
            return [*checked.problems, "the body is no JSON"]
    elif call.operation.body_type is not None and call.raw_body:
        call.body = _form(call.raw_body)
    simulator.prepare(call)
    return checked.problems + contract.check_body(call.operation, call.body)


def _media_type(call: Call) -> str:
    return call.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def _form(raw: bytes) -> dict[str, str]:
    return dict(parse_qsl(raw.decode("utf-8", "replace"), keep_blank_values=True))


async def _send(request: web.Request, answer: Answer) -> web.StreamResponse:
    payload = answer.bytes()
    if answer.drop:
        return abort(request)
    if answer.cut:
        response = web.StreamResponse(status=answer.status, headers=answer.headers)
        response.content_type = answer.media_type
        response.content_length = len(payload)
        await response.prepare(request)
        await response.write(payload[: len(payload) // 2])
        abort(request)
        return response
    whole = web.Response(status=answer.status, body=payload, headers=answer.headers)
    if payload:
        whole.content_type = answer.media_type
    for cookie in answer.cookies:
        whole.headers.add("Set-Cookie", cookie)
    return whole
