"""A Citrix site and a Prism Element in memory, with the methods that the use cases call of the real clients.

Jobs take a few calls to be done, as they take a while in truth. Each call is told to the ``Watch`` before and after:
there it can fail, be the last thing that its worker did, or let something else happen meanwhile.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from shared.citrix.site import SiteIdentity
from shared.errors import CitrixError
from shared.http import Limits
from shared.model.citrix import Folder, Hosting, HostingConnection, Machine, MachineId
from shared.model.job import ENDED, ItemOutcome, Job, JobStatus
from shared.model.nutanix import ProtectionDomain, RecoveryJob, RegisteredCluster, Vm, VmUuid
from shared.model.remap import Change
from shared.prism.client import Listing
from tests.stateful.estate import Estate, listing

BATCH, NESTED = "Batch", "UpdateMachineCatalogMachine"
CALLS_A_JOB_TAKES = (3, 9, 1, 4, 15, 20)  # one job after the other


@dataclass
class Trouble:
    """What goes wrong with the next job; each strikes once."""

    items_fail: int = 0
    items_lie: int = 0
    nested: int = 0
    stuck: bool = False
    uncancellable: bool = False
    lost: bool = False


class Watch(Protocol):
    """Who hears of each call."""

    def call(self, name: str, changes: Sequence[Change] = ()) -> AbstractContextManager[None]: ...
    def saw(self, machine: MachineId, hosting: Hosting | None) -> None: ...
    def writer_run(self) -> str: ...
    def now(self) -> datetime: ...


@dataclass
class MemoryJob:
    id: str
    by: str
    waiting: list[Change]
    created_at: datetime
    trouble: Trouble
    left: int
    status: JobStatus = JobStatus.NOT_STARTED
    outcomes: dict[MachineId, ItemOutcome] = field(default_factory=dict)
    type: str = BATCH
    machines: frozenset[MachineId] = frozenset()

    @property
    def ended(self) -> bool:
        return self.status in ENDED


class MemoryCitrix:
    """The site's jobs. Safe to use from several threads."""

    def __init__(self, estate: Estate, watch: Watch) -> None:
        self.estate = estate
        self.watch = watch
        self.jobs: dict[str, MemoryJob] = {}
        self.next_trouble = Trouble()
        self.guard = threading.RLock()
        self._numbers = itertools.count(1)

    def begin(self, changes: Sequence[Change], kind: str, by: str, trouble: Trouble | None = None) -> MemoryJob:
        with self.guard:
            if trouble is None:
                trouble, self.next_trouble = self.next_trouble, Trouble()
            number = next(self._numbers)
            job = MemoryJob(
                f"job-{number}", by, list(changes), self.watch.now(), trouble,
                CALLS_A_JOB_TAKES[number % len(CALLS_A_JOB_TAKES)], type=kind,
                machines=frozenset(change.machine for change in changes),
            )  # fmt: skip
            self.jobs[job.id] = job
            if trouble.stuck:
                job.status = JobStatus.IN_PROGRESS
                for _ in range(len(job.waiting) // 2):
                    self._do_one(job)
            elif trouble.lost:
                self._finish(job)
            return job

    def go_on(self) -> None:
        """Time passes: jobs come nearer to their end."""
        with self.guard:
            for job in list(self.jobs.values()):
                if not job.ended and not job.trouble.stuck:
                    job.left -= 1
                    job.status = JobStatus.IN_PROGRESS
                    if job.left <= 0:
                        self._finish(job)

    def let_stuck_jobs_end(self) -> None:
        with self.guard:
            for job in list(self.jobs.values()):
                if not job.ended:
                    self._finish(job)

    def found(self, job_id: str) -> MemoryJob:
        job = self.jobs.get(job_id)
        if job is None or job.trouble.lost:
            raise CitrixError(f"Citrix has no job {job_id}.", kind="missing", http_status=404)
        return job

    def _finish(self, job: MemoryJob) -> None:
        while job.waiting:
            self._do_one(job)
        job.status = JobStatus.COMPLETE

    def _do_one(self, job: MemoryJob) -> None:
        change, trouble = job.waiting.pop(0), job.trouble
        if trouble.items_fail:
            trouble.items_fail -= 1
            job.outcomes[change.machine] = ItemOutcome(500, error="Citrix said: an unexpected error occurred.")
        elif trouble.items_lie:
            trouble.items_lie -= 1
            job.outcomes[change.machine] = ItemOutcome(204)
        elif trouble.nested:
            trouble.nested -= 1
            nested = self.begin([change], NESTED, job.by, Trouble())
            job.outcomes[change.machine] = ItemOutcome(202, job=nested.id)
        else:
            refused = self.estate.execute(change, job.by)
            job.outcomes[change.machine] = ItemOutcome(204 if refused is None else 400, error=refused)


class MemorySite:
    """What ``CitrixSite`` does."""

    def __init__(self, citrix: MemoryCitrix) -> None:
        self._citrix = citrix

    def identity(self) -> SiteIdentity:
        return SiteIdentity(self._citrix.estate.site_id, "In memory")

    discover = identity

    def machines(self) -> Iterator[Machine]:
        with self._citrix.watch.call("machines"), self._citrix.guard:
            found = [self._citrix.estate.read(machine) for machine in sorted(self._citrix.estate.machines)]
            for machine in found:
                self._citrix.watch.saw(machine.id, machine.hosting)
        yield from found

    def hosting_connections(self) -> tuple[HostingConnection, ...]:
        with self._citrix.watch.call("hosting_connections"):
            return tuple(self._citrix.estate.connections.values())

    def catalogs(self) -> Iterator[Folder]:
        with self._citrix.watch.call("catalogs"):
            pass
        yield self._citrix.estate.catalog

    def delivery_groups(self) -> Iterator[Folder]:
        yield from ()


class MemoryWriter:
    """What ``SiteWriter`` does. Moves of catalogs are not asked for by the test's policy."""

    def __init__(self, citrix: MemoryCitrix, check: Callable[[], None]) -> None:
        self._citrix = citrix
        self._check = check
        self.site = MemorySite(citrix)

    def takes_batches(self) -> bool:
        return True

    def submit(self, changes: Sequence[Change]) -> str:
        self._check()
        with self._citrix.watch.call("submit", changes):
            return self._citrix.begin(changes, BATCH, self._citrix.watch.writer_run()).id

    def change(self, change: Change) -> str | None:
        self._check()
        with self._citrix.watch.call("change", [change]):
            by = self._citrix.watch.writer_run()
            if self._citrix.next_trouble.nested:
                self._citrix.next_trouble.nested -= 1
                return self._citrix.begin([change], NESTED, by, Trouble()).id
            refused = self._citrix.estate.execute(change, by)
            if refused is not None:
                raise CitrixError(refused, kind="failed", http_status=400, unsent=True)
            return None

    def job(self, job_id: str) -> Job:
        with self._citrix.watch.call("job"):
            return _shown(self._citrix.found(job_id))

    def batch_jobs(self, since: datetime) -> tuple[Job, ...]:
        with self._citrix.watch.call("batch_jobs"):
            jobs = list(self._citrix.jobs.values())
            seen = [each for each in jobs if each.type == BATCH and not each.trouble.lost]
            return tuple(_shown(each) for each in seen if each.created_at >= since)

    def results(self, job_id: str) -> Mapping[MachineId, ItemOutcome]:
        with self._citrix.watch.call("results"):
            job = self._citrix.found(job_id)
            if not job.ended:
                raise CitrixError(f"The job {job_id} has no results yet.", kind="missing", http_status=404)
            return dict(job.outcomes)

    def cancel(self, job_id: str) -> bool:
        with self._citrix.watch.call("cancel"):
            job = self._citrix.found(job_id)
            if job.trouble.uncancellable or job.type != BATCH:
                return False
            if not job.ended:
                job.waiting.clear()
                job.status = JobStatus.CANCELED
            return True

    def machine(self, machine: MachineId) -> Machine | None:
        with self._citrix.watch.call("machine"), self._citrix.guard:
            there = machine in self._citrix.estate.machines
            found = self._citrix.estate.read(machine) if there else None
            self._citrix.watch.saw(machine, found.hosting if found is not None else None)
            return found

    def hosting_connection(self, connection_id: str) -> HostingConnection | None:
        with self._citrix.watch.call("hosting_connection"):
            return self._citrix.estate.connections.get(connection_id)

    def reset(self, connection_id: str) -> str | None:
        with self._citrix.watch.call("reset"):
            if connection_id not in self._citrix.estate.connections:
                raise CitrixError(f"There is no hosting connection {connection_id}.", kind="missing", http_status=404)
            return None

    def power_states(self) -> Iterator[tuple[MachineId, str]]:
        with self._citrix.watch.call("power_states"):
            estate = self._citrix.estate
            found = [(machine, estate.power_state(machine)) for machine in sorted(estate.machines)]
        yield from found

    def power_state(self, machine: MachineId) -> str | None:
        with self._citrix.watch.call("power_state"):
            estate = self._citrix.estate
            return estate.power_state(machine) if machine in estate.machines else None


class MemoryHosts:
    """What ``SiteHosts`` does for one host."""

    def __init__(self, citrix: MemoryCitrix) -> None:
        self._citrix = citrix

    def run(self, work: Callable[[MemorySite], object]) -> object:
        return work(MemorySite(self._citrix))


class MemoryPrism:
    """What ``PrismClient`` does, for one Prism Element."""

    api = "element-v2"

    def __init__(self, estate: Estate, cluster: str) -> None:
        self._estate = estate
        self._cluster = cluster

    def clusters(self, limits: Limits) -> Listing[RegisteredCluster]:
        return Listing((RegisteredCluster(f"cl-{self._cluster}", self._cluster),), 1, 1)

    def vms(self, clusters: Iterable[RegisteredCluster], limits: Limits) -> Listing[Vm]:
        found = listing(self._estate.clusters[self._cluster])
        return Listing(found, len(found), len(found))

    def domains(self, limits: Limits) -> Listing[ProtectionDomain]:
        return Listing((), 0, 0)

    def jobs(self, since: datetime, limits: Limits) -> tuple[RecoveryJob, ...]:
        return ()

    def decoupled(self, vms: Iterable[VmUuid], limits: Limits) -> frozenset[VmUuid]:
        return frozenset()


def _shown(job: MemoryJob) -> Job:
    cancellable = job.type == BATCH and not job.trouble.uncancellable
    return Job(job.id, job.type, job.status, cancellable, created_at=job.created_at)
