"""The step ``reset-again``: a second reset of the connections, some time after the first, by a delayed message."""

from __future__ import annotations

from shared.azure.work_queue import WorkStep
from shared.errors import EditedElsewhere, RealignError, StorageError
from shared.model.run import Event, RunId
from shared.runs.access import SERVICE
from shared.runs.clients.connect import citrix_writer
from shared.runs.clients.keyring import Keyring, site_secret_names
from shared.runs.draft import kept_profile
from shared.runs.later import at_rest, note, told_since_applying
from shared.runs.resources import Resources
from shared.runs.writing.connections import reset_connections
from shared.runs.writing.written import WrittenConnections

NAME = "reset-again"


def reset_again(resources: Resources, run_id: RunId) -> None:
    """Reset once more what the run wrote to. Safe to repeat; a failure is a step that says why, and changes nothing."""
    run = at_rest(resources, run_id, WorkStep.RESET_AGAIN)
    if run is None or told_since_applying(run, NAME) is not None:
        return
    connections = WrittenConnections(resources.inputs, run).all()
    try:
        profile = kept_profile(resources, run_id)
        keyring = Keyring(resources.vault, site_secret_names(profile))
        with citrix_writer(resources, profile, keyring) as writer:
            said, well = reset_connections(writer, connections)
    except (StorageError, EditedElsewhere):
        raise
    except RealignError as error:
        said, well = str(error), False
    note(resources, run_id, NAME, "done" if well else "failed", said)
    resources.events.append(run_id, Event(resources.now(), SERVICE.name, NAME, said))
