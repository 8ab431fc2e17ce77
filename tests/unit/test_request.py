from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import InvalidRequest
from shared.runs.request import HookRequest, RunRequest, parse_request

WHOLE = {
    "mode": "report",
    "target": "amsterdam/AMS-CL01",
    "scope": {"machines": ["W11-1"], "catalogs": ["Persistent W11"], "exclude": ["W11-LAB-*"]},
    "machinesCsv": "Name\nW11-1\n",
    "limits": {"maxChanges": 5, "maxChangePercent": 10},
    "settleSeconds": 600,
    "incidentStart": "2026-11-22T03:00:00Z",
    "ifBusy": "reject",
    "reason": "site Paris is down",
}


def parse(document: Any) -> RunRequest:
    return parse_request(json.dumps(document).encode(), RunRequest)


def test_every_field_of_the_api_is_read() -> None:
    request = parse(WHOLE)
    assert set(WHOLE) == {field.alias for field in RunRequest.model_fields.values()}
    assert request.model_dump(mode="json", by_alias=True, exclude_none=True) == WHOLE


@pytest.mark.parametrize("body", [b"", b"{}"])
def test_a_body_that_asks_for_nothing_special(body: bytes) -> None:
    request = parse_request(body, RunRequest)
    assert request == RunRequest()
    assert request.if_busy == "queue"


BAD = [
    pytest.param({"machinse": []}, "machinse", "did you mean machines", id="misspelt-field"),
    pytest.param({"profile": "emea"}, "profile", "not a known field", id="a-field-of-the-hook"),
    pytest.param({"scope": {"machine": ["a"]}}, "scope.machine", "did you mean machines", id="misspelt-scope-key"),
    pytest.param({"limits": {"max": 1}}, "limits.max", "not a known field", id="unknown-limit"),
    pytest.param({"if_busy": "queue", "ifBusy": "later"}, "ifBusy", "'queue' or 'reject'", id="unknown-if-busy"),
    pytest.param({"mode": "Auto"}, "mode", "'report', 'review' or 'auto'", id="mode-in-another-case"),
    pytest.param({"mode": None, "target": ""}, "target", "is empty", id="empty-target"),
    pytest.param({"target": 5}, "target", "is not a text", id="number-for-a-text"),
    pytest.param({"target": "x" * 201}, "target", "at most 200", id="target-too-long"),
    pytest.param({"scope": []}, "scope", "is not an object", id="list-for-an-object"),
    pytest.param({"scope": {"machines": "W11-1"}}, "scope.machines", "is not a list", id="text-for-a-list"),
    pytest.param({"scope": {"machines": []}}, "scope.machines", "at least one", id="empty-list"),
    pytest.param({"scope": {"machines": ["a", 5]}}, "scope.machines[1]", "is not a text", id="number-in-a-list"),
    pytest.param({"scope": {"machines": ["a", " "]}}, "scope.machines[1]", "is empty", id="blank-in-a-list"),
    pytest.param({"machinesCsv": ["W11-1"]}, "machinesCsv", "is not a text", id="list-for-the-csv"),
    pytest.param({"limits": {"maxChanges": -1}}, "limits.maxChanges", "greater than or equal to 0", id="negative"),
    pytest.param({"limits": {"maxChanges": "5"}}, "limits.maxChanges", "without quotes", id="quoted-number"),
    pytest.param({"limits": {"maxChanges": 1.5}}, "limits.maxChanges", "whole number", id="half-a-machine"),
    pytest.param({"limits": {"maxChanges": True}}, "limits.maxChanges", "whole number", id="true-is-no-number"),
    pytest.param({"limits": {"maxChangePercent": 101}}, "limits.maxChangePercent", "to 100", id="over-100-percent"),
    pytest.param({"settleSeconds": 1801}, "settleSeconds", "equal to 1800", id="settles-too-long"),
    pytest.param({"incidentStart": "yesterday"}, "incidentStart", "Write it like 2026", id="no-time"),
    pytest.param({"incidentStart": "2026-11-22T03:00:00"}, "incidentStart", "no time zone", id="no-time-zone"),
    pytest.param({"incidentStart": "2026-11-22T25:00:00Z"}, "incidentStart", "Write it like", id="hour-25"),
    pytest.param({"incidentStart": {}}, "incidentStart", "Write it like", id="object-for-a-time"),
    pytest.param({"reason": "x" * 1001}, "reason", "at most 1000", id="reason-too-long"),
]


@pytest.mark.parametrize(("document", "field", "says"), BAD)
def test_bad_input_is_refused_by_field(document: Any, field: str, says: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse(document)
    assert caught.value.field == field
    assert str(caught.value).startswith(f"{field}: ")
    assert says in str(caught.value)


@pytest.mark.parametrize(
    "body", [b"hello", b"{", b"\xff", b'{"mode": "report",}', b"[" * 100_000, b"[]", b"null", b'"mode"', b"5"]
)
def test_a_body_that_is_no_json_object(body: bytes) -> None:
    with pytest.raises(InvalidRequest, match=r"^the document: .* object") as caught:
        parse_request(body, RunRequest)
    assert caught.value.field == "body"


def test_all_faults_are_told_together_and_the_first_one_is_the_field() -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse({"mode": "loud", "reason": 5})
    assert caught.value.field == "mode"
    assert "reason: is not a text." in str(caught.value)


@given(st.binary(max_size=200))
def test_any_body_is_read_or_refused_by_field(body: bytes) -> None:
    refused = None
    try:
        parse_request(body, RunRequest)
    except InvalidRequest as error:
        refused = error
    assert refused is None or refused.field


def test_the_hook_needs_the_profile() -> None:
    with pytest.raises(InvalidRequest, match="profile: is missing"):
        parse_request(b"{}", HookRequest)
    asked = parse_request(json.dumps({**WHOLE, "profile": "emea"}).encode(), HookRequest)
    assert asked.profile == "emea"
    assert asked.target == "amsterdam/AMS-CL01"


def test_the_digest_ignores_how_the_body_is_written() -> None:
    turned = json.dumps(dict(reversed(WHOLE.items())), indent=4).encode()
    assert parse_request(turned, RunRequest).digest() == parse(WHOLE).digest()
    assert parse({}).digest() == parse({"mode": None, "ifBusy": "queue"}).digest()


@pytest.mark.parametrize(
    "change",
    [{"mode": "review"}, {"target": "paris"}, {"machinesCsv": "Name\nW11-2\n"}, {"reason": None}, {"limits": {}}],
    ids=lambda change: next(iter(change)),
)
def test_the_digest_differs_where_something_else_is_asked(change: dict[str, Any]) -> None:
    assert parse({**WHOLE, **change}).digest() != parse(WHOLE).digest()
