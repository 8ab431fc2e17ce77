"""A held call waits where it is told to, and what a client that died asked for is dropped."""

from __future__ import annotations

import socket
import ssl
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from azure.data.tables import TableServiceClient

from sandbox.holds import Hold
from sandbox.sandbox import Sandbox
from tests.integration.batches import TARGET, job_until, manual, patches, submit
from tests.integration.callers import V2, CitrixCaller, PrismCaller

Start = Callable[..., Sandbox]
CitrixOf = Callable[[Sandbox], CitrixCaller]
SECONDS = 10.0


@pytest.fixture
def sandbox(sandbox_for: Start) -> Sandbox:
    return sandbox_for("planned-migration", storage_proxy=True)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as running:
        yield running


class RawClient:
    """Sends one request over TLS and then only ever dies."""

    def __init__(self, url: str, ca_file: str, request: bytes) -> None:
        where = urlsplit(url)
        context = ssl.create_default_context(cafile=ca_file)
        raw = socket.create_connection((str(where.hostname), int(where.port or 0)), timeout=SECONDS)
        self._socket = context.wrap_socket(raw, server_hostname=where.hostname)
        self._socket.sendall(request)

    def die(self) -> None:
        """As SIGKILL leaves it: the socket is closed and nothing was said before."""
        self._socket.close()


def patch_request(citrix: CitrixCaller, machine: str, ca_file: str) -> RawClient:
    host = urlsplit(citrix.url).netloc
    body = f'{{"HypervisorConnection": "{TARGET}"}}'.encode()
    headers = {**citrix.session.headers, "Host": host, "Content-Type": "application/json"}
    head = "".join(
        f"{name}: {value if isinstance(value, str) else value.decode()}\r\n" for name, value in headers.items()
    )
    line = f"PATCH /cvad/manage/Machines/{machine} HTTP/1.1\r\n{head}Content-Length: {len(body)}\r\n\r\n"
    return RawClient(citrix.url, ca_file, line.encode() + body)


def patched(citrix: CitrixCaller, machine: str) -> int:
    return citrix.call("PATCH", f"/Machines/{machine}", json={"HypervisorConnection": TARGET}).status_code


def test_a_call_that_is_held_before_has_done_nothing_until_it_is_released(
    sandbox: Sandbox, citrix_of: CitrixOf, pool: ThreadPoolExecutor
) -> None:
    citrix = citrix_of(sandbox)
    (machine,) = manual(citrix, 1)
    hold = sandbox.holds.hold("citrix", "updateMachine")
    call = pool.submit(patched, citrix, machine.id)
    assert hold.reached(SECONDS)
    assert (call.done(), sandbox.world.history) == (False, [])
    hold.release()
    assert (call.result(SECONDS), len(sandbox.world.history)) == (204, 1)


def test_a_call_that_is_held_after_is_done_and_not_answered(
    sandbox: Sandbox, citrix_of: CitrixOf, pool: ThreadPoolExecutor
) -> None:
    citrix, other = citrix_of(sandbox), citrix_of(sandbox)
    hold = sandbox.holds.hold("citrix", "submitBatch", when="after")
    call = pool.submit(submit, citrix, patches(citrix, manual(citrix, 2)))
    assert hold.reached(SECONDS)
    (job,) = other.get("/Jobs").json()["Items"]
    job_until(other, job["Id"], "Complete")
    assert (call.done(), len(sandbox.world.history)) == (False, 2)
    hold.release()
    assert call.result(SECONDS).headers["Location"].endswith(job["Id"])


def test_the_nth_call_is_held_and_no_other(sandbox: Sandbox, citrix_of: CitrixOf, pool: ThreadPoolExecutor) -> None:
    citrix = citrix_of(sandbox)
    hold = sandbox.holds.hold("citrix", "getMe", nth=2)
    assert citrix.get("/Me").status_code == 200
    assert not hold.reached(0)
    call = pool.submit(citrix.get, "/Me")
    assert hold.reached(SECONDS)
    assert citrix_of(sandbox).get("/Me").status_code == 200
    hold.release()
    assert call.result(SECONDS).status_code == 200


