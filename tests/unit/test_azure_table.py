"""What a Table service may do that the emulator does not."""

from __future__ import annotations

import json
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

import pytest
from requests import PreparedRequest

from shared.azure.events import Events
from shared.azure.remaps import Remaps
from shared.azure.table import Table, rows_at_a_time
from shared.errors import StorageError
from shared.model.run import RunId
from tests.unit.test_azure_transaction import Wire, changes, client_on, done, refused

ROW = {"PartitionKey": "p", "RowKey": "r"}


def table_on(answer: Callable[[PreparedRequest], tuple[int, dict[str, str], bytes]]) -> tuple[Table, Wire]:
    def answered(request: PreparedRequest) -> tuple[int, dict[str, str], bytes]:
        return (204, {}, b"") if urlsplit(request.url or "").path == "/Tables" else answer(request)

    wire = Wire(answered)
    return Table(client_on(wire), "acme"), wire


@pytest.mark.parametrize(("wanted", "at_a_time"), [(1, 1), (101, 101), (1000, 1000), (1001, 501), (2001, 667)])
def test_no_more_rows_are_read_than_are_wanted_but_for_a_few(wanted: int, at_a_time: int) -> None:
    assert rows_at_a_time(wanted) == at_a_time


def test_a_page_of_a_thousand_findings_or_events_costs_a_thousand_rows() -> None:
    table, wire = table_on(lambda _: (200, {"Content-Type": "application/json"}, b'{"value": []}'))

    class Storage:
        def table(self, name: str) -> Table:
            return table

    Remaps(Storage()).page(RunId("r1"), limit=1000)  # type: ignore[arg-type]
    Events(Storage()).page(RunId("r1"), None, 1000)  # type: ignore[arg-type]
    asked = [parse_qs(urlsplit(request.url or "").query) for request in wire.sent]
    assert [each["$top"] for each in asked if "$filter" in each] == [["501"], ["501"]]


def test_a_list_without_etags_has_those_that_its_time_stamps_say() -> None:
    entity = {"PartitionKey": "p", "RowKey": "r", "Timestamp": "2026-11-22T12:00:00.0156429Z"}
    body = json.dumps({"value": [entity]}).encode()
    table, wire = table_on(lambda _: (200, {"Content-Type": "application/json;odata=minimalmetadata"}, body))
    assert [row.etag for row in table.query("PartitionKey eq 'p'", select=["RowKey"])] == [
        "W/\"datetime'2026-11-22T12%3A00%3A00.0156429Z'\""
    ]
    asked = parse_qs(urlsplit(wire.sent[-1].url or "").query)
    assert asked["$select"] == ["RowKey,Timestamp"]


@pytest.mark.parametrize(
    ("status", "code"),
    [(404, "ResourceNotFound"), (404, "EntityNotFound"), (409, "EntityAlreadyExists"), (412, "ConditionNotMet")],
)
def test_a_refused_row_is_an_answer(status: int, code: str) -> None:
    table, _ = table_on(changes(refused(status, code)))
    assert table.merge_all([(ROW, "etag")]) is None
    assert table.replace_all([(ROW, None)]) is None
    assert not table.insert_all([ROW])


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (404, "TableNotFound", "failed"),
        (409, "TableBeingDeleted", "failed"),
        (400, "InvalidDuplicateRow", "failed"),
        (503, "ServerBusy", "throttled"),
        (403, "AuthorizationFailure", "forbidden"),
    ],
)
def test_any_other_refusal_is_an_error_that_names_it(status: int, code: str, kind: str) -> None:
    table, _ = table_on(changes(refused(status, code)))
    for attempt in (
        lambda: table.merge_all([(ROW, "etag")]),
        lambda: table.put_all([ROW]),
        lambda: table.delete_all("p", ["r"]),
    ):
        with pytest.raises(StorageError, match=f"HTTP {status}, {code}") as caught:
            attempt()
        assert caught.value.kind == kind


def test_nothing_to_write_is_no_request() -> None:
    table, wire = table_on(changes(done()))
    assert table.merge_all([]) == []
    table.put_all([])
    assert table.delete_all("p", [])
    assert wire.sent == []
