"""Before anything is written, what was left under way at Citrix comes to its end (design, section 5).

Left by an earlier worker on the same run, or by another run of the site whose jobs did not end: a late job could
otherwise overwrite what is written now.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from shared.azure.batches import Batches
from shared.citrix.writer import WRITE_SILENCE, SiteWriter
from shared.errors import CitrixError
from shared.model.citrix import MachineId
from shared.model.remap import Batch
from shared.model.run import RunId
from shared.runs.writing.following import Check, JobEnd, Pause, end_all, stuck_sentence, wait_for_unknown_jobs

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class UnderWay:
    """Where batches may be under way, and what it takes to wait for them. ``now`` is UTC."""

    writer: SiteWriter
    batches: Batches
    now: Callable[[], datetime]
    pause: Pause
    check: Check


def settle_batches(at: UnderWay, run_id: RunId, site_id: str | None) -> Mapping[MachineId, str]:
    """Wait for every batch of the run, and of others at its site, that may still be under way.

    The machines of those that do not end, each with a sentence. Raises ``LockLost``, ``StorageError``, and
    ``CitrixError`` where Citrix cannot be asked.
    """
    others = at.batches.begun(site_id) if site_id is not None else []
    stuck: dict[MachineId, str] = {}
    for other in dict.fromkeys([run_id, *others]):
        stuck |= _settle(at, other)
        if site_id is not None and other != run_id:
            at.batches.rest(site_id, other)
    return stuck


def _settle(at: UnderWay, run_id: RunId) -> dict[MachineId, str]:
    known = at.batches.of(run_id)
    under_way = [batch for batch in known if not batch.ended]
    if not under_way:
        return {}
    log.warning("taking over run=%s batches=%s", run_id, len(under_way))
    stuck = _without_job(at, known, [batch for batch in under_way if batch.job is None])
    ends = end_all(at.writer, _jobs(under_way), at.pause, at.check)
    # its results tell what a batch began, if its worker did not live to note it
    whole = [_with_nested(at, run_id, batch) if _has_results(batch, ends) else batch for batch in under_way]
    ends |= end_all(at.writer, [job for job in _jobs(whole) if job not in ends], at.pause, at.check)
    for batch in whole:
        if batch.job is not None and ends[batch.job] is JobEnd.STUCK:
            stuck |= dict.fromkeys(batch.machines, stuck_sentence(batch.job))
        stuck |= {machine: stuck_sentence(job) for machine, job in batch.nested if ends[job] is JobEnd.STUCK}
        if stuck.keys().isdisjoint(batch.machines):
            at.batches.put(run_id, replace(batch, ended=True))
    return stuck


def _has_results(batch: Batch, ends: Mapping[str, JobEnd]) -> bool:
    return batch.job is not None and not batch.nested and ends[batch.job] is JobEnd.ENDED


def _jobs(batches: Sequence[Batch]) -> list[str]:
    outer = [batch.job for batch in batches if batch.job is not None]
    return [*outer, *(job for batch in batches for _, job in batch.nested)]


def _without_job(at: UnderWay, known: Sequence[Batch], nameless: Sequence[Batch]) -> dict[MachineId, str]:
    """Batches of which no job is known: their worker died, or the answer was lost, between sending and noting it."""
    single = [batch for batch in nameless if batch.alone and not batch.nested]
    if single:
        # a call that went out may be executed as long as Citrix may take to answer it
        over = max(batch.began_at for batch in single) + timedelta(seconds=WRITE_SILENCE)
        at.pause(max(0.0, min(WRITE_SILENCE, (over - at.now()).total_seconds())))
        at.check()
    lost = [batch for batch in nameless if not batch.alone]
    if not lost:
        return {}
    jobs = frozenset(batch.job for batch in known if batch.job is not None)
    stuck = wait_for_unknown_jobs(at.writer, jobs, min(batch.began_at for batch in lost), at.pause, at.check)
    return {machine: stuck_sentence(stuck[0]) for batch in lost for machine in batch.machines} if stuck else {}


def _with_nested(at: UnderWay, run_id: RunId, batch: Batch) -> Batch:
    """The batch with the jobs that its items began, noted from now on."""
    try:
        results = at.writer.results(batch.job or "")
    except CitrixError as error:
        if error.kind != "missing":
            raise
        return batch
    ours = {machine.lower(): machine for machine in batch.machines}
    begun = tuple(
        (ours[machine.lower()], item.job)
        for machine, item in results.items()
        if item.job is not None and machine.lower() in ours
    )
    if not begun:
        return batch
    found = replace(batch, nested=begun)
    at.batches.put(run_id, found)
    return found
