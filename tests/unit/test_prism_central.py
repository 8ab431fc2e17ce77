"""``api: central``: whichever Central answers."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from shared.model.nutanix import ReadStatus, RegisteredCluster, VmUuid
from shared.prism.central import Central
from shared.prism.pace import Paces
from tests.unit.answers import Reply, quick
from tests.unit.prism_v4_answers import (
    AMS,
    BASE,
    CREDENTIAL,
    SINCE,
    CentralInMemory,
    uid,
    vm,
)

V3 = "/api/nutanix/v3/{}/list"
V3_CLUSTER = {
    "metadata": {"uuid": AMS},
    "status": {"name": "AMS-CL01", "resources": {"config": {"service_list": ["AOS"], "is_available": True}}},
}
V3_VM = {
    "metadata": {"uuid": uid(1), "categories_mapping": {"AppType": ["Citrix", "W11"], "Site": ["AMS"]}},
    "status": {"name": "W11-0001", "state": "COMPLETE", "cluster_reference": {"uuid": AMS}, "resources": {}},
}


def listed(*entities: dict[str, Any]) -> Reply:
    return Reply({"api_version": "3.1", "metadata": {"total_matches": len(entities)}, "entities": list(entities)})


def old_central(**options: Any) -> CentralInMemory:
    """A Prism Central that serves v3 alone."""
    central = CentralInMemory(minors={}, **options)
    central.override[V3.format("clusters")] = listed(V3_CLUSTER)
    central.override[V3.format("vms")] = listed(V3_VM)
    central.override[V3.format("recovery_plan_jobs")] = listed()
    return central


def client_of(central: CentralInMemory, *narrowed: str) -> Central:
    return Central(central.session, BASE, CREDENTIAL, cluster="amsterdam", prism_clusters=narrowed, paces=Paces())


def test_v4_is_taken_where_it_answers() -> None:
    central = CentralInMemory([vm(1)])
    client = client_of(central)
    assert client.api == "central"
    reading = central.read_by(client)
    assert (reading.status, reading.api, client.api) == (ReadStatus.ANSWERED, "central-v4", "central-v4")
    assert not [path for path in central.paths if "/v3/" in path]


@pytest.mark.parametrize("announces", [True, False])
def test_v3_is_taken_where_no_v4_answers(announces: bool) -> None:
    central = old_central(announces=announces)
    reading = central.read_by(client_of(central))
    assert (reading.status, reading.api) == (ReadStatus.ANSWERED, "central-v3")
    assert reading.registered == (RegisteredCluster(AMS, "AMS-CL01"),)
    assert [found.categories for found in reading.vms] == [("AppType:Citrix", "AppType:W11", "Site:AMS")]


def test_v3_is_taken_where_v4_has_the_clusters_alone() -> None:
    central = old_central()
    central.minors = {"clustermgmt": 0}
    reading = central.read_by(client_of(central))
    assert (reading.status, reading.api, len(reading.vms)) == (ReadStatus.ANSWERED, "central-v3", 1)


def test_what_was_taken_once_is_kept() -> None:
    central = old_central()
    client = client_of(central)
    client.clusters(quick())
    before = len(central.asked)
    client.clusters(quick())
    client.jobs(SINCE, quick())
    assert client.decoupled([VmUuid(uid(1))], quick()) == frozenset()
    assert all("/v3/" in path for path in central.paths[before:])


@pytest.mark.parametrize("path", ["/api/clustermgmt/unversioned/info", "/api/clustermgmt/v4.2/config/clusters"])
@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (Reply(status=401), ReadStatus.REFUSED),
        (requests.exceptions.ConnectTimeout(), ReadStatus.UNREACHABLE),
        (requests.exceptions.ReadTimeout(), ReadStatus.UNREACHABLE),
    ],
    ids=["refused", "down", "silent"],
)
def test_a_refused_credential_and_a_dead_host_are_not_tried_by_v3(
    path: str, answer: Reply | Exception, status: ReadStatus
) -> None:
    central = CentralInMemory([vm(1)])
    central.override[V3.format("clusters")] = listed(V3_CLUSTER)
    central.override[path] = answer
    reading = central.read_by(client_of(central))
    assert (reading.status, reading.api) == (status, "central")
    assert not [path for path in central.paths if "/v3/" in path]


def test_a_credential_that_v3_refuses_is_tried_there_once() -> None:
    central = old_central()
    central.override[V3.format("clusters")] = Reply(status=401)
    assert central.read_by(client_of(central)).status is ReadStatus.REFUSED
    assert len([path for path in central.paths if "/v3/" in path]) == 1


def test_an_error_of_v4_is_not_hidden_by_v3() -> None:
    central = CentralInMemory([vm(1)])
    central.override["/api/vmm/v4.2/ahv/config/vms"] = Reply(status=500)
    reading = central.read_by(client_of(central))
    assert (reading.status, reading.api) == (ReadStatus.FAILED, "central-v4")
    assert not [path for path in central.paths if "/v3/" in path]


def test_an_element_is_no_central() -> None:
    central = CentralInMemory(minors={})
    central.override["/PrismGateway/services/rest/v2.0/cluster"] = Reply({"uuid": AMS})
    reading = central.read_by(client_of(central))
    assert reading.status is ReadStatus.MISCONFIGURED
    assert "set api to element-v2" in str(reading.error)


@pytest.mark.parametrize("minors", [{}, {"vmm": 2, "clustermgmt": 2, "dataprotection": 2}], ids=["v3", "v4"])
def test_a_wrong_name_in_prism_clusters_lists_the_names_there_are_by_either_api(minors: dict[str, int]) -> None:
    central = old_central()
    central.minors = minors
    reading = central.read_by(client_of(central, "AMS-CL99"))
    assert reading.status is ReadStatus.MISCONFIGURED
    assert "has no registered cluster AMS-CL99. Correct prismClusters in the profile" in str(reading.error)
    assert "registered there: AMS-CL01." in str(reading.error)
