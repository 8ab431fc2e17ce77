"""Prism Central v3 against answers of the contract's shape."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
import requests

from shared.errors import PrismError
from shared.model.nutanix import ClusterReading, PowerState, ReadStatus, RegisteredCluster
from shared.prism.central_v3 import CentralV3, vm_from_v3
from shared.prism.reading import read_cluster
from shared.prism.sign_in import PrismCredential
from tests.unit.answers import Reply, answering, body_of, quick

BASE = "https://pc-ams.corp.example:9440"
CREDENTIAL = PrismCredential("prism-ams", username="svc", password="s3cret")
AMS = "00061f7f-44f7-19dc-3be1-7cc25586ee44"
ROT = "0005b0f1-8f43-a0f2-02b7-3cecef193712"
SINCE = datetime(2025, 11, 20, tzinfo=UTC)


def uid(number: int) -> str:
    return f"00000000-0000-0000-0000-{number:012x}"


def cluster(uuid: str, name: str, service: str = "AOS", **config: Any) -> dict[str, Any]:
    return {
        "metadata": {"uuid": uuid, "kind": "cluster"},
        "status": {
            "name": name,
            "resources": {"config": {"service_list": [service], "is_available": True, **config}},
        },
        "spec": {"name": "never read"},
    }


def vm(number: int, *, on: str | None = AMS, state: str = "COMPLETE", **resources: Any) -> dict[str, Any]:
    return {
        "metadata": {"uuid": uid(number), "kind": "vm", "creation_time": "2025-06-07T18:23:52Z"},
        "status": {
            "name": f"W11-{number:04}",
            "state": state,
            "cluster_reference": on and {"kind": "cluster", "uuid": on, "name": ""},
            "resources": {
                "power_state": "ON",
                "hypervisor_type": "AHV",
                "is_agent_vm": False,
                "bios_uuid": uid(number),
                "nic_list": [{"mac_address": "50:6B:8D:24:19:54", "ip_endpoint_list": [{"ip": "10.23.129.96"}]}],
                **resources,
            },
        },
        "spec": {"name": "desired", "resources": {"power_state": "OFF"}},
    }


class Central:
    """A Prism Central in memory: 500 entities a page at most, however many are asked for."""

    def __init__(self, vms: list[dict[str, Any]], clusters: list[dict[str, Any]] | None = None) -> None:
        self.vms = vms
        self.clusters = clusters if clusters is not None else [cluster(AMS, "AMS-CL01"), PRISM_CENTRAL]
        self.totals: dict[str, int] = {}
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.override: dict[str, Reply | Exception] = {}
        self.session, self.answers = answering(self)

    def __call__(self, request: requests.PreparedRequest) -> Reply | Exception:
        what, asked = request.path_url.split("/")[-2], body_of(request)
        assert request.method == "POST"
        if what == "recovery_plan_jobs":
            return Reply({"api_version": "3.1", "metadata": {"total_matches": 0}, "entities": []})
        self.asked.append((what, asked))
        if what in self.override:
            return self.override[what]
        entities = {"vms": self.vms, "clusters": self.clusters}[what]
        page = entities[asked["offset"] : asked["offset"] + min(asked["length"], 500)]
        total = self.totals.get(what, len(entities))
        return Reply(
            {"api_version": "3.1", "metadata": {"total_matches": total, "length": len(page)}, "entities": page},
            cookies={"NTNX_IAM_SESSION": "c"},
        )

    def client(self, *narrowed: str, credential: PrismCredential = CREDENTIAL) -> CentralV3:
        return CentralV3(self.session, BASE, credential, cluster="amsterdam", prism_clusters=narrowed)

    def read(self, *narrowed: str) -> ClusterReading:
        return read_cluster(
            self.client(*narrowed), name="amsterdam", hosting_connection="AHV", since=SINCE, limits=quick()
        )


PRISM_CENTRAL = cluster("00000000-1111-2222-3333-444444444444", "Unnamed", "PRISM_CENTRAL")


def test_a_central_is_read_whole() -> None:
    central = Central([vm(1), vm(2, power_state="OFF"), vm(3, power_state="PAUSED")])
    reading = central.read()
    assert (reading.status, reading.error, reading.api) == (ReadStatus.ANSWERED, None, "central-v3")
    assert reading.registered == (RegisteredCluster(AMS, "AMS-CL01", available=True),)
    assert [found.power for found in reading.vms] == [PowerState.ON, PowerState.OFF, PowerState.OTHER]
    assert reading.domains == ()
    assert reading.whole


def test_pages_of_500_by_name_are_counted_by_what_came() -> None:
    central = Central([vm(number) for number in range(1201)])
    assert len(central.read().vms) == 1201
    pages = [asked for what, asked in central.asked if what == "vms"]
    assert [page["offset"] for page in pages] == [0, 500, 1000]
    assert pages[0] == {"kind": "vm", "offset": 0, "length": 500, "sort_attribute": "name", "sort_order": "ASCENDING"}


def test_the_clusters_are_the_probe_and_have_pages_too() -> None:
    many = [cluster(f"00060000-0000-0000-0000-{number:012x}", f"CL{number}") for number in range(501)]
    central = Central([], many)
    assert len(central.read().registered) == 501
    assert [what for what, _ in central.asked] == ["clusters", "clusters", "vms"]


def test_a_registered_cluster_that_is_down_is_reported_so() -> None:
    central = Central([vm(1)], [cluster(AMS, "AMS-CL01", is_available=False), cluster(ROT, "ROT-CL01")])
    reading = central.read()
    assert [(found.name, found.available) for found in reading.registered] == [("AMS-CL01", False), ("ROT-CL01", True)]
    assert reading.status is ReadStatus.ANSWERED
    assert not reading.whole
    assert len(reading.vms) == 1, "a Central goes on listing the VMs of a cluster that is down"


@pytest.mark.parametrize("word", ["AMS-CL01", "ams-cl01", AMS.upper(), f" {AMS} "])
def test_a_central_can_be_narrowed_by_name_or_uuid(word: str) -> None:
    central = Central([vm(1), vm(2, on=ROT)], [cluster(AMS, "AMS-CL01"), cluster(ROT, "ROT-CL01"), PRISM_CENTRAL])
    reading = central.read(word)
    assert reading.status is ReadStatus.ANSWERED
    assert [found.uuid for found in reading.registered] == [AMS]
    assert [found.uuid for found in reading.vms] == [uid(1)]


def test_a_name_that_no_registered_cluster_has_is_a_mistake_that_lists_the_names_there_are() -> None:
    central = Central([], [cluster(ROT, "ROT-CL01"), cluster(AMS, "AMS-CL01"), PRISM_CENTRAL])
    reading = central.read("AMS-CL01", "AMS-CL99")
    assert reading.status is ReadStatus.MISCONFIGURED
    assert reading.error == (
        "Prism Central pc-ams.corp.example (cluster amsterdam) has no registered cluster AMS-CL99. Correct "
        "prismClusters in the profile; registered there: AMS-CL01, ROT-CL01."
    )


def test_a_name_that_a_short_list_does_not_show_is_no_mistake() -> None:
    central = Central([], [cluster(AMS, "AMS-CL01")])
    central.totals["clusters"] = 2
    assert central.read("AMS-CL99").status is ReadStatus.INCOMPLETE


def test_a_list_of_another_length_than_announced_is_read_once_more_and_is_then_incomplete() -> None:
    central = Central([vm(1), vm(2)])
    central.totals["vms"] = 3
    reading = central.read()
    assert (reading.status, len(reading.vms)) == (ReadStatus.INCOMPLETE, 2)
    assert sum(what == "vms" for what, _ in central.asked) == 4


def test_other_hypervisors_vms_are_left_out_but_counted() -> None:
    reading = Central([vm(1), vm(2, hypervisor_type="ESX"), vm(3, hypervisor_type=None)]).read()
    assert reading.status is ReadStatus.ANSWERED
    assert [found.uuid for found in reading.vms] == [uid(1), uid(3)]


def test_one_uuid_on_two_clusters_is_two_copies() -> None:
    reading = Central([vm(1), vm(1, on=ROT)]).read()
    assert reading.status is ReadStatus.ANSWERED
    assert [(found.uuid, found.cluster_uuid) for found in reading.vms] == [(uid(1), AMS), (uid(1), ROT)]


def test_a_repeated_vm_counts_once() -> None:
    assert Central([vm(1), vm(1), vm(2)]).read().status is ReadStatus.INCOMPLETE


def test_a_vm_that_is_being_made_is_in_flux_and_counts() -> None:
    pending = {"metadata": {"uuid": uid(2)}, "status": {"state": "PENDING", "execution_context": {}}}
    reading = Central([vm(1), pending, vm(3, state="DELETE_PENDING")]).read("AMS-CL01")
    assert reading.status is ReadStatus.ANSWERED
    assert [(found.name, found.in_flux) for found in reading.vms] == [
        ("W11-0001", False),
        ("", True),
        ("W11-0003", True),
    ]


def test_the_status_is_read_and_never_the_spec() -> None:
    entity = vm(1)
    found = vm_from_v3(entity, cluster="c")
    assert (found.name, found.power) == ("W11-0001", PowerState.ON)
    entity["status"]["name"] = None
    assert vm_from_v3(entity, cluster="c").name == ""


@pytest.mark.parametrize(
    ("resources", "field", "value"),
    [
        pytest.param({"bios_uuid": uid(7).upper()}, "bios_uuid", uid(7), id="another-bios-uuid"),
        pytest.param({"bios_uuid": ""}, "bios_uuid", None, id="an-empty-bios-uuid"),
        pytest.param({"parent_reference": {"kind": "vm", "uuid": uid(8)}}, "parent_uuid", uid(8), id="a-parent"),
        pytest.param({"parent_reference": None}, "parent_uuid", None, id="a-null-parent"),
        pytest.param({"is_agent_vm": True}, "agent", True, id="an-agent-vm"),
        pytest.param({"nic_list": None}, "macs", (), id="null-nics"),
        pytest.param({"nic_list": [None, {"mac_address": None}]}, "addresses", (), id="a-nic-without-address"),
        pytest.param(
            {"nic_list": [{"ip_endpoint_list": [{"ip": "10.0.0.1"}, {"ip": ""}, {}, None, {"ip": "10.0.0.1"}]}]},
            "addresses",
            ("10.0.0.1",),
            id="addresses-once",
        ),
        pytest.param({"power_state": None}, "power", PowerState.OTHER, id="null-power"),
    ],
)
def test_a_vm_with(resources: dict[str, Any], field: str, value: object) -> None:
    assert getattr(vm_from_v3(vm(1, **resources), cluster="c"), field) == value


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("2025-06-07T18:23:52Z", datetime(2025, 6, 7, 18, 23, 52, tzinfo=UTC)),
        ("2025-06-07T20:23:52+02:00", datetime(2025, 6, 7, 18, 23, 52, tzinfo=UTC)),
        ("2025-06-07T18:23:52", datetime(2025, 6, 7, 18, 23, 52, tzinfo=UTC)),
        ("0001-01-01T00:00:00.000Z", None),
        ("soon", None),
        ("", None),
        (None, None),
    ],
)
def test_a_creation_time_is_aware_and_a_placeholder_is_none(written: str | None, read: datetime | None) -> None:
    entity = vm(1)
    entity["metadata"]["creation_time"] = written
    assert vm_from_v3(entity, cluster="c").created == read


def test_equal_text_is_kept_once() -> None:
    first, second = vm_from_v3(vm(1), cluster="c"), vm_from_v3(vm(2), cluster="c")
    assert first.bios_uuid is first.uuid
    assert first.cluster_uuid is second.cluster_uuid


def test_a_vm_without_a_uuid_fails_the_cluster_with_the_field() -> None:
    broken = vm(2)
    del broken["metadata"]["uuid"]
    reading = Central([vm(1), broken]).read()
    assert reading.status is ReadStatus.FAILED
    assert "entity 2 of vms/list is a VM with metadata without a valid uuid" in str(reading.error)


def test_a_list_without_a_total_fails_the_cluster_with_the_field() -> None:
    central = Central([])
    central.override["clusters"] = Reply({"metadata": {}, "entities": []})
    assert "clusters/list has no metadata.total_matches" in str(central.read().error)


def test_an_api_key_is_sent_in_its_header_alone() -> None:
    central = Central([])
    central.client(credential=PrismCredential("s", api_key="k-1")).clusters(quick())
    headers = central.answers.requests[0].headers
    assert headers["X-Ntnx-Api-Key"] == "k-1"
    assert "Authorization" not in headers


def test_a_refused_api_key_is_called_one() -> None:
    central = Central([])
    central.override["clusters"] = Reply(status=401)
    with pytest.raises(PrismError, match="refused the API key of secret s"):
        central.client(credential=PrismCredential("s", api_key="k-1")).clusters(quick())


def test_the_session_cookie_is_kept() -> None:
    central = Central([vm(1)])
    central.read()
    cookies = [request.headers.get("Cookie") for request in central.answers.requests]
    assert cookies == [None, "NTNX_IAM_SESSION=c", "NTNX_IAM_SESSION=c"]


def test_a_refused_password_is_tried_once_and_nothing_follows() -> None:
    central = Central([vm(1)])
    central.override["clusters"] = Reply(
        {"state": "ERROR", "code": 401, "message_list": [{"message": "Authentication required."}]}, status=401
    )
    reading = central.read()
    assert (reading.status, len(central.answers.requests)) == (ReadStatus.REFUSED, 1)


def test_an_expired_session_signs_in_again_once_and_then_stops() -> None:
    central = Central([vm(1)])
    central.override["vms"] = Reply(status=401)
    reading = read_cluster(central.client(), name="a", hosting_connection="c", since=SINCE, limits=quick())
    assert reading.status is ReadStatus.REFUSED
    assert [bool(request.headers.get("Cookie")) for request in central.answers.requests] == [False, True, False]


def test_what_v3_says_about_an_error_is_shown() -> None:
    central = Central([])
    central.override["clusters"] = Reply(
        {"code": 422, "message_list": [{"message": "bad kind", "details": {}}, {"message": "twice"}]}, status=422
    )
    assert "answered HTTP 422: bad kind; twice. Run again" in str(central.read().error)


@pytest.mark.parametrize("words", ["no user has the key 7f-Key!1 here", "X-Ntnx-Api-Key=7f-Key%211 is unknown"])
def test_an_api_key_that_prism_echoes_is_not_shown(words: str) -> None:
    central = Central([])
    central.override["clusters"] = Reply({"message_list": [{"message": words}]}, status=422)
    with pytest.raises(PrismError, match=r"\*\*\*") as caught:
        central.client(credential=PrismCredential("prism-ams", api_key="7f-Key!1")).clusters(quick())
    assert "7f-Key" not in f"{caught.value} {caught.value!r}"
