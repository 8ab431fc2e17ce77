"""Removes what is older than the customer wants to keep: runs with all that belongs to them, and what has expired.

The run's own row goes first, guarded by its etag: a run that somebody goes on with in this moment stays whole. Its
place in the profile's list goes last, so that a removal that was cut short is taken up again the next time.

What a run moved machines away from stays for good: no later plan may go back there.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import monotonic

from shared.azure.runs import ACTIVE
from shared.errors import RealignError
from shared.model.run import RemapState, Run, RunId
from shared.profile.policy import OLDEST_PLAN
from shared.runs.deciding.review import REVIEWABLE
from shared.runs.resources import Resources

_OPEN = (RemapState.PROPOSED.value, RemapState.APPROVED.value)
LONGEST = 540.0  # seconds: below the ten minutes that a step may work at a time

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Removed:
    """How many runs were removed, and how many could not be; ``whole`` is False where the time did not suffice."""

    runs: int
    failed: int
    expired: int
    whole: bool


def remove_old(resources: Resources, longest: float = LONGEST) -> Removed:
    """Remove the runs that rest and last changed before the days of ``REALIGN_RETENTION_DAYS``, within ``longest`` s.

    One whose plan may still be decided on is left. Raises ``StorageError`` where the account fails
    altogether; a run that cannot be removed keeps no other.
    """
    now, ends = resources.now(), monotonic() + longest
    days = resources.settings.retention.days
    before = now - timedelta(days=days)
    runs = failed = 0
    whole = True
    for profile, run_id in resources.runs.created_before(before):
        if monotonic() > ends:
            whole = False
            break
        try:
            runs += _remove(resources, profile, run_id, days)
        except RealignError as error:
            failed += 1
            log.error("run not removed run=%s: %s", run_id, error)
    expired = sum(kept.remove_expired(now) for kept in (resources.idempotency, resources.refusals, resources.holds))
    log.info("retention before=%s runs=%s failed=%s expired=%s", before.isoformat(), runs, failed, expired)
    if not whole:
        log.warning("retention had no time for all old runs; it goes on with its next start")
    return Removed(runs, failed, expired, whole)


def _remove(resources: Resources, profile: str, run_id: RunId, days: int) -> bool:
    found = resources.runs.find(run_id)
    site_id = None
    if found is not None:
        run = found.value
        site_id = run.site_id
        if run.status in ACTIVE or _kept_until(run, days) >= resources.now() or not resources.runs.remove(found):
            return False
    resources.batches.remove(site_id, run_id)
    for kept in (resources.remaps, resources.inputs, resources.events, resources.zone_moves, resources.notices):
        kept.remove(run_id)
    resources.runs.forget(profile, run_id)
    return True


def _kept_until(run: Run, days: int) -> datetime:
    """Whatever its profile says of the age of plans: nobody may still decide on what is removed."""
    last = max(at for at in (run.created_at, run.ended_at, run.updated_at) if at is not None)
    waits = run.status in REVIEWABLE and any(run.states.get(state, 0) for state in _OPEN)
    planned = run.planned_at or run.created_at
    return max(last + timedelta(days=days), planned + OLDEST_PLAN) if waits else last + timedelta(days=days)
