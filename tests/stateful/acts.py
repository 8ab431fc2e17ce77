"""What happens in an example, one thing after the other: each is a value, so that a failure prints as what happened."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from shared.model.run import RunId
from shared.profile.policy import ModeName
from tests.stateful.estate import Meddling
from tests.stateful.example import Example
from tests.stateful.mishaps import Mishap

MOST_RUNS = 8
MODES: dict[str, ModeName] = {"report": "report", "review": "review", "auto": "auto"}  # else as the policy says

Mishaps = tuple[Mishap, ...]


class Act(Protocol):
    def on(self, example: Example) -> None: ...


@dataclass(frozen=True)
class Start:
    """Somebody or the schedule starts a run. ``drifted``: machines whose records went back to what they were."""

    kind: str
    drifted: tuple[int, ...]
    planned: bool
    wrong: Mishaps

    def on(self, example: Example) -> None:
        if len(example.runs) >= MOST_RUNS:
            return
        example.drift(self.drifted)
        example.start(MODES.get(self.kind), target=self.kind == "dr", scheduled=self.kind == "schedule")
        if self.planned:
            example.deliver(self.wrong)


@dataclass(frozen=True)
class Deliver:
    """The message that is due first is delivered; without one, time passes until the sweeper comes."""

    wrong: Mishaps

    def on(self, example: Example) -> None:
        example.deliver(self.wrong)


@dataclass(frozen=True)
class Redeliver:
    """A message is delivered once more, whatever has become of its run."""

    number: int
    wrong: Mishaps

    def on(self, example: Example) -> None:
        every = example.host.every
        example.host.deliver(every[self.number % len(every)], self.wrong)


@dataclass(frozen=True)
class Approve:
    """Somebody approves remaps; without ``machines`` all of them. ``at_once``: the message is delivered as well.

    Where nothing is left to decide on, a run is started and planned before.
    """

    number: int
    machines: tuple[int, ...]
    at_once: bool
    wrong: Mishaps

    def on(self, example: Example) -> None:
        if not example.to_decide() and len(example.runs) < MOST_RUNS:
            example.planned_anew()
        runs = example.to_decide() or example.runs
        approved = example.approve(runs[self.number % len(runs)], self.machines)
        if approved and self.at_once:
            example.deliver(self.wrong)


@dataclass(frozen=True)
class RollBack:
    """Somebody takes back what a run wrote. Where none has written, one is applied before."""

    number: int
    machines: tuple[int, ...]
    at_once: bool
    wrong: Mishaps

    def on(self, example: Example) -> None:
        if not example.to_roll_back():
            Approve(self.number, (), True, ()).on(example)
            example.judge.look()
        runs = example.to_roll_back() or example.runs
        ordered = example.roll_back(runs[self.number % len(runs)], self.machines)
        if ordered and self.at_once:
            example.deliver(self.wrong)


class Wish(StrEnum):
    REJECT = "reject"
    RESOLVE = "resolve"
    APPLY = "apply"
    ROLL_BACK = "roll back"
    APPROVE = "approve without applying"
    CANCEL = "cancel"


@dataclass(frozen=True)
class Ask:
    """Somebody asks for something of any run, whether it fits or not."""

    what: Wish
    number: int
    machines: tuple[int, ...]

    def on(self, example: Example) -> None:
        run_id: RunId = example.runs[self.number % len(example.runs)]
        match self.what:
            case Wish.REJECT:
                example.reject(run_id, self.machines)
            case Wish.RESOLVE:
                example.resolve(run_id, 1 + self.number % 2)
            case Wish.APPLY:
                example.apply(run_id, self.machines)
            case Wish.ROLL_BACK:
                example.roll_back(run_id, self.machines)
            case Wish.APPROVE:
                example.approve(run_id, self.machines, apply=False)
            case Wish.CANCEL:
                example.cancel(run_id)


@dataclass(frozen=True)
class Meddle:
    """Somebody changes the estate."""

    what: Meddling
    number: int

    def on(self, example: Example) -> None:
        example.host.citrix.estate.meddle(self.what, self.number)


@dataclass(frozen=True)
class Sweep:
    """Time passes, and the sweeper comes. ``jobs_end``: what was stuck at Citrix has come to its end by then."""

    seconds: float
    jobs_end: bool

    def on(self, example: Example) -> None:
        if self.jobs_end:
            example.host.citrix.let_stuck_jobs_end()
        example.sweep(self.seconds)


@dataclass(frozen=True)
class GiveUp:
    """A message ends in the poison queue."""

    number: int

    def on(self, example: Example) -> None:
        example.give_up(self.number)
