"""Recovery plan jobs of Prism Central v4, with the VMs before and after (contract ``prism.md``, section 5.6)."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from datetime import datetime
from typing import Any

from shared.http import Limits
from shared.model.nutanix import RecoveredVm, RecoveryJob, VmUuid
from shared.prism.client import Listing
from shared.prism.completeness import read_whole
from shared.prism.endpoint import Endpoint, PrismCallFailed
from shared.prism.entity import entries, member, required_uuid, text, time_utc, uuid
from shared.prism.list_v4 import PAGE, read_list
from shared.prism.recovery_jobs import RECOVERING, JobEntry, cut_short, recovery_job, relevant
from shared.prism.versions import JOBS, Versions

_NOT_DONE = frozenset({"QUEUED", "RUNNING", "FAILED", "ABORTED"})


def jobs_v4(endpoint: Endpoint, versions: Versions, since: datetime, limits: Limits) -> tuple[RecoveryJob, ...]:
    """As ``PrismClient.jobs`` says. Raises ``NotServed`` before v4.2, and ``PrismError``.

    A job that is gone when its steps are read has moved nothing any more.
    """
    listed = read_whole(lambda: _listed(endpoint, versions, limits), key=lambda job: job.id)
    if not listed.whole:
        raise cut_short(endpoint, listed, "recovery plan jobs")
    jobs: list[RecoveryJob] = []
    for job in listed.items:
        if not relevant(job, since):
            continue
        try:
            steps = _steps(endpoint, versions, job, limits)
        except PrismCallFailed as failure:
            if failure.http_status == 404:
                continue
            raise
        jobs.append(recovery_job(job, recovered_from_v4(steps, test=job.test), since))
    return tuple(jobs)


def _listed(endpoint: Endpoint, versions: Versions, limits: Limits) -> Listing[JobEntry]:
    """All jobs there are: nobody has seen by which of its fields this list can be sorted or filtered."""
    found: dict[str, JobEntry] = {}

    def keep(entity: dict[str, Any]) -> Hashable:
        job = job_from_v4(entity)
        found[job.id] = job
        return job.id

    def ask(page: int) -> dict[str, Any]:
        return versions.page(JOBS, {"$page": page, "$limit": PAGE}, limits)

    read = read_list(endpoint, "recovery-plan-jobs", ask, keep)
    return Listing(tuple(found.values()), read.distinct, read.announced, read.cut)


def _steps(endpoint: Endpoint, versions: Versions, job: JobEntry, limits: Limits) -> tuple[dict[str, Any], ...]:
    def listed() -> Listing[dict[str, Any]]:
        steps: list[dict[str, Any]] = []

        def keep(entity: dict[str, Any]) -> Hashable:
            steps.append(entity)
            return text(entity.get("extId")) or len(steps)

        def ask(page: int) -> dict[str, Any]:
            return versions.below(JOBS, f"{job.id}/execution-steps", {"$page": page, "$limit": PAGE}, limits)

        read = read_list(endpoint, "execution-steps", ask, keep)
        return Listing(tuple(steps), read.distinct, read.announced, read.cut)

    found = read_whole(listed, key=id)
    if not found.whole:
        raise cut_short(endpoint, found, f"execution steps of recovery plan job {job.id}")
    return found.items


def job_from_v4(entity: dict[str, Any]) -> JobEntry:
    """An entity of the list of recovery plan jobs. Raises ``BadEntity``."""
    return JobEntry(
        id=required_uuid(entity, "extId", "a job"),
        name=text(entity.get("name")) or "",
        action=text(entity.get("actionType")) or "",
        status=text(entity.get("status")) or "",
        started=time_utc(entity.get("startTime")),
        ended=time_utc(entity.get("endTime")),
    )


def recovered_from_v4(steps: tuple[dict[str, Any], ...], *, test: bool) -> Iterator[RecoveredVm]:
    """The VMs of execution steps that have a UUID before and after.

    A result says nothing of its own success, so a step that failed moves nothing. Of a test its VMs are named all the
    same: their copies may be there.
    """
    for step in steps:
        if step.get("operationType") not in RECOVERING or (step.get("status") in _NOT_DONE and not test):
            continue
        for entry in entries(step.get("executionStepResults")):
            result = member(entry, "result")
            source, recovered = uuid(result.get("sourceEntityExtId")), uuid(result.get("recoveredEntityExtId"))
            if source and recovered and _vm(result.get("entityType")):
                yield RecoveredVm(VmUuid(source), VmUuid(recovered), text(result.get("name")) or "")


def _vm(kind: Any) -> bool:
    """Absent and ``$UNKNOWN`` count as a VM: no other entity shares a VM's UUID."""
    word = text(kind)
    return word is None or word == "VM" or word.startswith("$")
