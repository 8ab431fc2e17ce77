"""Rows of another version on a real Table service: older ones are read as today's, newer ones are left alone."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from azure.data.tables import TableClient

from sandbox.azurite import Azurite
from shared.azure.limits import checked
from shared.azure.row_version import VERSION, stamped, upgraded
from shared.azure.table import Table
from shared.errors import StorageError


def renamed(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """A step as a later version may have it: ``colour`` becomes ``hue``, unless a merge has written it so already."""
    rest = {name: value for name, value in row.items() if name != "colour"}
    return {"hue": row["colour"], **rest} if "colour" in row else rest


@pytest.fixture
def client(azurite: Azurite) -> Iterator[TableClient]:
    name = f"versions{uuid.uuid4().hex[:8]}"
    with TableClient.from_connection_string(azurite.connection_string, name) as client:
        yield client


@pytest.fixture
def first(client: TableClient) -> Table:
    return Table(client, "acme", upgrades=())


@pytest.fixture
def second(client: TableClient) -> Table:
    return Table(client, "acme", upgrades=(renamed,))


def versions(client: TableClient) -> dict[str, int | None]:
    return {row["RowKey"]: row.get(VERSION) for row in client.list_entities()}


def test_every_whole_row_says_its_version_and_nobody_above_the_table_sees_it(
    first: Table, second: Table, client: TableClient
) -> None:
    etag = first.insert({"PartitionKey": "p", "RowKey": "a"})
    first.put({"PartitionKey": "p", "RowKey": "b"})
    first.put_all([{"PartitionKey": "p", "RowKey": "c"}])
    second.insert_all([{"PartitionKey": "p", "RowKey": "d"}])
    assert etag is not None
    second.replace({"PartitionKey": "p", "RowKey": "a"}, etag)
    assert versions(client) == {"a": 2, "b": 1, "c": 1, "d": 2}
    assert all(VERSION not in row.values for row in second.query("PartitionKey eq 'p'"))


@pytest.mark.parametrize("said", [1, None])
def test_an_older_row_is_read_as_todays_and_becomes_it_when_it_is_written(
    first: Table, second: Table, client: TableClient, said: int | None
) -> None:
    first.put({"PartitionKey": "p", "RowKey": "a", "colour": "red"})
    if said is None:  # of before rows said their version
        client.upsert_entity({"PartitionKey": "p", "RowKey": "a", "colour": "red"}, mode="replace")
    found = second.get("p", "a")
    assert found is not None
    assert found.values["hue"] == "red"
    assert [row.values.get("hue") for row in second.query("PartitionKey eq 'p'", select=["RowKey", "colour"])] == [
        "red"
    ]
    second.replace(checked(found.values), found.etag)
    assert versions(client) == {"a": 2}
    again = second.get("p", "a")
    assert again is not None
    assert dict(again.values) == {"PartitionKey": "p", "RowKey": "a", "hue": "red"}


def test_a_merge_into_an_older_row_is_not_taken_for_the_whole(first: Table, second: Table, client: TableClient) -> None:
    etag = first.put({"PartitionKey": "p", "RowKey": "a", "colour": "red", "size": 3})
    assert second.merge_all([({"PartitionKey": "p", "RowKey": "a", "size": 4}, etag)]) is not None
    assert versions(client) == {"a": 1}
    found = second.get("p", "a")
    assert found is not None
    assert (found.values["hue"], found.values["size"]) == ("red", 4)


def test_a_newer_row_is_refused_with_what_to_do(first: Table, second: Table) -> None:
    second.put({"PartitionKey": "p", "RowKey": "a", "hue": "red"})
    for read in (lambda: first.get("p", "a"), lambda: list(first.query("PartitionKey eq 'p'", select=["hue"]))):
        with pytest.raises(StorageError, match=r"newer version of Realign: a row has version 2.*Deploy that version"):
            read()


def test_who_asks_for_keys_alone_or_can_do_without_gets_the_others(first: Table, second: Table) -> None:
    second.put({"PartitionKey": "p", "RowKey": "a", "hue": "red"})
    first.put({"PartitionKey": "p", "RowKey": "b", "colour": "red"})
    keys = [row.values["RowKey"] for row in first.query("PartitionKey eq 'p'", select=["RowKey"])]
    told: list[str] = []
    read = [row.values["RowKey"] for row in first.query("PartitionKey eq 'p'", unread=lambda key, _: told.append(key))]
    assert (keys, read, told) == (["a", "b"], ["b"], ["a"])


def test_steps_are_taken_in_order_from_where_the_row_stands() -> None:
    steps = (lambda row: {**row, "told": [*row["told"], 1]}, lambda row: {**row, "told": [*row["told"], 2]})
    assert upgraded({"told": []}, steps) == {"told": [1, 2]}
    assert upgraded({"told": [], VERSION: 2}, steps) == {"told": [2]}
    assert upgraded(stamped({"told": []}, steps), steps) == {"told": []}
