"""Jobs of the simulated Citrix (contract ``citrix.md``, section 6.2): started by a call, done on the event loop.

A job is seen by the identity that started it and by nobody else. Times are shown in whole seconds, as the
documentation shows them: a client that compares them with its own clock must allow for it.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime

from sandbox.citrix_errors import error_data
from sandbox.citrix_pages import compact
from sandbox.citrix_site import SiteJob
from sandbox.contract import Json, sample
from sandbox.entity_cache import listing
from sandbox.faults import Faults
from sandbox.front import Answer, Call, Handler
from sandbox.world import World

log = logging.getLogger(__name__)

BATCH = "Batch"
UNCANCELLABLE = "uncancellable"
# Does the work; the answer is a refusal of it, or None.
Work = Callable[[SiteJob], Awaitable[Answer | None]]


class Jobs:
    """The jobs of one site. Whatever starts one answers with ``start``."""

    def __init__(self, world: World, faults: Faults) -> None:
        self._world = world
        self._faults = faults
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self.handlers: Mapping[str, Handler] = {
            "listJobs": self._list,
            "getJob": self._get,
            "getJobResults": self._results,
            "cancelJob": self._cancel,
            "deleteJob": self._delete,
        }

    def start(
        self,
        call: Call,
        kind: str,
        work: Work,
        *,
        of: str | None = None,
        parameters: tuple[tuple[str, str], ...] = (),
        sub_jobs: list[SiteJob] | None = None,
    ) -> Answer:
        """202 with the new job in ``Location``. ``of`` is where the results of a job that keeps none are found."""
        job = new_job(kind, call.caller, parameters)
        job.of = of
        job.sub_jobs = sub_jobs or []
        job.cancellable = kind == BATCH
        stuck = self._faults.take("job-stuck", UNCANCELLABLE, kind)
        if stuck is not None:
            job.stuck, job.cancellable = True, stuck.only != UNCANCELLABLE
        job.lost = self._faults.hits("job-lost", kind)
        self._world.site.jobs[job.id] = job
        task = asyncio.get_running_loop().create_task(self._do(job, work))
        self._tasks[job.id] = task
        task.add_done_callback(lambda done: self._settle(job, done))
        return Answer(202, headers={"Location": f"{base_of(call)}/Jobs/{job.id}"})

    def under_way(self, caller: str, kind: str) -> int:
        """How many jobs of a caller have not ended."""
        # A copy, here and below: a test may purge jobs from its own thread.
        jobs = list(self._world.site.jobs.values())
        return sum(1 for job in jobs if job.ended is None and job.owner == caller and job.type == kind)

    async def _do(self, job: SiteJob, work: Work) -> None:
        await asyncio.sleep(self._world.job_start_seconds)
        job.status, job.started = "InProgress", datetime.now(UTC)
        # Half of the items of a stuck batch are done. Half of one piece of work is none.
        if job.stuck and job.type != BATCH:
            return
        refusal = await work(job)
        if not job.stuck:
            _end(job, refusal)

    def _settle(self, job: SiteJob, task: asyncio.Task[None]) -> None:
        self._tasks.pop(job.id, None)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log.error("The simulated job %s broke off.", job.type, exc_info=error)
            _end(job, error_data(500, f"sandbox defect: {error!r}"))

    def _list(self, call: Call) -> Answer:
        own = [job for job in list(self._world.site.jobs.values()) if job.owner == call.caller and not job.lost]
        texts = [compact(job_item(job, base_of(call)) | {"SubJobs": None}) for job in reversed(own)]
        judged, payload = listing({"ContinuationToken": None, "TotalItems": None}, "Items", texts)
        return Answer(body=judged, payload=payload)

    def _get(self, call: Call) -> Answer:
        job = self._own(call)
        return _no_job(call) if job is None else _shown(job, call)

    def _results(self, call: Call) -> Answer:
        job = self._own(call)
        if job is None:
            return _no_job(call)
        if job.ended is None:
            return error_data(404, f"The job {job.id} has no results yet.", "JobNotComplete")
        if job.of is not None:
            return Answer(303, headers={"Location": f"{base_of(call)}/{job.of}"})
        return batch_answer(job.results)

    def _cancel(self, call: Call) -> Answer:
        job = self._own(call)
        if job is None:
            return _no_job(call)
        if job.ended is None:
            if not job.cancellable:
                return error_data(409, f"The job {job.id} cannot be cancelled.", "JobNotCancellable")
            # What has not been executed by now never is.
            task = self._tasks.get(job.id)
            if task is not None:
                task.cancel()
            job.status, job.cancellable, job.ended = "Canceled", False, datetime.now(UTC)
            for each in job.sub_jobs:
                if each.ended is None:
                    each.status, each.ended = "Canceled", job.ended
        return _shown(job, call)

    def _delete(self, call: Call) -> Answer:
        job = self._own(call)
        if job is None:
            return _no_job(call)
        if job.ended is None:
            return error_data(409, f"The job {job.id} has not ended.", "JobNotComplete")
        del self._world.site.jobs[job.id]
        return Answer(204)

    def _own(self, call: Call) -> SiteJob | None:
        job = self._world.site.jobs.get(call.path["id"].lower())
        return None if job is None or job.lost or job.owner != call.caller else job


def new_job(kind: str, owner: str, parameters: tuple[tuple[str, str], ...] = ()) -> SiteJob:
    return SiteJob(str(uuid.uuid4()), kind, owner, datetime.now(UTC), parameters)


def base_of(call: Call) -> str:
    """The base of the API as the caller wrote it: behind a relay the address is the relay's."""
    return f"https://{call.headers['Host']}/cvad/manage"


