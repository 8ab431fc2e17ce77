"""What may happen in the middle of a step, and at which call."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from shared.azure.work_queue import WorkStep
from tests.stateful.estate import Meddling


class Among(StrEnum):
    """What is counted until it happens."""

    CALLS = "calls of Citrix"
    WRITES = "writes to Citrix"
    STORAGE = "calls of storage"


class Kind(StrEnum):
    CRASH_BEFORE = "the worker dies before the call"
    CRASH_AFTER = "the worker dies after the call"
    DOWN = "the call fails, and nothing was done"
    ANSWER_LOST = "the call is executed and its answer lost"
    REFUSED = "the call is refused"
    THROTTLED = "the call is one too many"
    LOCK_STOLEN = "another worker's token is in the rows of the locks"
    LOCK_DELETED = "the rows of the locks are deleted"
    STALL = "the worker stalls for longer than its locks last, and others go on"
    MEANWHILE = "another worker takes the next message"
    CANCEL = "somebody cancels the run"
    MEDDLING = "somebody changes the estate"
    ITEMS_FAIL = "items of the next batch fail"
    ITEMS_LIE = "items of the next batch say that they were done"
    NESTED = "items of the next batch only begin"
    JOB_STUCK = "the next job does not end"
    JOB_UNCANCELLABLE = "the next job does not end, and nobody can cancel it"
    JOB_LOST = "the next job is not seen again"


@dataclass(frozen=True)
class Mishap:
    """``at`` counts from 1. ``number`` says which machine or connection, or how many items."""

    kind: Kind
    among: Among
    at: int
    meddling: Meddling = Meddling.EDIT
    number: int = 0


# about as many as a step has, so that most mishaps strike
_USUAL = {
    WorkStep.PLAN: {Among.CALLS: 3, Among.WRITES: 1, Among.STORAGE: 18},
    WorkStep.APPLY: {Among.CALLS: 18, Among.WRITES: 4, Among.STORAGE: 45},
    WorkStep.ROLLBACK: {Among.CALLS: 16, Among.WRITES: 4, Among.STORAGE: 40},
}
_OTHERWISE = {Among.CALLS: 1, Among.WRITES: 1, Among.STORAGE: 7}


def fitted(mishap: Mishap, step: WorkStep) -> Mishap:
    """The mishap at a call that a step of this kind usually comes to."""
    return replace(mishap, at=1 + (mishap.at - 1) % _USUAL.get(step, _OTHERWISE)[mishap.among])


class Crash(BaseException):
    """The worker is dead: nothing that it does from now on reaches anything."""
