"""Follows Citrix's jobs to their end: those of batches, those that single changes began, those that nobody knows."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum

from shared.citrix.jobs import wait_for_job
from shared.citrix.writer import SiteWriter
from shared.errors import CitrixError
from shared.model.citrix import MachineId
from shared.runs.writing.outcome import Outcome, Told
from shared.telemetry.threads import Threads

MOST_LOOKS = 24  # at a job: about 3.5 minutes
LOOKS_AFTER_CANCEL = 3
CLOCKS_DIFFER = timedelta(minutes=5)
AT_ONCE = 8

log = logging.getLogger(__name__)

Pause = Callable[[float], None]
Check = Callable[[], None]


class JobEnd(StrEnum):
    """``GONE``: Citrix knows the job no more. ``STOPPED``: it did not end and was cancelled."""

    ENDED = "ended"
    GONE = "gone"
    STOPPED = "stopped"
    STUCK = "stuck"


def ended_or_cancelled(writer: SiteWriter, job: str, pause: Pause, check: Check) -> JobEnd:
    """Wait until a job has ended; one that takes too long is cancelled, which may be refused.

    Raises ``LockLost``, and ``CitrixError`` where Citrix cannot be asked.
    """
    try:
        if wait_for_job(writer, job, pause, check, MOST_LOOKS) is not None:
            return JobEnd.ENDED
        log.warning("job does not end, cancelling it job=%s", job)
        if not writer.cancel(job):
            return JobEnd.STUCK
        stopped = wait_for_job(writer, job, pause, check, LOOKS_AFTER_CANCEL) is not None
        return JobEnd.STOPPED if stopped else JobEnd.STUCK
    except CitrixError as error:
        if error.kind == "missing":
            return JobEnd.GONE
        raise


def follow_alone(
    writer: SiteWriter, jobs: Mapping[MachineId, str], pause: Pause, check: Check
) -> dict[MachineId, Outcome]:
    """What became of changes that had only begun when their calls were answered, by the jobs that do them."""
    if not jobs:
        return {}

    ends = end_all(writer, jobs.values(), pause, check)
    told = {
        JobEnd.ENDED: lambda job: Outcome(Told.DONE),
        JobEnd.STUCK: lambda job: Outcome(Told.STUCK, stuck_sentence(job)),
    }
    return {machine: told.get(ends[job], _not_completed)(job) for machine, job in jobs.items()}


def _not_completed(job: str) -> Outcome:
    return Outcome(Told.UNKNOWN, f"Citrix's job {job} was not completed.")


def end_all(writer: SiteWriter, jobs: Iterable[str], pause: Pause, check: Check) -> dict[str, JobEnd]:
    """How each of several jobs ended; they are waited for side by side."""
    wanted = list(dict.fromkeys(jobs))
    with Threads(AT_ONCE, thread_name_prefix="follow") as pool:
        ends = pool.map(lambda job: ended_or_cancelled(writer, job, pause, check), wanted)
        return dict(zip(wanted, ends, strict=True))


def wait_for_unknown_jobs(
    writer: SiteWriter, known: frozenset[str], since: datetime, pause: Pause, check: Check
) -> list[str]:
    """Wait for the account's own batches since a time, but for those in ``known``, and for the jobs that their items
    began; which of them do not end.

    One of them may be the batch whose answer was lost, the others are other people's: none of them is cancelled. Raises
    ``LockLost``, and ``CitrixError`` where Citrix cannot be asked: what is under way is not known then.
    """
    pause(1.0)  # a request whose answer was lost a moment ago may only now become a job
    check()
    batches = [job for job in writer.batch_jobs(since - CLOCKS_DIFFER) if job.id not in known]

    def ends(job: str) -> bool:
        try:
            return wait_for_job(writer, job, pause, check, MOST_LOOKS) is not None
        except CitrixError as error:
            if error.kind == "missing":
                return True
            raise

    def begun(job: str) -> list[str]:
        try:
            return [item.job for item in writer.results(job).values() if item.job is not None]
        except CitrixError as error:
            if error.kind in ("missing", "malformed"):  # other people's may be of any kind
                return []
            raise

    def stuck(pool: Threads, jobs: Sequence[str]) -> list[str]:
        return [job for job, ended in zip(jobs, pool.map(ends, jobs), strict=True) if not ended]

    with Threads(AT_ONCE, thread_name_prefix="follow") as pool:
        open_batches = stuck(pool, [job.id for job in batches if not job.ended])
        ended = [job.id for job in batches if job.id not in open_batches]
        nested = [job for found in pool.map(begun, ended) for job in found]
        return [*open_batches, *stuck(pool, nested)]


def stuck_sentence(job: str) -> str:
    """What is said of a machine whose job does not end."""
    return f"Citrix's job {job} does not come to an end and may still change it."
