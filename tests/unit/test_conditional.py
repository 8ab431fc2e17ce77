from __future__ import annotations

import json
from typing import Any

import azure.functions as func
import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.conditional import known_tags, unless_known
from shared.errors import InvalidRequest
from tests.unit.requests_to_functions import http_request

TAG = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters='"'), max_size=40)


def tags_of(header: str) -> frozenset[str] | None:
    return known_tags(http_request(headers={"if-none-match": header}))


def shown(document: Any, header: str | None = None) -> func.HttpResponse:
    return unless_known(document, tags_of(header) if header is not None else None)


def test_what_is_shown_carries_a_tag_that_names_exactly_that() -> None:
    first, again, other = shown({"a": 1}), shown({"a": 1}), shown({"a": 2})
    assert (first.status_code, json.loads(first.get_body())) == (200, {"a": 1})
    assert first.headers["ETag"] == again.headers["ETag"] != other.headers["ETag"]


@pytest.mark.parametrize("form", ["{}", "  {}  ", '"x", {}', '{},"y"', "*", 'W/"a,b",,{} ,'])
def test_who_has_it_already_gets_304_without_a_body(form: str) -> None:
    tag = shown({"a": 1}).headers["ETag"]
    for same in (tag, tag.removeprefix("W/")):
        answer = shown({"a": 1}, form.format(same))
        assert (answer.status_code, answer.get_body(), answer.headers["ETag"]) == (304, b"", tag)
        assert answer.headers["Cache-Control"] == "no-store"


def test_who_has_another_one_gets_what_is_there() -> None:
    tag = shown({"a": 1}).headers["ETag"]
    assert shown({"a": 2}, tag).status_code == 200
    assert shown({"a": 2}, '"*"').status_code == 200, "a tag that is a star is no star"
    assert shown({"a": 2}, 'W/""').status_code == 200


@pytest.mark.parametrize(
    "header",
    [
        "",
        " ",
        ",",
        "abc",
        '"a',
        'a"',
        '"a" "b"',
        'w/"a"',
        'W/ "a"',
        "*, *",
        '*,"a"',
        '"a b"',
        '"a"x',
        "W/abc",
        '"\x00"',
    ],
)
def test_what_is_no_list_of_tags_is_refused_with_the_name_of_the_header(header: str) -> None:
    with pytest.raises(InvalidRequest, match="^If-None-Match: write the ETag as it came") as caught:
        tags_of(header)
    assert caught.value.field == "If-None-Match"


@given(st.lists(TAG, min_size=1), st.lists(st.booleans()))
def test_any_list_of_tags_is_read(tags: list[str], weak: list[bool]) -> None:
    several = [f'W/"{tag}"' if at < len(weak) and weak[at] else f'"{tag}"' for at, tag in enumerate(tags)]
    assert tags_of(" , ".join(several)) == frozenset(tags)


@given(st.text(max_size=200))
def test_any_other_text_is_a_list_of_tags_or_refused(text: str) -> None:
    try:
        tags = tags_of(text)
    except InvalidRequest:
        return
    assert tags
