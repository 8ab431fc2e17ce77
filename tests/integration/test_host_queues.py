"""Queue triggers of the local host on a real queue: delete, retry, poison, lease, parallelism."""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from azure.storage.queue import QueueClient, QueueServiceClient, TextBase64EncodePolicy

from sandbox.azurite import ACCOUNT, Azurite
from sandbox.calls import Calls
from sandbox.certificates import CertificateAuthority
from sandbox.faults import Faults
from sandbox.host.host_json import MessageEncoding, QueueOptions
from sandbox.host.invoking import Invoker
from sandbox.host.loading import LoadedFunction, QueueTrigger
from sandbox.host.queues import QueueListener
from sandbox.host.trigger_queue import TriggerQueue, service
from sandbox.identity import PATH, Identity
from sandbox.server import Background, Server
from sandbox.storage_proxy import StorageProxy
from tests.integration.host_app.running import RunningHost, eventually, host


@pytest.fixture(scope="module")
def storage(azurite: Azurite) -> str:
    return azurite.connection_string


@pytest.fixture
def account(storage: str) -> Iterator[QueueServiceClient]:
    with QueueServiceClient.from_connection_string(storage) as client:
        yield client


@pytest.fixture
def queue(account: QueueServiceClient) -> Iterator[QueueClient]:
    client = account.get_queue_client(f"q-{uuid.uuid4()}")
    client._message_encode_policy = TextBase64EncodePolicy()
    with client:
        yield client


@pytest.fixture
def running(tmp_path: Path, storage: str, queue: QueueClient) -> Iterator[RunningHost]:
    with host(tmp_path, AzureWebJobsStorage=storage, SAMPLE_QUEUE=queue.queue_name) as process:
        yield process


def is_empty(queue: QueueClient) -> bool:
    """True if the queue holds nothing, hidden messages included."""
    return queue.get_queue_properties().approximate_message_count == 0


def poison_of(account: QueueServiceClient, queue: QueueClient) -> list[str]:
    client = account.get_queue_client(f"{queue.queue_name}-poison")
    return [str(message.content) for message in client.peek_messages(32)] if exists(account, client) else []


def exists(account: QueueServiceClient, queue: QueueClient) -> bool:
    return queue.queue_name in [found.name for found in account.list_queues()]


def test_a_message_that_succeeds_is_deleted(running: RunningHost, queue: QueueClient) -> None:
    queue.create_queue()
    queue.send_message('{"run": "r-1"}')
    entry = eventually(lambda: running.journal(queue='{"run": "r-1"}'))[0]
    assert (entry["attempt"], entry["receipt"]) == (1, True)
    assert entry["inserted"] is not None
    eventually(lambda: is_empty(queue))


def test_a_message_that_fails_comes_back_later_and_then_goes_to_poison(
    running: RunningHost, queue: QueueClient, account: QueueServiceClient
) -> None:
    queue.create_queue()
    queue.send_message("fail")
    assert eventually(lambda: poison_of(account, queue)) == ["ZmFpbA=="]
    eventually(lambda: is_empty(queue))
    attempts = running.journal(queue="fail")
    assert [entry["attempt"] for entry in attempts] == [1, 2]
    assert attempts[1]["at"] - attempts[0]["at"] >= 0.9


def test_what_is_not_base64_goes_to_poison_untried(
    running: RunningHost, queue: QueueClient, account: QueueServiceClient
) -> None:
    queue.create_queue()
    with account.get_queue_client(queue.queue_name) as plain:
        plain.send_message('{"run": "r-1"}')
    assert eventually(lambda: poison_of(account, queue)) == ['{"run": "r-1"}']
    assert running.journal(queue=None) == []


def test_no_more_messages_run_at_once_than_the_batch_holds(tmp_path: Path, storage: str, queue: QueueClient) -> None:
    queue.create_queue()
    for number in range(5):
        queue.send_message(f"gate {number}")
    with host(tmp_path, AzureWebJobsStorage=storage, SAMPLE_QUEUE=queue.queue_name) as running:
        eventually(lambda: len(running.journal(queue=None)) == 2)
        assert running.get("/api/echo/1").status_code == 200
        running.open_gate()
        eventually(lambda: len(running.journal(queue=None)) == 5)
        eventually(lambda: is_empty(queue))
        assert max(entry["running"] for entry in running.journal(queue=None)) == 2


