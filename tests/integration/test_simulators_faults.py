"""Each named fault does what its name says, as often as asked, and can be seen and ended."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable

import pytest
import requests
from azure.core.exceptions import HttpResponseError
from azure.data.tables import TableServiceClient
from azure.storage.queue import QueueClient

from sandbox.faults import DEFAULT_CALLS, Faults, UnavailableFault, UnknownFault
from sandbox.sandbox import DefectiveSandbox, Sandbox
from sandbox.scenario import load
from tests.integration.callers import V2, V3, CitrixCaller, PrismCaller

Start = Callable[..., Sandbox]
CitrixOf = Callable[[Sandbox], CitrixCaller]
PrismOf = Callable[[Sandbox, str], PrismCaller]


@pytest.fixture
def sandbox(sandbox_for: Start) -> Sandbox:
    return sandbox_for("planned-migration")


def statuses(caller: CitrixCaller, number: int) -> list[int]:
    return [caller.session.get(f"{caller.base}/Me", timeout=20).status_code for _ in range(number)]


def test_every_fault_of_the_design_has_a_name() -> None:
    faults = Faults()
    for name in DEFAULT_CALLS:
        faults.set(name)
    assert len(faults.as_json()) == 20


@pytest.mark.parametrize("value", ["1@soon", "1@", "0@1"])
def test_a_time_to_come_back_that_makes_no_sense_is_refused(value: str) -> None:
    with pytest.raises(UnknownFault, match="takes"):
        Faults().set("citrix-429", value)


@pytest.mark.parametrize("value", ["0", "-1", "paris:many", "a:b:c"])
def test_a_value_that_makes_no_sense_is_refused(value: str) -> None:
    with pytest.raises(UnknownFault, match="takes"):
        Faults().set("prism-500", value)


def test_an_unknown_fault_lists_the_known_ones() -> None:
    with pytest.raises(UnknownFault, match="citrix-429"):
        Faults().set("citrix-418")


def test_citrix_429_hits_the_next_calls_and_then_stops(sandbox: Sandbox, citrix_of: CitrixOf) -> None:
    citrix = citrix_of(sandbox)
    sandbox.faults.set("citrix-429", 2)
    answer = citrix.get("/Me")
    assert (answer.status_code, "Retry-After" in answer.headers) == (429, False)
    assert uuid.UUID(answer.headers["Citrix-TransactionId"])
    assert statuses(citrix, 2) == [429, 200]
    assert sandbox.faults.fired("citrix-429") == 2


def test_citrix_429_says_when_to_come_back_if_it_is_told_to(sandbox: Sandbox, citrix_of: CitrixOf) -> None:
    citrix = citrix_of(sandbox)
    sandbox.faults.set("citrix-429", "read:1@7")
    answer = citrix.get("/Me")
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "7")
    assert statuses(citrix, 1) == [200]


def test_citrix_drop_is_kept_for_a_call_that_was_executed(sandbox: Sandbox, citrix_of: CitrixOf) -> None:
    citrix = citrix_of(sandbox)
    sandbox.faults.set("citrix-drop")
    sandbox.faults.set("citrix-429", 1)
    assert statuses(citrix, 1) == [429]
    with pytest.raises(requests.ConnectionError):
        citrix.get("/Me")


def test_citrix_502_comes_from_a_gateway_without_json(sandbox: Sandbox, citrix_of: CitrixOf) -> None:
    citrix = citrix_of(sandbox)
    sandbox.faults.set("citrix-502", 1)
    answer = citrix.session.get(f"{citrix.base}/Me", timeout=20)
    assert (answer.status_code, "Citrix-TransactionId" in answer.headers) == (502, False)
    assert statuses(citrix, 1) == [200]


def test_a_token_expires_once_and_a_new_one_holds(sandbox: Sandbox, citrix_of: CitrixOf) -> None:
    citrix = citrix_of(sandbox)
    sandbox.faults.set("token-expiry")
    assert statuses(citrix, 2) == [401, 401]
    citrix.sign_in()
    assert statuses(citrix, 1) == [200]


def test_citrix_slow_delays_one_call_without_blocking_another(sandbox: Sandbox, citrix_of: CitrixOf) -> None:
    citrix = citrix_of(sandbox)
    sandbox.faults.set("citrix-slow", "write:600")
    began = time.perf_counter()
    assert statuses(citrix, 1) == [200]
    assert time.perf_counter() - began < 0.5
    citrix.sign_in()
    assert time.perf_counter() - began >= 0.6


def test_citrix_drop_executes_the_write_and_says_nothing(sandbox: Sandbox, citrix_of: CitrixOf) -> None:
    citrix = citrix_of(sandbox)
    machine = next(iter(sandbox.world.site.machines.values()))
    sandbox.faults.set("citrix-drop", "write:1")
    with pytest.raises(requests.ConnectionError):
        citrix.call("PATCH", f"/Machines/{machine.id}", json={"HypervisorConnection": "Nutanix AHV Amsterdam"})
    hosting = citrix.get(f"/Machines/{machine.id}").json()["Hosting"]
    assert hosting["HypervisorConnection"]["Name"] == "Nutanix AHV Amsterdam"
    assert sandbox.world.writes[machine.id] == 1


def test_prism_500_hits_the_named_prism_until_it_is_cleared(sandbox: Sandbox, prism_of: PrismOf) -> None:
    sandbox.faults.set("prism-500", "paris")
    paris, amsterdam = prism_of(sandbox, "paris"), prism_of(sandbox, "amsterdam")
    assert [paris.get(f"{V2}/cluster").status_code for _ in range(2)] == [500, 500]
    assert amsterdam.get(f"{V2}/cluster").status_code == 200
    sandbox.faults.clear("prism-500")
    assert paris.get(f"{V2}/cluster").status_code == 200


def test_prism_500_of_a_central_comes_from_the_central(sandbox_for: Start, prism_of: PrismOf) -> None:
    sandbox = sandbox_for("central-v3")
    sandbox.faults.set("prism-500")
    answer = prism_of(sandbox, "central").get(f"{V3}/users/me")
    assert (answer.status_code, answer.json()["state"], answer.headers["X-Ntnx-Env"]) == (500, "ERROR", "pc")


def test_prism_truncated_breaks_a_list_off_in_its_middle(sandbox: Sandbox, prism_of: PrismOf) -> None:
    paris = prism_of(sandbox, "paris")
    sandbox.faults.set("prism-truncated", 1)
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        paris.get(f"{V2}/vms")
    assert paris.get(f"{V2}/vms").status_code == 200


def test_prism_slow_takes_its_time(sandbox: Sandbox, prism_of: PrismOf) -> None:
    sandbox.faults.set("prism-slow", 400)
    began = time.perf_counter()
    prism_of(sandbox, "paris").get(f"{V2}/cluster")
    assert time.perf_counter() - began >= 0.4


def test_prism_short_announces_more_than_an_element_lists_once(sandbox: Sandbox, prism_of: PrismOf) -> None:
    paris = prism_of(sandbox, "paris")
    sandbox.faults.set("prism-short", 1)
    short, whole = paris.get(f"{V2}/vms").json(), paris.get(f"{V2}/vms").json()
    assert len(short["entities"]) == short["metadata"]["grand_total_entities"] - 1
    assert len(whole["entities"]) == whole["metadata"]["grand_total_entities"]


def test_prism_short_holds_through_all_pages_of_a_central(sandbox_for: Start, prism_of: PrismOf) -> None:
    sandbox = sandbox_for("central-v3")
    central = prism_of(sandbox, "central")
    sandbox.faults.set("prism-short", 1)
    seen: list[str] = []
    while page := central.post(f"{V3}/vms/list", {"kind": "vm", "offset": len(seen), "length": 15}).json()["entities"]:
        seen += [each["metadata"]["uuid"] for each in page]
    total = sum(len(cluster.vms) for cluster in central.prism.clusters)
    assert len(seen) == total - 1
    assert central.post(f"{V3}/vms/list", {"kind": "vm", "length": 500}).json()["metadata"]["length"] == total


def test_a_cut_relay_refuses_and_comes_back_on_the_same_port(sandbox: Sandbox, prism_of: PrismOf) -> None:
    paris = prism_of(sandbox, "paris")
    assert paris.get(f"{V2}/cluster").status_code == 200
    sandbox.faults.set("relay-down", "paris")
    with pytest.raises(requests.ConnectionError):
        paris.get(f"{V2}/cluster")
    assert prism_of(sandbox, "amsterdam").get(f"{V2}/cluster").status_code == 200
    sandbox.faults.clear("relay-down")
    assert paris.get(f"{V2}/cluster").status_code == 200
    assert sandbox.faults.fired("relay-down") == 1


def test_storage_busy_answers_503_and_then_passes_everything_on(sandbox_for: Start) -> None:
    sandbox = sandbox_for("healthy", faults={"storage-busy": "table:2"})
    text = sandbox.environ["AzureWebJobsStorage"]
    impatient = TableServiceClient.from_connection_string(text, retry_total=0)
    with impatient, pytest.raises(HttpResponseError, match="busy"):
        impatient.create_table("busy1")
    with TableServiceClient.from_connection_string(text, retry_total=3, retry_backoff_factor=0.1) as patient:
        table = patient.create_table("busy1")
        operations = [("create", {"PartitionKey": "a", "RowKey": f"{number}"}) for number in range(20)]
        table.submit_transaction(operations)  # type: ignore[arg-type]
        assert len(list(table.list_entities())) == 20
    assert sandbox.faults.fired("storage-busy") == 2


def test_a_busy_queue_answers_in_the_xml_of_its_service(sandbox_for: Start, caplog: pytest.LogCaptureFixture) -> None:
    sandbox = sandbox_for("healthy", storage_proxy=True)
    sandbox.faults.set("storage-busy", "queue:1")
    text = sandbox.environ["AzureWebJobsStorage"]
    with QueueClient.from_connection_string(text, "busy1", retry_total=0, api_version="2025-11-05") as queue:
        with pytest.raises(HttpResponseError, match="The server is busy") as caught:
            queue.create_queue()
        assert (caught.value.status_code, caught.value.error_code) == (503, "ServerBusy")
        queue.create_queue()
        queue.delete_queue()
    assert [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING] == []


def test_storage_busy_is_refused_where_storage_is_reached_directly(sandbox: Sandbox) -> None:
    with pytest.raises(UnavailableFault, match="without a proxy"):
        sandbox.faults.set("storage-busy")
    assert not sandbox.faults.is_on("storage-busy")


def test_latency_delays_every_call(sandbox_for: Start, citrix_of: CitrixOf) -> None:
    citrix = citrix_of(sandbox_for("healthy", latency=0.2))
    began = time.perf_counter()
    assert statuses(citrix, 2) == [200, 200]
    assert time.perf_counter() - began >= 0.4


def test_calls_are_counted_by_method_and_route(sandbox: Sandbox, citrix_of: CitrixOf) -> None:
    citrix = citrix_of(sandbox)
    for machine in list(sandbox.world.site.machines)[:3]:
        citrix.get(f"/Machines/{machine}", params={"fields": "Id"})
    assert sandbox.calls.count("citrix", "GET", "/Machines/{nameOrId}") == 3
    sandbox.calls.clear()
    assert sandbox.calls.count() == 0


def test_an_answer_that_breaks_the_contract_is_a_defect_that_is_not_overlooked(citrix_of: CitrixOf) -> None:
    sandbox = Sandbox(load("healthy"), azurite=NoStorage())  # type: ignore[arg-type]
    sandbox.start()
    citrix = citrix_of(sandbox)
    for connection in sandbox.world.site.connections.values():
        connection.plugin_id = 7  # type: ignore[assignment]
    status = citrix.session.get(f"{citrix.base}/hypervisors", timeout=20).status_code
    with pytest.raises(DefectiveSandbox, match="listHypervisors 200"):
        sandbox.stop()
    assert status == 500


class NoStorage:
    connection_string = "UseDevelopmentStorage=true"
