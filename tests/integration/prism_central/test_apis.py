"""The simulated Prism Central v4 answers as its contract says, right requests and wrong ones; and v3 beside it."""

from __future__ import annotations

import pytest
import requests

from tests.integration.callers import V3, PrismCaller
from tests.integration.prism_central.central import (
    CATEGORIES,
    CLUSTERS,
    GONE,
    VMS,
    app_message,
    listed,
    vms_of,
)

NAMESPACES = ("vmm", "clustermgmt", "prism", "dataprotection", "datapolicies")


def versions(central: PrismCaller, namespace: str) -> requests.Response:
    return central.options(f"/api/{namespace}/unversioned/info")


def test_each_namespace_announces_its_own_highest_minor(central: PrismCaller) -> None:
    central.prism.minors = {"vmm": 2, "clustermgmt": 3, "prism": 4}
    answers = {name: versions(central, name) for name in NAMESPACES}
    assert {name: answer.json()["data"] for name, answer in answers.items() if answer.status_code == 200} == {
        "vmm": "v4.2",
        "clustermgmt": "v4.3",
        "prism": "v4.4",
    }
    assert {answers[name].status_code for name in ("dataprotection", "datapolicies")} == {404}


def test_a_central_that_announces_nothing_serves_its_versions_all_the_same(central: PrismCaller) -> None:
    central.prism.announces = False
    assert versions(central, "vmm").status_code == 404
    assert central.get(VMS, params={"$limit": 1}).status_code == 200


@pytest.mark.parametrize(
    ("path", "highest", "served"),
    [
        pytest.param("/api/vmm/{}/ahv/config/vms", 2, [0, 1, 2], id="vms"),
        pytest.param("/api/vmm/{}/ahv/config/vms", 0, [0], id="vms-of-an-old-one"),
        pytest.param("/api/clustermgmt/{}/config/clusters", 1, [0, 1], id="clusters"),
        pytest.param("/api/prism/{}/config/categories", 3, [0, 1, 2, 3], id="categories"),
        pytest.param("/api/dataprotection/{}/config/recovery-plan-jobs", 3, [2, 3], id="jobs-came-with-4.2"),
        pytest.param("/api/datapolicies/{}/config/recovery-plans", 1, [], id="no-plans-before-4.2"),
        pytest.param("/api/vmm/{}/ahv/config/vms", None, [], id="no-v4-at-all"),
    ],
)
def test_minors_up_to_the_announced_one_are_served(
    central: PrismCaller, path: str, highest: int | None, served: list[int]
) -> None:
    central.prism.minors = {} if highest is None else dict.fromkeys(NAMESPACES, highest)
    answers = {minor: central.get(path.format(f"v4.{minor}")) for minor in range(5)}
    assert [minor for minor, answer in answers.items() if answer.status_code == 200] == served
    assert {answer.status_code for minor, answer in answers.items() if minor not in served} == {404}
    assert versions(central, path.split("/")[2]).status_code == (404 if highest is None else 200)


def test_a_missing_version_and_a_vm_that_is_gone_are_told_apart_by_their_bodies(central: PrismCaller) -> None:
    version, gone = central.get(VMS.replace("v4.2", "v4.9")), central.get(f"{VMS}/{GONE}")
    assert (version.status_code, gone.status_code) == (404, 404)
    assert "errorGroup" not in version.text
    message = app_message(gone)
    assert (message["code"], message["errorGroup"]) == ("VMM-30100", "VM_NOT_FOUND")
    assert message["argumentsMap"] == {"vm_uuid": GONE}


def test_a_beta_version_is_no_version(central: PrismCaller) -> None:
    assert central.session.get(f"{central.url}{VMS.replace('v4.2', 'v4.0.b1')}", timeout=20).status_code == 404


@pytest.mark.parametrize(
    ("minors", "product"),
    [
        ({}, "pc.2024.1"),
        ({"vmm": 0}, "pc.2024.3.1.1"),
        ({"vmm": 1}, "pc.7.3.1"),
        ({"vmm": 2}, "pc.7.5"),
        ({"vmm": 3}, "pc.7.6"),
    ],
)
def test_every_answer_tells_the_product(central: PrismCaller, minors: dict[str, int], product: str) -> None:
    central.prism.minors = minors
    for answer in (central.get(f"{V3}/users/me"), central.get(VMS, params={"$limit": 1})):
        assert (answer.headers["X-Ntnx-Env"], answer.headers["X-Ntnx-Product"]) == ("pc", product)


def test_errors_have_the_shape_of_the_api_that_was_called(central: PrismCaller) -> None:
    old = central.get(f"{V3}/vms/{GONE}")
    assert (old.status_code, old.json()["state"]) == (404, "ERROR")
    assert set(central.get(f"{VMS}/{GONE}").json()) == {"$dataItemDiscriminator", "data"}
    unknown = central.session.get(f"{central.url}/api/vmm/v4.2/ahv/config/images", timeout=20)
    assert (unknown.status_code, set(unknown.json())) == (404, {"$dataItemDiscriminator", "data"})


