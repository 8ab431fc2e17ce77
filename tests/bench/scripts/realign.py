"""Realign as a contender: a run in mode review, planned, approved as a whole, applied and verified.

The use cases run on real storage, driven by their own queue: a message is taken, its step is done, and that is a lap.
So a lap begins when its message is dequeued, and polling the queue is in none. The last lap of apply ends when the last
row became ``verified``, as its time stamp in the table says; storage runs on the same clock.
"""

from __future__ import annotations

import base64
import os
import time
from collections import Counter
from datetime import UTC, datetime

from azure.data.tables import TableServiceClient
from azure.storage.queue import QueueClient

from shared.azure.storage import QUEUE_VERSION, TABLES, WORK_QUEUE
from shared.azure.work_queue import WorkItem, WorkStep
from shared.model.run import RemapState, RunId, RunStatus
from shared.runs.access import Caller, Role
from shared.runs.deciding.review import approve
from shared.runs.deciding.review_request import ApproveRequest
from shared.runs.request import RunRequest
from shared.runs.resources import Resources
from shared.runs.schedule import start_scheduled
from shared.runs.start import start_run
from shared.runs.work import do_work
from tests.bench.scripts.contender import Place, Timekeeper
from tests.bench.scripts.estate import PROFILE

NAME = "Realign"
ALICE = Caller("alice", Role.APPROVER)
LEASE_SECONDS = 600
POLL_SECONDS = 0.05
MOST_SECONDS = 600.0
SCHEDULED = "scheduled "
ROWS = "rows"


def reviewed(place: Place, timekeeper: Timekeeper) -> None:
    """One run, until nothing of it is left in the queue. A lap a message, named as its step."""
    with _Worker(place, timekeeper) as worker:
        worker.review()


def reviewed_then_scheduled(place: Place, timekeeper: Timekeeper) -> None:
    """The same, then a scheduled run, which has nothing left to do.

    Its laps are named ``SCHEDULED`` and the step; the last lap, ``ROWS``, notes its new rows by table.
    """
    with _Worker(place, timekeeper) as worker:
        worker.review()
        worker.schedule()


class _Worker:
    def __init__(self, place: Place, timekeeper: Timekeeper) -> None:
        # msal reads these itself
        os.environ.update({name: place.environ[name] for name in ("IDENTITY_ENDPOINT", "IDENTITY_HEADER")})
        self._timekeeper = timekeeper
        self._environ = place.environ
        self._resources = Resources(place.environ)
        account = place.environ["AzureWebJobsStorage"]
        self._queue = QueueClient.from_connection_string(account, WORK_QUEUE, api_version=QUEUE_VERSION)
        self._tables = TableServiceClient.from_connection_string(account)
        for table in TABLES:  # an app makes them once in its life, the scripts have none
            self._tables.create_table_if_not_exists(table)

    def review(self) -> None:
        request = RunRequest(mode="review")
        run_id = start_run(self._resources, PROFILE, request, ALICE, trigger="http").run.id
        self._work_off(run_id)
        self._expect(run_id, RunStatus.AWAITING_REVIEW)
        self._approve(run_id)
        self._work_off(run_id)
        self._expect(run_id, RunStatus.COMPLETED)
        rest = Counter(each.value.state.value for each in self._resources.remaps.load(run_id))
        if set(rest) != {RemapState.VERIFIED.value}:
            raise AssertionError(f"Not all remaps are verified: {dict(rest)}.")

    def schedule(self) -> None:
        before = self._rows()
        # A process that has read the clusters just now would use that listing again.
        self._resources.close()
        self._resources = Resources(self._environ)
        (run_id,) = start_scheduled(self._resources)
        self._work_off(run_id, SCHEDULED)
        self._expect(run_id, RunStatus.COMPLETED)
        new = sorted(self._rows() - before)
        self._timekeeper.lap(ROWS, 0.0, rows=[f"{table} {partition} {row}" for table, partition, row in new])

    def _approve(self, run_id: RunId) -> None:
        seen = self._resources.runs.get(run_id).value.fingerprint
        if seen is None:
            raise AssertionError("The run has no plan.")
        approve(self._resources, run_id, ApproveRequest(all=True, fingerprint=seen), ALICE)

    def _work_off(self, run_id: RunId, prefix: str = "") -> None:
        """Do the work of each message in turn, until none is left, delayed ones included."""
        until = time.monotonic() + MOST_SECONDS
        while self._queue.get_queue_properties().approximate_message_count:
            if time.monotonic() > until:
                raise AssertionError(f"There was work in the queue for {MOST_SECONDS:.0f} s.")
            message = self._queue.receive_message(visibility_timeout=LEASE_SECONDS)
            if message is None:
                time.sleep(POLL_SECONDS)
                continue
            body = base64.b64decode(message.content)
            step = WorkItem.from_json(body).step
            began, dequeued = time.perf_counter(), datetime.now(UTC)
            do_work(self._resources, body)
            whole = time.perf_counter() - began
            self._queue.delete_message(message)
            verified = self._last_verified(run_id) if step is WorkStep.APPLY else None
            seconds = whole if verified is None else (verified - dequeued).total_seconds()
            sizes = [len(batch.machines) for batch in self._resources.batches.of(run_id)]
            self._timekeeper.lap(prefix + step.value, seconds, whole=whole, batches=sizes)

    def _last_verified(self, run_id: RunId) -> datetime | None:
        """None for a run that is still being applied: a further message goes on with it."""
        if self._resources.runs.get(run_id).value.status is RunStatus.APPLYING:
            return None
        rows = self._tables.get_table_client("remaps").query_entities(
            "PartitionKey eq @run and state eq @verified",
            parameters={"run": run_id, "verified": RemapState.VERIFIED.value},
            select=["RowKey", "Timestamp"],
        )
        return max(stamp for row in rows if (stamp := row.metadata["timestamp"]) is not None)

    def _expect(self, run_id: RunId, status: RunStatus) -> None:
        run = self._resources.runs.get(run_id).value
        if run.status is not status:
            raise AssertionError(f"The run is {run.status.value} and not {status.value}: {run.error}")

    def _rows(self) -> set[tuple[str, str, str]]:
        keys = ["PartitionKey", "RowKey"]
        return {
            (table.name, row["PartitionKey"], row["RowKey"])
            for table in self._tables.list_tables()
            for row in self._tables.get_table_client(table.name).list_entities(select=keys)
        }

    def __enter__(self) -> _Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self._resources.close()
        self._queue.close()
        self._tables.close()
