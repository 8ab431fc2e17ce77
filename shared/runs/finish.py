"""The end of a pass over a run's remaps: connections are reset, catalogs follow, and the run comes to rest."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import replace

from shared.azure.work_queue import WorkStep
from shared.citrix.writer import SiteWriter
from shared.model.citrix import MachineId
from shared.model.remap import Remap
from shared.model.run import Event, RemapState, Run, RunStatus
from shared.planning.plan import fingerprint_of
from shared.profile.policy import Policy
from shared.profile.profile import Profile
from shared.runs.access import SERVICE
from shared.runs.later import FIRST_LOOK_SECONDS
from shared.runs.locked import Check
from shared.runs.notifying.announce import announce
from shared.runs.resources import Resources
from shared.runs.rows.departures import keep_departures
from shared.runs.rows.record import RunRecord
from shared.runs.rows.remap_rows import RemapRows
from shared.runs.writing.connections import reset_connections
from shared.runs.writing.shared_vms import shares_vm
from shared.runs.writing.written import WrittenConnections
from shared.runs.writing.zones import move_zones

log = logging.getLogger(__name__)


def finish_apply(
    resources: Resources,
    record: RunRecord,
    check: Check,
    profile: Profile,
    writer: SiteWriter,
    rows: RemapRows,
    selected: Collection[MachineId] | None,
) -> None:
    """Everything was read back: do what comes after the writes, and bring the run to its rest.

    Safe to repeat. Raises ``LockLost``, ``StorageError``, and ``CitrixError`` where the site cannot be read any more.
    """
    run, policy = record.run, profile.policy
    verified = rows.of({RemapState.VERIFIED}, selected)
    connections: Mapping[str, str] = {}
    if run.writing_since is not None:
        written = WrittenConnections(resources.inputs, run)
        written.keep_only(remap.after for remap in verified)
        connections = written.all()
    keep_departures(resources, run, rows.every())
    if run.cancelled_by is not None:
        _leave_out(run, rows)
    record.step("apply", "done", rows.told(), progress=92, states=rows.counts())
    well = True
    if connections and policy.reset_hosting_connection:
        check()
        said, well = reset_connections(writer, connections)
        record.step("reset", "done" if well else "failed", said, progress=95)
        resources.events.append(run.id, Event(resources.now(), SERVICE.name, "reset", said))
    if verified and policy.switch_catalog_zone and run.cancelled_by is None:
        moved = [remap.machine for remap in verified]
        said, moved_well = move_zones(writer, resources.zone_moves, run.id, moved, resources.pause, check)
        well = well and moved_well
        record.step("move-zones", "done" if moved_well else "failed", said, progress=98)
        resources.events.append(run.id, Event(resources.now(), SERVICE.name, "move-zones", said))
    check()
    if connections:
        send_later_steps(resources, run, policy)
    if run.site_id is not None:
        resources.batches.rest(run.site_id, run.id)
    announce(resources, run.id, profile)
    _rest(resources, record, rows, well=well)


def send_later_steps(resources: Resources, run: Run, policy: Policy) -> None:
    """Before the run rests: nobody comes back to a run at rest, and a step that comes too early waits for it."""
    again = policy.reset_again_after_seconds
    if policy.reset_hosting_connection and again:
        resources.queue.send(run.id, WorkStep.RESET_AGAIN, delay_seconds=again)
    resources.queue.send(run.id, WorkStep.OBSERVE, delay_seconds=FIRST_LOOK_SECONDS)


def _leave_out(run: Run, rows: RemapRows) -> None:
    """What a cancelled run has not written."""
    # a scheduled run that gave way before it wrote has nothing left that anybody would decide on
    gave_way = run.trigger == "schedule" and run.writing_since is None
    left = rows.of({RemapState.APPROVED, RemapState.PROPOSED} if gave_way else {RemapState.APPROVED})
    text = f"{run.cancelled_by} cancelled the run before it was written."
    rows.move_to(RemapState.SUPERSEDED, {remap.machine: text for remap in left if not remap.sent})
    # a write for it went out once: whatever becomes of that, it can be rolled back
    text = f"{run.cancelled_by} cancelled the run. A write for it had been sent and was not done when it was read back."
    rows.move_to(RemapState.FAILED, {remap.machine: text for remap in left if remap.sent})


def _rest(resources: Resources, record: RunRecord, rows: RemapRows, *, well: bool) -> None:
    rows.reload()  # who decided at the very moment at which the run went to work was told no, and may have left a mark
    states, remaps = rows.counts(), rows.every()
    record.refresh()
    resources.events.append(record.run.id, _end_of_story(resources, record.run, rows, well=well))
    now = resources.now()

    def rested(run: Run) -> Run:
        # of the row as it is then: a wish to stop that comes now is no wish of the next pass
        status, error = status_after(run, remaps, well=well)
        return replace(
            run,
            status=status,
            progress=100,
            states=states,
            fingerprint=fingerprint_of((remap.machine, remap.before, remap.after) for remap in remaps),
            not_before=None,
            ended_at=None if status is RunStatus.AWAITING_REVIEW else now,
            error=error,
        )

    record.write_as(rested)
    run = record.run
    log.info("applied run=%s profile=%s status=%s states=%s", run.id, run.profile, run.status.value, states)


def _end_of_story(resources: Resources, run: Run, rows: RemapRows, *, well: bool) -> Event:
    status, _ = status_after(run, rows.every(), well=well)
    who = f"Cancelled by {run.cancelled_by}. " if status is RunStatus.CANCELLED else ""
    return Event(resources.now(), SERVICE.name, status.value, f"{who}{rows.told()}")


def status_after(run: Run, remaps: Collection[Remap], *, well: bool) -> tuple[RunStatus, str | None]:
    """Where a run rests once what was approved is through, and the sentence of its error, if it has one."""
    states = Counter(remap.state for remap in remaps)
    if run.cancelled_by is not None:
        return RunStatus.CANCELLED, f"{run.cancelled_by} cancelled it; what was applied until then stays."
    waits = states[RemapState.APPROVED] or (run.approved_by == SERVICE.name and states[RemapState.PROPOSED])
    if waits:
        return RunStatus.AWAITING_REVIEW, None
    sharing = sum(shares_vm(remap) for remap in remaps)
    bad = states[RemapState.FAILED] + states[RemapState.SUPERSEDED] + sharing
    if bad:
        went = f"{states[RemapState.FAILED]} failed, {states[RemapState.SUPERSEDED]} superseded"
        went += f", {sharing} hold a VM that another machine holds too" if sharing else ""
        text = f"{bad} of {sum(states.values())} remaps did not go as planned ({went}). Each remap says why."
        return RunStatus.COMPLETED_WITH_ERRORS, text
    if not well:
        return (
            RunStatus.COMPLETED_WITH_ERRORS,
            "A step after the writes failed. The steps of the run say which and why.",
        )
    return RunStatus.COMPLETED, None
