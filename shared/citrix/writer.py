"""Writing to one site: batches and single changes, the jobs behind them, resets, and moves of catalogs.

What is sent, how fast, and what follows from a doubt is decided by who calls this. Nothing here sends a change again
that may have been executed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from shared.citrix import batch
from shared.citrix.batch_form import BatchForm
from shared.citrix.endpoint import Body, Params, segment
from shared.citrix.jobs import job_from, job_id_from
from shared.citrix.records import BadRecord, connection_from, machine_from, power_state_from
from shared.citrix.site import MACHINE_FIELDS, POWER_FIELDS, CitrixSite
from shared.errors import CitrixError
from shared.http import Answer, Deadline, Limits
from shared.model.citrix import HostingConnection, Machine, MachineId
from shared.model.job import ItemOutcome, Job
from shared.model.remap import Change

WRITE_SECONDS = 180.0
WRITE_SILENCE = 100.0  # a call that Citrix does not turn into a job may take 90 s (contract citrix.md, 9.3)
BATCH = "batch"
MOVE = "moveitemsintozone"
CANNOT_CANCEL = (404, 409, 501)

log = logging.getLogger(__name__)

T = TypeVar("T")


def write_limits() -> Limits:
    """The limits of one call."""
    return Limits(Deadline.after(WRITE_SECONDS), attempts=7, silence=WRITE_SILENCE, backoff=1.0)


class SiteWriter:
    """Writes to one site through one host; ``site`` reads through the same. Raises ``CitrixError``.

    ``limits`` is asked at the start of each call. ``check`` is called before each attempt at a write, and stops it by
    raising: a wait for Citrix may outlast the right to write. Safe to use from several threads.
    """

    def __init__(
        self,
        site: CitrixSite,
        *,
        limits: Callable[[], Limits] = write_limits,
        check: Callable[[], None] | None = None,
    ) -> None:
        self.site = site
        self._check = check
        self._endpoint = site.endpoint
        self._limits = limits
        self._form = BatchForm(site)

    def takes_batches(self) -> bool:
        """Whether the site takes batches of changes. Where only a try can tell, one is made, with a read."""
        return self._form.found(self._limits()) is not None

    def submit(self, changes: Sequence[Change]) -> str:
        """Begin a batch; its job id. Raises ``ValueError``, before anything is sent, for what cannot be one.

        A 429 is raised at once (``throttled``, with ``retry_after``): who sends several batches sets the pace.
        """
        batch.check(changes)
        limits = self._limits()
        form = self._form.found(limits)
        if form is None:
            raise self._no_batches()
        answer = self._post(
            "/$batch",
            limits,
            params={"async": "true"},
            body=lambda token: batch.patches(changes, form, token),
            wait_out_429=False,
        )
        job_id = self._begun(answer)
        if job_id is None:
            raise self._endpoint.malformed_answer("the batch was taken, but has no job", answer)
        log.info("batch begun job=%s changes=%s", job_id, len(changes))
        return job_id

    def job(self, job_id: str) -> Job:
        """The job as it stands. Raises ``CitrixError`` of kind ``missing`` where it is not, or no longer, there."""
        try:
            item = self._get(f"/Jobs/{segment(job_id)}")
        except CitrixError as error:
            if error.http_status != 404:
                raise
            raise self._missing_job(error, job_id) from error
        return job_from(item, job_id, self._endpoint.token.hidden)

    def batch_jobs(self, since: datetime) -> tuple[Job, ...]:
        """The caller's own batches that began at ``since`` or later by Citrix's clock; one without a readable time is
        among them.
        """
        return tuple(job for job in self._own_jobs(BATCH) if _began_since(job, since))

    def moves_under_way(self) -> tuple[Job, ...]:
        """The caller's own moves of catalogs that have not ended."""
        return tuple(job for job in self._own_jobs(MOVE) if not job.ended)

    def results(self, job_id: str) -> Mapping[MachineId, ItemOutcome]:
        """What became of each change of a batch that has ended. A machine that is missing has to be read again.

        Raises ``CitrixError``, of kind ``missing`` where the job keeps no results, or none any more.
        """
        path = f"/Jobs/{segment(job_id)}/Results"
        try:
            body = self._get(path)
        except CitrixError as error:
            if error.http_status not in (303, 404):
                raise
            raise self._missing_job(error, job_id) from error
        try:
            return batch.outcomes(body, self._endpoint)
        except batch.BadResults as error:
            raise self._endpoint.malformed(f"{path} has {error}") from error

    def cancel(self, job_id: str) -> bool:
        """Ask that a job end; False where it cannot be cancelled. What it has done by then stays done."""
        try:
            self._post(f"/Jobs/{segment(job_id)}/$cancel", self._limits())
        except CitrixError as error:
            if error.http_status not in CANNOT_CANCEL:
                raise
            return False
        return True

    def change(self, change: Change) -> str | None:
        """Change one machine; the id of a job where it has only begun. Raises ``ValueError`` before anything is sent.

        A 429 is raised at once: the caller paces. An error whose ``unsent`` is False leaves open whether it was done:
        the machine has to be read again.
        """
        fields = batch.fields_of(change.hosting)
        path = f"/Machines/{segment(change.machine)}"
        params = {"async": "false"}
        answer = self._endpoint.send(
            "PATCH",
            path,
            self._limits(),
            self._site_id(),
            params=params,
            body=fields,
            repeatable=False,
            wait_out_429=False,
            check=self._check,
        )
        return self._begun(answer)

    def machine(self, machine: MachineId) -> Machine | None:
        """The machine as Citrix has it now; None where it is gone."""
        path = f"/Machines/{segment(machine)}"
        body = self._looked_up(path, {"fields": MACHINE_FIELDS})
        if body is None:
            return None
        if "Hosting" not in body:
            raise self._endpoint.malformed(f"{path} has no Hosting")
        return self._read(path, body, machine_from)

    def hosting_connection(self, connection_id: str) -> HostingConnection | None:
        """The hosting connection as it is now, past Citrix's cache; None where it is gone."""
        path = f"/hypervisors/{segment(connection_id)}"
        body = self._looked_up(path, {"noCache": "true"})
        return None if body is None else self._read(path, body, connection_from)

    def reset(self, connection_id: str) -> str | None:
        """Reset a hosting connection, which goes on after the answer; the id of a job where even that only began."""
        path = f"/hypervisors/{segment(connection_id)}/$resetConnection"
        return self._begun(self._post(path, self._limits(), params={"async": "false"}, repeatable=True))

    def move_catalog(self, catalog_id: str, catalog: str, zone_id: str) -> str | None:
        """Move a catalog with all its machines to another zone; the id of a job where that has only begun."""
        item = {"Id": catalog_id, "Name": catalog, "ItemType": "MachineCatalog"}
        path = f"/Zones/{segment(zone_id)}/$moveItems"
        return self._begun(self._post(path, self._limits(), params={"async": "true"}, body={"Items": [item]}))

    def power_states(self) -> Iterator[tuple[MachineId, str]]:
        """Every machine of the site with its power state, in Citrix's words."""
        return self.site.power_states()

    def power_state(self, machine: MachineId) -> str | None:
        """One machine's power state, in Citrix's words; None where it is gone."""
        path = f"/Machines/{segment(machine)}"
        body = self._looked_up(path, {"fields": POWER_FIELDS})
        return None if body is None else self._read(path, body, power_state_from)[1]

    def _own_jobs(self, kind: str) -> Iterator[Job]:
        """Citrix shows the jobs of the account that asks, and of nobody else (contract ``citrix.md``, section 6.2)."""
        for body in self._endpoint.pages("/Jobs", self._limits(), site_id=self._site_id()):
            items = body.get("Items")
            if not isinstance(items, list):
                raise self._endpoint.malformed("/Jobs has no Items")
            for item in (each for each in items if isinstance(each, dict)):
                if not isinstance(item.get("Id"), str):
                    raise self._endpoint.malformed("/Jobs has a job without Id")
                job = job_from(item, item["Id"], self._endpoint.token.hidden)
                if job.type.lower() == kind:
                    yield job

    def _site_id(self) -> str:
        return self.site.identity().id

    def _get(self, path: str, params: Params | None = None) -> dict[str, Any]:
        return self._endpoint.get(path, self._limits(), site_id=self._site_id(), params=params)

    def _post(
        self,
        path: str,
        limits: Limits,
        *,
        params: Params | None = None,
        body: Body | None = None,
        repeatable: bool = False,
        wait_out_429: bool = True,
    ) -> Answer:
        return self._endpoint.send(
            "POST",
            path,
            limits,
            self._site_id(),
            params=params,
            body=body,
            repeatable=repeatable,
            wait_out_429=wait_out_429,
            check=self._check,
        )

    def _looked_up(self, path: str, params: Params) -> dict[str, Any] | None:
        """The object at ``path``, None where it is gone; an older site that refuses ``params`` is asked without."""
        try:
            return self._get(path, params)
        except CitrixError as error:
            if not self.site.too_old_for_parameters(error):
                _check_gone(error)
                return None
        try:
            return self._get(path)
        except CitrixError as error:
            _check_gone(error)
            return None

    def _read(self, path: str, body: dict[str, Any], read: Callable[[dict[str, Any]], T]) -> T:
        try:
            return read(body)
        except BadRecord as error:
            raise self._endpoint.malformed(f"{path} has {error}") from error

    def _begun(self, answer: Answer) -> str | None:
        """The id of the job that a 202 began; None for what is done."""
        if answer.status != 202:
            return None
        # The address is built from our own base: Location may name another host
        job_id = job_id_from(answer.headers.get("Location"))
        if job_id is None:
            raise self._endpoint.malformed_answer("a job was begun, but its Location names none", answer)
        return job_id

    def _missing_job(self, error: CitrixError, job_id: str) -> CitrixError:
        title = self._endpoint.title
        trace = f" (transaction {error.transaction_id})" if error.transaction_id else ""
        return CitrixError(
            f"{title} has no job {job_id}, or no results of it{trace}. Citrix keeps jobs for 48 hours and shows them "
            "to the account that began them alone: what the job did is seen by reading the machines.",
            kind="missing",
            system=title,
            transaction_id=error.transaction_id,
            http_status=error.http_status,
        )

    def _no_batches(self) -> CitrixError:
        title = self._endpoint.title
        return CitrixError(
            f"{title} takes no batches in a form that Realign knows. Change its machines one by one.",
            kind="failed",
            system=title,
            unsent=True,
        )


def _check_gone(error: CitrixError) -> None:
    """Raises ``error`` again unless it says that there is no such object."""
    # the platform answers a 500 for some objects that are not there (contract citrix.md, 9.1)
    if error.http_status != 404 and not (error.http_status == 500 and "Object does not exist" in str(error)):
        raise error


def _began_since(job: Job, since: datetime) -> bool:
    return job.created_at is None or job.created_at >= since
