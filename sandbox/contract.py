"""Holds the simulators to the OpenAPI documents in ``tests/contracts``: every request that they get, every answer.

The documents are read where they stand, beside the tests that use them too. Compiled once a process. In a long list
the first, the last and every 500th item are validated (``sample``): a page of 10,000 VMs costs about as much as one of
twenty, and items of one list are built by one function.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml
from openapi_schema_validator import OAS30Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT4

DOCUMENTS = Path(__file__).parents[1] / "tests" / "contracts"
CITRIX = "citrix-daas.openapi.yaml"
PRISM = "prism.openapi.yaml"
SAMPLE_EVERY = 500
UNKNOWN = "unknown"
METHODS = ("get", "post", "patch", "put", "delete", "head", "options")

Json = Any


def sample(items: Sequence[Json]) -> list[Json]:
    """The items of a long list that are validated: the first, the last and every 500th."""
    if len(items) <= 2:
        return list(items)
    return [*items[:-1:SAMPLE_EVERY], items[-1]]


@dataclass(frozen=True, slots=True)
class Parameter:
    name: str
    where: str
    required: bool
    schema: Mapping[str, Json]
    validator: Any


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path of a document. ``template`` is the path as the document writes it.

    ``located`` are the statuses whose answer says in ``Location`` where to go on.
    """

    id: str
    method: str
    template: str
    pattern: re.Pattern[str]
    parameters: tuple[Parameter, ...]
    body_type: str | None
    body_required: bool
    body: Any
    answers: Mapping[str, Mapping[str, Any]]
    located: frozenset[str]


@dataclass(slots=True)
class Checked:
    """A request as the document reads it: typed query and path values, and what is wrong with it."""

    path: dict[str, str] = field(default_factory=dict)
    query: dict[str, Json] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


class Contract:
    """One OpenAPI document. ``prefix`` stands before every path that has no server without a path of its own."""

    def __init__(self, document: Mapping[str, Json], prefix: str, *, ignore_case: bool) -> None:
        self._document = document
        resource = Resource.from_contents(document, default_specification=DRAFT4)
        self._registry: Any = Registry().with_resource("urn:contract", resource)
        flags = re.IGNORECASE if ignore_case else 0
        found = [
            self._operation(method, template, item, prefix, flags)
            for template, item in document["paths"].items()
            for method in METHODS
            if method in item
        ]
        # A literal path goes before one with a parameter in the same place.
        self.operations = sorted(found, key=lambda each: (each.template.count("{"), -len(each.template)))

    def match(self, method: str, raw_path: str) -> tuple[Operation, dict[str, str]] | None:
        """The operation that a request names and its decoded path parameters; None where the document has none."""
        for operation in self.operations:
            if operation.method == method.lower():
                hit = operation.pattern.fullmatch(raw_path)
                if hit:
                    return operation, {name: unquote(value) for name, value in hit.groupdict().items()}
        return None

    def unknown(self, method: str, raw_path: str, like: str) -> Operation:
        """What stands for a request that the document does not have: only errors, those of the operation ``like``."""
        model = next(each for each in self.operations if each.id == like)
        return replace(
            model,
            id=UNKNOWN,
            method=method.lower(),
            template=raw_path,
            parameters=(),
            body_type=None,
            body_required=False,
            body=None,
            answers={status: answer for status, answer in model.answers.items() if status == "default"},
        )

    def check_request(
        self, operation: Operation, path: dict[str, str], query: Sequence[tuple[str, str]], headers: Mapping[str, str]
    ) -> Checked:
        """Path, query and headers. A query parameter that the document does not know is a problem too."""
        checked = Checked(path=path)
        given: dict[str, list[str]] = {}
        for name, value in query:
            given.setdefault(name, []).append(value)
        known = {each.name for each in operation.parameters if each.where == "query"}
        checked.problems += [f"query parameter {name} is not known" for name in given if name not in known]
        for each in operation.parameters:
            values = self._given(each, path, given, headers)
            if not values:
                if each.required:
                    checked.problems.append(f"{each.where} parameter {each.name} is required")
                continue
            value = _cast(values, each.schema)
            if each.validator is not None:
                checked.problems += [f"{each.where} parameter {each.name}: {p}" for p in _errors(each.validator, value)]
            if each.schema.get("format") == "uuid" and not _is_uuid(value):
                checked.problems.append(f"{each.where} parameter {each.name} is no UUID")
            if each.where == "query":
                checked.query[each.name] = value
        return checked

    def check_body(self, operation: Operation, body: Json) -> list[str]:
        """What is wrong with a request's body; ``None`` is a body that was not sent."""
        if body is None:
            return ["a body is required"] if operation.body_required else []
        if operation.body is None:
            return ["no body is expected"]
        return [f"body: {problem}" for problem in _errors(operation.body, body)]

    def check_answer(
        self, operation: Operation, status: int, media_type: str | None, body: Json, headers: Mapping[str, str]
    ) -> list[str]:
        """What is wrong with an answer of ours. Bodies that are not JSON are judged by their status alone."""
        if str(status) in operation.located and not urlsplit(headers.get("Location", "")).netloc:
            return [f"answer {status} needs an absolute Location"]
        answer = operation.answers.get(str(status)) or operation.answers.get("default" if status >= 400 else "")
        if answer is None:
            return [] if str(status) in operation.answers else [f"the document has no answer {status}"]
        if media_type is None:
            return [f"answer {status} needs a body"] if answer and status < 400 else []
        if media_type not in answer:
            return [] if status >= 400 else [f"answer {status} does not come as {media_type}"]
        return _errors(answer[media_type], body)

    @staticmethod
    def _given(
        each: Parameter, path: Mapping[str, str], query: Mapping[str, list[str]], headers: Mapping[str, str]
    ) -> list[str]:
        if each.where == "query":
            return query.get(each.name, [])
        value = path.get(each.name) if each.where == "path" else headers.get(each.name)
        return [] if value is None else [value]

    def _operation(self, method: str, template: str, item: Mapping[str, Json], prefix: str, flags: int) -> Operation:
        pointer = f"#/paths/{_escape(template)}/{method}"
        operation = item[method]
        lists = [(f"#/paths/{_escape(template)}/parameters", item), (f"{pointer}/parameters", operation)]
        parameters = tuple(
            self._parameter(f"{where}/{index}", parameter)
            for where, owner in lists
            for index, parameter in enumerate(owner.get("parameters", []))
        )
        own = [urlsplit(server["url"]).path for server in item.get("servers", [])]
        base = "" if own and not any(own) else prefix
        body_type, body, required = self._body(f"{pointer}/requestBody", operation.get("requestBody"))
        return Operation(
            id=operation["operationId"],
            method=method,
            template=template,
            pattern=re.compile(re.escape(base) + _pattern(template), flags),
            parameters=parameters,
            body_type=body_type,
            body_required=required,
            body=body,
            answers={
                str(status): self._media(f"{pointer}/responses/{status}", answer)
                for status, answer in operation["responses"].items()
            },
            located=frozenset(
                str(status)
                for status, answer in operation["responses"].items()
                if "Location" in self._resolve("", answer)[1].get("headers", {})
            ),
        )

    def _parameter(self, pointer: str, parameter: Mapping[str, Json]) -> Parameter:
        pointer, parameter = self._resolve(pointer, parameter)
        _, schema = self._resolve(f"{pointer}/schema", parameter["schema"])
        return Parameter(
            name=parameter["name"],
            where=parameter["in"],
            required=bool(parameter.get("required")),
            schema=schema,
            validator=None if _any_text(schema) else self._validator(f"{pointer}/schema"),
        )

    def _body(self, pointer: str, body: Mapping[str, Json] | None) -> tuple[str | None, Any, bool]:
        if body is None:
            return None, None, False
        pointer, body = self._resolve(pointer, body)
        media_type = next(iter(body["content"]))
        validator = self._validator(f"{pointer}/content/{_escape(media_type)}/schema")
        return media_type, validator, bool(body.get("required"))

    def _media(self, pointer: str, answer: Mapping[str, Json]) -> dict[str, Any]:
        pointer, answer = self._resolve(pointer, answer)
        return {
            media_type: self._validator(f"{pointer}/content/{_escape(media_type)}/schema")
            for media_type in answer.get("content", {})
        }

    def _validator(self, pointer: str) -> Any:
        return OAS30Validator({"$ref": f"urn:contract{pointer}"}, registry=self._registry)

    def _resolve(self, pointer: str, node: Mapping[str, Json]) -> tuple[str, Mapping[str, Json]]:
        while "$ref" in node:
            pointer = node["$ref"]
            node = self._document
            for part in pointer.removeprefix("#/").split("/"):
                node = node[part.replace("~1", "/").replace("~0", "~")]
        return pointer, node