def batch_answer(results: list[Json]) -> Answer:
    """The results of a batch: what the contract judges is a sample of them, as in any list."""
    judged, payload = listing({}, "Items", [compact(each) for each in results])
    return Answer(body=judged, payload=payload)


def job_item(job: SiteJob, base: str) -> dict[str, Json]:
    kept = job.ended is not None and job.of is None
    return {
        "Id": job.id,
        "Type": job.type,
        "Status": job.status,
        "OverallProgressPercent": job.percent,
        "IsCancellable": job.cancellable and job.ended is None,
        "Parameters": [{"Name": name, "Value": value} for name, value in job.parameters],
        "SubJobs": [job_item(each, base) for each in job.sub_jobs],
        "ResultLocation": f"{base}/Jobs/{job.id}/Results" if kept else None,
        "ErrorString": job.error,
        "ErrorCode": job.error_code,
        "ErrorParameters": None,
        "CreationTime": _display(job.created),
        "FormattedCreationTime": _formatted(job.created),
        "StartTime": _display(job.started),
        "FormattedStartTime": _formatted(job.started),
        "EndTime": _display(job.ended),
        "FormattedEndTime": _formatted(job.ended),
    }


def _shown(job: SiteJob, call: Call) -> Answer:
    item = job_item(job, base_of(call))
    return Answer(body=item | {"SubJobs": sample(item["SubJobs"])}, payload=compact(item))


def _end(job: SiteJob, refusal: Answer | None) -> None:
    job.ended, job.percent = datetime.now(UTC), 100
    job.status = "Complete" if refusal is None else "Failed"
    if refusal is not None:
        job.error, job.error_code = refusal.body["ErrorMessage"], refusal.body["ErrorType"]


def _no_job(call: Call) -> Answer:
    return error_data(404, f"The job {call.path['id']} does not exist.", "UnknownJob")


def _display(time: datetime | None) -> str | None:
    return None if time is None else f"{time:%m/%d/%Y %I:%M:%S %p}"


def _formatted(time: datetime | None) -> str | None:
    return None if time is None else f"{time:%Y-%m-%dT%H:%M:%SZ}"
