"""Which recovery plan jobs a run needs, and what they moved, whatever the API version.

A finished job is the strongest evidence there is: it names the VM before and after. A test failover is the opposite:
what it made must never become a machine's VM, however old the job is.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.errors import PrismError
from shared.model.nutanix import RecoveredVm, RecoveryJob, VmUuid
from shared.prism.client import Listing
from shared.prism.endpoint import Endpoint

TEST = "TEST_FAILOVER"
MOVES = frozenset({"MIGRATE", "FAILOVER", "LIVE_MIGRATE", "PLANNED_FAILOVER", "UNPLANNED_FAILOVER"})
TESTS_LOOK_BACK = timedelta(days=30)
# What makes a VM or brings it to another cluster. A clean-up step names entities, too.
RECOVERING = frozenset({"ENTITY_RECOVERY", "ENTITY_MIGRATION", "ENTITY_LIVE_MIGRATION", "ENTITY_RESTORATION"})
_WAITING = frozenset({"QUEUED"})
_UNFINISHED = frozenset({"QUEUED", "RUNNING"})
_FINISHED = frozenset(
    {
        "COMPLETED", "COMPLETED_WITH_WARNING", "SUCCEEDED", "SUCCEEDED_WITH_VALIDATION_WARNING",
        "FAILED", "FAILED_WITH_WARNING", "ABORTED",
    }
)  # fmt: skip

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class JobEntry:
    """A job as a list shows it. Its words are Prism's own, upper case; absent ones are empty."""

    id: str
    name: str
    action: str
    status: str
    started: datetime | None
    ended: datetime | None

    @property
    def test(self) -> bool:
        return self.action == TEST

    @property
    def finished(self) -> bool:
        # a word that is not known yet counts with the time beside it
        return self.status in _FINISHED or (self.status not in _UNFINISHED and self.ended is not None)


def relevant(job: JobEntry, since: datetime) -> bool:
    """A finished move that ended at ``since`` or later, or a test that began or ended up to 30 days before."""
    at = job.ended or job.started
    if job.test:
        return job.status not in _WAITING and (at is None or at >= since - TESTS_LOOK_BACK)
    return job.action in MOVES and job.finished and at is not None and at >= since


def recovery_job(job: JobEntry, recovered: Iterable[RecoveredVm], since: datetime) -> RecoveryJob:
    """``recovered`` without repeats: an entity stands in each step that worked on it."""
    moved: dict[tuple[VmUuid, VmUuid], RecoveredVm] = {}
    for vm in recovered:
        moved.setdefault((vm.source, vm.recovered), vm)
    at = (job.ended if job.finished else None) or job.started or since
    log.info("read recovery plan job id=%s action=%s status=%s vms=%s", job.id, job.action, job.status, len(moved))
    return RecoveryJob(job.id, job.name, job.action, at, job.test, tuple(moved.values()))


def cut_short(endpoint: Endpoint, listed: Listing[object], what: str) -> PrismError:
    """The error for a list that is not whole: it does not tell which VMs a test has made."""
    return PrismError(
        f"{endpoint.title} listed {listed.distinct} of {listed.announced} {what}, twice. Run again; without all of "
        "them nobody knows which VMs are copies of a test failover.",
        kind="failed",
        system=endpoint.title,
        retryable=True,
    )
