"""Microsoft's worker library invokes the app: HTTP, timer and queue functions, over the whole life of a run.

The test is the host: it takes the messages from the queue and deletes what has been done.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from azure.data.tables import TableServiceClient, UpdateMode
from azure.storage.queue import QueueClient, QueueMessage

from sandbox.azurite import Azurite
from sandbox.sandbox import Sandbox
from sandbox.scenario import load
from tests.e2e.client import principal
from tests.e2e.conftest import QUEUE_VERSION
from tests.worker.conftest import needs_worker
from tests.worker.worker_process import FunctionFailed, WorkerProcess

pytestmark = needs_worker


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Azurite() as azurite, Sandbox(load("planned-migration"), azurite=azurite) as running:
        yield running


@pytest.fixture(scope="module")
def worker(sandbox: Sandbox, unpacked: Path) -> Iterator[WorkerProcess]:
    with WorkerProcess(unpacked, sandbox.environ) as process:
        process.start()
        yield process


@pytest.fixture
def queue(sandbox: Sandbox) -> Iterator[QueueClient]:
    text = sandbox.environ["AzureWebJobsStorage"]
    with QueueClient.from_connection_string(text, "realign-work", api_version=QUEUE_VERSION) as client:
        yield client
        client.clear_messages()


def start(worker: WorkerProcess, sandbox: Sandbox) -> dict[str, Any]:
    name = sandbox.scenario.profile_name
    answer = worker.call(
        "profiles_start_run",
        "POST",
        f"profiles/{name}/runs",
        route={"name": name},
        headers=principal("Approver"),
        body={"limits": {"maxChangePercent": 100}},
    )
    assert answer.status == 202, answer.body
    run: dict[str, Any] = answer.json()
    return run


def status(worker: WorkerProcess, run: dict[str, Any]) -> dict[str, Any]:
    answer = worker.call("runs_one", "GET", f"runs/{run['id']}", route={"id": run["id"]}, headers=principal("Reader"))
    assert answer.status == 200, answer.body
    found: dict[str, Any] = answer.json()
    return found


def take(queue: QueueClient) -> QueueMessage:
    message = queue.receive_message(visibility_timeout=60)
    assert message is not None
    return message


def test_an_http_function_answers(worker: WorkerProcess) -> None:
    answer = worker.call("health_live", "GET", "health/live")
    assert (answer.status, answer.json()) == (200, {"status": "live"})
    assert answer.headers["content-type"].startswith("application/json")


def test_an_http_function_refuses_a_stranger_with_a_problem(worker: WorkerProcess) -> None:
    answer = worker.call("runs_list", "GET", "runs")
    assert (answer.status, answer.json()["code"]) == (401, "not-authenticated")
    assert answer.headers["content-type"].startswith("application/problem+json")


def test_the_page_is_served_from_the_package(worker: WorkerProcess) -> None:
    answer = worker.call("review_page", "GET", "review", headers=principal("Reader"))
    assert answer.status == 200
    assert answer.body.startswith(b"<!doctype html>")


def test_queue_messages_take_a_run_from_its_start_to_its_end(
    worker: WorkerProcess, sandbox: Sandbox, queue: QueueClient
) -> None:
    run = start(worker, sandbox)
    planning = take(queue)
    worker.deliver("work", planning)
    queue.delete_message(planning)
    planned = status(worker, run)
    assert planned["status"] == "awaiting-review"
    answer = worker.call(
        "runs_approve",
        "POST",
        f"runs/{run['id']}/approve",
        route={"id": run["id"]},
        headers=principal("Approver"),
        body={"all": True, "fingerprint": planned["fingerprint"]},
    )
    assert answer.status == 202, answer.body
    worker.deliver("work", take(queue))
    done = status(worker, run)
    assert done["status"] == "completed"
    assert set(done["counts"]["states"]) == {"verified"}


def test_a_timer_queues_again_what_nobody_works_on(worker: WorkerProcess, sandbox: Sandbox, queue: QueueClient) -> None:
    run = start(worker, sandbox)
    queue.delete_message(take(queue))
    worker.fire("sweep")
    assert queue.receive_message() is None, "its message might still be on the way"
    with TableServiceClient.from_connection_string(sandbox.environ["AzureWebJobsStorage"]) as tables:
        long_ago = (datetime.now(UTC) - timedelta(minutes=2)).isoformat()
        row = {"PartitionKey": "run", "RowKey": run["id"], "updatedAt": long_ago}
        tables.get_table_client("runs").update_entity(row, mode=UpdateMode.MERGE)
    worker.fire("sweep")
    worker.deliver("work", take(queue))
    assert status(worker, run)["status"] != "queued"


def test_a_message_that_cannot_be_done_fails_so_that_it_comes_again(worker: WorkerProcess, queue: QueueClient) -> None:
    queue.send_message("eyJzdGVwIjogInNpbmcifQ==")  # {"step": "sing"}
    with pytest.raises(FunctionFailed, match="InvalidRequest"):
        worker.deliver("work", take(queue))
