"""Keeps which VMs verified remaps moved machines away from: no candidates any more (design, section 4, rule 3)."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from shared.model.citrix import Hosting
from shared.model.remap import DepartedVm, Remap
from shared.model.run import Run
from shared.runs.resources import Resources


def keep_departures(resources: Resources, run: Run, verified: Collection[Remap]) -> None:
    """``verified`` are all such remaps of the run as it is now. Safe to repeat. Raises ``StorageError``."""
    if run.site_id is None:
        return
    left = _vms(remap.before for remap in verified) - _vms(remap.after for remap in verified)
    resources.departed.put(run.site_id, run.id, left)


def _vms(places: Iterable[Hosting]) -> frozenset[DepartedVm]:
    return frozenset(
        DepartedVm(place.connection, place.machine_id)
        for place in places
        if place.connection is not None and place.machine_id is not None
    )
