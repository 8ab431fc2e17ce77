"""Which faults of Citrix strike a call, and how: before it is executed, or as an item of a batch."""

from __future__ import annotations

import asyncio

from sandbox.citrix_errors import error_data
from sandbox.faults import Faults
from sandbox.front import Answer, Call

LIE = "lie"


def subjects(call: Call) -> tuple[str, str]:
    """What ``ONLY`` may name of a call: whether it reads or writes, and its operation."""
    return "read" if call.operation.method in ("get", "head") else "write", call.operation.id


async def slow_down(faults: Faults, call: Call) -> None:
    await asyncio.sleep(faults.delay("citrix-slow", *subjects(call)))


def refusal_of_call(faults: Faults, call: Call) -> Answer | None:
    """A call that does not get through: one too many, or stopped by a gateway."""
    throttled = faults.take("citrix-429", *subjects(call))
    if throttled is not None:
        busy = too_many("Too many requests. Try again later.")
        # Citrix does not promise the header (contract, section 9.3): it comes when the fault asks for it.
        if throttled.retry_after is not None:
            busy.headers["Retry-After"] = str(throttled.retry_after)
        return busy
    if faults.hits("citrix-502", *subjects(call)):
        # A gateway answers for the service: no JSON, no transaction id.
        page = b"<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"
        return Answer(502, payload=page, media_type="text/html", gateway=True)
    return None


def answer_instead_of_item(faults: Faults, call: Call) -> Answer | None:
    """What a batch answers for an item that writes and that it does not execute: an error, or a lie."""
    fault = faults.take("batch-item-fail", LIE) if subjects(call)[0] == "write" else None
    if fault is None:
        return None
    if fault.only == LIE:
        return Answer(204)
    return error_data(500, "An unexpected error occurred while the request was processed.", "ServerError")


def too_many(message: str) -> Answer:
    return error_data(429, message, "TooManyRequests")
