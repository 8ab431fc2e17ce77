"""The work queue: messages that say which run does which step next. They carry ids, never a plan.

What is told to webhooks has a queue of its own beside it: the host takes four messages of a queue and no more before
these are done, and a receiver that is slow must not hold up the steps of runs.

Messages arrive at least once, and base64 is what the Functions host expects (contract ``azure.md``, section 3.4).
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError

from shared.azure.failures import storage_failures
from shared.azure.limits import to_json
from shared.azure.row_time import to_text, to_time
from shared.azure.storage import NOTIFY_POISON_QUEUE, NOTIFY_QUEUE, POISON_QUEUE, WORK_QUEUE, Storage
from shared.errors import InvalidRequest
from shared.model.run import RunId

LONGEST_DELAY = 7 * 24 * 3600 - 1  # seconds; a message lives seven days


def _utc_now() -> datetime:
    return datetime.now(UTC)


class WorkStep(StrEnum):
    PLAN = "plan"
    APPLY = "apply"
    ROLLBACK = "rollback"
    RESET_AGAIN = "reset-again"
    OBSERVE = "observe"
    NOTIFY = "notify"


@dataclass(frozen=True, slots=True)
class WorkItem:
    """``due`` is when the message was to be seen; None in those of an earlier version."""

    run: RunId
    step: WorkStep
    due: datetime | None = None

    @classmethod
    def from_json(cls, body: bytes) -> WorkItem:
        """Read a message. Raises ``InvalidRequest`` for one that is not ours; unknown members are left alone."""
        try:
            content = json.loads(body)
            run, step = content["run"], WorkStep(content["step"])
        except (ValueError, KeyError, TypeError) as error:
            raise InvalidRequest(
                f"A message of the queue {WORK_QUEUE} is no work item ({type(error).__name__}). Delete it; only the "
                "app may write to this queue."
            ) from error
        if not isinstance(run, str) or not run:
            raise InvalidRequest(f"A message of the queue {WORK_QUEUE} names no run. Delete it.")
        return cls(RunId(run), step, _time_in(content.get("due")))

    def to_json(self) -> str:
        due = {"due": to_text(self.due)} if self.due is not None else {}
        return to_json({"run": self.run, "step": self.step.value, **due})


def _time_in(due: object) -> datetime | None:
    """Only telemetry asks for it, so one that cannot be read stops no work."""
    try:
        read = to_time(due) if isinstance(due, str) else None
    except ValueError:
        return None
    return read if read is not None and read.tzinfo is not None else None


class WorkQueue:
    """Raises ``StorageError`` when the account fails: who sends must know whether the message is in the queue."""

    def __init__(self, storage: Storage, clock: Callable[[], datetime] = _utc_now) -> None:
        self._clock = clock
        self._work = _Queue(storage, WORK_QUEUE, POISON_QUEUE)
        self._notify = _Queue(storage, NOTIFY_QUEUE, NOTIFY_POISON_QUEUE)

    def send(self, run_id: RunId, step: WorkStep | str, delay_seconds: int = 0) -> None:
        """Put a step of a run in its queue, to be seen after ``delay_seconds`` (at most seven days)."""
        delay = max(0, min(int(delay_seconds), LONGEST_DELAY))
        item = WorkItem(run_id, WorkStep(step), self._clock() + timedelta(seconds=delay))
        queue = self._notify if item.step is WorkStep.NOTIFY else self._work
        queue.send(item.to_json(), delay)


class _Queue:
    """A queue and the one for what failed too often in it, made at first use."""

    def __init__(self, storage: Storage, name: str, poison: str) -> None:
        self._name = name
        self._client, self._account = storage.queue(name)
        self._poison, _ = storage.queue(poison)
        self._lock = threading.Lock()
        self._created = False

    def send(self, message: str, delay: int) -> None:
        with storage_failures(self._account, f"send to queue {self._name}"):
            self._create()
            try:
                self._client.send_message(message, visibility_timeout=delay)
            except ResourceNotFoundError:  # somebody deleted the queue under a running app
                self._created = False
                self._create()
                self._client.send_message(message, visibility_timeout=delay)

    def _create(self) -> None:
        if self._created:
            return
        with self._lock:
            for queue in () if self._created else (self._client, self._poison):
                try:
                    queue.create_queue()
                except ResourceExistsError as error:
                    if getattr(error, "error_code", None) == "QueueBeingDeleted":
                        raise
            self._created = True
