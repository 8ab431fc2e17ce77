from __future__ import annotations

import base64
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.parameters import LONGEST_CURSOR, check_known, choice_of, cursor_for, cursor_of, limit_of, wait_of
from shared.errors import InvalidRequest
from shared.model.finding import FindingKind
from tests.unit.requests_to_functions import http_request

PRINTABLE = st.text(min_size=1, max_size=LONGEST_CURSOR).filter(str.isprintable)


def refused(field: str, read: Callable[[], object]) -> str:
    with pytest.raises(InvalidRequest) as caught:
        read()
    assert caught.value.field == field
    assert str(caught.value).startswith(field)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"), [(None, 100), ("1", 1), ("100", 100), ("1000", 1000), ("0007", 7)], ids=str
)
def test_limit(text: str | None, expected: int) -> None:
    assert limit_of(http_request(params={"limit": text} if text is not None else {})) == expected


@pytest.mark.parametrize(
    "text",
    ["", "0", "-1", "+5", "1001", "1e2", "1.0", " 5", "five", "٥", "²", "9" * 5000, "00000010000"],
    ids=lambda text: text[:12] or "empty",
)
def test_a_limit_that_is_none(text: str) -> None:
    assert "from 1 to 1000" in refused("limit", lambda: limit_of(http_request(params={"limit": text})))


def test_a_misspelt_parameter_is_refused_and_the_right_ones_are_named() -> None:
    request = http_request(params={"stat": "failed", "limit": "5"})
    assert "It has: status, limit." in refused("stat", lambda: check_known(request, "status", "limit"))


def test_the_function_keys_place_is_the_hosts_business() -> None:
    check_known(http_request(params={"code": "key"}))


def test_a_choice() -> None:
    assert choice_of(http_request(params={"finding": "remap"}), "finding", FindingKind) is FindingKind.REMAP
    assert choice_of(http_request(), "finding", FindingKind) is None


@pytest.mark.parametrize("text", ["", "Remap", "gone", "remap,aligned"])
def test_a_choice_that_is_none_of_them(text: str) -> None:
    request = http_request(params={"finding": text})
    assert "aligned, remap" in refused("finding", lambda: choice_of(request, "finding", FindingKind))


@given(PRINTABLE)
def test_a_cursor_comes_back_as_it_was_made(key: str) -> None:
    text = cursor_for(key, "runs")
    assert text is not None
    assert "=" not in text
    assert cursor_of(http_request(params={"cursor": text}), "runs") == key


def test_the_last_page_has_no_cursor() -> None:
    assert cursor_for(None, "runs") is None
    assert cursor_of(http_request(), "runs") is None


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("%%%", id="no-base64"),
        pytest.param("é", id="not-ascii"),
        pytest.param("a", id="a-length-that-base64-cannot-have"),
        pytest.param(b64(b"\xff\xfe"), id="no-utf8"),
        pytest.param(b64(b"a\nb"), id="a-line-break"),
        pytest.param(b64(b"a\x00b"), id="a-null"),
        pytest.param(b64(b"k" * 513), id="too-long"),
        pytest.param(b64(b"key") + "==", id="padded"),
        pytest.param(b64(b"key") + "!", id="with-a-character-that-base64-skips"),
        pytest.param(b64(b"ke")[:-1] + "V", id="with-other-bits-at-the-end"),
    ],
)
def test_a_forged_cursor_is_refused(text: str) -> None:
    refused("cursor", lambda: cursor_of(http_request(params={"cursor": text}), "runs"))


@pytest.mark.parametrize("of", ["r1/remaps", "r2/events"])
def test_a_cursor_of_another_list_is_refused(of: str) -> None:
    request = http_request(params={"cursor": cursor_for("m-1", of) or ""})
    assert cursor_of(request, of) == "m-1"
    for other in ("r1/events", "r2/remaps", "runs"):
        assert "from the same list" in refused("cursor", lambda other=other: cursor_of(request, other))  # type: ignore[misc]


@given(st.text(max_size=40))
def test_any_text_is_a_cursor_of_ours_or_refused(text: str) -> None:
    request = http_request(params={"cursor": text})
    try:
        key = cursor_of(request, "runs")
    except InvalidRequest:
        return
    assert cursor_for(key, "runs") == text


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        pytest.param(None, None, id="absent"),
        pytest.param("", None, id="empty"),
        pytest.param("wait=10", 10, id="seconds"),
        pytest.param("wait=0", 0, id="no-time"),
        pytest.param("wait=200", 200, id="the-most"),
        pytest.param("Wait = 10 ", 10, id="case-and-spaces"),
        pytest.param('wait="10"', 10, id="quoted"),
        pytest.param("respond-async, wait=10", 10, id="beside-another"),
        pytest.param("wait=10; note=x, return=minimal", 10, id="with-a-parameter"),
        pytest.param("wait=5, wait=9", 5, id="the-first-of-two"),
        pytest.param("respond-async", None, id="another-alone"),
        pytest.param("wait", None, id="without-a-value"),
        pytest.param("waiting=10", None, id="a-longer-word"),
    ],
)
def test_prefer(header: str | None, expected: int | None) -> None:
    assert wait_of(http_request(headers={"Prefer": header} if header is not None else {})) == expected


@pytest.mark.parametrize("value", ["201", "-1", "1.5", "ten", "", "٥", "9999999"])
def test_a_wait_beyond_the_limit_or_of_no_number(value: str) -> None:
    request = http_request(headers={"Prefer": f"wait={value}"})
    assert "from 0 to 200" in refused("Prefer", lambda: wait_of(request))
