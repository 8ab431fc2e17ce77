"""Zones, single catalogs and cached connections of the simulated Citrix."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pytest

from sandbox.citrix_site import SimCatalog, SimZone
from sandbox.sandbox import Sandbox
from tests.integration.batches import job_until
from tests.integration.callers import CitrixCaller

Start = Callable[..., Sandbox]
CitrixOf = Callable[[Sandbox], CitrixCaller]


@pytest.fixture
def sandbox(sandbox_for: Start) -> Sandbox:
    return sandbox_for("planned-migration")


@pytest.fixture
def citrix(sandbox: Sandbox, citrix_of: CitrixOf) -> CitrixCaller:
    return citrix_of(sandbox)


def zones(citrix: CitrixCaller) -> tuple[SimZone, SimZone]:
    home, away = citrix.site.zones.values()
    return home, away


def moved(*catalogs: SimCatalog) -> dict[str, Any]:
    return {"Items": [{"Id": each.id, "Name": each.name, "ItemType": "MachineCatalog"} for each in catalogs]}


def test_zones_are_listed_in_pages_and_found_by_id_and_by_name(citrix: CitrixCaller) -> None:
    home, away = zones(citrix)
    listed = [page["Items"][0] for page in citrix.pages("/Zones", limit=1)]
    assert [(each["Id"], each["IsPrimary"]) for each in listed] == [(home.id, True), (away.id, False)]
    assert citrix.get(f"/Zones/{away.id}").json()["Name"] == away.name
    assert citrix.get(f"/Zones/{quote(away.name, safe='')}").json()["Id"] == away.id
    assert citrix.get(f"/Zones/{uuid.uuid4()}").status_code == 404


def test_a_catalog_is_found_by_id_and_by_its_path(citrix: CitrixCaller) -> None:
    catalog = next(iter(citrix.site.catalogs.values()))
    detail = citrix.get(f"/MachineCatalogs/{catalog.id}").json()
    assert (detail["FullName"], detail["Zone"]["Id"]) == (catalog.full_name, catalog.zone_id)
    assert detail["HypervisorConnection"]["Name"].startswith("Nutanix")
    path = quote(catalog.full_name.replace("\\", "|"), safe="")
    assert citrix.get(f"/MachineCatalogs/{path}", params={"fields": "Zone"}).json() == {
        "Id": catalog.id, "Name": catalog.name, "Zone": detail["Zone"],
    }  # fmt: skip
    assert citrix.get(f"/MachineCatalogs/{uuid.uuid4()}").status_code == 404


def test_the_machines_of_one_catalog_come_in_pages(citrix: CitrixCaller) -> None:
    catalog = next(iter(citrix.site.catalogs.values()))
    wanted = [each.id for each in citrix.site.machines.values() if each.catalog_id == catalog.id]
    pages = citrix.pages(f"/MachineCatalogs/{catalog.id}/Machines", limit=5, fields="Hosting,PowerState")
    assert [item["Id"] for page in pages for item in page["Items"]] == wanted
    assert len(pages) > 1
    assert citrix.get(f"/MachineCatalogs/{uuid.uuid4()}/Machines").status_code == 404


def test_a_catalog_moves_with_all_its_machines_and_back(citrix: CitrixCaller) -> None:
    home, away = zones(citrix)
    catalog = next(each for each in citrix.site.catalogs.values() if each.zone_id == home.id)
    answer = citrix.call("POST", f"/Zones/{away.id}/$moveItems", json=moved(catalog))
    assert (answer.status_code, answer.content) == (204, b"")
    assert citrix.get(f"/MachineCatalogs/{catalog.id}").json()["Zone"]["Name"] == away.name
    machines = citrix.get(f"/MachineCatalogs/{catalog.id}/Machines", params={"fields": "Zone"}).json()["Items"]
    assert {each["Zone"]["Id"] for each in machines} == {away.id}
    job = citrix.call("POST", f"/Zones/{home.id}/$moveItems?async=true", json=moved(catalog)).headers["Location"]
    done = job_until(citrix, job.rpartition("/")[2], "Complete")
    assert done["Type"] == "MoveItemsIntoZone"
    redirect = citrix.get(f"/Jobs/{done['Id']}/Results", allow_redirects=False)
    assert redirect.headers["Location"] == f"{citrix.base}/Zones/{home.id}"
    assert (catalog.zone_id, catalog.moves) == (home.id, 2)
    assert len(citrix.get("/Zones").json()["Items"]) == 2, "a zone that stands empty is still there"


def test_a_move_that_is_refused_moves_nothing(citrix: CitrixCaller) -> None:
    home, away = zones(citrix)
    (first,) = citrix.site.catalogs.values()
    second = replace(first, id=str(uuid.uuid4()), name="Developers", pinned=True)
    citrix.site.catalogs[second.id] = second
    path = f"/Zones/{away.id}/$moveItems"
    assert citrix.call("POST", path, json=moved(first, second)).status_code == 409
    unknown = SimCatalog(str(uuid.uuid4()), 9, "Gone", "", home.id, home.name)
    assert citrix.call("POST", path, json=moved(first, unknown)).status_code == 404
    assert citrix.call("POST", f"/Zones/{uuid.uuid4()}/$moveItems", json=moved(first)).status_code == 404
    user = {"Items": [{"Id": "x", "Name": "x", "ItemType": "User"}]}
    assert citrix.call("POST", path, json=user).status_code == 400
    assert citrix.call("POST", path, json={"Items": [{"Id": first.id}]}).status_code == 400
    assert [each.zone_id for each in (first, second)] == [home.id, home.id]


def test_a_connection_moves_too(citrix: CitrixCaller) -> None:
    home, away = zones(citrix)
    connection = next(each for each in citrix.site.connections.values() if each.zone_id == home.id)
    item = {"Id": connection.id, "Name": connection.name, "ItemType": "HypervisorConnection"}
    assert citrix.call("POST", f"/Zones/{away.id}/$moveItems", json={"Items": [item]}).status_code == 204
    assert citrix.get(f"/hypervisors/{connection.id}").json()["Zone"]["Name"] == away.name


def test_a_right_that_is_missing_is_a_403(citrix: CitrixCaller) -> None:
    _, away = zones(citrix)
    citrix.site.forbidden.add("moveItemsIntoZone")
    catalog = next(iter(citrix.site.catalogs.values()))
    answer = citrix.call("POST", f"/Zones/{away.id}/$moveItems", json=moved(catalog))
    assert (answer.status_code, answer.json()["ErrorType"], catalog.moves) == (403, "AccessDenied", 0)
    assert citrix.get("/Zones").status_code == 200


def test_a_site_that_caches_shows_a_connection_anew_only_without_its_cache(citrix: CitrixCaller) -> None:
    connection = next(iter(citrix.site.connections.values()))
    citrix.site.caches = True
    path = f"/hypervisors/{connection.id}"
    assert citrix.get(path).json()["InMaintenanceMode"] is False
    connection.in_maintenance = True
    assert citrix.get(path).json()["InMaintenanceMode"] is False
    assert citrix.get("/hypervisors").json()["Items"][0]["InMaintenanceMode"] is False
    assert citrix.get(path, params={"noCache": "true"}).json()["InMaintenanceMode"] is True
    fresh = citrix.get("/hypervisors", params={"noCache": "true"}).json()["Items"][0]
    assert fresh["InMaintenanceMode"] is True
