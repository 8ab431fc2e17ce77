"""Events, inputs, idempotency keys, refusals and the work queue on the real Table and Queue services."""

from __future__ import annotations

import base64
import contextlib
import socket
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from azure.core.exceptions import ResourceNotFoundError
from azure.storage.queue import QueueClient

from sandbox.azurite import Azurite
from shared.azure.events import Events
from shared.azure.idempotency import Claim, Idempotency
from shared.azure.inputs import Inputs
from shared.azure.refusals import Refusals
from shared.azure.storage import TABLES, Storage
from shared.azure.work_queue import WorkItem, WorkQueue, WorkStep
from shared.errors import IdempotencyMismatch, StorageError
from shared.model.citrix import MachineId
from shared.model.run import Event, RunId
from shared.settings.storage import StorageSettings

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
A, B = RunId("run-a"), RunId("run-b")


@pytest.fixture(scope="module")
def storage(azurite: Azurite) -> Iterator[Storage]:
    storage = Storage(StorageSettings(connection_string=azurite.connection_string))
    yield storage
    storage.close()


@pytest.fixture
def run_id() -> RunId:
    return RunId(uuid.uuid4().hex)


def test_every_table_is_there_once_it_is_used(storage: Storage) -> None:
    for name in TABLES:
        assert storage.table(name).get("nobody", "nothing") is None
    storage.probe()


def test_a_row_that_azure_would_refuse_is_refused_before_it_is_sent(storage: Storage) -> None:
    with pytest.raises(StorageError, match="does not fit table events"):
        storage.table("events").insert({"PartitionKey": "a/b", "RowKey": "c"})
    with pytest.raises(ValueError, match="100 rows"):
        storage.table("events").put_all([{"PartitionKey": "a", "RowKey": str(n)} for n in range(101)])


def test_a_deletion_of_rows_that_are_partly_gone_deletes_the_rest(storage: Storage, run_id: RunId) -> None:
    table = storage.table("events")
    table.put({"PartitionKey": run_id, "RowKey": "there"})
    table.delete_all(run_id, ["gone", "there"])
    assert table.get(run_id, "there") is None


def test_a_guarded_deletion_leaves_a_changed_row(storage: Storage, run_id: RunId) -> None:
    table = storage.table("events")
    old = table.put({"PartitionKey": run_id, "RowKey": "r", "value": 1})
    new = table.put({"PartitionKey": run_id, "RowKey": "r", "value": 2})
    assert not table.delete(run_id, "r", old)
    assert table.delete(run_id, "r", new)
    assert table.delete(run_id, "r")


def test_events_are_paged_in_the_order_of_time(storage: Storage, run_id: RunId) -> None:
    events = Events(storage)
    made = [Event(NOW + timedelta(milliseconds=n), "olive", "approve", f"n {n}", MachineId("m")) for n in range(23)]
    for event in reversed(made):
        events.append(run_id, event)
    found: list[Event] = []
    after: str | None = None
    while True:
        page, after = events.page(run_id, after, 10)
        found += page
        if after is None:
            break
    assert found == made
    assert events.page(run_id, None, 23) == (made, None)


def test_two_events_of_one_moment_are_both_kept(storage: Storage, run_id: RunId) -> None:
    events = Events(storage)
    for _ in range(2):
        events.append(run_id, Event(NOW, "realign", "plan", "same"))
    assert len(events.page(run_id, None, 10)[0]) == 2


@pytest.mark.parametrize(
    "names",
    [
        pytest.param((), id="none"),
        pytest.param(("W11-001",), id="one"),
        pytest.param(tuple(f"W11-{n:05d}" for n in range(60_250)), id="60250"),
        pytest.param(tuple('"é😀\\' * 60 + str(n) for n in range(600)), id="long-names"),
    ],
)
def test_names_come_back_whole_and_in_order(storage: Storage, run_id: RunId, names: tuple[str, ...]) -> None:
    inputs = Inputs(storage)
    inputs.put_names(run_id, "machines", names)
    assert inputs.names(run_id, "machines") == names


