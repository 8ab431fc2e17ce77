"""Events about single machines: only of those that did not go as planned, since the rows tell the others."""

from __future__ import annotations

from collections.abc import Mapping

from shared.model.citrix import MachineId
from shared.model.run import Event, RemapState, RunId
from shared.runs.access import SERVICE
from shared.runs.resources import Resources

MOST_TOLD = 200


def tell_machines(resources: Resources, run_id: RunId, what: Mapping[MachineId, tuple[RemapState, str]]) -> None:
    """An event for each machine, of very many for the first ones; the rows have them all. Raises ``StorageError``."""
    now = resources.now()
    events = [
        Event(now, SERVICE.name, state.value, sentence, machine)
        for machine, (state, sentence) in list(what.items())[:MOST_TOLD]
    ]
    resources.events.append_all(run_id, events)
