"""The simulated Prisms answer as their contract says, right requests and wrong ones."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import requests

from sandbox.contract import SAMPLE_EVERY, sample
from sandbox.entity_cache import EntityCache
from sandbox.large_world import large_world
from sandbox.sandbox import Sandbox
from sandbox.world import DomainEntry, SimDomain, SimVm
from tests.integration.callers import V2, V3, PrismCaller

Start = Callable[..., Sandbox]
PrismOf = Callable[[Sandbox, str], PrismCaller]


@pytest.fixture
def element(sandbox_for: Start, prism_of: PrismOf) -> PrismCaller:
    return prism_of(sandbox_for("activation-stale-copies-off"), "amsterdam")


@pytest.fixture
def central(sandbox_for: Start, prism_of: PrismOf) -> PrismCaller:
    return prism_of(sandbox_for("central-v3"), "central")


def test_element_names_its_own_cluster(element: PrismCaller) -> None:
    cluster = element.get(f"{V2}/cluster").json()
    assert (cluster["uuid"], cluster["name"]) == (element.prism.clusters[0].uuid, "AMS-CL01")
    assert cluster["id"].startswith(f"{cluster['uuid']}::")


def test_element_lists_every_vm_without_a_length_and_nics_only_when_asked(element: PrismCaller) -> None:
    bare = element.get(f"{V2}/vms").json()
    full = element.get(f"{V2}/vms", params={"include_vm_nic_config": "true"}).json()
    total = len(element.prism.clusters[0].vms)
    assert len(bare["entities"]) == len(full["entities"]) == bare["metadata"]["grand_total_entities"] == total
    assert all("vm_nics" not in vm for vm in bare["entities"])
    assert all(vm["vm_nics"][0]["mac_address"].startswith("50:6b:8d:") for vm in full["entities"])
    assert len(bare["entities"][0]) == 16


def test_element_pages_by_offset_and_length(element: PrismCaller) -> None:
    whole = [vm["uuid"] for vm in element.get(f"{V2}/vms").json()["entities"]]
    paged: list[str] = []
    while len(paged) < len(whole):
        body = element.get(f"{V2}/vms", params={"offset": len(paged), "length": 4}).json()
        paged += [vm["uuid"] for vm in body["entities"]]
    assert paged == whole
    assert element.get(f"{V2}/vms", params={"offset": 999, "length": 4}).json()["entities"] == []


def test_element_shows_a_change_of_the_world_at_once(element: PrismCaller) -> None:
    uuid, vm = next(iter(element.prism.clusters[0].vms.items()))
    assert element.get(f"{V2}/vms/{uuid}").json()["power_state"] == "on"
    vm.power = "off"
    assert element.get(f"{V2}/vms/{uuid.upper()}").json()["power_state"] == "off"
    listed = {each["uuid"]: each for each in element.get(f"{V2}/vms").json()["entities"]}
    assert (listed[uuid]["power_state"], listed[uuid]["host_uuid"]) == ("off", None)


def test_element_shows_protection_domains_and_the_old_uuids_in_their_snapshots(element: PrismCaller) -> None:
    domains = element.get(f"{V2}/protection_domains/").json()["entities"]
    assert [(each["name"], each["active"], len(each["vms"])) for each in domains] == [("PD-VDI", True, 10)]
    assert element.get(f"{V2}/protection_domains/", params={"names": "PD-OTHER"}).json()["entities"] == []
    assert element.get(f"{V2}/protection_domains/PD-VDI").json()["name"] == "PD-VDI"
    snapshots = element.get(f"{V2}/protection_domains/PD-VDI/dr_snapshots").json()["entities"]
    old = {(entry["vm_id"], entry["vm_name"]) for snapshot in snapshots for entry in snapshot["vms"]}
    live = {vm["vm_id"] for vm in domains[0]["vms"]}
    assert len(snapshots) == 2
    assert len(old) == 10
    assert not live & {uuid for uuid, _ in old}


def test_element_refuses_a_wrong_password_without_json(element: PrismCaller) -> None:
    element.session.auth = (element.prism.username, "wrong")
    answer = element.session.get(f"{element.url}{V2}/vms", timeout=20)
    assert answer.status_code == 401
    assert "html" in answer.headers["Content-Type"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        pytest.param(f"{V2}/vms/00000000-0000-0000-0000-000000000000", 404, id="a-vm-that-is-gone"),
        pytest.param(f"{V2}/protection_domains/NONE", 404, id="a-domain-that-is-not-there"),
        pytest.param(f"{V2}/protection_domains/NONE/dr_snapshots", 404, id="snapshots-of-no-domain"),
        pytest.param(f"{V2}/vms?length=0", 400, id="a-length-of-nothing"),
        pytest.param(f"{V2}/vms?page=2", 400, id="a-parameter-that-the-contract-does-not-know"),
    ],
)
def test_element_answers_errors_in_its_own_shape(element: PrismCaller, path: str, status: int) -> None:
    answer = element.get(path)
    assert answer.status_code == status
    assert set(answer.json()) == {"message", "detailed_message", "error_code"}


def test_element_has_no_api_key(element: PrismCaller) -> None:
    element.prism.api_key = "key"
    element.session.auth = None
    answer = element.session.get(f"{element.url}{V2}/cluster", headers={"X-Ntnx-Api-Key": "key"}, timeout=20)
    assert answer.status_code == 401


def test_central_lists_the_clusters_with_their_availability_and_itself(central: PrismCaller) -> None:
    body = central.post(f"{V3}/clusters/list", {"kind": "cluster", "length": 500}).json()
    seen = {
        each["status"]["name"]: (
            each["status"]["resources"]["config"]["service_list"],
            each["status"]["resources"]["config"]["is_available"],
        )
        for each in body["entities"]
    }
    assert seen == {
        "PAR-CL01": (["AOS"], False),
        "AMS-CL01": (["AOS"], True),
        "central": (["PRISM_CENTRAL"], True),
    }
    uuid = central.prism.clusters[1].uuid
    assert central.get(f"{V3}/clusters/{uuid}").json()["status"]["name"] == "AMS-CL01"
    assert central.get(f"{V3}/clusters/{uuid[:-4]}0000").status_code == 404


def test_central_pages_by_twenty_unless_told_and_ends_with_an_empty_page(central: PrismCaller) -> None:
    first = central.post(f"{V3}/vms/list", {"kind": "vm"}).json()
    total = first["metadata"]["total_matches"]
    assert len(first["entities"]) == first["metadata"]["length"] == 20
    assert total == sum(len(cluster.vms) for cluster in central.prism.clusters) > 40
    seen = [each["metadata"]["uuid"] for each in first["entities"]]
    while page := central.post(f"{V3}/vms/list", {"kind": "vm", "offset": len(seen)}).json()["entities"]:
        seen += [each["metadata"]["uuid"] for each in page]
    assert len(seen) == total
    assert central.post(f"{V3}/vms/list", {"kind": "vm", "offset": total + 50}).json()["entities"] == []


def test_central_cuts_a_page_to_500_instead_of_refusing_it(central: PrismCaller) -> None:
    cluster = central.prism.clusters[1]
    for number in range(600):
        cluster.add(SimVm(f"00000000-0000-0000-0000-{number:012d}", f"BULK-{number:03d}"))
    answer = central.session.post(f"{central.url}{V3}/vms/list", json={"kind": "vm", "length": 1_000}, timeout=20)
    assert answer.status_code == 200
    assert len(answer.json()["entities"]) == 500


def test_central_sorts_by_name_and_filters_by_whole_name(central: PrismCaller) -> None:
    body = {"kind": "vm", "length": 500, "sort_attribute": "name", "sort_order": "ASCENDING"}
    names = [each["status"]["name"] for each in central.post(f"{V3}/vms/list", body).json()["entities"]]
    assert names == sorted(names)
    one = central.post(f"{V3}/vms/list", {"kind": "vm", "filter": "vm_name==W11-001"}).json()
    assert [each["status"]["name"] for each in one["entities"]] == ["W11-001", "W11-001"]
    assert one["metadata"]["total_matches"] == 2


def test_central_shows_a_vm_with_status_spec_and_bios_uuid(central: PrismCaller) -> None:
    vm = next(vm for vm in central.prism.clusters[1].vms.values() if vm.bios_uuid)
    answer = central.get(f"{V3}/vms/{vm.uuid}")
    entity = answer.json()
    resources = entity["status"]["resources"]
    assert entity["metadata"]["uuid"] == vm.uuid
    assert (resources["bios_uuid"], resources["power_state"]) == (vm.bios_uuid, "ON")
    assert entity["status"]["cluster_reference"]["uuid"] == central.prism.clusters[1].uuid
    assert entity["spec"]["name"] == vm.name
    assert 3_000 < len(answer.content) < 6_000
    assert central.get(f"{V3}/vms/00000000-0000-0000-0000-000000000000").json()["state"] == "ERROR"


def test_central_opens_a_session_on_basic_and_takes_its_cookies_alone(central: PrismCaller) -> None:
    answer = central.get(f"{V3}/users/me")
    assert answer.headers["X-Ntnx-Env"] == "pc"
    assert {cookie.name for cookie in central.session.cookies} >= {"NTNX_IAM_SESSION", "NTNX_MERCURY_IAM_SESSION"}
    central.session.auth = None
    assert central.get(f"{V3}/users/me").status_code == 200
    central.session.cookies.clear()
    assert central.get(f"{V3}/users/me").json()["message_list"][0]["reason"] == "AUTHENTICATION_REQUIRED"


def test_central_takes_an_api_key(central: PrismCaller) -> None:
    central.prism.api_key = "key-of-a-service-account"
    central.session.auth = None
    central.session.headers["X-Ntnx-Api-Key"] = "key-of-a-service-account"
    assert central.get(f"{V3}/users/me").status_code == 200
    central.session.headers["X-Ntnx-Api-Key"] = ""
    assert central.get(f"{V3}/users/me").status_code == 401


def test_central_refuses_a_body_that_does_not_validate(central: PrismCaller) -> None:
    answer = central.post(f"{V3}/vms/list", {"kind": "vm", "length": 0})
    assert (answer.status_code, answer.json()["message_list"][0]["reason"]) == (422, "INVALID_REQUEST")


def test_an_unnamed_pending_vm_has_little_more_than_its_state(central: PrismCaller) -> None:
    uuid = "10000000-0000-0000-0000-000000000001"
    central.prism.clusters[1].add(SimVm(uuid, "", state="PENDING"))
    assert set(central.get(f"{V3}/vms/{uuid}").json()["status"]) == {"state", "execution_context"}


def test_a_dead_prism_refuses_connections_and_an_untrusted_authority_is_no_way_in(
    sandbox_for: Start, prism_of: PrismOf
) -> None:
    sandbox = sandbox_for("activation-old-cluster-dead", relay="tcp")
    with pytest.raises(requests.ConnectionError):
        prism_of(sandbox, "paris").get(f"{V2}/cluster")
    alive = prism_of(sandbox, "amsterdam")
    assert alive.get(f"{V2}/cluster").status_code == 200
    stranger = requests.Session()
    stranger.trust_env = False
    with pytest.raises(requests.exceptions.SSLError):
        stranger.get(f"{alive.url}{V2}/cluster", verify=str(sandbox.ca_file), timeout=20)


def test_ten_thousand_vms_come_in_one_answer_of_which_a_sample_is_judged(sandbox_for: Start, prism_of: PrismOf) -> None:
    element = prism_of(sandbox_for(large_world(9_000, vms=20_000)), "paris")
    whole = element.session.get(f"{element.url}{V2}/vms", timeout=20).json()["entities"]
    assert len(whole) > 9_000
    assert len(sample(whole)) <= len(whole) // SAMPLE_EVERY + 2
    assert (sample(whole)[0], sample(whole)[-1]) == (whole[0], whole[-1])


def test_an_entity_is_built_once_until_it_changes() -> None:
    built: list[int] = []
    cache = EntityCache()

    def text(number: int, state: str) -> bytes:
        return cache.text(number, state, lambda: built.append(number) or {"number": number})

    first = [text(number, "on") for number in range(100)]
    assert [text(number, "on") for number in range(100)] == first
    assert built == list(range(100))
    text(7, "off")
    assert built[100:] == [7]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        pytest.param("vm_name==W11-001", ["W11-001"], id="equal"),
        pytest.param("vm_name==w11-001", [], id="case-counts"),
        pytest.param("vm_name==W11-001,vm_name==W11-002", ["W11-001", "W11-002"], id="or"),
        pytest.param("vm_name==W11-001;power_state==off", [], id="and"),
        pytest.param("vm_name==W11-001;power_state==off,vm_name==W11-002", ["W11-002"], id="and-binds-tighter"),
        pytest.param("vm_name==W11-001;vm_name!=W11-001", [], id="not-equal"),
    ],
)
def test_element_filters_vms_and_goes_on_counting_all(element: PrismCaller, text: str, names: list[str]) -> None:
    body = element.get(f"{V2}/vms", params={"filter": text}).json()
    assert sorted(vm["name"] for vm in body["entities"]) == names
    assert body["metadata"]["total_entities"] == len(names)
    assert body["metadata"]["grand_total_entities"] == len(element.prism.clusters[0].vms)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("uuid==1", "Unrecognized field", id="no-such-field"),
        pytest.param("vm_name=W11-001", "General error parsing FIQL expression", id="no-operator"),
        pytest.param("vm_name==W11-001;", "General error parsing FIQL expression", id="a-half"),
        pytest.param("vm_name==(a)", "General error parsing FIQL expression", id="parentheses"),
        pytest.param("", "General error parsing FIQL expression", id="nothing"),
    ],
)
@pytest.mark.parametrize("scenario", ["activation-stale-copies-off", "central-v3"])
def test_a_filter_that_makes_no_sense_is_refused_in_prisms_words(
    sandbox_for: Start, prism_of: PrismOf, scenario: str, text: str, says: str
) -> None:
    if scenario == "central-v3":
        answer = prism_of(sandbox_for(scenario), "central").post(f"{V3}/vms/list", {"kind": "vm", "filter": text})
        assert (answer.status_code, says in answer.json()["message_list"][0]["message"]) == (422, True)
    else:
        answer = prism_of(sandbox_for(scenario), "amsterdam").get(f"{V2}/vms", params={"filter": text})
        assert (answer.status_code, says in answer.json()["message"]) == (400, True)


def test_element_adds_disks_when_asked(element: PrismCaller) -> None:
    uuid = next(iter(element.prism.clusters[0].vms))
    assert "vm_disk_info" not in element.get(f"{V2}/vms/{uuid}").json()
    for path in (f"{V2}/vms", f"{V2}/vms/{uuid}"):
        body = element.get(path, params={"include_vm_disk_config": "true"}).json()
        vm = body["entities"][0] if "entities" in body else body
        assert len(vm["vm_disk_info"]) == 1
        assert "vm_nics" not in vm


@pytest.mark.parametrize(
    ("path", "body"),
    [
        pytest.param("vms/list", {"kind": "cluster"}, id="another-kind"),
        pytest.param("clusters/list", {"kind": "vm"}, id="another-kind-of-clusters"),
        pytest.param("clusters/list", {"kind": "cluster", "filter": "name==PAR-CL01"}, id="clusters-have-no-filter"),
        pytest.param("vms/list", {"kind": "vm", "filter": "power_state==ON"}, id="a-field-that-is-not-filtered"),
        pytest.param("vms/list", {"kind": "vm", "sort_attribute": "uuid"}, id="a-field-that-is-not-sorted"),
        pytest.param("vms/list", {"kind": "vm", "sort_order": "UP"}, id="no-such-order"),
    ],
)
def test_central_refuses_what_it_would_otherwise_ignore(
    central: PrismCaller, path: str, body: dict[str, object]
) -> None:
    answer = central.post(f"{V3}/{path}", body)
    assert (answer.status_code, answer.json()["message_list"][0]["reason"]) == (422, "INVALID_REQUEST")


def test_central_lists_without_a_kind_and_sorts_clusters(central: PrismCaller) -> None:
    assert len(central.post(f"{V3}/vms/list", {}).json()["entities"]) == 20
    body = {"kind": "cluster", "sort_attribute": "name", "sort_order": "DESCENDING"}
    names = [each["status"]["name"] for each in central.post(f"{V3}/clusters/list", body).json()["entities"]]
    assert names == ["central", "PAR-CL01", "AMS-CL01"]


def test_central_takes_json_alone(central: PrismCaller) -> None:
    url = f"{central.url}{V3}/vms/list"
    answer = central.session.post(url, data='{"kind": "vm"}', headers={"Content-Type": "text/plain"}, timeout=20)
    assert (answer.status_code, answer.json()["state"]) == (415, "ERROR")
    assert answer.headers["X-Ntnx-Product"].startswith("pc.")


def test_central_tells_what_a_protection_domain_protects(central: PrismCaller) -> None:
    cluster = central.prism.clusters[1]
    inside, outside = list(cluster.vms.values())[:2]
    before = central.get(f"{V3}/vms/{inside.uuid}").json()["status"]["resources"]["protection_type"]
    cluster.domains["PD"] = SimDomain("PD", True, [DomainEntry(inside.uuid, inside.name)])
    listed = central.post(f"{V3}/vms/list", {"kind": "vm", "length": 500}).json()["entities"]
    kinds = {each["metadata"]["uuid"]: each["status"]["resources"]["protection_type"] for each in listed}
    assert (before, kinds[inside.uuid], kinds[outside.uuid]) == ("UNPROTECTED", "PD_PROTECTED", "UNPROTECTED")


@pytest.mark.parametrize(
    ("scenario", "prism", "path"),
    [
        pytest.param("activation-stale-copies-off", "amsterdam", f"{V2}/no/such", id="element-v2"),
        pytest.param("central-v3", "central", f"{V3}/no/such", id="central-v3"),
    ],
)
def test_a_path_that_prism_does_not_have_needs_credentials_first(
    sandbox_for: Start, prism_of: PrismOf, scenario: str, prism: str, path: str
) -> None:
    caller = prism_of(sandbox_for(scenario), prism)
    known = caller.session.get(caller.url + path, timeout=20)
    assert (known.status_code, "does not exist" in known.text) == (404, True)
    assert ("X-Ntnx-Env" in known.headers) is (prism == "central")
    caller.session.auth = None
    caller.session.cookies.clear()
    assert caller.session.get(caller.url + path, timeout=20).status_code == 401