@pytest.mark.parametrize("text", ["", "Name\r\nW11-001\r\n", "x" * 200_001, "😀\n" * 50_000, '"' * 3_000_000])
def test_a_text_comes_back_whole(storage: Storage, run_id: RunId, text: str) -> None:
    inputs = Inputs(storage)
    inputs.put_text(run_id, "csv", text)
    assert inputs.text(run_id, "csv") == text


def test_inputs_of_other_keys_and_runs_do_not_mix(storage: Storage, run_id: RunId) -> None:
    inputs = Inputs(storage)
    inputs.put_names(run_id, "machines", ["a", "b"])
    inputs.put_names(run_id, "machines-2", ["c"])
    assert inputs.names(run_id, "machines") == ("a", "b")
    assert inputs.names(run_id, "csv") is None
    assert inputs.text(RunId("another"), "machines") is None


def test_an_input_put_again_shorter_has_no_rest_of_the_longer_one(storage: Storage, run_id: RunId) -> None:
    inputs = Inputs(storage)
    inputs.put_names(run_id, "machines", [str(n) for n in range(1_700)])
    inputs.put_names(run_id, "machines", ["only"])
    assert inputs.names(run_id, "machines") == ("only",)


def test_an_input_that_lost_a_part_is_an_error_and_not_a_shorter_list(storage: Storage, run_id: RunId) -> None:
    inputs = Inputs(storage)
    inputs.put_names(run_id, "machines", [str(n) for n in range(1_700)])
    storage.table("inputs").delete(run_id, "machines:000001")
    with pytest.raises(StorageError, match="3 of its 4 parts"):
        inputs.names(run_id, "machines")


def test_an_input_without_its_head_is_not_there(storage: Storage, run_id: RunId) -> None:
    inputs = Inputs(storage)
    inputs.put_text(run_id, "csv", "x" * 70_000)
    storage.table("inputs").delete(run_id, "csv")
    assert inputs.text(run_id, "csv") is None


def test_the_first_claim_of_a_key_wins_and_the_same_request_is_replayed(storage: Storage, run_id: RunId) -> None:
    keys, key = Idempotency(storage), f"key/{run_id}#?"
    assert keys.claim("emea", "olive", key, "hash", A, NOW) == Claim(A, replayed=False)
    assert keys.claim("emea", "olive", key, "hash", B, NOW + timedelta(hours=23)) == Claim(A, replayed=True)


def test_a_request_that_meets_its_own_lost_answer_is_no_replay(storage: Storage, run_id: RunId) -> None:
    keys = Idempotency(storage)
    keys.claim("emea", "olive", run_id, "hash", A, NOW)
    assert keys.claim("emea", "olive", run_id, "hash", A, NOW) == Claim(A, replayed=False)


def test_another_body_with_the_same_key_is_refused(storage: Storage, run_id: RunId) -> None:
    keys = Idempotency(storage)
    keys.claim("emea", "olive", run_id, "hash", A, NOW)
    with pytest.raises(IdempotencyMismatch):
        keys.claim("emea", "olive", run_id, "other", B, NOW)


def test_keys_belong_to_a_profile_and_a_caller(storage: Storage, run_id: RunId) -> None:
    keys = Idempotency(storage)
    keys.claim("emea", "olive", run_id, "hash", A, NOW)
    for profile, caller, key in [("apac", "olive", run_id), ("emea", "ada", run_id), ("emea", "oliv", "e" + run_id)]:
        assert not keys.claim(profile, caller, key, "other", B, NOW).replayed


def test_a_key_is_free_again_after_24_hours(storage: Storage, run_id: RunId) -> None:
    keys = Idempotency(storage)
    keys.claim("emea", "olive", run_id, "hash", A, NOW)
    later = NOW + timedelta(hours=24)
    assert keys.claim("emea", "olive", run_id, "other", B, later) == Claim(B, replayed=False)
    assert keys.claim("emea", "olive", run_id, "other", A, later) == Claim(B, replayed=True)