@contextmanager
def counted(azurite: Azurite) -> Iterator[tuple[str, Calls]]:
    """A connection string whose queue service counts its calls."""
    calls, background = Calls(), Background()
    server = Server(background, StorageProxy("queue", azurite.queue_url, Faults(), calls).app, None)
    server.start()
    try:
        yield azurite.connection_string.replace(azurite.queue_url.rsplit("/", 1)[0], server.url), calls
    finally:
        server.stop()
        background.stop()


def test_a_queue_that_does_not_exist_is_waited_for_and_not_created(
    tmp_path: Path, azurite: Azurite, queue: QueueClient, account: QueueServiceClient
) -> None:
    messages = f"/{ACCOUNT}/{queue.queue_name}/messages"
    with (
        counted(azurite) as (text, calls),
        host(tmp_path, AzureWebJobsStorage=text, SAMPLE_QUEUE=queue.queue_name) as running,
    ):
        eventually(lambda: calls.count("storage/queue", "GET", messages) >= 2)
        assert not exists(account, queue)
        queue.create_queue()
        queue.send_message("late")
        eventually(lambda: running.journal(queue="late"))
        assert "can't be read" not in running.log()


def test_a_property_named_like_metadata_replaces_it(running: RunningHost, queue: QueueClient) -> None:
    queue.create_queue()
    body = '{"ID": "mine", "dequeueCount": 77}'
    queue.send_message(body)
    entry = eventually(lambda: running.journal(queue=body))[0]
    assert (entry["id"], entry["attempt"]) == ("mine", 77)


def test_a_queue_function_can_be_fired_by_hand(running: RunningHost) -> None:
    assert running.post("/admin/functions/worker", json={"input": "by hand"}).status_code == 202
    eventually(lambda: running.journal(queue="by hand"))


def test_the_poison_queue_can_have_its_own_function(
    tmp_path: Path, storage: str, queue: QueueClient, account: QueueServiceClient
) -> None:
    settings = {"AzureWebJobs.poisoned.Disabled": "false"}
    queue.create_queue()
    queue.send_message("fail for good")
    with host(tmp_path, AzureWebJobsStorage=storage, SAMPLE_QUEUE=queue.queue_name, **settings) as running:
        eventually(lambda: running.journal(poison="fail for good"))
        eventually(lambda: is_empty(account.get_queue_client(f"{queue.queue_name}-poison")))


def test_a_message_over_the_time_limit_is_retried_by_the_restarted_worker(
    running: RunningHost, queue: QueueClient
) -> None:
    queue.create_queue()
    queue.send_message("stuck")
    eventually(lambda: [entry for entry in running.journal(queue="stuck") if entry["attempt"] == 2], within=20)


def test_storage_that_is_away_is_tried_on_and_said_once(tmp_path: Path) -> None:
    away = "DefaultEndpointsProtocol=http;AccountName=a;AccountKey=a2V5;QueueEndpoint=http://127.0.0.1:9/a;"
    with host(tmp_path, AzureWebJobsStorage=away, SAMPLE_QUEUE="q") as running:
        eventually(lambda: "queue=q can't be read" in running.log())
        assert running.terminate() == 0
        assert running.log().count("can't be read") == 1
        assert "a2V5" not in running.log()


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("", "no app setting AzureWebJobsStorage or AzureWebJobsStorage__queueServiceUri"),
        ("AccountKey=c2VjcmV0", "the app setting AzureWebJobsStorage is no storage connection string"),
    ],
)
def test_a_queue_function_without_storage_is_left_out_and_the_rest_is_served(
    tmp_path: Path, setting: str, says: str
) -> None:
    with host(tmp_path, AzureWebJobsStorage=setting, SAMPLE_QUEUE="q") as running:
        assert running.get("/api/echo/1").status_code == 200
        assert says in running.log()
        assert "c2VjcmV0" not in running.log()