@lru_cache
def citrix() -> Contract:
    """The Citrix document on its gateway base path."""
    return Contract(_load(CITRIX), "/cvad/manage", ignore_case=True)


@lru_cache
def prism() -> Contract:
    return Contract(_load(PRISM), "", ignore_case=False)


def _load(name: str) -> Mapping[str, Json]:
    with (DOCUMENTS / name).open(encoding="utf-8") as file:
        document: Mapping[str, Json] = yaml.load(file, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
    return document


def _escape(part: str) -> str:
    # By the rules of JSON pointers.
    return part.replace("~", "~0").replace("/", "~1")


def _pattern(template: str) -> str:
    parts = re.split(r"\{(\w+)\}", template)
    text = "".join(f"(?P<{part}>[^/]+)" if index % 2 else re.escape(part) for index, part in enumerate(parts))
    # Prism takes its lists with and without the last slash.
    return text.removesuffix("/") + "/?"


def _cast(values: list[str], schema: Mapping[str, Json]) -> Json:
    kind = schema.get("type")
    if kind == "array":
        return values
    text = values[-1]
    if kind == "integer" and re.fullmatch(r"-?\d+", text):
        return int(text)
    if kind == "boolean" and text.lower() in ("true", "false"):
        return text.lower() == "true"
    return text


def _any_text(schema: Mapping[str, Json]) -> bool:
    """A parameter arrives as a text: where any text will do there is nothing to judge, and headers are many."""
    return schema.get("type") == "string" and schema.keys() <= {"type", "format", "default", "example"}


def _is_uuid(value: Json) -> bool:
    try:
        uuid.UUID(str(value))
    except ValueError:
        return False
    return True


def _errors(validator: Any, value: Json) -> list[str]:
    return [
        f"{'.'.join(map(str, error.absolute_path)) or 'value'}: {error.message}"
        for error in validator.iter_errors(value)
    ]
