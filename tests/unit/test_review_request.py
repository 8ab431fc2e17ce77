from __future__ import annotations

import json
from typing import Any

import pytest

from shared.errors import InvalidRequest
from shared.profile.parts import Part
from shared.runs.deciding.review_request import (
    ApproveRequest,
    CancelRequest,
    HoldRequest,
    MachinesRequest,
    ResolveRequest,
    ReviewRequest,
)
from shared.runs.request import parse_request

ALL = {"all": True, "fingerprint": "f-1"}
SOME = {"machines": ["m-1", "m-2"], "fingerprint": "f-1"}
CHOICE = {"machine": "m-1", "candidate": {"cluster": "paris", "uuid": "u-1"}, "comment": "Seen in Prism."}


def parse(document: Any, model: type[Part]) -> Part:
    return parse_request(json.dumps(document).encode(), model)


@pytest.mark.parametrize(
    ("model", "whole"),
    [
        pytest.param(ReviewRequest, {**ALL, "comment": "c"}, id="all"),
        pytest.param(ReviewRequest, {**SOME, "all": False}, id="some"),
        pytest.param(ApproveRequest, {**ALL, "apply": False, "ifBusy": "reject"}, id="approve-without-applying"),
        pytest.param(ResolveRequest, CHOICE, id="resolve"),
        pytest.param(MachinesRequest, {"machines": ["m-1"], "comment": "c", "ifBusy": "reject"}, id="machines"),
        pytest.param(CancelRequest, {"comment": "c"}, id="cancel"),
        pytest.param(HoldRequest, {"hours": 720, "reason": "r"}, id="hold"),
    ],
)
def test_what_may_be_asked(model: type[Part], whole: dict[str, Any]) -> None:
    read = parse(whole, model).model_dump(mode="json", by_alias=True, exclude_none=True)
    assert read == ({"all": False, **read, **whole} if issubclass(model, ReviewRequest) else whole)


def test_approving_applies_unless_the_request_says_otherwise() -> None:
    asked = parse_request(json.dumps(ALL).encode(), ApproveRequest)
    assert (asked.apply, asked.all, asked.machines, asked.comment) == (True, True, None, None)


@pytest.mark.parametrize("model", [MachinesRequest, CancelRequest, HoldRequest])
@pytest.mark.parametrize("body", [b"", b"{}"])
def test_a_body_may_be_empty_where_nothing_has_to_be_said(model: type[Part], body: bytes) -> None:
    assert parse_request(body, model) == model()


BAD = [
    pytest.param(ApproveRequest, {}, "fingerprint", "is missing", id="nothing-at-all"),
    pytest.param(ReviewRequest, {"all": True}, "fingerprint", "is missing", id="no-fingerprint"),
    pytest.param(ReviewRequest, {**ALL, "fingerprint": ""}, "fingerprint", "is empty", id="empty-fingerprint"),
    pytest.param(ReviewRequest, {"fingerprint": "f"}, "body", '"all": true', id="neither-machines-nor-all"),
    pytest.param(ReviewRequest, {**SOME, "all": True}, "body", '"machines"', id="both-machines-and-all"),
    pytest.param(ReviewRequest, {**ALL, "all": "yes"}, "all", "is not true or false", id="text-for-true"),
    pytest.param(ReviewRequest, {**SOME, "machines": []}, "machines", "at least one", id="no-machines"),
    pytest.param(ReviewRequest, {**SOME, "machines": ["m", ""]}, "machines[1]", "is empty", id="empty-id"),
    pytest.param(ReviewRequest, {**SOME, "machines": ["m" * 201]}, "machines[0]", "at most 200", id="long-id"),
    pytest.param(ReviewRequest, {**SOME, "machines": "m-1"}, "machines", "is not a list", id="text-for-a-list"),
    pytest.param(ReviewRequest, {**ALL, "apply": False}, "apply", "not a known field", id="reject-applies-nothing"),
    pytest.param(ReviewRequest, {**ALL, "coment": "c"}, "coment", "did you mean comment", id="misspelt"),
    pytest.param(ReviewRequest, {**ALL, "comment": "c" * 1_001}, "comment", "at most 1000", id="long-comment"),
    pytest.param(ResolveRequest, {**CHOICE, "comment": ""}, "comment", "is empty", id="a-choice-without-a-reason"),
    pytest.param(
        ResolveRequest, {**CHOICE, "candidate": {"cluster": "paris"}}, "candidate.uuid", "is missing", id="half-a-vm"
    ),
    pytest.param(MachinesRequest, {"all": True}, "all", "not a known field", id="all-is-understood"),
    pytest.param(HoldRequest, {"hours": 0}, "hours", "greater than or equal to 1", id="no-hours"),
    pytest.param(HoldRequest, {"hours": 721}, "hours", "less than or equal to 720", id="too-many-hours"),
    pytest.param(HoldRequest, {"hours": 1.5}, "hours", "whole number", id="an-hour-and-a-half"),
]


@pytest.mark.parametrize(("model", "document", "field", "says"), BAD)
def test_what_may_not_be_asked_is_refused_by_field(model: type[Part], document: Any, field: str, says: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse(document, model)
    assert caught.value.field == field
    assert says in str(caught.value)
