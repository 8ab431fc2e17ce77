"""A DR run goes before the schedule: what the schedule has begun and not yet written gives way (design, section 5)."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import timedelta

from shared.azure.holds import Hold
from shared.errors import EditedElsewhere, NotFound
from shared.model.run import Event, RemapState, Run, RunStatus
from shared.runs.access import SERVICE
from shared.runs.deciding.cancel import stopped
from shared.runs.draft import kept_profile
from shared.runs.resources import Resources
from shared.runs.rows.remap_rows import RemapRows

LOOKED_AT = 50  # of the profile's newest runs
_TRIES = 5

log = logging.getLogger(__name__)

_GIVES_WAY = (RunStatus.QUEUED, RunStatus.PLANNING, RunStatus.AWAITING_REVIEW, RunStatus.APPLYING)


def clear_the_way(resources: Resources, run: Run) -> None:
    """For a DR run that has not planned yet: cancel scheduled runs of its profile, hold the schedule. Safe to repeat.

    Raises ``StorageError``.
    """
    if run.target is None or run.status not in (RunStatus.QUEUED, RunStatus.PLANNING):
        return
    hours = kept_profile(resources, run.id).policy.hold_hours
    if hours:
        until = run.created_at + timedelta(hours=hours)
        why = f"DR run {run.id}, target {run.target}"
        resources.holds.put(run.profile, Hold(until, run.requested_by, run.created_at, why))
    for other in resources.runs.newest(run.profile, None, None, LOOKED_AT):
        if other.trigger == "schedule" and other.status in _GIVES_WAY and other.id != run.id:
            _give_way(resources, other, run)


def _give_way(resources: Resources, other: Run, run: Run) -> None:
    by = f"DR run {run.id}"
    for _ in range(_TRIES):
        try:
            found = resources.runs.get(other.id)
            was = found.value
            if was.status not in _GIVES_WAY or was.writing_since is not None or was.cancelled_by is not None:
                return
            resources.runs.update(replace(stopped(resources, was, by), updated_at=resources.now()), found)
            break
        except EditedElsewhere:
            continue
        except NotFound:
            return
    else:
        log.warning("scheduled run not cancelled, it is changed all the time run=%s other=%s", run.id, other.id)
        return
    now = resources.now()
    resources.events.append(other.id, Event(now, SERVICE.name, "cancel-requested", f"{by} takes its place."))
    if was.status is not RunStatus.APPLYING:  # its worker does it when it stops
        _supersede(resources, other, by)
    log.info("scheduled run gave way run=%s profile=%s other=%s", run.id, run.profile, other.id)


def _supersede(resources: Resources, other: Run, by: str) -> None:
    text = f"{by} of the same profile took its place."
    try:
        rows = RemapRows(resources.remaps, other.id, lambda: None)
        open_remaps = rows.of({RemapState.PROPOSED, RemapState.APPROVED})
        rows.move_to(RemapState.SUPERSEDED, {remap.machine: text for remap in open_remaps})
        found = resources.runs.get(other.id)
        resources.runs.update(replace(found.value, states=rows.counts()), found)
    except EditedElsewhere as error:
        # a cancelled run applies nothing, whatever its remaps are called
        log.warning("proposals not all superseded other=%s: %s", other.id, error)
