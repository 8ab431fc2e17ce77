from __future__ import annotations

import csv
import io
import time

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
        pytest.param("Name\rW11-1\rW11-2\r", id="line-ends-of-an-old-mac"),
        pytest.param('\ufeff"Name"\r\n"W11-1"\r\n\r\n"W11-2"\r\n', id="byte-order-mark-and-quotes"),
        pytest.param('\ufeffOwner;"Name";Note\r\n"Doe; Ann";W11-1;"a ""b"""\r\n;W11-2;\r\n', id="as-excel-writes-it"),
        pytest.param("Name;Owner\r\n;\r\nW11-1;ann\r\n;;;\r\nW11-2\r\n;\r\n", id="rows-that-excel-left-empty"),
        pytest.param(
            'Note\tName\r\n"two\r\nlines"\tW11-1\r\n\t\r\nx\tW11-2\tmore\r\n', id="tabs-and-a-cell-of-two-lines"
        ),
        pytest.param(" Name , Owner \nW11-1,ann\nW11-2,bob\n", id="spaces-around-the-header"),
        pytest.param("Name,Name\nW11-1,other\nW11-2,other\n", id="the-first-of-two-columns"),
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


def measured(text: str) -> tuple[int, float]:
    """How many names a text gives, none where it is refused, and the processor's seconds that it took."""
    began = time.process_time()
    try:
        count = len(names_from_csv(text))
    except InvalidRequest:
        count = 0
    return count, time.process_time() - began


ROOM = LARGEST - len("Name\n")
LARGE = [
    pytest.param("Name\r\n" + "".join(f"W11-{n:06d}\r\n" for n in range(200_000)), 200_000, id="200,000-names"),
    pytest.param(
        '\ufeff"Owner";"Name"\r\n' + "".join(f'"Doe; Ann";"CORP\\W11-{n:06d}"\r\n;\r\n' for n in range(200_000)),
        200_000,
        id="200,000-names-as-excel-writes-them",
    ),
    pytest.param("Name\n" + "W11-00001\n" * (ROOM // 10), 1, id="10-mb-of-one-name"),
    pytest.param("Name\n" + "".join(f"{n:07d}\n" for n in range(ROOM // 8)), ROOM // 8, id="10-mb-of-names"),
    pytest.param("Name\n" + "\n" * ROOM, 0, id="10-mb-of-blank-lines"),
    pytest.param("Name\n" + ",\n" * (ROOM // 2), 0, id="10-mb-of-empty-rows"),
    pytest.param("Name" + "," * ROOM, 0, id="10-mb-of-header"),
    pytest.param("Name\n" + '"' * ROOM, 0, id="10-mb-of-quotes"),
    pytest.param("\r\n" * (LARGEST // 2), 0, id="10-mb-of-nothing"),
]


@pytest.mark.parametrize(("text", "count"), LARGE)
def test_the_largest_texts_are_read_or_refused_in_seconds(text: str, count: int) -> None:
    assert len(text) <= LARGEST
    names, seconds = measured(text)
    assert names == count
    assert seconds < 10


def test_a_text_over_the_limit_is_refused_with_the_limit_before_it_is_read() -> None:
    with pytest.raises(InvalidRequest, match=r"10,485,761 characters; 10,485,760 is the most"):
        names_from_csv("Name\n" + "x" * (ROOM + 1))


def test_a_name_longer_than_a_scope_allows_is_refused_with_what_may_have_joined_lines() -> None:
    assert names_from_csv("Name\n" + "x" * 1_000) == ("x" * 1_000,)
    with pytest.raises(InvalidRequest, match="1,001 characters; 1,000 is the most") as caught:
        names_from_csv("Name\nW11-001\n" + "x" * 1_001)
    assert caught.value.field == "machinesCsv"
