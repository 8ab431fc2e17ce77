"""Plays a mixture: the use cases in this process on a whole sandbox, with messages of the real queue.

Time moves on when a delayed message is taken, and pauses are short, so that a seed takes seconds. Nothing of what the
use cases do is replaced.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pytest
from azure.data.tables import TableServiceClient
from azure.storage.queue import QueueClient, TextBase64DecodePolicy

import shared.http
import shared.relay.handshake
import shared.runs.attempt
from sandbox.azurite import Azurite
from sandbox.citrix_site import SimHosting
from sandbox.sandbox import Sandbox
from shared.azure.runs import ACTIVE
from shared.azure.storage import QUEUE_VERSION, WORK_QUEUE
from shared.azure.work_queue import WorkStep
from shared.errors import NotWaiting, RealignError, StorageError
from shared.model.run import RemapState, Run, RunId, RunStatus
from shared.relay.transport import RelayTransport
from shared.runs.access import Caller, Role
from shared.runs.deciding.orders import order_roll_back
from shared.runs.deciding.review import approve
from shared.runs.deciding.review_request import ApproveRequest, MachinesRequest
from shared.runs.request import RunRequest
from shared.runs.resources import Resources
from shared.runs.start import start_run
from shared.runs.sweep import sweep
from shared.runs.work import do_work, give_up
from shared.runs.writing.sizes import Sizes
from tests.chaos.mixtures import Mixture, Moment, Strike

ADA = Caller("ada", Role.APPROVER)
SHORTER = 0.02  # of every pause
MOST_DELIVERIES = 5  # as host.json has it, before a message is poison
MOST_ROUNDS = 60
MOST_LOOKS = 2  # at power states, which no fault of the run is about
# Citrix's clock does not move on with ours; the use cases bear clocks that differ by five minutes
MOST_AHEAD = timedelta(minutes=5)
LATER = (WorkStep.OBSERVE, WorkStep.RESET_AGAIN)

T = TypeVar("T")


class Clock:
    """The real time, and what was added to it."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def advance(self, seconds: float) -> None:
        self.ahead += timedelta(seconds=seconds)
        assert self.ahead < MOST_AHEAD, "the clocks differ by too much: this mixture lasts too long"


