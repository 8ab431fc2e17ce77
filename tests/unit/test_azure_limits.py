from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.azure.limits import (
    CUT_MARK,
    TRANSACTION_BYTES,
    checked,
    cut,
    decode_key,
    encode_key,
    list_to_json,
    quoted,
    storable,
    transactions,
    utf16_units,
)


def marker(left_out: int) -> dict[str, object]:
    return {"left out": left_out}


@given(st.text(max_size=60, min_size=1, alphabet=st.characters(exclude_categories=["Cs"])))
def test_any_text_comes_back_from_its_key(text: str) -> None:
    key = encode_key(text)
    assert decode_key(key) == text
    assert not set(key) & set("/\\#?\x00\x1f\x7f\x9f\n")


@pytest.mark.parametrize("text", ["", "x" * 257, "😀" * 129])
def test_a_key_that_azure_would_refuse_is_refused_here(text: str) -> None:
    with pytest.raises(ValueError, match="table key"):
        encode_key(text)


@given(st.text(max_size=80), st.integers(min_value=10, max_value=60))
def test_a_cut_text_fits_and_keeps_its_beginning(text: str, units: int) -> None:
    short = cut(text, units)
    assert utf16_units(short) <= units
    if utf16_units(text) <= units:
        assert short == text
    else:
        assert short.endswith(CUT_MARK)
        assert text.startswith(short.removesuffix(CUT_MARK))


def test_a_character_of_two_units_is_not_cut_in_half() -> None:
    assert cut("😀" * 20, 11) == "😀😀" + CUT_MARK


@given(st.lists(st.text(max_size=30), max_size=30), st.booleans())
def test_a_cut_list_stays_json_says_how_much_is_gone_and_fits(texts: list[str], keep_last: bool) -> None:
    items = [{"text": storable(text)} for text in texts]
    text = list_to_json(items, marker, units=200, keep_last=keep_last)
    read = json.loads(text)
    assert utf16_units(text) <= 200
    if read == items:
        return
    mark = read.pop(0) if keep_last else read.pop()
    assert mark == {"left out": len(items) - len(read)}
    assert read == (items[len(items) - len(read) :] if keep_last else items[: len(read)])


@pytest.mark.parametrize(
    "row",
    [
        pytest.param({"PartitionKey": "a/b", "RowKey": "r"}, id="slash-in-a-key"),
        pytest.param({"PartitionKey": "p", "RowKey": "r\x07"}, id="control-character-in-a-key"),
        pytest.param({"PartitionKey": "p", "RowKey": ""}, id="empty-key"),
        pytest.param({"PartitionKey": "p"}, id="no-row-key"),
        pytest.param({"PartitionKey": "p", "RowKey": "r", "text": "x" * 32_768}, id="property-over-64-kib"),
        pytest.param({"PartitionKey": "p", "RowKey": "r", "text": "😀" * 16_384}, id="property-over-64-kib-of-pairs"),
        pytest.param({"PartitionKey": "p", "RowKey": "r"} | {f"c{n}": n for n in range(251)}, id="253-properties"),
        pytest.param({"PartitionKey": "p", "RowKey": "r"} | {f"c{n}": "x" * 30_000 for n in range(20)}, id="1-mib"),
    ],
)
def test_a_row_that_only_the_emulator_would_take_is_refused(row: dict[str, str | int | None]) -> None:
    with pytest.raises(ValueError, match=r"key|property|row"):
        checked(row)


def test_a_row_is_sent_without_its_nones_and_without_lone_surrogates() -> None:
    row = {"PartitionKey": "p", "RowKey": "r", "none": None, "name": "vm\ud800"}
    assert checked(row) == {"PartitionKey": "p", "RowKey": "r", "name": "vm?"}


def test_a_transaction_holds_100_rows() -> None:
    rows = [{"PartitionKey": "p", "RowKey": str(n)} for n in range(250)]
    assert [len(group) for group in transactions(iter(rows))] == [100, 100, 50]


def test_a_transaction_stays_under_4_mib() -> None:
    rows = [{"PartitionKey": "p", "RowKey": str(n), "text": '"' * 32_000, "more": "é" * 16_000} for n in range(100)]
    groups = list(transactions(rows))
    assert [row for group in groups for row in group] == rows
    for group in groups:
        assert len(json.dumps(group).encode()) < TRANSACTION_BYTES + 200_000


def test_a_quote_in_an_odata_literal_is_doubled() -> None:
    assert quoted("x' or PartitionKey ne 'y") == "'x'' or PartitionKey ne ''y'"
