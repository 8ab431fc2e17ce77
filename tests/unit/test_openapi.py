"""The OpenAPI document: valid, whole, in step with the routes, the models, the errors and the page on the API."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from functions.contract.document import document
from functions.contract.operations import OPERATIONS, Operation
from shared.errors import RealignError

ROOT = Path(__file__).parents[2]
Json = dict[str, Any]
# A page for people: no operation of a program, and described as what it is.
PAGE = "review/{*path}"


def registered() -> dict[str, set[str]]:
    """The methods of each route, as the triggers name them."""
    found: dict[str, set[str]] = {}
    for path in (ROOT / "functions").glob("*.py"):
        text = path.read_text(encoding="utf-8")
        for function in re.split(r"(?=@bp\.function_name)", text)[1:]:
            (route,) = re.findall(r'route="([^"]+)"', function) or ("",)
            if route:
                found[route] = set(re.findall(r'"(GET|POST|DELETE|PUT|PATCH)": ', function))
    return found


def of_api() -> set[str]:
    return {route for route in registered() if route != PAGE}


def test_the_document_is_openapi_3_1() -> None:
    assert document()["openapi"] == "3.1.0"
    assert list(OpenAPIV31SpecValidator(document()).iter_errors()) == []
    json.dumps(document())


def test_every_registered_route_is_described_and_no_other() -> None:
    assert of_api() == {operation.route for operation in OPERATIONS}
    assert len(of_api()) >= 19
    assert PAGE in registered()
    assert document()["paths"].keys() == {"/api/review", *(f"/api/{route}" for route in of_api())}


def test_names_of_operations_are_unique() -> None:
    names = [operation.name for operation in OPERATIONS]
    assert len(set(names)) == len(names)


def of_name(operation: Operation) -> str:
    return operation.name


def described(operation: Operation) -> Json:
    found: Json = document()["paths"][f"/api/{operation.route}"][operation.method.lower()]
    return found


def responses(operation: Operation) -> Iterator[tuple[str, Json]]:
    for status, response in described(operation)["responses"].items():
        reference = response.get("$ref")
        yield status, document()["components"]["responses"][reference.rpartition("/")[2]] if reference else response


def fits(schema: Json, value: Any) -> bool:
    whole = {**schema, "components": document()["components"]}
    return bool(jsonschema_rs.Draft202012Validator(whole).is_valid(value))


@pytest.mark.parametrize("operation", OPERATIONS, ids=of_name)
def test_every_parameter_of_a_route_is_described_with_an_example_that_fits(operation: Operation) -> None:
    parameters = described(operation)["parameters"]
    in_path = {each["name"] for each in parameters if each["in"] == "path"}
    assert in_path == set(re.findall(r"\{(\w+)\}", operation.route))
    for parameter in parameters:
        assert parameter["description"]
        assert fits(parameter["schema"], parameter["example"]), parameter["name"]


@pytest.mark.parametrize("operation", OPERATIONS, ids=of_name)
def test_every_answer_has_an_example_that_fits_its_schema(operation: Operation) -> None:
    for status, response in responses(operation):
        for kind, content in response.get("content", {}).items():
            examples = [each["value"] for each in content["examples"].values()] if "examples" in content else []
            examples += [content["example"]] if "example" in content else []
            assert examples, f"{status} {kind} has no example"
            for example in examples:
                assert fits(content["schema"], example), f"{status}: {example}"


@pytest.mark.parametrize("operation", OPERATIONS, ids=of_name)
def test_the_example_of_a_body_is_one_that_the_model_takes(operation: Operation) -> None:
    if operation.body is None:
        assert "requestBody" not in described(operation)
        return
    operation.body.model.model_validate_json(json.dumps(operation.body.example))
    (content,) = described(operation)["requestBody"]["content"].values()
    assert fits(content["schema"], content["example"])


@pytest.mark.parametrize("operation", OPERATIONS, ids=of_name)
def test_a_refusal_has_an_example_of_each_of_its_codes(operation: Operation) -> None:
    wanted = {kind.code for kind in operation.refusals}
    found: set[str] = set()
    for status, response in responses(operation):
        content = response.get("content", {}).get("application/problem+json")
        if content is None:
            continue
        for code, example in content["examples"].items():
            assert (example["value"]["code"], str(example["value"]["status"])) == (code, status)
            found.add(code)
    assert found == wanted


def every_error() -> list[type[RealignError]]:
    found, queue = [], [RealignError]
    while queue:
        kind = queue.pop()
        found.append(kind)
        queue += kind.__subclasses__()
    return found


# They end a run, or a step of it, and no request.
OF_RUNS = {"conflict", "lock-lost", "plan-impossible", "upstream", "citrix-error", "prism-error", "vault-error"}


def test_every_code_that_a_request_can_meet_is_described() -> None:
    text = json.dumps(document())
    missing = {kind.code for kind in every_error() if f'"code": "{kind.code}"' not in text}
    assert missing == OF_RUNS


def test_what_webhooks_are_told_is_described_with_an_example_that_fits() -> None:
    (content,) = document()["webhooks"]["runNotification"]["post"]["requestBody"]["content"].values()
    assert fits(content["schema"], content["example"])
    assert content["example"]["event"] == "awaiting-review"


def test_descriptions_stand_at_every_member_of_a_request() -> None:
    for operation in OPERATIONS:
        if operation.body is None:
            continue
        schema = document()["components"]["schemas"][operation.body.model.__name__]
        bare = [name for name, member in schema["properties"].items() if not member.get("description")]
        assert bare == [], operation.name


def test_the_page_on_the_api_has_a_row_for_every_operation_with_its_role() -> None:
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    rows = [line.split(" | ") for line in page.splitlines() if line.startswith("| `")]
    for operation in OPERATIONS:
        start = f"`{operation.method} {operation.route}"
        (role,) = {row[1] for row in rows if re.search(rf"{re.escape(start)}[`?]", row[0])}
        expected = "function key" if operation.role is None else operation.role.name.lower()
        assert role == expected.replace("none", "anonymous"), operation.name


def test_the_page_on_the_api_names_every_query_parameter() -> None:
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    for operation in OPERATIONS:
        asked = [each.name for each in operation.parameters if each.place == "query"]
        if asked:
            row = re.search(rf"`{operation.method} {re.escape(operation.route)}\?([^`]+)`", page)
            assert row is not None, operation.name
            assert re.findall(r"(\w+)=", row[1]) == asked