def test_a_hold_that_is_released_early_lets_everything_pass(sandbox: Sandbox, citrix_of: CitrixOf) -> None:
    citrix = citrix_of(sandbox)
    with sandbox.holds.hold("citrix", "getMe") as hold:
        pass
    assert (citrix.get("/Me").status_code, hold.reached(0)) == (200, False)


@pytest.mark.parametrize(("when", "writes"), [("before", 0), ("after", 1)])
def test_a_held_call_whose_client_dies_is_dropped(
    sandbox: Sandbox, citrix_of: CitrixOf, when: str, writes: int
) -> None:
    citrix = citrix_of(sandbox)
    (machine,) = manual(citrix, 1)
    hold: Hold = sandbox.holds.hold("citrix", "updateMachine", when=when)  # type: ignore[arg-type]
    client = patch_request(citrix, machine.id, str(sandbox.ca_file))
    assert hold.reached(SECONDS)
    client.die()
    assert hold.dropped(SECONDS)
    hold.release()
    assert citrix.get("/Me").status_code == 200
    assert len(sandbox.world.history) == writes


def test_a_call_to_a_prism_is_held_behind_its_relay(
    sandbox: Sandbox, prism_of: Callable[[Sandbox, str], PrismCaller], pool: ThreadPoolExecutor, tmp_path: Path
) -> None:
    paris, amsterdam = prism_of(sandbox, "paris"), prism_of(sandbox, "amsterdam")
    hold = sandbox.holds.hold("prism/paris", "v2ListVms")
    call = pool.submit(paris.get, f"{V2}/vms")
    assert hold.reached(SECONDS)
    assert amsterdam.get(f"{V2}/vms").status_code == 200
    hold.release()
    assert call.result(SECONDS).status_code == 200
    again = sandbox.holds.hold("prism/paris", "v2GetCluster")
    host = urlsplit(paris.url).netloc
    request = f"GET {V2}/cluster HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    client = RawClient(paris.url, str(tmp_path / "corporate.pem"), request)
    assert again.reached(SECONDS)
    client.die()
    assert again.dropped(SECONDS)


def test_a_secret_is_held(sandbox: Sandbox, pool: ThreadPoolExecutor) -> None:
    hold = sandbox.holds.hold("vault", "getSecret", when="after")

    def ask() -> int:
        with requests.Session() as session:
            session.trust_env = False
            return session.get(
                f"{sandbox.vault_url}/secrets/x", verify=str(sandbox.ca_file), timeout=SECONDS
            ).status_code

    call = pool.submit(ask)
    assert hold.reached(SECONDS)
    hold.release()
    assert call.result(SECONDS) == 401


def test_a_storage_call_is_held_by_its_method_path_and_body(sandbox: Sandbox, pool: ThreadPoolExecutor) -> None:
    name = f"held{uuid.uuid4().hex}"
    seen: list[tuple[str, str]] = []

    def wanted(method: str, path: str, body: bytes) -> bool:
        seen.append((method, path))
        return b'"second"' in body

    hold = sandbox.holds.hold("storage/table", "POST", match=wanted)
    with TableServiceClient.from_connection_string(sandbox.environ["AzureWebJobsStorage"]) as tables:
        table = tables.create_table(name)
        table.create_entity({"PartitionKey": "p", "RowKey": "first"})
        assert not hold.reached(0)
        call: Future[object] = pool.submit(table.create_entity, {"PartitionKey": "p", "RowKey": "second"})
        assert hold.reached(SECONDS)
        assert [each["RowKey"] for each in table.list_entities()] == ["first"]
        hold.release()
        call.result(SECONDS)
        assert [each["RowKey"] for each in table.list_entities()] == ["first", "second"]
    assert all(method == "POST" for method, _ in seen)
    assert any(name in path for _, path in seen)


def test_a_sandbox_that_ends_lets_go_of_what_it_holds(sandbox_for: Start, citrix_of: CitrixOf) -> None:
    sandbox = sandbox_for("healthy")
    citrix = citrix_of(sandbox)
    hold = sandbox.holds.hold("citrix", "getMe")

    def ask() -> None:
        try:
            citrix.session.get(f"{citrix.base}/Me", timeout=SECONDS)
        except requests.ConnectionError:
            return

    asking = threading.Thread(target=ask)
    asking.start()
    assert hold.reached(SECONDS)
    sandbox.stop()
    asking.join(SECONDS)
    assert not asking.is_alive()
