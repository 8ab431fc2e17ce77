"""The simulated Citrix DaaS answers as its contract says, right requests and wrong ones."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from urllib.parse import quote

import pytest

from sandbox.large_world import large_world
from sandbox.sandbox import Sandbox
from tests.integration.callers import CitrixCaller

Start = Callable[..., Sandbox]
CitrixOf = Callable[[Sandbox], CitrixCaller]


@pytest.fixture
def sandbox(sandbox_for: Start) -> Sandbox:
    return sandbox_for("healthy")


@pytest.fixture
def citrix(sandbox: Sandbox, citrix_of: CitrixOf) -> CitrixCaller:
    return citrix_of(sandbox)


def test_sign_in_gives_a_token_for_an_hour_as_text(sandbox: Sandbox) -> None:
    caller = CitrixCaller(sandbox)
    body = caller.sign_in().json()
    assert (body["token_type"], body["expires_in"]) == ("bearer", "3600")
    assert caller.sign_in(customer="root").status_code == 200
    assert sandbox.calls.count("citrix", "POST", "/cctrustoauth2/{customerId}/tokens/clients") == 2


@pytest.mark.parametrize(
    ("secret", "customer"),
    [pytest.param("wrong", None, id="wrong-secret"), pytest.param(None, "other", id="another-customer")],
)
def test_sign_in_refuses(sandbox: Sandbox, secret: str | None, customer: str | None) -> None:
    answer = CitrixCaller(sandbox).sign_in(secret=secret, customer=customer)
    assert answer.status_code == 401
    assert answer.json()["type"] == "https://errors-api.cloud.com/common/authentication"


def test_sign_in_without_the_grant_type_is_a_bad_request(sandbox: Sandbox) -> None:
    caller = CitrixCaller(sandbox)
    url = f"{caller.url}/cctrustoauth2/{caller.site.customer_id}/tokens/clients"
    answer = caller.session.post(url, data={"client_id": "a", "client_secret": "b"}, timeout=20)
    assert (answer.status_code, "grant_type" in answer.json()["ErrorMessage"]) == (400, True)


def test_too_many_tokens_a_minute_are_refused(sandbox: Sandbox) -> None:
    caller = CitrixCaller(sandbox)
    statuses = [caller.sign_in().status_code for _ in range(61)]
    assert (statuses.count(200), statuses[-1]) == (60, 429)


def test_me_and_sites_need_no_instance_id(citrix: CitrixCaller) -> None:
    del citrix.session.headers["Citrix-InstanceId"]
    me = citrix.get("/Me").json()
    assert [site["Id"] for site in me["Customers"][0]["Sites"]] == [citrix.site.id]
    assert citrix.get("/Sites").json()["Items"] == [{"Id": citrix.site.id, "Name": "cloudxdsite"}]
    assert citrix.get(f"/Sites/{citrix.site.id}").json()["OrchestationApiVersion"] > 0
    assert citrix.get("/Sites/cloudxdsite").json()["Id"] == citrix.site.id
    assert citrix.get("/Sites/other").status_code == 404


def test_a_frozen_site_answers_530(citrix: CitrixCaller) -> None:
    citrix.site.frozen = True
    assert citrix.get("/Me").status_code == 530


@pytest.mark.parametrize(
    ("header", "value", "status"),
    [
        pytest.param("Authorization", None, 401, id="no-token"),
        pytest.param("Authorization", "CWSAuth bearer=nonsense", 401, id="a-token-of-nobody"),
        pytest.param("Authorization", "Bearer nonsense", 401, id="the-wrong-scheme"),
        pytest.param("Citrix-CustomerId", None, 400, id="no-customer"),
        pytest.param("Citrix-CustomerId", "other", 403, id="another-customer"),
        pytest.param("Citrix-InstanceId", None, 400, id="no-site"),
        pytest.param("Citrix-InstanceId", "other", 404, id="another-site"),
        pytest.param("Accept", "text/html", 406, id="not-json"),
        pytest.param("Citrix-TransactionId", "not-a-guid", 400, id="a-transaction-id-that-is-no-guid"),
    ],
)
def test_a_request_without_the_right_headers_is_refused(
    citrix: CitrixCaller, header: str, value: str | None, status: int
) -> None:
    citrix.session.headers[header] = value  # type: ignore[assignment]
    answer = citrix.get("/Machines")
    assert answer.status_code == status
    assert uuid.UUID(answer.headers["Citrix-TransactionId"]) if value != "not-a-guid" else True


def test_the_scheme_of_the_token_ignores_case(citrix: CitrixCaller) -> None:
    token = str(citrix.session.headers["Authorization"]).partition("=")[2]
    citrix.session.headers["Authorization"] = f"CwsAuth Bearer={token}"
    assert citrix.get("/Me").status_code == 200


def test_the_transaction_id_comes_back_or_is_made(citrix: CitrixCaller) -> None:
    mine = str(uuid.uuid4())
    assert citrix.get("/Me", headers={"Citrix-TransactionId": mine}).headers["Citrix-TransactionId"] == mine
    assert uuid.UUID(citrix.get("/Me").headers["Citrix-TransactionId"])


def test_without_fields_a_machine_comes_with_everything(citrix: CitrixCaller) -> None:
    answer = citrix.get("/Machines")
    items = answer.json()["Items"]
    assert len(items) == len(citrix.site.machines)
    assert len(items[0]) == 41
    assert 5_000 < len(answer.content) / len(items) < 9_000


def test_with_fields_a_machine_comes_with_those_and_its_id(citrix: CitrixCaller) -> None:
    items = citrix.get("/Machines", params={"fields": "Name,Hosting,NoSuchThing"}).json()["Items"]
    assert all(set(item) == {"Id", "Name", "Hosting"} for item in items)
    by_name = {item["Name"]: item["Hosting"] for item in items}
    assert by_name["CORP\\W11-001"]["HypervisorConnection"]["Name"] == "Nutanix AHV Paris"
    assert by_name["CORP\\W11-013"]["HostedMachineId"].isupper()
    assert by_name["CORP\\PHYS-01"] | {"HostedMachineName": None} == by_name["CORP\\PHYS-01"]
    assert by_name["CORP\\PHYS-01"]["HypervisorConnection"] is None


def test_machines_page_by_250_unless_told(sandbox_for: Start, citrix_of: CitrixOf) -> None:
    citrix = citrix_of(sandbox_for(large_world(1_100)))
    pages = citrix.pages("/Machines", fields="Id,Name")
    assert [len(page["Items"]) for page in pages] == [250, 250, 250, 250, 100]
    assert len({item["Id"] for page in pages for item in page["Items"]}) == 1_100
    assert [len(page["Items"]) for page in citrix.pages("/Machines", fields="Id", limit=1_000)] == [1_000, 100]


def test_a_continuation_token_must_come_back_unchanged_and_with_the_same_query(citrix: CitrixCaller) -> None:
    token = citrix.get("/Machines", params={"limit": 5, "fields": "Id"}).json()["ContinuationToken"]
    assert {"+", "/", "="} <= set(token)
    same = {"limit": "5", "fields": "Id", "continuationToken": token}
    assert citrix.get("/Machines", params=same).status_code == 200
    assert citrix.get("/Machines", params=same | {"limit": "6"}).status_code == 400
    assert citrix.get("/Machines", params={"continuationToken": token}).status_code == 400
    raw = citrix.session.get(f"{citrix.base}/Machines?limit=5&fields=Id&continuationToken={token}", timeout=20)
    assert raw.status_code == 400


@pytest.mark.parametrize("query", ["limit=1001", "limit=0", "limit=many", "page=2", "async=maybe"])
def test_a_query_outside_of_the_contract_is_refused_with_error_data(citrix: CitrixCaller, query: str) -> None:
    answer = citrix.get(f"/Machines?{query}")
    assert answer.status_code == 400
    assert {"ErrorMessage", "SdkErrorId"} <= set(answer.json())


def test_a_machine_is_found_by_id_and_by_name(citrix: CitrixCaller) -> None:
    machine = next(iter(citrix.site.machines.values()))
    by_id = citrix.get(f"/Machines/{machine.id.upper()}").json()
    assert by_id["VMToolsState"] == "Running"
    assert citrix.get(f"/Machines/{quote('corp|w11-001', safe='')}").json()["Id"] == by_id["Id"]
    assert set(citrix.get(f"/Machines/{machine.id}", params={"fields": "Hosting"}).json()) == {"Id", "Hosting"}
    assert citrix.get(f"/Machines/{uuid.uuid4()}").status_code == 404


def test_a_patch_changes_the_world_and_is_read_back(sandbox: Sandbox, citrix: CitrixCaller) -> None:
    machine = next(iter(citrix.site.machines.values()))
    new = str(uuid.uuid4())
    body = {"HostedMachineId": new, "HypervisorConnection": "nutanix ahv AMSTERDAM"}
    answer = citrix.call("PATCH", f"/Machines/{machine.id}", json=body)
    assert (answer.status_code, answer.content) == (204, b"")
    hosting = citrix.get(f"/Machines/{machine.id}").json()["Hosting"]
    assert (hosting["HostedMachineId"], hosting["HypervisorConnection"]["Name"]) == (new, "Nutanix AHV Amsterdam")
    listed = citrix.get("/Machines", params={"fields": "Hosting"}).json()["Items"]
    assert next(item["Hosting"] for item in listed if item["Id"] == machine.id) == hosting
    assert sandbox.world.writes[machine.id] == 1


@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param({"HypervisorConnection": "No Such Connection"}, 404, id="unknown-connection"),
        pytest.param({"HostedMachineId": None}, 400, id="null"),
        pytest.param({"HostedMachineId": ""}, 400, id="empty"),
        pytest.param({"HostedMachineId": 7}, 400, id="a-number"),
    ],
)
def test_a_bad_patch_is_refused_and_changes_nothing(citrix: CitrixCaller, body: object, status: int) -> None:
    machine = next(iter(citrix.site.machines.values()))
    before = (machine.connection_id, machine.hosted_machine_id)
    answer = citrix.call("PATCH", f"/Machines/{machine.id}", json=body)
    assert (answer.status_code, bool(answer.json()["SdkErrorId"])) == (status, True)
    assert (machine.connection_id, machine.hosted_machine_id) == before


def test_a_patch_of_what_cannot_be_patched_is_refused(citrix: CitrixCaller) -> None:
    pooled = next(machine for machine in citrix.site.machines.values() if machine.provisioning == "MCS")
    body = {"HostedMachineId": str(uuid.uuid4())}
    assert citrix.call("PATCH", f"/Machines/{pooled.id}", json=body).status_code == 400
    assert citrix.call("PATCH", f"/Machines/{uuid.uuid4()}", json=body).status_code == 404
    wrong_type = {"Content-Type": "text/plain"}
    assert citrix.call("PATCH", f"/Machines/{pooled.id}", data="{}", headers=wrong_type).status_code == 415


def test_catalogs_and_groups_come_with_their_folders(citrix: CitrixCaller) -> None:
    catalogs = citrix.get("/MachineCatalogs").json()["Items"]
    assert [(each["FullName"], each["AdminFolder"]["Name"]) for each in catalogs] == [
        ("EMEA\\Persistent W11", "EMEA\\"),
        ("EMEA\\Pooled W11", "EMEA\\"),
    ]
    assert not {"TotalCount", "Scopes", "JobsInProgress"} & set(catalogs[0])
    asked = citrix.get("/MachineCatalogs", params={"fields": "TotalCount,Scopes,JobsInProgress"}).json()["Items"]
    assert sum(each["TotalCount"] for each in asked) == len(citrix.site.machines)
    assert [(each["Scopes"], each["JobsInProgress"]) for each in asked] == [([], [])] * 2
    pages = citrix.pages("/MachineCatalogs", limit=1, fields="FullName")
    assert [set(page["Items"][0]) for page in pages] == [{"Id", "Name", "FullName"}] * 2
    assert citrix.get("/MachineCatalogs", params={"adminFolder": "APAC"}).json()["Items"] == []
    folder = catalogs[0]["AdminFolder"]["Id"]
    for wanted in (folder, "EMEA", "emea|"):
        assert len(citrix.get("/MachineCatalogs", params={"adminFolder": wanted}).json()["Items"]) == 2
    groups = citrix.get("/DeliveryGroups").json()["Items"]
    assert [each["FullName"] for each in groups] == ["EMEA\\W11 Desktops"]


def test_hosting_connections_are_listed_and_found_by_name(citrix: CitrixCaller) -> None:
    listed = citrix.get("/hypervisors").json()["Items"]
    assert [(each["Name"], each["ConnectionType"], each["PluginId"]) for each in listed] == [
        ("Nutanix AHV Paris", "Custom", "AcropolisFactory"),
        ("Nutanix AHV Amsterdam", "Custom", "AcropolisFactory"),
    ]
    name = quote("Nutanix AHV Amsterdam", safe="")
    assert citrix.get(f"/hypervisors/{name}").json()["Id"] == listed[1]["Id"]
    assert citrix.get(f"/hypervisors/{uuid.uuid4()}").status_code == 404


def test_a_reset_is_counted_and_shows_the_power_states_anew(citrix: CitrixCaller, sandbox: Sandbox) -> None:
    machine = next(iter(citrix.site.machines.values()))
    paris = sandbox.world.prisms["paris"].clusters[0]
    paris.vms[str(machine.hosted_machine_id)].power = "off"
    connection = citrix.site.connections[str(machine.connection_id)]
    assert citrix.get(f"/Machines/{machine.id}").json()["PowerState"] == "On"
    assert citrix.call("POST", f"/hypervisors/{connection.id}/$resetConnection").status_code == 204
    assert citrix.get(f"/Machines/{machine.id}").json()["PowerState"] == "Off"
    assert connection.resets == 1
    connection.in_maintenance = True
    assert citrix.call("POST", f"/hypervisors/{connection.id}/$resetConnection").status_code == 409
    assert citrix.call("POST", f"/hypervisors/{uuid.uuid4()}/$resetConnection").status_code == 404


def test_a_path_that_does_not_exist_is_error_data_with_a_transaction_id(citrix: CitrixCaller) -> None:
    answer = citrix.session.get(f"{citrix.base}/NoSuchThing", timeout=20)
    assert (answer.status_code, bool(answer.json()["SdkErrorId"])) == (404, True)
    assert uuid.UUID(answer.headers["Citrix-TransactionId"])


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_who_may_not_read_is_not_told_which_paths_exist(citrix: CitrixCaller, method: str) -> None:
    del citrix.session.headers["Authorization"]
    answer = citrix.session.request(method, f"{citrix.base}/NoSuchThing", timeout=20)
    assert answer.status_code == 401
    assert answer.json()["type"] == "https://errors-api.cloud.com/common/authentication"


def test_machines_are_narrowed_by_session_support_and_none_is_without_a_catalog(citrix: CitrixCaller) -> None:
    pooled = next(each for each in citrix.site.catalogs.values() if each.provisioning == "MCS")
    pooled.session_support = "MultiSession"
    multi = [each.id for each in citrix.site.machines.values() if each.catalog_id == pooled.id]
    listed = citrix.get("/Machines", params={"sessionSupport": "MultiSession", "fields": "SessionSupport"}).json()
    assert [each["Id"] for each in listed["Items"]] == multi != []
    assert {each["SessionSupport"] for each in listed["Items"]} == {"MultiSession"}
    single = citrix.get("/Machines", params={"sessionSupport": "SingleSession", "fields": "Id"}).json()["Items"]
    assert len(single) == len(citrix.site.machines) - len(multi)
    assert citrix.get("/Machines", params={"configured": "false"}).json()["Items"] == []
    assert citrix.get("/Machines", params={"sessionSupport": "Both"}).status_code == 400


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param({"Content-Type": "application/json"}, 400, id="not-a-form"),
        pytest.param({"Content-Type": None}, 400, id="no-type"),
        pytest.param({"Accept": "text/html"}, 406, id="not-json-wanted"),
    ],
)
def test_the_token_service_takes_a_form_and_answers_json(
    sandbox: Sandbox, headers: dict[str, str | None], status: int
) -> None:
    caller = CitrixCaller(sandbox)
    form = f"grant_type=client_credentials&client_id={caller.site.client_id}&client_secret={caller.site.client_secret}"
    url = f"{caller.url}/cctrustoauth2/{caller.site.customer_id}/tokens/clients"
    form_type = {"Content-Type": "application/x-www-form-urlencoded"}
    assert caller.session.post(url, data=form, headers=form_type, timeout=20).status_code == 200
    answer = caller.session.post(url, data=form, headers={**form_type, **headers}, timeout=20)  # type: ignore[dict-item]
    assert (answer.status_code, bool(answer.json()["SdkErrorId"])) == (status, True)


def test_ten_thousand_machines_come_in_ten_pages(sandbox_for: Start, citrix_of: CitrixOf) -> None:
    sandbox = sandbox_for(large_world(10_000))
    citrix = citrix_of(sandbox)
    query = {"limit": 1_000, "fields": "Id,Name,DnsName,ProvisioningType,Hosting,MachineCatalog,DeliveryGroup"}
    url = f"{citrix.base}/Machines"
    body = citrix.session.get(url, params=query, timeout=20).json()
    seen = {item["Id"] for item in body["Items"]}
    while body["ContinuationToken"]:
        again = query | {"continuationToken": body["ContinuationToken"]}
        body = citrix.session.get(url, params=again, timeout=20).json()
        seen |= {item["Id"] for item in body["Items"]}
    assert len(seen) == 10_000
    assert sandbox.calls.count("citrix", "GET", "/Machines") == 10
