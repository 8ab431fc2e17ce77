"""The names of the categories that v4 VMs carry by ``extId``: one list, read when the first VM has any."""

from __future__ import annotations

import logging
from collections.abc import Hashable
from typing import Any

from shared.errors import PrismError
from shared.http import Limits
from shared.prism.client import BudgetSpent
from shared.prism.endpoint import Endpoint
from shared.prism.entities_v4 import category_from_v4
from shared.prism.list_v4 import PAGE, read_list
from shared.prism.versions import CATEGORIES, Versions

# After these the VMs' own list would not be answered any more either.
_DEAD = frozenset({"unreachable", "timeout", "tls", "sign-in"})

log = logging.getLogger(__name__)


class Categories:
    """Resolves categories of one Prism Central. Facts beside the VMs: a list that fails leaves their names unknown."""

    def __init__(self, endpoint: Endpoint, versions: Versions) -> None:
        self._endpoint = endpoint
        self._versions = versions
        self._names: dict[str, str] = {}
        self._asked = self._whole = False

    def names(self, ids: tuple[str, ...], limits: Limits) -> tuple[str, ...] | None:
        """``Key:Value`` of each that the list has, None where one is not in it and the list was not whole.

        Raises ``PrismError`` only where the host is dead.
        """
        if not self._asked:
            self._names, self._asked = self._read(limits), True
        known = tuple(self._names[found] for found in ids if found in self._names)
        return known if self._whole or len(known) == len(ids) else None

    def _read(self, limits: Limits) -> dict[str, str]:
        names: dict[str, str] = {}

        def keep(entity: dict[str, Any]) -> Hashable:
            found, name = category_from_v4(entity)
            if name is not None:
                names[found] = name
            return found

        def ask(page: int) -> dict[str, Any]:
            return self._versions.page(CATEGORIES, {"$page": page, "$limit": PAGE}, limits)

        try:
            read = read_list(self._endpoint, "categories", ask, keep)
        except PrismError as error:
            if error.kind in _DEAD and not isinstance(error, BudgetSpent):
                raise
            log.warning("categories stay without names: %s", error)
            return {}
        self._whole = read.whole
        if not read.whole:
            log.warning("only some categories have names listed=%s announced=%s", read.distinct, read.announced)
        return names
