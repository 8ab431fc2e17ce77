"""Has a run's webhook told of the rest that the run is about to come to."""

from __future__ import annotations

from shared.azure.work_queue import WorkStep
from shared.model.run import RunId
from shared.profile.profile import Profile
from shared.runs.resources import Resources

SOON = 1  # seconds: by then the run rests


def announce(resources: Resources, run_id: RunId, profile: Profile) -> None:
    """Before the run rests: nobody comes back to a run at rest, and a message that comes too early waits for it.

    What there is to tell is found out then. Raises ``StorageError``.
    """
    if profile.notify is not None:
        resources.queue.send(run_id, WorkStep.NOTIFY, delay_seconds=SOON)
