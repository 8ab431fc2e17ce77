from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import InvalidRequest
from shared.runs.machines_csv import LARGEST, names_from_csv


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("Name\nW11-1\nW11-2\n", id="plain"),
        pytest.param("Name\r\nW11-1\r\nW11-2", id="windows-line-ends-and-none-at-the-end"),
        pytest.param("\ufeffName\r\nW11-1\r\nW11-2\r\n", id="byte-order-mark"),
        pytest.param("\r\n\nName\nW11-1\nW11-2\n", id="blank-lines-before-the-header"),
        pytest.param("NAME\nW11-1\nW11-2\n", id="another-case"),
        pytest.param('"Name","Owner"\n"W11-1","a, b"\n"W11-2",""\n', id="quoted"),
        pytest.param("Owner;Name;Site\nann;W11-1;Paris\nbob;W11-2;Paris\n", id="semicolons"),
        pytest.param("Owner\tName\nann\tW11-1\nbob\tW11-2\n", id="tabs"),
        pytest.param("Name;Note\nW11-1;a,b,c\nW11-2;d,e,f\n", id="the-headers-separator-holds"),
        pytest.param("Name\nW11-1\n\n  \nW11-2\nW11-1\n", id="blanks-and-repeats"),
        pytest.param("Owner,Name\nann,W11-1\nshort\nbob, W11-2 \n", id="a-short-row-and-spaces"),
    ],
)
def test_names_in_their_order(text: str) -> None:
    assert names_from_csv(text) == ("W11-1", "W11-2")


def test_a_domain_name_is_kept_whole() -> None:
    assert names_from_csv("Name\nCORP\\W11-1\nw11-2.corp.example\n") == ("CORP\\W11-1", "w11-2.corp.example")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("", "is empty", id="empty"),
        pytest.param("  \r\n \n", "is empty", id="blank"),
        pytest.param("\ufeff", "is empty", id="only-a-byte-order-mark"),
        pytest.param("hello", "no CSV with a column Name", id="a-word"),
        pytest.param('{"Name": "W11-1"}', "no CSV with a column Name", id="json"),
        pytest.param("Machine\nW11-1\n", "no CSV with a column Name", id="another-column"),
        pytest.param("Machine Name\nW11-1\n", "no CSV with a column Name", id="a-column-that-contains-it"),
        pytest.param("Name\n", "holds no name", id="only-a-header"),
        pytest.param("Name,Owner\n,ann\n", "holds no name", id="only-blanks"),
        pytest.param('Name\n"W11-1\nW11-2\n', "no well-formed CSV", id="a-quote-that-never-ends"),
        pytest.param('Name\n"W11"-1\n', "no well-formed CSV", id="text-behind-a-quote"),
        pytest.param("Name\n" + "x" * 200_000, "no well-formed CSV", id="a-cell-too-long"),
        pytest.param("x" * (LARGEST + 1), "Split it", id="too-big"),
    ],
)
def test_what_is_no_csv_with_names_is_refused_by_field(text: str, says: str) -> None:
    with pytest.raises(InvalidRequest, match=says) as caught:
        names_from_csv(text)
    assert caught.value.field == "machinesCsv"
    assert str(caught.value).startswith("machinesCsv: ")


@given(st.text(max_size=200))
def test_any_text_gives_names_or_a_refusal(text: str) -> None:
    for content in (text, f"Name\n{text}"):
        try:
            names = names_from_csv(content)
        except InvalidRequest:
            continue
        assert names
        assert all(name == name.strip() and name for name in names)
        assert len(set(names)) == len(names)


NAMES = st.lists(
    st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=20), min_size=1, unique=True, max_size=20
)


@given(NAMES, st.sampled_from(",;\t"))
def test_what_a_csv_writer_writes_is_read_back(names: list[str], separator: str) -> None:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=separator)
    writer.writerow(["Owner", "Name"])
    writer.writerows([("ann", name) for name in names])
    assert names_from_csv(out.getvalue()) == tuple(names)


def test_a_name_longer_than_a_scope_allows_is_refused_with_what_may_have_joined_lines() -> None:
    assert names_from_csv("Name\n" + "x" * 1_000) == ("x" * 1_000,)
    with pytest.raises(InvalidRequest, match="1,001 characters; 1,000 is the most") as caught:
        names_from_csv("Name\nW11-001\n" + "x" * 1_001)
    assert caught.value.field == "machinesCsv"