def test_a_central_without_v3_answers_404_there(central: PrismCaller) -> None:
    central.prism.serves_v3 = False
    url = f"{central.url}{V3}/vms/list"
    assert central.session.post(url, json={"kind": "vm"}, timeout=20).status_code == 404
    assert central.get(VMS).status_code == 200


def test_a_session_that_v4_opened_holds_for_v3_and_the_other_way_round(central: PrismCaller) -> None:
    central.get(VMS, params={"$limit": 1})
    assert {cookie.name for cookie in central.session.cookies} >= {"NTNX_IAM_SESSION", "NTNX_MERCURY_IAM_SESSION"}
    central.session.auth = None
    assert central.get(f"{V3}/users/me").status_code == 200
    assert central.get(CLUSTERS).status_code == 200


def test_v4_takes_an_api_key_and_refuses_others_with_the_status_alone(central: PrismCaller) -> None:
    central.prism.api_key = "key-of-a-service-account"
    central.session.auth = None
    refused = central.session.get(central.url + VMS, timeout=20)
    assert (refused.status_code, refused.content) == (401, b"")
    assert refused.headers["X-Ratelimit-Limit"]
    central.session.headers["X-Ntnx-Api-Key"] = "key-of-a-service-account"
    assert central.get(VMS).status_code == 200


def test_the_cluster_list_has_the_central_itself_and_says_who_is_available(central: PrismCaller) -> None:
    found = {each["name"]: each for each in listed(central, CLUSTERS)}
    assert {name: each["config"]["isAvailable"] for name, each in found.items()} == {
        "PAR-CL01": False,
        "AMS-CL01": True,
        "central": True,
    }
    own = found["central"]
    assert (own["config"]["clusterFunction"], own["config"]["hypervisorTypes"]) == (["PRISM_CENTRAL"], ["$UNKNOWN"])
    assert "ipv4" not in own["network"]["externalAddress"]
    assert found["AMS-CL01"]["vmCount"] > len(vms_of(central))
    one = central.get(f"{CLUSTERS}/{found['AMS-CL01']['extId']}")
    assert (one.json()["data"]["name"], "ETag" in one.headers) == ("AMS-CL01", True)
    assert central.get(f"{CLUSTERS}/{GONE}").status_code == 404


@pytest.mark.parametrize(
    ("text", "names"),
    [
        pytest.param(
            "config/clusterFunction/any(t:t eq Clustermgmt.Config.ClusterFunctionRef'AOS')",
            ["AMS-CL01", "PAR-CL01"],
            id="function",
        ),
        pytest.param("config/isAvailable eq false", ["PAR-CL01"], id="available"),
        pytest.param("name eq 'AMS-CL01'", ["AMS-CL01"], id="name"),
    ],
)
def test_clusters_are_filtered_and_sorted(central: PrismCaller, text: str, names: list[str]) -> None:
    found = listed(central, CLUSTERS, **{"$filter": text, "$orderby": "name asc", "$select": "name"})
    assert [each["name"] for each in found] == names
    assert not any("config" in each for each in found)


@pytest.mark.parametrize(
    "query",
    [
        pytest.param("$select=name,config", id="configuration-is-not-selectable"),
        pytest.param("$select=extId", id="nor-the-identifier"),
        pytest.param("$filter=config/clusterFunction eq 'AOS'", id="a-list-is-not-compared"),
        pytest.param("$filter=config/clusterFunction/any(t:t eq 'AOS')", id="an-enum-without-its-type"),
        pytest.param("$orderby=vmCount", id="another-order"),
        pytest.param("$expand=nodes", id="another-expansion"),
    ],
)
def test_clusters_take_almost_no_options(central: PrismCaller, query: str) -> None:
    assert central.get(f"{CLUSTERS}?{query}").status_code == 400


def test_categories_are_paged_and_found_by_key_and_value(central: PrismCaller) -> None:
    vms_of(central)[0].categories = {"Floor": "3"}
    first = central.get(CATEGORIES).json()
    assert len(first["data"]) == 50 < first["metadata"]["totalAvailableResults"]
    everything = listed(central, CATEGORIES)
    assert {"SYSTEM", "USER"} == {each["type"] for each in everything}
    (floor,) = listed(central, CATEGORIES, **{"$filter": "key eq 'Floor' and value eq '3'"})
    (carried,) = central.get(f"{VMS}/{vms_of(central)[0].uuid}").json()["data"]["categories"]
    assert carried["extId"] == floor["extId"]
    assert listed(central, CATEGORIES, **{"$filter": f"extId eq '{floor['extId']}'"}) == [floor]
    down = listed(central, CATEGORIES, **{"$orderby": "value desc", "$select": "value"})
    assert [each["value"] for each in down] == sorted((each["value"] for each in everything), reverse=True)
    assert central.get(CATEGORIES, params={"$orderby": "type"}).status_code == 400
