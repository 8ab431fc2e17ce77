"""What every step that writes has in common: the profile's lock, the site's where Citrix is written to, and waiting.

A lock is held while a step works, never while a person thinks or a delayed message is awaited (design, section 5).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import timedelta

from shared.azure.lock import Held, Lock, LockKind
from shared.azure.table import Versioned
from shared.azure.work_queue import WorkStep
from shared.errors import EditedElsewhere, LockLost
from shared.model.run import Run, RunId, RunStatus, Step
from shared.runs.resources import Resources
from shared.runs.rows.record import RunRecord, due, with_step

MOST_ATTEMPTS = 5
WAIT_FOR_LOCK = timedelta(seconds=5)
CLOCKS_DIFFER = timedelta(seconds=2)

log = logging.getLogger(__name__)

Check = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Next:
    """The message that goes on with the run, sent when its locks are free."""

    step: WorkStep
    delay_seconds: int = 0


Work = Callable[[RunRecord, Check], Next | None]


def locked(
    resources: Resources, run_id: RunId, statuses: Collection[RunStatus], step: WorkStep, work: Work, *, site: bool
) -> None:
    """Do ``work`` on a run that is in one of ``statuses``, with its locks; ``site``: also that of its Citrix site.

    A run that needs no such step any more, that waits for its time, or that another worker has, is left alone. Where
    another run holds a lock, this one comes back later.
    """
    found = resources.runs.get(run_id)
    if found.value.status not in statuses:
        log.info("nothing to do run=%s step=%s status=%s", run_id, step.value, found.value.status.value)
        return
    if found.value.status is not RunStatus.QUEUED and not due(found.value, resources.now() + CLOCKS_DIFFER):
        log.info("not before %s run=%s", found.value.not_before, run_id)
        return  # a duplicate: the message that waits until then goes on with it
    following = None
    try:
        with ExitStack() as held:
            locks = _locks(resources, found.value, held, site=site)
            if isinstance(locks, Held):
                following = _wait_for(resources, found, step, locks)
            else:
                following = _work(resources, run_id, statuses, work, locks)
    except (LockLost, EditedElsewhere) as error:
        log.warning("another worker has the run, run=%s: %s", run_id, error)
    if following is not None:
        # only now: a worker that is faster than the release of the lock would take the message for a duplicate
        resources.queue.send(run_id, following.step, delay_seconds=following.delay_seconds)


def _work(
    resources: Resources, run_id: RunId, statuses: Collection[RunStatus], work: Work, locks: list[Lock]
) -> Next | None:
    fresh = resources.runs.get(run_id)
    if fresh.value.status not in statuses:
        return None

    def check() -> None:
        for lock in locks:
            lock.check()

    return work(RunRecord(resources, fresh), check)


def _locks(resources: Resources, run: Run, held: ExitStack, *, site: bool) -> list[Lock] | Held:
    token = resources.random_bytes(16).hex()
    wanted = [(LockKind.PROFILE, run.profile)]
    if site and run.site_id is not None:
        wanted.append((LockKind.SITE, run.site_id))
    locks: list[Lock] = []
    for kind, key in wanted:
        lock = resources.locks.acquire(kind, key, run.id, token, resources.now())
        if isinstance(lock, Held):
            return lock
        locks.append(held.enter_context(lock))
    return locks


def _wait_for(resources: Resources, found: Versioned[Run], step: WorkStep, held: Held) -> Next | None:
    run, now = found.value, resources.now()
    if held.run_id == run.id:
        log.info("already being worked on run=%s until=%s", run.id, held.until.isoformat())
        return None
    if not due(run, now):
        return None  # a duplicate: the message that waits until then goes on with it
    waiting = Step("wait", "waiting", now, f"Run {held.run_id} is at work on the same profile or site.")
    steps = run.steps if run.steps and run.steps[-1].name == "wait" else with_step(run.steps, waiting)
    resources.runs.update(replace(run, not_before=now + WAIT_FOR_LOCK, steps=steps, updated_at=now), found)
    return Next(step, int(WAIT_FOR_LOCK.total_seconds()))
