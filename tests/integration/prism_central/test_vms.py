"""The VM list of the simulated Prism Central v4: its pages, its entities and its query options."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from sandbox.odata import BadOption, Field, Kind, condition
from sandbox.prism_v4_entities import category_uuid
from sandbox.world import DomainEntry, SimDomain, SimVm, stable_uuid
from tests.integration.callers import V3, PrismCaller
from tests.integration.prism_central.central import (
    GONE,
    VMS,
    listed,
    vms_of,
)


def values_below(node: Any) -> Iterator[Any]:
    inner = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    for value in inner:
        yield value
        yield from values_below(value)


def test_a_page_has_50_vms_unless_told_and_100_at_most(central: PrismCaller) -> None:
    for number in range(100):
        central.prism.clusters[1].add(SimVm(f"00000000-0000-0000-0000-{number:012d}", f"BULK-{number:03d}"))
    total = sum(len(cluster.vms) for cluster in central.prism.clusters)
    first = central.get(VMS).json()
    assert (len(first["data"]), first["metadata"]["totalAvailableResults"]) == (50, total)
    assert len(central.get(VMS, params={"$limit": 100}).json()["data"]) == 100
    everything = listed(central, **{"$limit": 40, "$orderby": "name"})
    assert len({(each["extId"], each["cluster"]["extId"]) for each in everything}) == len(everything) == total


def test_a_page_past_the_end_has_no_data(central: PrismCaller) -> None:
    body = central.get(VMS, params={"$page": 999}).json()
    assert "data" not in body
    assert body["metadata"]["totalAvailableResults"] > 0


@pytest.mark.parametrize(
    "query", ["$limit=0", "$limit=101", "$limit=many", "$page=-1", "$expand=nics", "$apply=x", "page=1"]
)
def test_options_out_of_bounds_are_validation_errors(central: PrismCaller, query: str) -> None:
    answer = central.get(f"{VMS}?{query}")
    error = answer.json()["data"]["error"]
    assert (answer.status_code, error["statusCode"], error["path"]) == (400, 400, VMS)
    assert answer.json()["data"]["$errorItemDiscriminator"].endswith("SchemaValidationError")
    (message,) = error["validationErrorMessages"]
    assert query.partition("=")[0] in message["message"]


def test_the_envelope_has_flags_and_links_that_lead_nowhere(central: PrismCaller) -> None:
    metadata = central.get(VMS, params={"$limit": 5, "$page": 1}).json()["metadata"]
    assert {flag["name"]: flag["value"] for flag in metadata["flags"]} == {
        "hasError": False,
        "isPaginated": True,
        "isTruncated": False,
    }
    links = {link["rel"]: link["href"] for link in metadata["links"]}
    assert set(links) == {"self", "first", "last", "next", "prev"}
    assert all(href.startswith("http://192.168.1.150/api/vmm/v4.2/") for href in links.values())


def test_a_vm_is_about_as_large_as_recorded_and_has_no_empty_members(central: PrismCaller) -> None:
    vm = vms_of(central)[0]
    answer = central.get(f"{VMS}/{vm.uuid}")
    assert 3_800 < len(answer.content) < 5_600
    assert None not in list(values_below(answer.json()))
    assert answer.headers["ETag"]
    assert "ETag" not in central.get(VMS).headers


def test_a_vm_tells_what_the_world_knows_of_it(central: PrismCaller) -> None:
    home = central.prism.clusters[1]
    own = SimVm("12345678-0000-4000-8000-000000000001", "OWN", ip="10.9.9.9", mac="50:6b:8d:00:00:01")
    own.bios_uuid, own.parent_uuid, own.agent, own.migrating = GONE, GONE, True, True
    own.categories = {"AppType": "Citrix", "Floor": "3"}
    plain = SimVm("12345678-0000-4000-8000-000000000002", "PLAIN", power="off")
    home.add(own)
    home.add(plain)
    first = central.get(f"{VMS}/{own.uuid.upper()}").json()["data"]
    assert (first["biosUuid"], first["source"]["extId"], first["source"]["entityType"]) == (GONE, GONE, "VM")
    assert (first["isAgentVm"], first["isCrossClusterMigrationInProgress"], first["powerState"]) == (True, True, "ON")
    assert (first["cluster"]["extId"], "extId" in first["host"]) == (home.uuid, True)
    assert {each["extId"] for each in first["categories"]} == {
        category_uuid("AppType", "Citrix"),
        category_uuid("Floor", "3"),
    }
    assert first["nics"][0]["nicNetworkInfo"]["ipv4Config"]["ipAddress"]["value"] == "10.9.9.9"
    assert first["nics"][0]["nicBackingInfo"]["macAddress"] == "50:6b:8d:00:00:01"
    second = central.get(f"{VMS}/{plain.uuid}").json()["data"]
    assert (second["powerState"], second["biosUuid"], second["protectionType"]) == ("OFF", plain.uuid, "UNPROTECTED")
    assert not {"host", "source", "categories", "description"} & set(second)


def test_v3_and_v4_say_the_same_of_categories_protection_and_nics(central: PrismCaller) -> None:
    ruled, domained, _ = vms_of(central)[:3]
    ruled.categories, ruled.role, ruled.nics = {"Floor": "3"}, "PRIMARY", 2
    central.prism.clusters[1].domains["PD"] = SimDomain("PD", True, [DomainEntry(domained.uuid, domained.name)])
    for vm, kind in ((ruled, "RULE_PROTECTED"), (domained, "PD_PROTECTED")):
        old = central.get(f"{V3}/vms/{vm.uuid}").json()
        new = central.get(f"{VMS}/{vm.uuid}").json()["data"]
        assert (old["status"]["resources"]["protection_type"], new["protectionType"]) == (kind, kind)
        macs = [nic["mac_address"] for nic in old["status"]["resources"]["nic_list"]]
        assert macs == [nic["nicBackingInfo"]["macAddress"] for nic in new["nics"]]
        assert len(macs) == vm.nics
        assert old["metadata"]["categories_mapping"] == {key: [value] for key, value in vm.categories.items()}
    assert old["metadata"]["creation_time"] == domained.created


def test_only_ahv_vms_are_listed_and_found(central: PrismCaller) -> None:
    foreign = SimVm("12345678-0000-4000-8000-000000000003", "ESX-1", hypervisor="ESX")
    central.prism.clusters[1].add(foreign)
    assert foreign.uuid not in {each["extId"] for each in listed(central, **{"$limit": 100})}
    assert central.get(f"{VMS}/{foreign.uuid}").status_code == 404


def test_a_vm_without_a_name_has_no_name(central: PrismCaller) -> None:
    made = SimVm("12345678-0000-4000-8000-000000000004", "", state="PENDING")
    central.prism.clusters[1].add(made)
    entity = central.get(f"{VMS}/{made.uuid}").json()["data"]
    assert ("name" in entity, entity["powerState"], "host" in entity) == (False, "UNDETERMINED", False)


def test_creation_times_have_fractions_of_any_length(central: PrismCaller) -> None:
    for number in range(60):
        central.prism.clusters[1].add(SimVm(stable_uuid("times", number), f"T-{number}"))
    times = [each["createTime"] for each in listed(central, **{"$limit": 100})]
    lengths = {len(time.removesuffix("Z").partition(".")[2]) for time in times}
    assert {0, 5, 6} <= lengths
    assert all(time.endswith("Z") and not time.endswith("0Z") for time in times if "." in time)


def test_the_first_nic_shape_is_v4_0_alone_and_the_second_comes_with_v4_1(central: PrismCaller) -> None:
    shapes: dict[int, set[frozenset[str]]] = {}
    for minor in (0, 1, 2):
        found = listed(central, VMS.replace("v4.2", f"v4.{minor}"), **{"$limit": 100})
        shapes[minor] = {frozenset(nic) - {"$objectType", "$reserved"} for each in found for nic in each["nics"]}
    old, new = {"backingInfo", "networkInfo"}, {"nicBackingInfo", "nicNetworkInfo"}
    assert shapes[0] == {frozenset({"extId", *old})}
    assert shapes[1] == shapes[2] == {frozenset({"extId", *new}), frozenset({"extId", *old, *new})}


def test_where_both_nic_shapes_stand_only_the_new_one_has_the_address(central: PrismCaller) -> None:
    both = [nic for each in listed(central) for nic in each["nics"] if "networkInfo" in nic]
    assert both
    assert not any({"ipv4Config", "ipv4Info"} & set(nic["networkInfo"]) for nic in both)


def test_addresses_are_handed_out_or_learned_and_an_idle_unmanaged_nic_has_none(central: PrismCaller) -> None:
    cluster = central.prism.clusters[1]
    for power, number in itertools.product(("on", "off"), range(40)):
        cluster.add(SimVm(stable_uuid("addresses", power, number), f"A-{power}-{number}", power=power))
    seen = set()
    for each in listed(central, **{"$limit": 100}):
        network = each["nics"][0]["nicNetworkInfo"]
        seen.add((each["powerState"], "ipv4Config" in network, "ipv4Info" in network))
    assert {("ON", True, False), ("ON", False, True), ("OFF", True, False), ("OFF", False, False)} <= seen
    assert ("OFF", False, True) not in seen


def test_the_first_element_of_a_nested_list_alone_tells_its_type(central: PrismCaller) -> None:
    vm = vms_of(central)[0]
    vm.nics = 2
    entity = central.get(f"{VMS}/{vm.uuid}").json()["data"]
    for name in ("nics", "disks"):
        assert ["$objectType" in each for each in entity[name]] == [True, False]
    assert "ipv4Config" not in entity["nics"][1]["nicNetworkInfo"]


def test_a_change_of_the_world_shows_at_once(central: PrismCaller) -> None:
    vm = vms_of(central)[0]
    vm.name, vm.power, vm.role = "AAA-FIRST", "off", "SECONDARY"
    first = central.get(VMS, params={"$orderby": "name"}).json()["data"][0]
    assert (first["extId"], first["powerState"], first["protectionType"]) == (vm.uuid, "OFF", "RULE_PROTECTED")
    vm.migrating = True
    first = central.get(VMS, params={"$orderby": "name"}).json()["data"][0]
    assert first["isCrossClusterMigrationInProgress"] is True


@pytest.mark.parametrize(
    ("text", "number"),
    [
        pytest.param("name eq 'W11-001'", 2, id="whole-name"),
        pytest.param("name eq 'w11-001'", 0, id="case-counts"),
        pytest.param("startswith(name,'W11-01')", 7, id="start-of-a-name"),
        pytest.param("cluster/extId eq '{cluster}'", 25, id="cluster"),
        pytest.param("cluster/extId eq '{cluster}' and startswith(name,'W11')", 13, id="and"),
        pytest.param("isAgentVm eq true", 0, id="a-boolean"),
        pytest.param("numSockets eq 2 and isAgentVm eq false and name eq 'W11-001'", 2, id="three"),
        pytest.param("powerState eq Vmm.Ahv.Config.PowerState'OFF'", 0, id="an-enum-with-its-type"),
        pytest.param("name eq 'O''Brien'", 1, id="a-quote-is-doubled"),
    ],
)
def test_the_vm_list_is_filtered(central: PrismCaller, text: str, number: int) -> None:
    central.prism.clusters[0].add(SimVm("12345678-0000-4000-8000-000000000005", "O'Brien"))
    body = central.get(VMS, params={"$filter": text.format(cluster=central.prism.clusters[1].uuid)}).json()
    assert (len(body.get("data", ())), body["metadata"]["totalAvailableResults"]) == (number, number)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("biosUuid eq 'x'", id="not-filterable"),
        pytest.param("createTime eq 'x'", id="no-times"),
        pytest.param("categories/any(c:c eq 'x')", id="no-categories"),
        pytest.param("powerState eq 'ON'", id="an-enum-without-its-type"),
        pytest.param("name eq W11-001", id="no-quotes"),
        pytest.param("name eq 'it's'", id="a-quote-that-is-not-doubled"),
        pytest.param("name eq 'a' or name eq 'b'", id="or-is-not-vouched-for"),
        pytest.param("contains(name,'W11')", id="contains-is-not-vouched-for"),
        pytest.param("isAgentVm eq 'true'", id="a-boolean-in-quotes"),
        pytest.param("startswith(isAgentVm,'t')", id="the-start-of-a-boolean"),
        pytest.param("name eq 'a' and", id="a-half"),
        pytest.param("", id="nothing"),
    ],
)
def test_a_filter_that_the_contract_does_not_vouch_for_is_refused(central: PrismCaller, text: str) -> None:
    answer = central.get(VMS, params={"$filter": text})
    (message,) = answer.json()["data"]["error"]["validationErrorMessages"]
    assert (answer.status_code, message["attributePath"]) == (400, "$filter")


def test_the_vm_list_is_sorted_by_creation_unless_told(central: PrismCaller) -> None:
    vms_of(central)[3].created = "2020-01-01T00:00:00Z"
    assert central.get(VMS).json()["data"][0]["extId"] == vms_of(central)[3].uuid
    down = [each["name"] for each in listed(central, **{"$orderby": "name desc"})]
    assert down == sorted(down, reverse=True)


@pytest.mark.parametrize("text", ["extId", "createTime", "name up", "name,biosUuid", ""])
def test_an_order_by_another_member_is_refused(central: PrismCaller, text: str) -> None:
    assert central.get(VMS, params={"$orderby": text}).status_code == 400


def test_a_selection_has_the_selected_members_and_the_identifier(central: PrismCaller) -> None:
    query = {"$select": "name,cluster/extId,host/extId,nics", "$limit": 100}
    for entity in listed(central, **query):
        assert set(entity) <= {"$objectType", "$reserved", "extId", "name", "cluster", "host", "nics"}
        assert set(entity["cluster"]) == {"extId"}
    whole, part = central.get(VMS), central.get(VMS, params={"$select": "name"})
    assert len(part.content) < len(whole.content) / 10


def test_an_unknown_member_is_not_selected(central: PrismCaller) -> None:
    assert central.get(VMS, params={"$select": "name,project"}).status_code == 400
    central.prism.select_minor = 2
    assert central.get(VMS.replace("v4.2", "v4.1"), params={"$select": "name"}).status_code == 400
    assert central.get(VMS, params={"$select": "name"}).status_code == 200


def test_a_filter_names_the_members_that_it_reads() -> None:
    fields: dict[str, Field[str]] = {name: Field(Kind.TEXT, str) for name in ("a", "b")}
    assert condition("a eq 'x' and startswith(b, 'x')", fields).paths == {"a", "b"}
    with pytest.raises(BadOption, match="not filterable"):
        condition("c eq 'x'", fields)