class Play:
    """One seed on one sandbox. ``azurite`` is the storage behind it, for the test's own look at the queue."""

    def __init__(self, sandbox: Sandbox, azurite: Azurite, mixture: Mixture, patch: pytest.MonkeyPatch) -> None:
        self.sandbox = sandbox
        self.mixture = mixture
        self.clock = Clock()
        self.resources = Resources(sandbox.environ, self.clock)
        # the test's own look at storage meets no fault
        self.looks = Resources({**sandbox.environ, "AzureWebJobsStorage": azurite.connection_string})
        self.runs: list[RunId] = []
        self._azurite = azurite
        self._pending = list(mixture.strikes)
        self._writing = threading.Event()
        self._delays: dict[tuple[str, str], int] = {}
        self._late: dict[tuple[str, str], int] = {}
        self._first = self.places()
        self._shorten(patch)
        self._listen()

    def close(self) -> None:
        self.resources.close()
        self.looks.close()

    def places(self) -> dict[str, SimHosting]:
        """What the simulated Citrix has for each machine."""
        return {machine.id: machine.hosting for machine in list(self.sandbox.world.site.machines.values())}

    def run(self, run_id: RunId) -> Run:
        return self.looks.runs.get(run_id).value

    def planned_and_applied(self, mode: str) -> RunId:
        """A run from its start to its rest, with everything approved that may be."""
        self._strike(Moment.PLAN)
        asked = {**self.sandbox.scenario.run, "mode": mode}
        request = RunRequest.model_validate_json(json.dumps(asked))
        name = self.sandbox.scenario.profile_name
        run_id = _insisting(lambda: start_run(self.resources, name, request, ADA, trigger="http")).run.id
        self.runs.append(run_id)
        self._work(run_id, stop_at=RunStatus.APPLYING)
        self._strike(Moment.APPLY)
        with _Watcher(self._writing, lambda: self._strike(Moment.MIDDLE)):
            if self.run(run_id).status is RunStatus.AWAITING_REVIEW:
                _insisting(lambda: self._approve(run_id))
            self._work(run_id)
        return run_id

    def rolled_back(self, run_id: RunId) -> bool:
        """False where the run wrote nothing that could be taken back."""
        self._strike(Moment.BACK)
        try:
            _insisting(lambda: order_roll_back(self.resources, run_id, MachinesRequest(), ADA))
        except NotWaiting:
            return False
        self._work(run_id)
        return True

    def left(self) -> list[Strike]:
        """What was not set yet, or has not struck."""
        return [each for each in self.mixture.strikes if each in self._pending or not self._fired(each)]

    def mend(self) -> None:
        """What has struck is over; what has not begins anew at its moment. Citrix gives up what did not end."""
        for strike in self.mixture.strikes:
            self.sandbox.faults.clear(strike.fault)
        self._pending = self.left()
        for job in list(self.sandbox.world.site.jobs.values()):
            if job.stuck and job.ended is None:
                job.status, job.ended = "Canceled", datetime.now(UTC)

    def drift_again(self) -> None:
        """The records are what they were at first, and nothing remembers that they ever moved.

        A roll back that a fault ended leaves a next run nothing to do, and what is to strike it no occasion.
        """
        for machine in list(self.sandbox.world.site.machines.values()):
            place = self._first[machine.id]
            machine.connection_id, machine.hosted_machine_id = place.connection_id, place.hosted_machine_id
        with TableServiceClient.from_connection_string(self._azurite.connection_string) as service:
            rows = service.get_table_client("remaps")
            for row in rows.query_entities("PartitionKey ge 'departed:' and PartitionKey lt 'departed;'"):
                rows.delete_entity(row)

    def wrote(self) -> int:
        return len(self.sandbox.world.history)

    def _fired(self, strike: Strike) -> bool:
        return self.sandbox.faults.fired(strike.fault) > 0

    def _approve(self, run_id: RunId) -> None:
        rows = self.looks.remaps.load(run_id, {RemapState.PROPOSED, RemapState.APPROVED})
        if not rows:
            return
        run = self.run(run_id)
        request = ApproveRequest(all=True, fingerprint=run.fingerprint or "none")
        try:
            approve(self.resources, run_id, request, ADA)
        except NotWaiting:
            if self.run(run_id).status is not RunStatus.APPLYING:  # a first try, whose answer got lost, has begun it
                raise

    def _work(self, run_id: RunId, stop_at: RunStatus | None = None) -> None:
        """Deliver messages until the run rests, or has come to ``stop_at``."""
        for _ in range(MOST_ROUNDS):
            delivered = self._deliver()
            status = self.run(run_id).status
            if status is stop_at or (not delivered and status not in ACTIVE):
                return
            if not delivered:
                self.clock.advance(61)
                _insisting(lambda: sweep(self.resources))
        raise AssertionError(f"run {run_id} never came to rest: {self.run(run_id)}")

    def _deliver(self) -> bool:
        """Take the next message; False where there is none."""
        with QueueClient.from_connection_string(
            self._azurite.connection_string, WORK_QUEUE, api_version=QUEUE_VERSION,
            message_decode_policy=TextBase64DecodePolicy(),
        ) as queue:  # fmt: skip
            message = queue.receive_message(visibility_timeout=120)
            if message is None:
                return False
            content = json.loads(message.content)
            key = (content["run"], content["step"])
            late = content["step"] in LATER
            self._late[key] = self._late.get(key, 0) + 1
            if late and self._late[key] > MOST_LOOKS:
                queue.delete_message(message)
                return True
            if not late:
                self.clock.advance(self._delays.pop(key, 0))
            try:
                do_work(self.resources, message.content.encode())
            except RealignError:
                if (message.dequeue_count or 0) < MOST_DELIVERIES:
                    queue.update_message(message, visibility_timeout=0)
                    return True
                give_up(self.resources, message.content.encode())
            queue.delete_message(message)
            return True

    def _strike(self, moment: Moment) -> None:
        for strike in [each for each in self._pending if each.moment is moment]:
            self._pending.remove(strike)
            self.sandbox.faults.set(strike.fault, strike.value)

    def _shorten(self, patch: pytest.MonkeyPatch) -> None:
        pause, delay = self.resources.pause, shared.http.delay
        self.resources.pause = lambda seconds: pause(seconds * SHORTER)
        patch.setattr(shared.http, "delay", lambda *given: delay(*given) * SHORTER)
        patch.setattr(shared.runs.attempt, "PAUSE", timedelta(seconds=1))
        patch.setattr(RelayTransport, "connect_timeout", 1.0)
        patch.setattr(shared.relay.handshake, "PREAMBLE_SECONDS", 1.0)
        patch.setattr(Sizes, "LEAST", self.mixture.batch_size)
        patch.setattr(Sizes, "FIRST_MOST", max(self.mixture.batch_size, 5))

    def _listen(self) -> None:
        """Hears of the first write, and takes note of how long a message is to wait."""
        add, send = self.sandbox.calls.add, self.resources.queue.send

        def added(system: str, method: str, route: str) -> None:
            add(system, method, route)
            if route == "/$batch" or method.upper() == "PATCH":
                self._writing.set()

        def sent(run_id: RunId, step: WorkStep | str, delay_seconds: int = 0) -> None:
            self._delays[run_id, WorkStep(step).value] = delay_seconds
            send(run_id, step)

        made: dict[str, Any] = {"add": added}
        vars(self.sandbox.calls).update(made)
        vars(self.resources.queue).update({"send": sent})


class _Watcher:
    """Does something as soon as an event comes, beside whatever goes on inside."""

    def __init__(self, event: threading.Event, act: Callable[[], None]) -> None:
        self._event = event
        self._act = act
        self._over = False
        self._thread = threading.Thread(target=self._watch)

    def _watch(self) -> None:
        self._event.wait()
        if not self._over:
            self._act()

    def __enter__(self) -> None:
        self._event.clear()
        self._thread.start()

    def __exit__(self, *error: object) -> None:
        self._over = not self._event.is_set()
        self._event.set()
        self._thread.join()


def _insisting(act: Callable[[], T]) -> T:
    """As a person does whom the storage account keeps waiting."""
    for _ in range(4):
        try:
            return act()
        except StorageError as error:
            if not error.retryable:
                raise
    return act()