def test_a_queue_is_read_with_the_managed_identity_where_only_its_uri_is_set(tmp_path: Path) -> None:
    background, identity = Background(), Identity(Calls())
    endpoint = Server(background, identity.app, None)
    endpoint.start()
    with CertificateAuthority() as authority:
        certificate = authority.certificate()
        ca_file = str(authority.ca_file)
        with Azurite(oauth=True, certificate=certificate) as account:
            key = account.connection_string
            with QueueServiceClient.from_connection_string(key, connection_verify=ca_file) as client:
                client.create_queue("by-identity").send_message("aGVsbG8=")
            settings = {
                "AzureWebJobsStorage": "",
                "AzureWebJobsStorage__queueServiceUri": account.queue_url,
                "IDENTITY_ENDPOINT": endpoint.url + PATH,
                "IDENTITY_HEADER": identity.header,
                "REQUESTS_CA_BUNDLE": ca_file,
            }
            with host(tmp_path, SAMPLE_QUEUE="by-identity", **settings) as running:
                eventually(lambda: running.journal(queue="hello"))
                assert identity.header not in running.log()
    endpoint.stop()
    background.stop()


def listen(
    storage: str,
    queue: QueueClient,
    call: Callable[..., None],
    until: threading.Event,
    options: QueueOptions,
    lease: float,
) -> None:
    """Serves one function with a short lease until the event is set."""

    async def serve() -> None:
        function = LoadedFunction("work", QueueTrigger("", ""), "message", call, is_async=False, wants_context=False)
        invoker = Invoker(threads=4, timeout=None, directory="")
        with ThreadPoolExecutor(2) as threads, service("S", {"S": storage}) as account:
            trigger = TriggerQueue(account, queue.queue_name, threads)
            listener = QueueListener(function, trigger, options, invoker, lease=lease)
            serving = asyncio.create_task(listener.run())
            await asyncio.get_running_loop().run_in_executor(None, until.wait, 20)
            listener.stop()
            await serving
        invoker.close()

    asyncio.run(serve())


def test_the_lease_is_renewed_while_the_function_works(storage: str, queue: QueueClient) -> None:
    calls: list[int] = []
    done = threading.Event()

    def work(message: object) -> None:
        calls.append(1)
        done.wait(5)  # two and a half leases of work; a second worker would see the message after one
        done.set()

    queue.create_queue()
    queue.send_message("long")
    listen(
        storage, queue, work, done, QueueOptions(batch_size=1, new_batch_threshold=3, max_polling_interval=0.1), lease=2
    )
    assert calls == [1]
    assert is_empty(queue)


def test_plain_text_is_taken_where_host_json_says_so(storage: str, account: QueueServiceClient) -> None:
    bodies: list[bytes] = []
    done = threading.Event()

    def work(message: object) -> None:
        bodies.append(message.get_body())  # type: ignore[attr-defined]
        done.set()

    with account.get_queue_client(f"q-{uuid.uuid4()}") as queue:
        queue.create_queue()
        queue.send_message("<plain> & simple")
        listen(storage, queue, work, done, QueueOptions(encoding=MessageEncoding.NONE), lease=30)
        assert bodies == [b"<plain> & simple"]
        assert is_empty(queue)


def test_a_message_that_was_tried_too_often_elsewhere_is_not_tried_again(
    storage: str, queue: QueueClient, account: QueueServiceClient
) -> None:
    queue.create_queue()
    queue.send_message("crashed before")
    for _ in range(3):
        next(iter(queue.receive_messages(visibility_timeout=1, max_messages=1)))
        eventually(lambda: queue.peek_messages())
    calls: list[object] = []
    done = threading.Event()
    options = QueueOptions(max_dequeue_count=3, max_polling_interval=0.1)
    with ThreadPoolExecutor(1) as thread:
        serving = thread.submit(listen, storage, queue, calls.append, done, options, 30)
        eventually(lambda: poison_of(account, queue))
        done.set()
        serving.result()
    assert calls == []
