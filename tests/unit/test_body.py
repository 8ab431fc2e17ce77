from __future__ import annotations

import pytest

from functions.body import LARGEST_BODY, body_of
from shared.errors import BodyTooLarge, UnsupportedMediaType
from tests.unit.requests_to_functions import http_request


@pytest.mark.parametrize(
    "kind", ["application/json", "Application/JSON; charset=utf-8", " application/json ;x", None], ids=str
)
def test_a_body_that_is_json_or_says_nothing_is_read(kind: str | None) -> None:
    headers = {"content-type": kind} if kind is not None else {}
    assert body_of(http_request("POST", headers=headers, body=b"{}")) == b"{}"


@pytest.mark.parametrize(
    "kind",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/jsonp", "text/json", ""],
)
def test_a_body_of_another_type_is_refused(kind: str) -> None:
    with pytest.raises(UnsupportedMediaType, match="Content-Type: application/json"):
        body_of(http_request("POST", headers={"content-type": kind}, body=b"{}"))


def test_no_body_has_no_type() -> None:
    assert body_of(http_request("POST", headers={"content-type": "text/plain"})) == b""


def test_a_body_of_16_mib_is_the_longest() -> None:
    assert len(body_of(http_request("POST", body=b" " * LARGEST_BODY))) == LARGEST_BODY
    with pytest.raises(BodyTooLarge, match=r"16,777,217 bytes; 16,777,216 is the most"):
        body_of(http_request("POST", body=b" " * (LARGEST_BODY + 1)))