def test_a_refused_credential_is_left_alone_for_20_minutes(storage: Storage, run_id: RunId) -> None:
    refusals = Refusals(storage)
    secret, host = f"prism-{run_id}", "Prism-Par.corp.example:9440"
    assert refusals.refused_until(secret, "v1", host, NOW) is None
    until = refusals.remember(secret, "v1", host, NOW)
    assert until == NOW + timedelta(minutes=20)
    assert refusals.refused_until(secret, "v1", host.lower(), NOW + timedelta(minutes=19)) == until
    assert refusals.refused_until(secret, "v1", host, until) is None
    assert refusals.refused_until(secret, "v2", host, NOW) is None
    assert refusals.refused_until(secret, "v1", "another-host", NOW) is None


@pytest.fixture
def received(azurite: Azurite) -> Iterator[QueueClient]:
    """The work queue as the Functions host sees it: what is on the wire."""
    with QueueClient.from_connection_string(azurite.connection_string, "realign-work") as queue:
        with contextlib.suppress(ResourceNotFoundError):
            queue.clear_messages()
        yield queue
        queue.clear_messages()


def test_a_message_is_base64_of_the_work_item_and_visible_at_once(storage: Storage, received: QueueClient) -> None:
    now = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
    WorkQueue(storage, lambda: now).send(A, WorkStep.PLAN)
    message = next(iter(received.receive_messages()))
    received.delete_message(message)
    assert WorkItem.from_json(base64.b64decode(message.content)) == WorkItem(A, WorkStep.PLAN, now)


def test_a_delayed_message_is_not_visible_yet(storage: Storage, received: QueueClient) -> None:
    WorkQueue(storage).send(A, "observe", delay_seconds=3600)
    assert list(received.receive_messages()) == []
    assert received.get_queue_properties().approximate_message_count == 1


def test_a_queue_that_was_deleted_under_the_app_is_made_again(storage: Storage, received: QueueClient) -> None:
    queue = WorkQueue(storage)
    queue.send(A, WorkStep.PLAN)
    received.delete_queue()
    queue.send(B, WorkStep.APPLY)
    assert received.get_queue_properties().approximate_message_count == 1


@pytest.mark.usefixtures("received")
def test_the_poison_queue_is_there_before_anything_can_end_in_it(storage: Storage, azurite: Azurite) -> None:
    WorkQueue(storage).send(A, WorkStep.PLAN, delay_seconds=60)
    with QueueClient.from_connection_string(azurite.connection_string, "realign-work-poison") as poison:
        assert poison.get_queue_properties().approximate_message_count == 0


def test_an_account_that_does_not_answer_is_named_with_a_remedy(unused_port: int) -> None:
    text = (
        "DefaultEndpointsProtocol=http;AccountName=acc;AccountKey=c2VjcmV0a2V5;"
        f"TableEndpoint=http://127.0.0.1:{unused_port}/acc;QueueEndpoint=http://127.0.0.1:{unused_port}/acc"
    )
    storage = Storage(StorageSettings(connection_string=text))
    with pytest.raises(StorageError, match=f"127.0.0.1:{unused_port} could not be reached") as caught:
        storage.table("locks").get("a", "b")
    assert (caught.value.kind, caught.value.retryable) == ("unreachable", True)
    assert "c2VjcmV0a2V5" not in f"{caught.value}{caught.value.__cause__}{caught.value!r}"
    storage.close()


def test_a_connection_string_that_means_nothing_is_misconfigured() -> None:
    with pytest.raises(StorageError, match="AzureWebJobsStorage") as caught:
        Storage(StorageSettings(connection_string="AccountKey=hush;TableEndpoint="))
    assert caught.value.kind == "misconfigured"
    assert "hush" not in str(caught.value)
    with pytest.raises(StorageError, match="needs an identity"):
        Storage(StorageSettings(table_uri="https://t.example", queue_uri="https://q.example"))


@pytest.fixture
def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
