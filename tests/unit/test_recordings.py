"""The parsers against what real Prism Centrals answered."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from shared.model.nutanix import PowerState, ReadStatus, RegisteredCluster
from shared.prism.central_v3 import CentralV3, cluster_from_v3, vm_from_v3
from shared.prism.reading import read_cluster
from shared.prism.sign_in import PrismCredential
from tests.unit.answers import Reply, answering, body_of, quick

SINCE = datetime(2025, 11, 20, tzinfo=UTC)
FOLDER = Path(__file__).parents[2].parent / "shared" / "recordings" / "prism-central-v3"


@pytest.fixture(autouse=True)
def _recordings_are_there() -> None:
    if FOLDER.is_dir():
        return
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail("the recordings are missing, and in CI they have to be read")
    pytest.skip("the recordings are not beside this repository")


def recorded(name: str) -> Any:
    return json.loads((FOLDER / name).read_text(encoding="utf-8"))["response"]["body"]


def test_the_recorded_list_of_vms() -> None:
    body = recorded("vms-list.json")
    (entity,) = body["entities"]
    vm = vm_from_v3(entity, cluster="ams")
    assert (vm.uuid, vm.name, vm.power) == ("bdbbad7a-a401-4f9a-a789-2b8406905b56", "test-vm", PowerState.OFF)
    assert vm.cluster_uuid == "00061f7f-44f7-19dc-3be1-7cc25586ee44"
    assert vm.bios_uuid == vm.uuid
    assert vm.created == datetime(2025, 6, 7, 18, 23, 52, tzinfo=UTC)
    assert (vm.addresses, vm.macs) == (("10.23.129.96",), ("50:6b:8d:24:19:54",))
    assert not vm.agent
    assert not vm.in_flux


@pytest.mark.parametrize("name", ["vm-get.json", "vm-get-before-update.json"])
def test_a_recorded_vm_reads_the_same_alone_as_in_a_list(name: str) -> None:
    vm = vm_from_v3(recorded(name), cluster="ams")
    assert vm.name
    assert not vm.in_flux
    listed = vm_from_v3(recorded("vms-list.json")["entities"][0], cluster="ams")
    assert name != "vm-get.json" or vm == listed


@pytest.mark.parametrize("name", ["vm-create.json", "vm-update.json"])
def test_a_recorded_vm_that_is_still_pending_is_in_flux(name: str) -> None:
    vm = vm_from_v3(recorded(name), cluster="ams")
    assert vm.in_flux
    assert vm.created is None or vm.created.year > 2000


def test_the_recorded_clusters_leave_prism_central_out() -> None:
    found = [cluster_from_v3(entity) for entity in recorded("clusters-list.json")["entities"]]
    assert [cluster for cluster in found if cluster] == [
        RegisteredCluster("0005b0f1-8f43-a0f2-02b7-3cecef193712", "ganon", available=True)
    ]
    assert len(found) == 2


def test_a_recorded_cluster_reads_alone() -> None:
    cluster = cluster_from_v3(recorded("cluster-get.json"))
    assert cluster is not None
    assert cluster.available


def test_a_read_of_the_recorded_central_is_incomplete_because_its_list_of_clusters_was_shortened() -> None:
    bodies = {
        "clusters": recorded("clusters-list.json"),
        "vms": recorded("vms-list.json"),
        "recovery_plan_jobs": {"metadata": {"total_matches": 0}, "entities": []},
    }

    def central(request: Any) -> Reply:
        body = bodies[request.path_url.split("/")[-2]]
        return Reply(body if body_of(request)["offset"] == 0 else {**body, "entities": []})

    session, _ = answering(central)
    client = CentralV3(session, "https://pc:9440", PrismCredential("s", username="u", password="p"), cluster="ams")
    reading = read_cluster(client, name="ams", hosting_connection="c", since=SINCE, limits=quick())
    assert reading.status is ReadStatus.INCOMPLETE
    assert "2 of 5 clusters" in str(reading.error)
    assert [vm.name for vm in reading.vms] == ["test-vm"]
