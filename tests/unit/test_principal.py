from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from functions.principal import caller_of
from shared.errors import NotAllowed, NotAuthenticated
from shared.runs.access import Caller, Role
from tests.unit.requests_to_functions import encoded, http_request

ROLE_URI = "http://schemas.microsoft.com/ws/2008/06/identity/claims/role"
NAME_URI = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name"
ANN = {"typ": "preferred_username", "val": "ann@example.com"}


def principal(*claims: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"auth_typ": "aad", "name_typ": NAME_URI, "role_typ": ROLE_URI, "claims": list(claims), **more}


def role(value: str, typ: str = "roles") -> dict[str, str]:
    return {"typ": typ, "val": value}


def who(header: str | None, needed: Role = Role.NONE, *, easy_auth: bool = True) -> Caller:
    headers = {"X-MS-CLIENT-PRINCIPAL": header} if header is not None else {}
    return caller_of(http_request(headers=headers), easy_auth=easy_auth, role=needed, what="see runs")


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        pytest.param([role("Realign.Reader")], Role.READER, id="reader"),
        pytest.param([role("Realign.Operator")], Role.OPERATOR, id="operator"),
        pytest.param([role("Realign.Approver")], Role.APPROVER, id="approver"),
        pytest.param([role("Realign.Operator", ROLE_URI)], Role.OPERATOR, id="under-the-uri-of-role_typ"),
        pytest.param([role("Realign.Reader"), role("Realign.Approver")], Role.APPROVER, id="the-highest-of-several"),
        pytest.param([role("Realign.Approver"), role("Realign.Reader")], Role.APPROVER, id="in-whatever-order"),
        pytest.param([], Role.NONE, id="none"),
        pytest.param([role("realign.approver")], Role.NONE, id="another-spelling-is-another-role"),
        pytest.param([role("Approver")], Role.NONE, id="the-role-of-another-app"),
        pytest.param([role("Realign.Approver", "groups")], Role.NONE, id="a-group-of-that-name-is-no-role"),
        pytest.param([role("Realign.Approver", "http://evil.example/role")], Role.NONE, id="another-uri"),
    ],
)
def test_roles(claims: list[dict[str, str]], expected: Role) -> None:
    assert who(encoded(principal(ANN, *claims))).role is expected


@pytest.mark.parametrize(
    ("claims", "name"),
    [
        pytest.param([ANN], "ann@example.com", id="preferred-username"),
        pytest.param([{"typ": NAME_URI, "val": "Ann"}, ANN], "Ann", id="name_typ-goes-first"),
        pytest.param([{"typ": "name", "val": "Ann B."}], "Ann B.", id="name"),
        pytest.param([{"typ": "appid", "val": "0f3a"}], "0f3a", id="an-app-by-its-id"),
        pytest.param([{"typ": "azp", "val": "0f3b"}], "0f3b", id="an-app-by-azp"),
        pytest.param([{"typ": "preferred_username", "val": ""}, {"typ": "name", "val": "A"}], "A", id="empty-is-none"),
        pytest.param([ANN, {"typ": ANN["typ"], "val": "bob"}], "ann@example.com", id="the-first-of-two"),
        pytest.param([{"typ": "name", "val": "x" * 300}], "x" * 256, id="cut"),
        pytest.param([{"typ": 1, "val": 2}, "text", None, ANN], "ann@example.com", id="beside-malformed-claims"),
    ],
)
def test_names(claims: list[Any], name: str) -> None:
    assert who(encoded(principal(*claims))).name == name


@pytest.mark.parametrize("name", ["a", "ab", "abc"], ids=["no-padding-needed", "one", "two"])
def test_missing_padding_is_tolerated(name: str) -> None:
    header = encoded(principal({"typ": "name", "val": name})).rstrip("=")
    assert who(header).name == name


@pytest.mark.parametrize(
    "header",
    [
        pytest.param(None, id="no-header"),
        pytest.param("", id="empty-header"),
        pytest.param("%%%", id="no-base64"),
        pytest.param("abcde", id="a-length-that-base64-cannot-have"),
        pytest.param("é", id="not-ascii"),
        pytest.param(base64.b64encode(b"{").decode(), id="no-json"),
        pytest.param(base64.b64encode(b"\xff\xfe").decode(), id="no-text"),
        pytest.param(base64.b64encode(b"[" * 100_000).decode(), id="nested-too-deeply"),
        pytest.param(encoded([]), id="a-list"),
        pytest.param(encoded(None), id="null"),
        pytest.param(encoded({}), id="no-claims"),
        pytest.param(encoded({"claims": {"typ": "name"}}), id="claims-are-no-list"),
        pytest.param(encoded(principal()), id="no-name"),
        pytest.param(encoded(principal(role("Realign.Approver"))), id="a-role-but-nobody-who-has-it"),
    ],
)
def test_who_cannot_be_told_is_not_signed_in(header: str | None) -> None:
    with pytest.raises(NotAuthenticated) as caught:
        who(header)
    assert "ign in" in str(caught.value)


@pytest.mark.parametrize("odd", [["roles"], {}, 5, None])
def test_a_role_type_that_is_no_text_gives_nothing(odd: object) -> None:
    claims = principal(ANN, role("Realign.Reader"), role("Realign.Approver", ROLE_URI), role_typ=odd, name_typ=odd)
    assert who(encoded(claims)).role is Role.READER


def test_nobody_is_believed_while_easy_auth_is_off() -> None:
    header = encoded(principal(ANN, role("Realign.Approver")))
    with pytest.raises(NotAuthenticated, match="Switch on App Service authentication"):
        who(header, easy_auth=False)


def test_the_refusal_says_who_may_not_do_what_and_which_role_it_takes() -> None:
    header = encoded(principal(ANN, role("Realign.Reader")))
    with pytest.raises(NotAllowed) as caught:
        who(header, Role.OPERATOR)
    assert str(caught.value).startswith("ann@example.com may not see runs: it needs the app role Realign.Operator.")


def test_the_header_is_read_as_standard_base64() -> None:
    text = json.dumps(principal({"typ": "name", "val": "??>>~~"}))
    header = base64.b64encode(text.encode()).decode()
    assert who(header).name == "??>>~~"


@pytest.mark.parametrize("name", ["realign", "Realign", "schedule", "function-key"])
def test_nobody_signs_in_under_a_name_of_the_service_itself(name: str) -> None:
    header = encoded(principal({"typ": "name", "val": name}, role("Realign.Approver")))
    assert who(header).name == f"{name} (signed in)"
