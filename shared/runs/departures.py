"""Keeps which VMs verified remaps moved machines away from: no candidates any more (design, section 4, rule 3)."""

from __future__ import annotations

from collections.abc import Iterable

from shared.model.citrix import Hosting
from shared.model.remap import DepartedVm
from shared.model.run import Run
from shared.runs.resources import Resources


def keep_departures(resources: Resources, run: Run, left: Iterable[Hosting], taken: Iterable[Hosting]) -> None:
    """Machines have ``left`` these places and have ``taken`` those. Safe to repeat. Raises ``StorageError``."""
    if run.site_id is None:
        return
    in_use = _vms(taken)
    known = resources.departed.of(run.site_id)
    resources.departed.remove(run.site_id, known & in_use)
    resources.departed.add(run.site_id, _vms(left) - in_use - known, run.id, resources.now())


def _vms(places: Iterable[Hosting]) -> frozenset[DepartedVm]:
    return frozenset(
        DepartedVm(place.connection, place.machine_id)
        for place in places
        if place.connection is not None and place.machine_id is not None
    )
