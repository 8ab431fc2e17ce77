"""The judge of the end-to-end tests' answers refuses what the OpenAPI document does not describe."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests

from functions.contract import examples
from functions.respond import SAFE_HEADERS
from tests.e2e.described import check_described

RUN = "/api/runs/18f5d4b3c2a10e7f6d5c4b3"


def answer(status: int, body: Any, kind: str = "application/json", **headers: str) -> requests.Response:
    made = requests.Response()
    made.status_code = status
    made._content = json.dumps(body).encode() if body is not None else b""
    made.headers.update({**SAFE_HEADERS, "Content-Type": kind, **headers})
    return made


def test_what_is_described_passes() -> None:
    check_described("GET", RUN, answer(200, examples.run_waiting, ETag='W/"a"'))
    check_described("GET", f"{RUN}?x=y", answer(304, None, ETag='W/"a"'))
    check_described("GET", "/somewhere/else", answer(418, {"tea": "pot"}))


@pytest.mark.parametrize(
    ("method", "wrong"),
    [
        ("GET", answer(200, {**examples.run_waiting, "colour": "blue"})),
        ("GET", answer(200, {**examples.run_waiting, "status": "odd"})),
        ("GET", answer(200, {name: value for name, value in examples.run_waiting.items() if name != "counts"})),
        ("GET", answer(201, examples.run_waiting)),
        ("GET", answer(200, examples.run_waiting, kind="text/html")),
        ("GET", answer(304, examples.run_waiting)),
        ("GET", answer(200, examples.run_waiting, Location="/elsewhere")),
        ("GET", answer(200, examples.run_waiting, **{"Referrer-Policy": "origin"})),
        ("GET", answer(409, {"code": "not-waiting"}, kind="application/problem+json")),
        ("PUT", answer(200, examples.run_waiting)),
    ],
)
def test_what_is_not_described_is_refused(method: str, wrong: requests.Response) -> None:
    with pytest.raises(AssertionError):
        check_described(method, RUN, wrong)
