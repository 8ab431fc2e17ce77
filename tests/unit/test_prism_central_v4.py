"""Prism Central v4 against answers of the contract's shape."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
import requests

from shared.errors import PrismError
from shared.model.nutanix import PowerState, ReadStatus, RegisteredCluster
from shared.prism.central_v4 import SELECTED
from shared.prism.entities_v4 import vm_from_v4
from shared.prism.sign_in import PrismCredential
from tests.unit.answers import Reply, one_after_the_other, quick
from tests.unit.prism_v4_answers import (
    AMS,
    PRISM_CENTRAL,
    ROT,
    TITLE,
    VMS,
    CentralInMemory,
    cluster,
    error,
    uid,
    vm,
)

TWO = [cluster(AMS, "AMS-CL01"), cluster(ROT, "ROT-CL01"), PRISM_CENTRAL]


# --- reading -----------------------------------------------------------------------------------------------------


def test_a_central_is_read_whole() -> None:
    central = CentralInMemory([vm(1), vm(2, powerState="OFF"), vm(3, powerState="PAUSED")])
    reading = central.read()
    assert (reading.status, reading.error, reading.api) == (ReadStatus.ANSWERED, None, "central-v4")
    assert reading.registered == (RegisteredCluster(AMS, "AMS-CL01", available=True),)
    assert [found.power for found in reading.vms] == [PowerState.ON, PowerState.OFF, PowerState.OTHER]
    assert (reading.domains, reading.jobs) == ((), ())
    assert reading.whole


def test_pages_of_100_by_name_are_counted_and_links_are_not_followed() -> None:
    central = CentralInMemory([vm(number) for number in range(250)])
    assert len(central.read().vms) == 250
    asked = central.asked_for(VMS.format(2))
    assert [query["$page"] for query in asked] == ["0", "1", "2"]
    assert asked[0] == {"$page": "0", "$limit": "100", "$orderby": "name", "$select": SELECTED}


def test_a_query_keeps_its_dollar_signs_and_writes_a_space_as_percent_20() -> None:
    central = CentralInMemory([vm(1)])
    central.read("AMS-CL01")
    path = next(path for path in central.answers.paths if path.startswith(VMS.format(2)))
    assert f"$filter=cluster/extId%20eq%20%27{AMS}%27" in path
    assert "?$page=0&$limit=100&$orderby=name" in path


@pytest.mark.parametrize("data", [{}, {"data": None}, {"data": []}], ids=["absent", "null", "empty"])
def test_a_list_without_entities_is_empty_whichever_way_it_says_so(data: dict[str, Any]) -> None:
    central = CentralInMemory()
    central.override[VMS.format(2)] = Reply({**data, "metadata": {"totalAvailableResults": 0}})
    reading = central.read()
    assert (reading.status, reading.vms) == (ReadStatus.ANSWERED, ())


def test_an_empty_list_need_not_have_metadata() -> None:
    central = CentralInMemory()
    central.override[VMS.format(2)] = Reply({})
    assert central.read().status is ReadStatus.ANSWERED


def test_a_list_without_a_total_fails_the_cluster_with_the_field() -> None:
    central = CentralInMemory([vm(1)])
    central.totals["ahv/config/vms"] = None
    reading = central.read()
    assert reading.status is ReadStatus.FAILED
    assert "vms has no metadata.totalAvailableResults" in str(reading.error)


def test_a_list_of_another_length_than_announced_is_read_once_more_and_is_then_incomplete() -> None:
    central = CentralInMemory([vm(1), vm(2)])
    central.totals["ahv/config/vms"] = 3
    reading = central.read()
    assert (reading.status, len(reading.vms)) == (ReadStatus.INCOMPLETE, 2)
    assert "2 of 3 VMs, twice" in str(reading.error)
    assert [query["$page"] for query in central.asked_for(VMS.format(2))] == ["0", "1", "0", "1"]


def test_a_page_that_repeats_ends_the_list_and_leaves_it_incomplete() -> None:
    central = CentralInMemory()
    page = [vm(number) for number in range(100)]
    central.override[VMS.format(2)] = Reply({"data": page, "metadata": {"totalAvailableResults": 1000}})
    reading = central.read()
    assert (reading.status, len(reading.vms)) == (ReadStatus.INCOMPLETE, 100)
    assert len(central.asked_for(VMS.format(2))) == 4


def test_the_last_total_counts_when_it_changes_while_paging() -> None:
    central = CentralInMemory()
    pages = [[vm(number) for number in range(100)], [vm(number) for number in range(100, 130)]]
    central.override[VMS.format(2)] = one_after_the_other(
        *(
            Reply({"data": page, "metadata": {"totalAvailableResults": total}})
            for page, total in zip(pages, (120, 130), strict=True)
        )
    )
    reading = central.read()
    assert (reading.status, len(reading.vms)) == (ReadStatus.ANSWERED, 130)


def test_a_repeated_vm_counts_once() -> None:
    assert CentralInMemory([vm(1), vm(1), vm(2)]).read().status is ReadStatus.INCOMPLETE


def test_one_uuid_on_two_clusters_is_two_copies() -> None:
    reading = CentralInMemory([vm(1), vm(1, on=ROT)], TWO).read()
    assert reading.status is ReadStatus.ANSWERED
    assert [(found.uuid, found.cluster_uuid) for found in reading.vms] == [(uid(1), AMS), (uid(1), ROT)]


@pytest.mark.parametrize("flag", ["isTruncated", "hasError"])
def test_a_list_that_prism_itself_calls_cut_short_is_incomplete(flag: str) -> None:
    central = CentralInMemory([vm(1)])
    central.flags["ahv/config/vms"] = [{"name": "isPaginated", "value": True}, {"name": flag, "value": True}]
    reading = central.read()
    assert (reading.status, len(reading.vms)) == (ReadStatus.INCOMPLETE, 1)
    assert "1 VMs and called the list cut short" in str(reading.error)


def test_what_cannot_be_selected_is_read_whole_and_that_is_remembered() -> None:
    central = CentralInMemory([vm(number) for number in range(150)])
    refused = Reply({"data": {"error": {"error": "Bad Request", "validationErrorMessages": []}}}, status=400)
    serve = central._serve  # the answer without the override

    def no_select(request: requests.PreparedRequest) -> Reply:
        query = central.asked[-1][2]
        return refused if "$select" in query else serve("ahv/config/vms", 2, query)

    central.override[VMS.format(2)] = no_select
    reading = central.read()
    assert (reading.status, len(reading.vms)) == (ReadStatus.ANSWERED, 150)
    assert ["$select" in query for query in central.asked_for(VMS.format(2))] == [True, False, False]


def test_a_400_without_select_is_an_error_in_prisms_words() -> None:
    central = CentralInMemory()
    central.override[VMS.format(2)] = error("INTERNAL_ERROR", "Internal server error.", status=400)
    reading = central.read()
    assert reading.status is ReadStatus.FAILED
    assert "answered HTTP 400: Internal server error. Run again" in str(reading.error)


# --- clusters ----------------------------------------------------------------------------------------------------


def test_a_central_with_all_its_clusters_is_one_list() -> None:
    central = CentralInMemory([vm(1), vm(2, on=ROT)], TWO)
    assert len(central.read().vms) == 2
    assert [query.get("$filter") for query in central.asked_for(VMS.format(2))] == [None]


@pytest.mark.parametrize("word", ["AMS-CL01", "ams-cl01", AMS.upper(), f" {AMS} "])
def test_a_narrowed_central_lists_only_the_clusters_that_are_meant(word: str) -> None:
    central = CentralInMemory([vm(1), vm(2, on=ROT)], TWO)
    reading = central.read(word)
    assert reading.status is ReadStatus.ANSWERED
    assert [found.uuid for found in reading.registered] == [AMS]
    assert [found.uuid for found in reading.vms] == [uid(1)]
    assert [query["$filter"] for query in central.asked_for(VMS.format(2))] == [f"cluster/extId eq '{AMS}'"]


def test_a_filter_that_prism_does_not_keep_to_is_kept_to_here() -> None:
    central = CentralInMemory(clusters=TWO)
    both = {"data": [vm(1), vm(2, on=ROT)], "metadata": {"totalAvailableResults": 2}}
    central.override[VMS.format(2)] = Reply(both)
    reading = central.read("AMS-CL01")
    assert (reading.status, [found.uuid for found in reading.vms]) == (ReadStatus.ANSWERED, [uid(1)])


def test_a_cluster_that_is_down_is_reported_so_and_its_vms_are_not_listed() -> None:
    central = CentralInMemory(
        [vm(1), vm(2, on=ROT)], [cluster(AMS, "AMS-CL01", isAvailable=False), cluster(ROT, "ROT-CL01")]
    )
    reading = central.read()
    assert [(found.name, found.available) for found in reading.registered] == [("AMS-CL01", False), ("ROT-CL01", True)]
    assert (reading.status, reading.whole) == (ReadStatus.ANSWERED, False)
    assert [found.uuid for found in reading.vms] == [uid(2)]


def test_a_central_whose_clusters_are_all_down_lists_nothing() -> None:
    central = CentralInMemory([vm(1)], [cluster(isAvailable=False)])
    assert central.read().vms == ()
    assert central.asked_for(VMS.format(2)) == []


def test_a_name_that_no_registered_cluster_has_is_a_mistake_that_lists_the_names_there_are() -> None:
    reading = CentralInMemory(clusters=TWO).read("AMS-CL01", "AMS-CL99")
    assert reading.status is ReadStatus.MISCONFIGURED
    assert reading.error == (
        f"{TITLE} has no registered cluster AMS-CL99. Correct prismClusters in the profile; registered there: "
        "AMS-CL01, ROT-CL01."
    )


def test_a_name_that_a_short_list_does_not_show_is_no_mistake() -> None:
    central = CentralInMemory()
    central.totals["config/clusters"] = 3
    assert central.read("AMS-CL99").status is ReadStatus.INCOMPLETE


def test_clusters_have_pages_too() -> None:
    many = [cluster(f"00060000-0000-0000-0000-{number:012x}", f"CL{number}") for number in range(101)]
    assert len(CentralInMemory(clusters=many).read().registered) == 101


@pytest.mark.parametrize("functions", [["$UNKNOWN"], ["PRISM_CENTRAL"], None, []])
def test_only_a_cluster_that_runs_vms_is_kept(functions: list[str] | None) -> None:
    central = CentralInMemory(clusters=[cluster(), cluster(ROT, "PC", clusterFunction=functions)])
    reading = central.read()
    assert (reading.status, [found.uuid for found in reading.registered]) == (ReadStatus.ANSWERED, [AMS])


# --- one VM ------------------------------------------------------------------------------------------------------

OLD_NIC = {
    "backingInfo": {"macAddress": "50:6B:8D:C3:F1:67"},
    "networkInfo": {
        "ipv4Config": {
            "ipAddress": {"value": "192.168.2.142", "prefixLength": 32},
            "secondaryIpAddressList": [{"value": "192.168.2.143"}],
        },
        "ipv4Info": {"learnedIpAddresses": [{"value": "192.168.1.150"}, {"value": "192.168.2.142"}]},
    },
}
NEW_NIC = {
    "nicBackingInfo": {"macAddress": "50:6b:8d:00:00:02"},
    "nicNetworkInfo": {
        "ipv4Config": {"ipAddress": {"value": "10.0.0.2"}},
        "ipv6Info": {"learnedIpv6Addresses": [{"value": "FE80::526B:8DFF:FEC3:F167"}]},
    },
}


@pytest.mark.parametrize(
    ("nics", "macs", "addresses"),
    [
        pytest.param([OLD_NIC], ("50:6b:8d:c3:f1:67",), ("192.168.2.142", "192.168.2.143", "192.168.1.150"), id="v4.0"),
        pytest.param([NEW_NIC], ("50:6b:8d:00:00:02",), ("10.0.0.2", "fe80::526b:8dff:fec3:f167"), id="v4.1"),
        pytest.param(
            [{**OLD_NIC, **NEW_NIC}],
            ("50:6b:8d:00:00:02",),
            ("10.0.0.2", "fe80::526b:8dff:fec3:f167"),
            id="the-new-shape-wins",
        ),
        pytest.param(
            [{**OLD_NIC}, {"nicBackingInfo": {"macAddress": "50:6b:8d:00:00:03"}, "nicNetworkInfo": {"vlanId": 7}}],
            ("50:6b:8d:c3:f1:67", "50:6b:8d:00:00:03"),
            ("192.168.2.142", "192.168.2.143", "192.168.1.150"),
            id="sr-iov-has-no-address",
        ),
        pytest.param([{}, {"backingInfo": None, "networkInfo": {"ipv4Info": {}}}], (), (), id="without-address"),
        pytest.param(None, (), (), id="no-nics"),
    ],
)
def test_the_nics_of_a_vm(nics: Any, macs: tuple[str, ...], addresses: tuple[str, ...]) -> None:
    found = vm_from_v4(vm(1, nics=nics), cluster="c")
    assert (found.macs, found.addresses) == (macs, addresses)


@pytest.mark.parametrize(
    ("entity", "field", "value"),
    [
        pytest.param(vm(1, extId=uid(10).upper()), "uuid", uid(10), id="upper-case-uuid"),
        pytest.param(vm(1, without=("name",)), "name", "", id="no-name"),
        pytest.param(vm(1, biosUuid=uid(7).upper()), "bios_uuid", uid(7), id="another-bios-uuid"),
        pytest.param(vm(1, without=("biosUuid",)), "bios_uuid", None, id="no-bios-uuid"),
        pytest.param(vm(1, source={"entityType": "VM", "extId": uid(8)}), "parent_uuid", uid(8), id="a-clone"),
        pytest.param(
            vm(1, source={"entityType": "VM_RECOVERY_POINT", "extId": uid(8)}), "parent_uuid", None, id="restored"
        ),
        pytest.param(vm(1, isAgentVm=True), "agent", True, id="an-agent-vm"),
        pytest.param(vm(1, isCrossClusterMigrationInProgress=True), "in_flux", True, id="migrating"),
        pytest.param(vm(1, on=None), "in_flux", True, id="no-cluster"),
        pytest.param(vm(1), "in_flux", False, id="at-rest"),
        pytest.param(vm(1, protectionType="RULE_PROTECTED"), "by_rule", True, id="by-rule"),
        pytest.param(vm(1, protectionType="PD_PROTECTED"), "by_rule", False, id="by-domain"),
        pytest.param(vm(1, powerState="$UNKNOWN"), "power", PowerState.OTHER, id="unknown-power"),
        pytest.param(vm(1, powerState="$REDACTED", protectionType="$REDACTED"), "by_rule", False, id="redacted"),
        pytest.param(vm(1, without=("powerState",)), "power", PowerState.OTHER, id="no-power"),
        pytest.param(vm(1), "created", datetime(2025, 5, 29, 5, 59, 1, 363830, UTC), id="a-fraction-of-5-digits"),
        pytest.param(
            vm(1, createTime="2025-05-29T05:59:01Z"), "created", datetime(2025, 5, 29, 5, 59, 1, 0, UTC), id="none"
        ),
        pytest.param(vm(1, without=("createTime",)), "created", None, id="no-time"),
        pytest.param(vm(1, createTime="9999-12-31T23:59:59-05:00"), "created", None, id="a-time-beyond-the-last"),
    ],
)
def test_a_vm_with(entity: dict[str, Any], field: str, value: object) -> None:
    assert getattr(vm_from_v4(entity, cluster="c"), field) == value


def test_equal_text_is_kept_once() -> None:
    first, second = vm_from_v4(vm(1), cluster="c"), vm_from_v4(vm(2), cluster="c")
    assert first.bios_uuid is first.uuid
    assert first.cluster_uuid is second.cluster_uuid


def test_a_vm_without_a_uuid_fails_the_cluster_with_the_field() -> None:
    reading = CentralInMemory([vm(1), vm(2, without=("extId",))]).read()
    assert reading.status is ReadStatus.FAILED
    assert "entity 2 of vms is a VM without a valid extId" in str(reading.error)


# --- categories --------------------------------------------------------------------------------------------------

CATEGORIES = "/api/prism/v4.2/config/categories"


def tagged() -> CentralInMemory:
    central = CentralInMemory(
        [
            vm(1, categories=[{"extId": uid(90)}, {"extId": uid(91).upper()}]),
            vm(2, categories=[{"extId": uid(99)}]),
            vm(3),
        ]
    )
    central.lists["config/categories"] = [
        {"extId": uid(90), "key": "AppType", "value": "Citrix", "type": "USER"},
        {"extId": uid(91), "key": "Site", "value": "AMS:1", "type": "$UNKNOWN"},
    ]
    return central


def test_categories_have_their_names_from_one_list() -> None:
    central = tagged()
    reading = central.read()
    assert [found.categories for found in reading.vms] == [("AppType:Citrix", "Site:AMS:1"), (), ()]
    assert len(central.asked_for(CATEGORIES)) == 1


def test_categories_are_not_asked_for_where_no_vm_has_any() -> None:
    central = CentralInMemory([vm(1)])
    central.read()
    assert not [path for path in central.paths if "/prism/" in path]


@pytest.mark.parametrize(
    "answer",
    [Reply(status=500), Reply(status=403), Reply(status=404), Reply(raw=b"<html>"), Reply({"data": [{}]})],
    ids=["server-error", "forbidden", "not-here", "not-json", "malformed"],
)
def test_categories_that_cannot_be_read_are_unknown_and_nothing_else_is(
    answer: Reply, caplog: pytest.LogCaptureFixture
) -> None:
    central = tagged()
    for minor in range(3):
        central.override[f"/api/prism/v4.{minor}/config/categories"] = answer
    reading = central.read()
    assert reading.status is ReadStatus.ANSWERED
    assert {found.categories for found in reading.vms} == {None, ()}, "who has none needs no list"
    assert "categories stay without names" in caplog.text


def test_a_host_that_dies_at_the_categories_is_dead() -> None:
    central = tagged()
    central.override[CATEGORIES] = requests.exceptions.ConnectionError()
    assert central.read().status is ReadStatus.UNREACHABLE


# --- versions ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("announced", "served", "taken"), [("v4.0", 0, 0), ("v4.2", 2, 2), ("v4.3", 3, 3), ("v4.7", 7, 3), ("v4.3", 1, 1)]
)
def test_the_announced_version_is_taken_as_far_as_it_is_known_and_served(
    announced: str, served: int, taken: int
) -> None:
    central = CentralInMemory([vm(1)], minors=dict.fromkeys(("vmm", "clustermgmt", "prism", "dataprotection"), served))
    central.override["/api/vmm/unversioned/info"] = Reply({"data": announced})
    assert central.read().status is ReadStatus.ANSWERED
    asked = [path for path in central.paths if path.endswith("/ahv/config/vms")]
    assert asked[-1] == VMS.format(taken)
    assert all(query["$limit"] == "100" for query in central.asked_for(VMS.format(taken)))


@pytest.mark.parametrize(
    "answer",
    [Reply(status=404), Reply(status=405), Reply(status=403), Reply(raw=b"<html>"), Reply({"data": "v5"}), Reply({})],
    ids=["absent", "no-such-method", "forbidden", "not-json", "unreadable", "without-data"],
)
def test_a_central_that_announces_nothing_is_tried_from_v4_2_down_with_one_entity(answer: Reply) -> None:
    central = CentralInMemory([vm(1)], minors=dict.fromkeys(("vmm", "clustermgmt"), 0))
    for namespace in ("vmm", "clustermgmt", "dataprotection"):
        central.override[f"/api/{namespace}/unversioned/info"] = answer
    central.override["/api/nutanix/v3/recovery_plan_jobs/list"] = Reply(status=404)
    assert central.read().status is ReadStatus.ANSWERED
    tried = [(path, query["$limit"]) for verb, path, query in central.asked if verb == "GET" and "/vmm/" in path]
    assert tried == [(VMS.format(2), "1"), (VMS.format(1), "1"), (VMS.format(0), "1"), (VMS.format(0), "100")]


def test_each_namespace_has_a_version_of_its_own() -> None:
    central = CentralInMemory([vm(1)], minors={"vmm": 1, "clustermgmt": 3, "dataprotection": 2})
    assert central.read().status is ReadStatus.ANSWERED
    assert VMS.format(1) in central.paths
    assert "/api/clustermgmt/v4.3/config/clusters" in central.paths


def test_a_version_is_negotiated_once_for_a_client() -> None:
    central = CentralInMemory([vm(number) for number in range(150)])
    client = central.client()
    for _ in range(2):
        client.vms(client.clusters(quick()).items, quick())
    assert len(central.asked_for("/api/vmm/unversioned/info", "OPTIONS")) == 1


def test_a_version_that_goes_away_is_negotiated_anew_once() -> None:
    central = CentralInMemory([vm(1)])
    client = central.client()
    clusters = client.clusters(quick()).items
    client.vms(clusters, quick())
    central.minors["vmm"] = 1
    assert len(client.vms(clusters, quick()).items) == 1
    assert central.paths[-3:] == [VMS.format(2), "/api/vmm/unversioned/info", VMS.format(1)]


def test_a_password_that_is_refused_at_the_version_is_tried_once() -> None:
    central = CentralInMemory([vm(1)])
    central.override["/api/clustermgmt/unversioned/info"] = Reply(raw=b"", status=401)
    reading = central.read()
    assert (reading.status, len(central.asked)) == (ReadStatus.REFUSED, 1)
    assert "refused the user name or password of secret prism-ams (HTTP 401)" in str(reading.error)


@pytest.mark.parametrize("group", ["AUTHENTICATION_REQUIRED", "UNAUTHORIZED", "FORBIDDEN"])
def test_a_403_is_a_missing_right_and_no_refused_password_whatever_it_says(group: str) -> None:
    """The status decides (contract, section 2): the rights that the account has must go on serving every run."""
    central = CentralInMemory([vm(1, categories=[{"extId": uid(7)}])])
    central.override["/api/prism/v4.2/config/categories"] = error(group, status=403)
    reading = central.read()
    assert (reading.status, len(reading.vms)) == (ReadStatus.ANSWERED, 1)
    central.override["/api/clustermgmt/v4.2/config/clusters"] = error(group, status=403)
    with pytest.raises(PrismError, match="does not let the account of secret prism-ams read") as caught:
        central.client().clusters(quick())
    assert caught.value.kind == "forbidden"


def test_a_dead_host_is_asked_for_its_version_alone() -> None:
    central = CentralInMemory()
    central.override["/api/clustermgmt/unversioned/info"] = requests.exceptions.ConnectTimeout()
    reading = central.read()
    assert reading.status is ReadStatus.UNREACHABLE
    assert set(central.paths) == {"/api/clustermgmt/unversioned/info"}


V3_CLUSTERS = "/api/nutanix/v3/clusters/list"
V2_CLUSTER = "/PrismGateway/services/rest/v2.0/cluster"


@pytest.mark.parametrize("announces", [True, False])
@pytest.mark.parametrize("answer", [Reply({"entities": []}), Reply(status=403)], ids=["answered", "forbidden"])
def test_a_central_without_v4_says_which_api_to_set(announces: bool, answer: Reply) -> None:
    central = CentralInMemory(minors={}, announces=announces)
    central.override[V3_CLUSTERS] = answer
    reading = central.read()
    assert reading.status is ReadStatus.MISCONFIGURED
    assert reading.error == (
        f"{TITLE} answers API v3 but not v4: set api to central-v3 (or central) for this cluster in the profile."
    )


def test_an_element_taken_for_a_central_says_which_api_to_set() -> None:
    central = CentralInMemory(minors={})
    central.override[V2_CLUSTER] = Reply({"uuid": AMS})
    reading = central.read()
    assert reading.status is ReadStatus.MISCONFIGURED
    assert "so it is a Prism Element: set api to element-v2" in str(reading.error)


def test_a_host_that_is_no_prism_says_so() -> None:
    reading = CentralInMemory(minors={}).read()
    assert reading.status is ReadStatus.MISCONFIGURED
    assert "answers neither API v4 nor an older one. Check that host and port" in str(reading.error)


def test_an_api_key_is_never_sent_to_what_may_be_an_element() -> None:
    central = CentralInMemory(minors={})
    with pytest.raises(PrismError, match="neither API v4 nor an older one"):
        central.client(credential=PrismCredential("s", api_key="k-1")).clusters(quick())
    assert V2_CLUSTER not in central.paths


def test_a_password_that_v3_refuses_is_not_tried_at_v2() -> None:
    central = CentralInMemory(minors={})
    central.override[V3_CLUSTERS] = Reply(status=401)
    assert central.read().status is ReadStatus.REFUSED
    assert V2_CLUSTER not in central.paths


def test_a_central_without_the_vms_of_v4_says_which_api_to_set() -> None:
    central = CentralInMemory(minors={"clustermgmt": 2})
    central.override[V3_CLUSTERS] = Reply({"entities": []})
    assert "set api to central-v3" in str(central.read().error)


# --- conversation ------------------------------------------------------------------------------------------------


def test_every_call_has_a_request_id_of_its_own() -> None:
    central = CentralInMemory([vm(1)])
    central.read()
    ids = [str(request.headers["NTNX-Request-Id"]) for request in central.answers.requests]
    assert len({UUID(found) for found in ids}) == len(central.answers.requests)


def test_a_failure_names_the_request_id_of_its_last_attempt(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    central = CentralInMemory()
    central.override[VMS.format(2)] = Reply(status=503)
    reading = central.read()
    last = central.answers.requests[-1].headers["NTNX-Request-Id"]
    assert f"Request id for Nutanix support: {last!s}." in str(reading.error)
    assert f"request_id={last!s}" in caplog.text
    assert len({request.headers["NTNX-Request-Id"] for request in central.answers.requests[-4:]}) == 4


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        pytest.param(error("VM_NOT_READY", "Two words.", status=409), "HTTP 409: Two words. Run again", id="a-list"),
        pytest.param(
            Reply(
                {
                    "data": {
                        "error": {
                            "error": "Bad Request",
                            "validationErrorMessages": [{"message": "$limit is too big"}, {"location": "x"}],
                        }
                    }
                },
                status=422,
            ),
            "HTTP 422: Bad Request; $limit is too big. Run again",
            id="an-object",
        ),
        pytest.param(Reply(status=501), "answered HTTP 501. Run again", id="an-empty-body"),
        pytest.param(Reply(raw=b"<html>", status=500), "answered HTTP 500. Run again", id="html"),
        pytest.param(Reply({"data": {"error": [None, 7]}}, status=500), "answered HTTP 500. Run again", id="odd"),
    ],
)
def test_what_v4_says_about_an_error_is_shown(reply: Reply, words: str) -> None:
    central = CentralInMemory()
    central.override["/api/clustermgmt/v4.2/config/clusters"] = reply
    assert words in str(central.read().error)


def test_a_403_in_the_middle_names_the_path_without_its_query() -> None:
    central = CentralInMemory()
    central.override[VMS.format(2)] = Reply(status=403)
    reading = central.read()
    assert reading.status is ReadStatus.REFUSED
    assert f"does not let the account of secret prism-ams read {VMS.format(2)} (HTTP 403)" in str(reading.error)


def test_an_api_key_is_sent_in_its_header_alone_and_never_shown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    central = CentralInMemory()
    central.override["/api/clustermgmt/v4.2/config/clusters"] = error("X", "no user has the key 7f-Key!1", status=422)
    with pytest.raises(PrismError, match=r"\*\*\*") as caught:
        central.client(credential=PrismCredential("prism-ams", api_key="7f-Key!1")).clusters(quick())
    headers = central.answers.requests[0].headers
    assert headers["X-Ntnx-Api-Key"] == "7f-Key!1"
    assert "Authorization" not in headers
    assert "7f-Key" not in f"{caught.value} {caught.value!r} {caplog.text}"


# --- decoupled leftovers -----------------------------------------------------------------------------------------

RESOURCE = "/api/dataprotection/v4.2/config/protected-resources/{}"


def site(role: str, on: str | None = None) -> dict[str, Any]:
    place = {"locationReference": {"domainManagerExtId": uid(77), "clusterExtId": on}} if on else {}
    return {**place, "synchronousReplicationRole": role}


@pytest.mark.parametrize(
    ("sites", "left_behind"),
    [
        pytest.param([site("DECOUPLED")], True, id="decoupled"),
        pytest.param([site("PRIMARY"), site("DECOUPLED")], True, id="one-site-without-a-place"),
        pytest.param([site("PRIMARY", ROT), site("DECOUPLED", AMS)], True, id="decoupled-where-it-stands"),
        pytest.param([site("PRIMARY", AMS), site("DECOUPLED", ROT)], False, id="decoupled-elsewhere"),
        pytest.param([site("PRIMARY"), site("SECONDARY")], False, id="in-sync"),
        pytest.param([site("$UNKNOWN")], False, id="unknown"),
        pytest.param([], False, id="no-sites"),
    ],
)
def test_a_vm_is_a_leftover_where_it_is_decoupled(sites: list[dict[str, Any]], left_behind: bool) -> None:
    central = CentralInMemory()
    central.override[RESOURCE.format(uid(1))] = Reply({"data": {"extId": uid(5), "siteProtectionInfo": sites}})
    central.override[f"{VMS.format(2)}/{uid(1)}"] = Reply({"data": vm(1, on=AMS)})
    vms = central.client().decoupled([vm_from_v4(vm(1), cluster="c").uuid], quick())
    assert vms == ({uid(1)} if left_behind else frozenset())


def test_a_leftover_that_is_gone_from_the_vms_stays_a_leftover() -> None:
    central = CentralInMemory()
    body = {"data": {"siteProtectionInfo": [site("DECOUPLED", ROT)]}}
    central.override[RESOURCE.format(uid(1))] = Reply(body)
    found = vm_from_v4(vm(1), cluster="c").uuid
    assert central.client().decoupled([found], quick()) == {found}


@pytest.mark.parametrize(
    "answer",
    [error("RESOURCE_NOT_FOUND"), error("NOT_PROTECTED", status=400), Reply(status=404), error("X", status=409)],
    ids=["not-found", "bad-request", "bare-404", "conflict"],
)
def test_a_vm_that_is_not_protected_is_no_leftover(answer: Reply) -> None:
    central = CentralInMemory()
    central.override[RESOURCE.format(uid(1))] = answer
    central.override[RESOURCE.format(uid(2))] = Reply({"data": {"siteProtectionInfo": [site("DECOUPLED")]}})
    one, two = (vm_from_v4(vm(number), cluster="c").uuid for number in (1, 2))
    assert central.client().decoupled([one, two], quick()) == {two}


@pytest.mark.parametrize("answer", [Reply(status=500), error("INTERNAL_ERROR", status=400), Reply(status=403)])
def test_a_role_that_cannot_be_read_is_an_error(answer: Reply) -> None:
    central = CentralInMemory()
    central.override[RESOURCE.format(uid(1))] = answer
    with pytest.raises(PrismError):
        central.client().decoupled([vm_from_v4(vm(1), cluster="c").uuid], quick())


def test_a_central_that_does_not_announce_data_protection_is_tried_from_v4_2_down() -> None:
    central = CentralInMemory(announces=False, minors={})
    body = {"data": {"siteProtectionInfo": [site("DECOUPLED")]}}
    central.override["/api/dataprotection/v4.0/config/protected-resources/" + uid(1)] = Reply(body)
    found = vm_from_v4(vm(1), cluster="c").uuid
    assert central.client().decoupled([found], quick()) == {found}


def test_a_central_without_v4_is_asked_for_one_vm_alone() -> None:
    central = CentralInMemory(announces=False, minors={})
    found = [vm_from_v4(vm(number), cluster="c").uuid for number in range(50)]
    assert central.client().decoupled(found, quick()) == frozenset()
    assert len([path for path in central.paths if "/protected-resources/" in path]) == 3


def test_a_central_that_announces_nothing_is_asked_for_every_vm() -> None:
    central = CentralInMemory(announces=False, minors={"clustermgmt": 0})
    body = {"data": {"siteProtectionInfo": [site("DECOUPLED")]}}
    central.override["/api/dataprotection/v4.0/config/protected-resources/" + uid(2)] = Reply(body)
    one, two = (vm_from_v4(vm(number), cluster="c").uuid for number in (1, 2))
    assert central.client().decoupled([one, two], quick()) == {two}
