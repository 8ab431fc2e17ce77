"""Compares an answer with the OpenAPI document: its status, its type, its headers and its body, to the last member."""

from __future__ import annotations

import copy
import re
from functools import cache
from typing import Any

import jsonschema_rs
import requests

from functions.contract.document import document

Json = dict[str, Any]


def check_described(method: str, path: str, answer: requests.Response) -> None:
    """Fails for an answer that the document does not describe. Addresses that it does not have are none of its."""
    place = _place(path.partition("?")[0])
    if place is None or _hosts_own(answer):
        return
    operation = document()["paths"][place].get(method.lower())
    if operation is None:
        described = document()["components"]["responses"]["MethodNotAllowed"]
        assert answer.status_code == 405, f"{method} {path} answered {answer.status_code}"
    else:
        found = operation["responses"].get(str(answer.status_code))
        assert found is not None, f"{method} {path} answered {answer.status_code}, undocumented: {answer.text[:300]}"
        described = _resolved(found)
    for name, value in document()["x-headers-of-every-answer"].items():
        if name not in described.get("headers", {}):
            # a page adds what it needs to its policy
            given = set(answer.headers.get(name, "").split("; "))
            assert set(value.split("; ")) <= given, f"{method} {path}: {name} is {answer.headers.get(name)}"
    _check_content(f"{method} {path}", described, answer)


def _hosts_own(answer: requests.Response) -> bool:
    """What the Functions host refuses by itself has neither a body nor a type; a 304 of ours has its tag."""
    return not answer.content and answer.status_code in (400, 401, 404, 413, 500, 502)


@cache
def _place(path: str) -> str | None:
    """The place that an address belongs to; a literal goes before a parameter."""
    places = sorted(document()["paths"], key=lambda each: each.count("{"))
    return next((each for each in places if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", each), path.rstrip("/"))), None)


def _check_content(call: str, described: Json, answer: requests.Response) -> None:
    for name in ("ETag", "Location", "Retry-After", "Allow"):
        # of the headers that matter to a caller none comes undescribed
        assert name not in answer.headers or name in described.get("headers", {}), f"{call}: undescribed {name}"
    content = described.get("content")
    if content is None:
        assert not answer.content, f"{call} answered {answer.status_code} with a body"
        return
    kind = answer.headers["Content-Type"].partition(";")[0]
    assert kind in content, f"{call} answered {kind}"
    if kind.endswith("json"):
        schema = content[kind]["schema"]
        errors = [
            f"{error.message[:200]} at {error.instance_path}"
            for error in _judge(str(schema)).iter_errors(answer.json())
        ]
        assert not errors, f"{call} answered {answer.status_code}: {errors[:3]}"


def _resolved(found: Json) -> Json:
    if "$ref" not in found:
        return found
    response: Json = document()["components"]["responses"][found["$ref"].rpartition("/")[2]]
    return response


@cache
def _judge(schema: str) -> Any:
    """A validator that also refuses members which the document does not name."""
    return jsonschema_rs.Draft202012Validator({**_by_text()[schema], "components": {"schemas": _closed()}})


@cache
def _closed() -> Json:
    schemas: Json = copy.deepcopy(document()["components"]["schemas"])
    for schema in schemas.values():
        if schema.get("type") == "object" and "properties" in schema:
            schema.setdefault("additionalProperties", False)
    return schemas


@cache
def _by_text() -> dict[str, Json]:
    """Every schema of an answer by its text, since a dictionary is no key."""
    responses = [*document()["components"]["responses"].values()]
    for place in document()["paths"].values():
        responses += [response for operation in place.values() for response in operation["responses"].values()]
    contents = [content for response in responses for content in response.get("content", {}).values()]
    return {str(content["schema"]): content["schema"] for content in contents}
