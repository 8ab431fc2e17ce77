"""Keeps which VMs verified remaps moved machines away from: no candidates any more (design, section 4, rule 3)."""

from __future__ import annotations

from collections.abc import Sequence

from shared.model.remap import Remap
from shared.model.run import Run
from shared.planning.departed import vms_left
from shared.runs.resources import Resources


def keep_departures(resources: Resources, run: Run, remaps: Sequence[Remap]) -> None:
    """``remaps`` are all of the run, as they are now. Safe to repeat. Raises ``StorageError``."""
    if run.site_id is not None:
        resources.departed.put(run.site_id, run.id, vms_left(remaps))
