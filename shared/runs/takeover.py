"""Before anything is written, what an earlier worker left under way at Citrix comes to its end (design, section 5)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from shared.azure.batches import Batches
from shared.citrix.writer import SiteWriter
from shared.model.citrix import MachineId
from shared.model.run import RunId
from shared.runs.sending import JobEnd, ended_or_cancelled, wait_for_unknown_jobs

log = logging.getLogger(__name__)


def settle_batches(
    writer: SiteWriter, batches: Batches, run_id: RunId, pause: Callable[[float], None], check: Callable[[], None]
) -> frozenset[MachineId]:
    """Wait for every batch of the run that may still be under way; the machines of those that do not end.

    Raises ``LockLost``, ``StorageError``, and ``CitrixError`` where Citrix cannot be asked.
    """
    known = batches.of(run_id)
    under_way = [batch for batch in known if not batch.ended]
    if not under_way:
        return frozenset()
    log.warning("taking over run=%s batches=%s", run_id, len(under_way))
    stuck: set[MachineId] = set()
    nameless = [batch for batch in under_way if batch.job is None]
    if nameless:
        jobs = frozenset(batch.job for batch in known if batch.job is not None)
        since = min(batch.began_at for batch in nameless)
        if wait_for_unknown_jobs(writer, jobs, since, pause, check):
            stuck.update(machine for batch in nameless for machine in batch.machines)
    for batch in under_way:
        if batch.job is not None and ended_or_cancelled(writer, batch.job, pause, check) is JobEnd.STUCK:
            stuck.update(batch.machines)
        if stuck.isdisjoint(batch.machines):
            batches.put(run_id, replace(batch, ended=True))
    return frozenset(stuck)
