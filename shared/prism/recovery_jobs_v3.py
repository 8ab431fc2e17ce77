"""Recovery plan jobs of Prism Central v3, with the VMs before and after (contract ``prism.md``, section 4.3)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from shared.http import Limits
from shared.model.nutanix import RecoveredVm, RecoveryJob, VmUuid
from shared.prism.client import Listing
from shared.prism.completeness import read_whole
from shared.prism.endpoint import Endpoint, PrismCallFailed
from shared.prism.entity import BadEntity, entries, member, required_uuid, text, time_utc, uuid
from shared.prism.recovery_jobs import RECOVERING, TESTS_LOOK_BACK, JobEntry, cut_short, recovery_job, relevant

BASE = "/api/nutanix/v3/recovery_plan_jobs"
PAGE = 100
_PHASES = ("preprocessing_status", "operation_status", "postprocessing_status")


def jobs_v3(endpoint: Endpoint, since: datetime, limits: Limits) -> tuple[RecoveryJob, ...]:
    """As ``PrismClient.jobs`` says; empty where this Prism Central has no recovery plan jobs. Raises ``PrismError``.

    A job that is gone when its steps are read has moved nothing any more.
    """
    try:
        listed = read_whole(lambda: _listed(endpoint, since, limits), key=lambda job: job.id)
    except PrismCallFailed as failure:
        if failure.http_status == 404:
            return ()
        raise
    if not listed.whole:
        raise cut_short(endpoint, listed, "recovery plan jobs")
    jobs: list[RecoveryJob] = []
    for job in listed.items:
        if not relevant(job, since):
            continue
        try:
            steps = endpoint.get(f"{BASE}/{job.id}/execution_status", limits)
        except PrismCallFailed as failure:
            if failure.http_status == 404:
                continue
            raise
        jobs.append(recovery_job(job, recovered_from_v3(steps, test=job.test), since))
    return tuple(jobs)


def _listed(endpoint: Endpoint, since: datetime, limits: Limits) -> Listing[JobEntry]:
    """The jobs, newest first, up to the page on which all are too old to matter."""
    oldest = since - TESTS_LOOK_BACK
    found: dict[str, JobEntry] = {}
    offset = 0
    while True:
        asked = {
            "kind": "recovery_plan_job",
            "offset": offset,
            "length": PAGE,
            "sort_attribute": "start_time_secs",
            "sort_order": "DESCENDING",
        }
        answer = endpoint.list_by_post(f"{BASE}/list", limits, asked)
        total = member(answer, "metadata").get("total_matches")
        if not isinstance(total, int):
            raise endpoint.malformed("recovery_plan_jobs/list has no metadata.total_matches")
        try:
            page = [job_from_v3(entity) for entity in entries(answer.get("entities"))]
        except BadEntity as error:
            raise endpoint.malformed(f"recovery_plan_jobs/list has a job with {error}") from error
        offset += len(page)
        new = [job for job in page if job.id not in found]
        found |= {job.id: job for job in page}
        if new and _all_before(oldest, page):
            return Listing(tuple(found.values()), len(found), len(found))
        if not new or offset >= total:
            return Listing(tuple(found.values()), len(found), total)


def _all_before(oldest: datetime, page: list[JobEntry]) -> bool:
    """Whether this page and all that follow are too old: only where the order is the one that was asked for."""
    times = [job.started for job in page if job.started is not None]
    return len(times) == len(page) and times == sorted(times, reverse=True) and times[0] < oldest


def job_from_v3(entity: dict[str, Any]) -> JobEntry:
    """An entity of ``recovery_plan_jobs/list``. Raises ``BadEntity``."""
    metadata, status = member(entity, "metadata"), member(entity, "status")
    parameters = member(member(status, "resources"), "execution_parameters")
    return JobEntry(
        id=required_uuid(metadata, "uuid", "metadata"),
        name=text(status.get("name")) or text(metadata.get("name")) or "",
        action=text(parameters.get("action_type")) or "",
        status=text(member(status, "execution_status").get("status")) or "",
        started=time_utc(status.get("start_time")),
        ended=time_utc(status.get("end_time")),
    )


def recovered_from_v3(execution: dict[str, Any], *, test: bool) -> Iterator[RecoveredVm]:
    """The VMs of the answer of ``execution_status`` that have a UUID before and after.

    One with an error has not been moved. Of a test it is named all the same: its copy may be there.
    """
    for phase in _PHASES:
        for step in entries(member(execution, phase).get("step_execution_status_list")):
            if step.get("operation_type") not in RECOVERING:
                continue
            for entity in entries(step.get("recovered_entity_info_list")):
                before, after = member(entity, "source_entity_reference"), member(entity, "recovered_entity_info")
                source, recovered = uuid(before.get("uuid")), uuid(after.get("entity_uuid"))
                other_kind = (text(before.get("kind")) or "vm").lower() != "vm"
                if not source or not recovered or other_kind or (entity.get("error_detail") and not test):
                    continue
                name = text(after.get("entity_name")) or text(before.get("name")) or ""
                yield RecoveredVm(VmUuid(source), VmUuid(recovered), name)
