"""The served OpenAPI document against the app that serves it: whatever is asked, no answer is a 5xx or undocumented.

The cases are made from the document by schemathesis, the same ones every time, right and wrong ones, as every caller.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from functions.contract.document import document
from functions.contract.operations import OPERATIONS, Operation
from shared.runs.access import Role
from tests.e2e.client import Json, principal
from tests.e2e.conftest import App, Serve
from tests.e2e.described import check_described

EXAMPLES = int(os.environ.get("REALIGN_EXAMPLES", "8"))
CALLERS = ("anonymous", "reader", "operator", "approver", "key")
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
SETTINGS = settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
SCHEMA = schemathesis.openapi.from_dict(document())


@pytest.fixture(scope="module")
def app(serve: Serve) -> Iterator[App]:
    with serve("duplicates-and-conflicts") as running:
        yield running


@pytest.fixture(scope="module")
def run(app: App) -> Json:
    """One that waits for decisions."""
    return app.api.run(app.name)


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        yield session


def headers_of(caller: str, app: App) -> dict[str, str]:
    if caller == "key":
        return {"x-functions-key": app.sandbox.function_key}
    return {} if caller == "anonymous" else principal(caller.capitalize(), name=caller)


def name_of(operation: Operation) -> str:
    return operation.name


def test_the_served_document_is_the_one_that_is_checked_here(app: App) -> None:
    answer = app.api.get("/api/openapi.json", role="Reader")
    assert (answer.status_code, answer.json()) == (200, document())
    again = app.api.get("/api/openapi.json", headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["right", "wrong"])
@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("operation", OPERATIONS, ids=name_of)
def test_whatever_is_asked_the_answer_is_documented(
    app: App, run: Json, session: requests.Session, operation: Operation, caller: str, mode: GenerationMode
) -> None:
    if (caller == "key") is not (operation.role is None) and caller != "anonymous":
        return  # the table of routes and callers has these
    if mode is GenerationMode.NEGATIVE and operation.body is None and not operation.parameters:
        return  # there is nothing that could be wrong
    described = SCHEMA[f"/api/{operation.route}"][operation.method.lower()]
    there = {"id": run["id"], "name": app.name}

    @SETTINGS
    @given(case=described.as_strategy(generation_mode=mode), real=st.sampled_from([True, True, False]))
    def ask(case: schemathesis.Case, real: bool) -> None:
        if real:
            case.path_parameters = {**case.path_parameters, **{k: there[k] for k in case.path_parameters}}
            if operation.name == "hooks_run":
                case.query = {**case.query, "id": run["id"]}
            if isinstance(case.body, dict) and "fingerprint" in case.body:
                case.body["fingerprint"] = run["fingerprint"]
        answer = case.call(base_url=app.api.url, headers=headers_of(caller, app), session=session)
        case.validate_response(answer, checks=CHECKS)
        if answer.request is not None:
            _check_members(operation, answer)

    ask()


def _check_members(operation: Operation, answer: schemathesis.Response) -> None:
    """Nothing more than the document names, and the headers of every answer."""
    plain = requests.Response()
    plain.status_code, plain._content = answer.status_code, answer.content
    plain.headers.update({name: values[0] for name, values in answer.headers.items()})
    check_described(operation.method, f"/api/{operation.route}".replace("{id}", "x").replace("{name}", "x"), plain)


@pytest.mark.parametrize("operation", OPERATIONS, ids=name_of)
def test_an_address_has_the_query_parameters_that_are_described_and_no_other(
    app: App, run: Json, operation: Operation
) -> None:
    if operation.name in ("health_live", "health_ready"):
        return  # probes add what they like
    path = f"/api/{operation.route}".format(id=run["id"], name=app.name)
    key = {"x-functions-key": app.sandbox.function_key}
    role = None if operation.role is None else "Approver"
    answer = app.api.call(operation.method, path, role=role, headers=key, params={"colour": "blue"})
    assert answer.status_code == 400
    told = answer.json()["detail"].rpartition("It has")[2].strip(": .")
    asked = [each.name for each in operation.parameters if each.place == "query"]
    assert sorted(told.split(", ")) == (sorted(asked) or ["none"])


def test_the_document_is_for_readers(app: App) -> None:
    assert [operation.role for operation in OPERATIONS if operation.name == "openapi"] == [Role.READER]
    assert app.api.get("/api/openapi.json", role=None).status_code == 401
