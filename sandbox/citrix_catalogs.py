"""Machine catalogs and delivery groups of the simulated Citrix (contract ``citrix.md``, sections 8.1 and 8.3)."""

from __future__ import annotations

from collections.abc import Mapping

from sandbox.citrix_entities import catalog_detail, catalog_item, folder_id, group_item
from sandbox.citrix_errors import not_simulated, unknown_catalog
from sandbox.citrix_pages import compact, page, trimmed
from sandbox.citrix_site import CitrixSite
from sandbox.front import Answer, Call, Handler

# A list of catalogs has them only when they are asked for (contract, section 8.1).
COSTLY = ("TotalCount", "Scopes", "JobsInProgress")


class Catalogs:
    """The catalogs and groups of one site."""

    def __init__(self, site: CitrixSite) -> None:
        self._site = site
        self.handlers: Mapping[str, Handler] = {
            "listMachineCatalogs": self._catalogs,
            "getMachineCatalog": self._catalog,
            "listDeliveryGroups": self._groups,
        }

    def _catalogs(self, call: Call) -> Answer:
        if call.query.get("async"):
            return not_simulated(call)
        found = [each for each in self._site.catalogs.values() if _in_folder(call, each.folder)]
        return page(call, found, lambda each: compact(trimmed(call, catalog_item(self._site, each), COSTLY)))

    def _catalog(self, call: Call) -> Answer:
        if call.query.get("async"):
            return not_simulated(call)
        catalog = self._site.catalog(call.path["nameOrId"])
        if catalog is None:
            return unknown_catalog(call.path["nameOrId"])
        return Answer(body=trimmed(call, catalog_detail(self._site, catalog)))

    def _groups(self, call: Call) -> Answer:
        if call.query.get("async"):
            return not_simulated(call)
        found = [each for each in self._site.groups.values() if _in_folder(call, each.folder)]
        return page(call, found, lambda each: compact(trimmed(call, group_item(each))))


def _in_folder(call: Call, folder: str) -> bool:
    wanted = call.query.get("adminFolder")
    if wanted is None:
        return True
    named = wanted.replace("|", "\\").strip("\\").lower()
    return named == folder.lower() or (folder != "" and named == folder_id(folder))
