"""The OpenAPI 3.1 document: made of the models that check requests and the types that answers are built by."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

from pydantic import TypeAdapter

from functions.contract import answers, examples
from functions.contract.inputs import IF_NONE_MATCH
from functions.contract.operations import OPERATIONS, Answer, Operation
from functions.contract.problems import Refusals
from functions.respond import SAFE_HEADERS
from shared import errors
from shared.http import VERSION
from shared.runs.access import Role
from shared.runs.notifying.message import Message
from shared.runs.places import PREFIX

REF = "#/components/schemas/{model}"
_ABOUT = """\
Keeps Citrix power management attached to the right Nutanix VM: starts runs, shows what they found, and takes decisions.

JSON is camelCase; unknown members and parameters are refused. Errors are `application/problem+json` with a stable
`code`. An address answers 405 to a method that it does not have. Every answer has the headers
`Cache-Control: no-store`, `Content-Security-Policy`, `Cross-Origin-Resource-Policy`, `Referrer-Policy` and
`X-Content-Type-Options`. What changes something is refused with 403 where a browser sends it for a page of another site
(`Sec-Fetch-Site`, `Origin`)."""
_TAGS = {
    "Orchestrators": "Start and status by function key, for those who cannot sign in to Entra ID.",
    "Runs": "One execution of a profile each.",
    "Review": "Decisions on a run; each answers with the run.",
    "Profiles": "A site, its clusters, a scope and a policy.",
    "Health": "The service itself.",
}
_HEADERS = {
    "ETag": "Of what is shown; send it as If-None-Match.",
    "Cache-Control": "no-cache, so that a new version shows at once; no-store for who may not see it.",
    "Location": "Where to go on.",
    "Retry-After": "Seconds to wait before asking again.",
    "Preference-Applied": "The wait=N that was kept to.",
    "Idempotency-Replayed": "true: the key had made this run before.",
    "Content-Disposition": "A name for the file.",
}
_HMAC = "v1, and the base64 of HMAC-SHA256 over id.timestamp.body (Standard Webhooks)."
_HOST_REFUSES = {"description": "No function key, or a wrong one. The Functions host answers, without a body."}


@cache
def document() -> dict[str, Any]:
    """The whole of it. Do not change what you get: it is made once a process."""
    schemas, refs = _schemas()
    refusals = Refusals()
    paths: dict[str, Any] = {}
    for operation in OPERATIONS:
        place = paths.setdefault(f"{PREFIX}/{operation.route}", {})
        place[operation.method.lower()] = _operation(operation, refs, refusals)
    paths[f"{PREFIX}/review"] = {"get": _review_page(refusals)}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Realign", "version": VERSION, "description": _ABOUT, "license": _LICENSE},
        "servers": [{"url": "/", "description": "The function app."}],
        "tags": [{"name": name, "description": text} for name, text in _TAGS.items()],
        "paths": paths,
        "webhooks": {"runNotification": {"post": _webhook(refs)}},
        "components": {
            "schemas": schemas,
            "headers": {name: _header(text) for name, text in _HEADERS.items()},
            "responses": refusals.components,
            "securitySchemes": _SIGN_INS,
        },
        "x-headers-of-every-answer": dict(SAFE_HEADERS),
    }


_LICENSE = {"name": "MIT", "identifier": "MIT"}
_SIGN_INS = {
    "entraId": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "An Entra ID token for the app, checked by App Service authentication; its app roles are "
        "Realign.Reader, Realign.Operator and Realign.Approver, of which a higher one includes the lower ones. A "
        "browser that signed in sends App Service's cookie instead.",
    },
    "functionKey": {"type": "apiKey", "in": "header", "name": "x-functions-key"},
    "functionKeyInAddress": {"type": "apiKey", "in": "query", "name": "code"},
}


def _header(text: str) -> dict[str, Any]:
    return {"description": text, "schema": {"type": "string"}}


def _schemas() -> tuple[dict[str, Any], dict[Any, Any]]:
    """The components, and for each type that an operation names the schema that stands for it."""
    wanted: list[Any] = [answers.Problem, Message]
    for operation in OPERATIONS:
        wanted += [answer.shape for answer in operation.answers.values() if answer.shape is not None]
        wanted += [operation.body.model] if operation.body is not None else []
    unique = list({_key(each): each for each in wanted}.values())
    inputs: list[Any] = [(_key(each), "validation", TypeAdapter(each)) for each in unique]
    found, whole = TypeAdapter.json_schemas(inputs, ref_template=REF)
    return _plain(whole["$defs"]), {key: schema for (key, _), schema in found.items()}


def _key(shape: Any) -> str:
    return str(shape)


def _plain(schemas: dict[str, Any]) -> dict[str, Any]:
    """Without the titles that pydantic makes up for each property ("Hostingconnection")."""
    for schema in schemas.values():
        for described in schema.get("properties", {}).values():
            described.pop("title", None)
    return schemas


def _operation(operation: Operation, refs: dict[Any, Any], refusals: Refusals) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.name,
        "tags": [operation.tag],
        "summary": operation.summary,
        "description": _who(operation.role),
        "security": _security(operation.role),
        "parameters": [parameter.as_json() for parameter in operation.parameters],
        "responses": {
            **{str(status): _answer(answer, refs) for status, answer in operation.answers.items()},
            **refusals.of(operation.refusals),
        },
    }
    if operation.role is None:
        described["responses"]["401"] = _HOST_REFUSES
    if operation.body is not None:
        described["requestBody"] = {
            "required": operation.body.required,
            "content": {
                "application/json": {"schema": refs[_key(operation.body.model)], "example": operation.body.example}
            },
        }
    return described


def _review_page(refusals: Refusals) -> dict[str, Any]:
    """For people: it answers in HTML, and who is signed out is led to the sign-in."""
    said = {
        200: ("The page. Its views and files are below this address.", ("ETag", "Cache-Control")),
        302: ("To the sign-in, and back from there.", ("Location",)),
        304: ("It is still what the browser has.", ("ETag", "Cache-Control")),
        401: ("The page without its data: there is no sign-in where App Service authentication is off.", ("ETag",)),
        403: ("The page without its data: whoever is signed in has none of the roles.", ("ETag",)),
    }
    html = {"text/html": {"schema": {"type": "string"}, "example": "<!doctype html>..."}}
    return {
        "operationId": "review_page",
        "tags": ["Review"],
        "summary": "The review page",
        "description": _who(Role.READER),
        "security": _security(Role.READER),
        "parameters": [IF_NONE_MATCH.as_json()],
        "responses": {
            **{
                str(status): {
                    "description": text,
                    "headers": _headers(headers),
                    **({"content": html} if status not in (302, 304) else {}),
                }
                for status, (text, headers) in said.items()
            },
            **refusals.of((errors.InvalidRequest, errors.RealignError, errors.SettingsInvalid)),
        },
    }


def _webhook(refs: dict[Any, Any]) -> dict[str, Any]:
    """What the app itself sends, to where a profile's ``notify`` says."""
    signature = {
        "webhook-id": "The message's id.",
        "webhook-timestamp": "Seconds since 1970.",
        "webhook-signature": _HMAC,
    }
    return {
        "operationId": "notify",
        "summary": "A run came to rest",
        "description": "Sent to the webhook of the profile. Any 2xx counts as heard; else it is tried again.",
        "parameters": [
            {"name": name, "in": "header", "required": True, "description": text, "schema": {"type": "string"}}
            for name, text in signature.items()
        ],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": refs[_key(Message)], "example": examples.told}},
        },
        "responses": {"2XX": {"description": "Heard."}},
    }


def _who(role: Role | None) -> str:
    if role is None:
        return "For whoever holds the function key; nothing else of the sign-in counts."
    return "For everybody." if role is Role.NONE else f"Needs the app role `{_app_role(role)}`."


def _security(role: Role | None) -> list[dict[str, list[str]]]:
    if role is None:
        return [{"functionKey": []}, {"functionKeyInAddress": []}]
    return [] if role is Role.NONE else [{"entraId": [_app_role(role)]}]


def _app_role(role: Role) -> str:
    return f"Realign.{role.name.capitalize()}"


def _answer(answer: Answer, refs: dict[Any, Any]) -> dict[str, Any]:
    described: dict[str, Any] = {"description": answer.description}
    if answer.headers:
        described["headers"] = _headers(answer.headers)
    if answer.media_type is not None:
        described["content"] = {answer.media_type: {"schema": refs[_key(answer.shape)], "example": answer.example}}
    return described


def _headers(names: Iterable[str]) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}
