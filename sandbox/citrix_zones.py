"""Zones of the simulated Citrix, and what moves between them (contract ``citrix.md``, section 8.2)."""

from __future__ import annotations

from collections.abc import Mapping

from sandbox.citrix_entities import zone_detail, zone_item
from sandbox.citrix_errors import error_data, unknown_catalog, unknown_connection, unknown_zone
from sandbox.citrix_jobs import Jobs
from sandbox.citrix_pages import compact, page
from sandbox.citrix_site import CitrixSite, SimCatalog, SimConnection, SimZone, SiteJob
from sandbox.contract import Json
from sandbox.front import Answer, Call, Handler


class Zones:
    """The zones of one site. Catalogs and hosting connections can be moved; a move is done whole or not at all."""

    def __init__(self, site: CitrixSite, jobs: Jobs) -> None:
        self._site = site
        self._jobs = jobs
        self.handlers: Mapping[str, Handler] = {
            "listZones": self._list,
            "getZone": self._get,
            "moveItemsIntoZone": self._move,
        }

    def _list(self, call: Call) -> Answer:
        return page(call, list(self._site.zones.values()), lambda each: compact(zone_item(self._site, each)))

    def _get(self, call: Call) -> Answer:
        zone = self._site.zone(call.path["nameOrId"])
        return unknown_zone(call.path["nameOrId"]) if zone is None else Answer(body=zone_detail(self._site, zone))

    def _move(self, call: Call) -> Answer:
        zone = self._site.zone(call.path["nameOrId"])
        if zone is None:
            return unknown_zone(call.path["nameOrId"])
        items = call.body.get("Items", [])
        found = self._found(items)
        if isinstance(found, Answer):
            return found
        if not call.query.get("async"):
            return self._into(zone, found) or Answer(204)

        async def work(job: SiteJob) -> Answer | None:
            await call.inside.pause()
            return self._into(zone, found)

        parameters = (("Id", zone.id), ("Name", zone.name))
        return self._jobs.start(call, "MoveItemsIntoZone", work, of=f"Zones/{zone.id}", parameters=parameters)

    def _found(self, items: list[Json]) -> list[SimCatalog | SimConnection] | Answer:
        found: list[SimCatalog | SimConnection] = []
        for item in items:
            match item["ItemType"]:
                case "MachineCatalog":
                    catalog = self._site.catalogs.get(item["Id"].lower())
                    if catalog is None:
                        return unknown_catalog(item["Id"])
                    if catalog.pinned:
                        return _pinned(catalog)
                    found.append(catalog)
                case "HypervisorConnection":
                    connection = self._site.connections.get(item["Id"].lower())
                    if connection is None:
                        return unknown_connection(item["Id"])
                    found.append(connection)
                case other:
                    return error_data(400, f"Items of type {other} cannot be moved here.", "InvalidInput")
        return found

    def _into(self, zone: SimZone, found: list[SimCatalog | SimConnection]) -> Answer | None:
        for each in found:
            if isinstance(each, SimCatalog) and each.pinned:
                return _pinned(each)
        for each in found:
            each.zone_id, each.zone = zone.id, zone.name
            if isinstance(each, SimCatalog):
                each.moves += 1
        return None


def _pinned(catalog: SimCatalog) -> Answer:
    return error_data(409, f"The machine catalog {catalog.name} cannot be moved to another zone.", "InvalidState")
