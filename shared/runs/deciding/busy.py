"""Refuses to wait for another run, where the caller asked for that."""

from __future__ import annotations

from shared.azure.runs import ACTIVE
from shared.errors import NotFound, ProfileBusy, StorageError
from shared.model.run import RunId
from shared.runs.request import IfBusy
from shared.runs.resources import Resources


def check_idle(resources: Resources, profile: str, run_id: RunId, if_busy: IfBusy) -> None:
    """Raise ``ProfileBusy`` where another run of the profile is at work and the caller would not wait for it."""
    if if_busy == "queue":
        return
    for other in resources.runs.active():
        if other == run_id:
            continue
        try:
            run = resources.runs.get(other).value
        except (NotFound, StorageError):
            continue  # gone, or not to be read: no reason to keep this one from starting
        if run.profile == profile and run.status in ACTIVE:
            raise ProfileBusy(
                f"Run {run.id} of profile {profile} is {run.status.value}. Wait for it, or ask with ifBusy 'queue'.",
                run_id=run.id,
            )
