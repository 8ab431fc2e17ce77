"""The step ``observe``: does Citrix see a power state for each machine that was remapped? Looked at for a few minutes.

Citrix asks the hypervisor again after a reset, which takes a while, so looks are delayed messages; a machine that stays
without a power state is a warning and no error, since the remap itself was read back.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

from shared.azure.work_queue import WorkStep
from shared.citrix.writer import SiteWriter
from shared.errors import EditedElsewhere, RealignError, StorageError
from shared.model.citrix import MachineId
from shared.model.run import Event, RemapState, Run, RunId
from shared.runs.access import SERVICE
from shared.runs.clients.connect import citrix_writer
from shared.runs.clients.keyring import Keyring, site_secret_names
from shared.runs.draft import kept_profile
from shared.runs.later import at_rest, note, told_since_applying
from shared.runs.resources import Resources
from shared.telemetry.threads import Threads

NAME = "observe"
EVERY_SECONDS = 30
LOOKS_FOR = timedelta(minutes=5)
ONE_BY_ONE = 20  # machines: more are read by pages
MOST_NAMED = 20
# contract citrix.md, section 4.5, and trap 9: neither means that Citrix sees the VM
UNSEEN = frozenset({"unknown", "virtualmachinenotfound"})

_READERS = 4


def observe(resources: Resources, run_id: RunId) -> None:
    """Look once; come back until every machine has a power state or the time is up. Safe to repeat."""
    run = at_rest(resources, run_id, WorkStep.OBSERVE)
    if run is None or told_since_applying(run, NAME) is not None:
        return
    verified = {
        row.value.machine: row.value.machine_name for row in resources.remaps.load(run_id, {RemapState.VERIFIED})
    }
    unseen, trouble = set(verified), ""
    if verified:
        try:
            unseen = _unseen(resources, run_id, verified)
        except (StorageError, EditedElsewhere):
            raise
        except RealignError as error:
            trouble = str(error)
    now = resources.now()
    if not unseen:
        said, status = f"Citrix sees a power state for all {len(verified)} machines.", "done"
    else:
        names = ", ".join(sorted(verified[machine] for machine in unseen)[:MOST_NAMED])
        more = f" and {len(unseen) - MOST_NAMED} more" if len(unseen) > MOST_NAMED else ""
        said = f"Citrix sees no power state yet for {len(unseen)} of {len(verified)} machines: {names}{more}. {trouble}"
        status = "waiting" if now < _since(run, now) + LOOKS_FOR else "warning"
    note(resources, run_id, NAME, status, said.rstrip())
    if status == "waiting":
        resources.queue.send(run_id, WorkStep.OBSERVE, delay_seconds=EVERY_SECONDS)
    else:
        resources.events.append(run_id, Event(now, SERVICE.name, NAME, said.rstrip()))


def _since(run: Run, now: datetime) -> datetime:
    return next((step.at for step in reversed(run.steps) if step.name == "apply"), now)


def _unseen(resources: Resources, run_id: RunId, verified: Mapping[MachineId, str]) -> set[MachineId]:
    profile = kept_profile(resources, run_id)
    keyring = Keyring(resources.vault, site_secret_names(profile))
    with citrix_writer(resources, profile, keyring) as writer:
        states = _states(writer, verified)
    return {machine for machine in verified if states.get(machine, "unknown").lower() in UNSEEN}


def _states(writer: SiteWriter, machines: Collection[MachineId]) -> dict[MachineId, str]:
    if len(machines) > ONE_BY_ONE:
        return dict(writer.power_states())
    with Threads(_READERS, thread_name_prefix="observe") as pool:
        found = pool.map(writer.power_state, machines)
        return {machine: state for machine, state in zip(machines, found, strict=True) if state is not None}
