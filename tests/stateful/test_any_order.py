"""Start, plan, approve, apply, cancel, roll back, redelivery, lost locks, crashes and a changed world, in any order.

The short form takes part in every run of the tests; ``make soak`` runs the long one. A failure prints the steps that
led to it, and a ``@reproduce_failure`` to be put on ``AnyOrder``; an example that had threads side by side may go
another way when it is replayed.
"""

from __future__ import annotations

import os
from collections import Counter
from enum import StrEnum
from typing import ClassVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from shared.model.run import RemapState
from shared.runs.resources import Resources
from tests.stateful.estate import Meddling
from tests.stateful.example import Example
from tests.stateful.mishaps import Among, Kind, Mishap

LONG = os.environ.get("REALIGN_LONG") == "1"
EXAMPLES, STEPS = (300, 30) if LONG else (15, 15)
MOST_RUNS = 4

SHORT = settings(
    max_examples=EXAMPLES,
    stateful_step_count=STEPS,
    deadline=None,
    derandomize=not LONG,
    database=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.generate, Phase.shrink) if LONG else (Phase.generate,),
)

LAST = {Among.CALLS: 20, Among.WRITES: 4, Among.STORAGE: 60}  # about as many as a step has
KINDS = {
    Among.CALLS: list(Kind),
    Among.WRITES: list(Kind),
    Among.STORAGE: [Kind.CRASH_BEFORE, Kind.LOCK_STOLEN, Kind.LOCK_DELETED, Kind.DOWN],
}


def mishaps_among(among: Among) -> st.SearchStrategy[Mishap]:
    return st.builds(
        Mishap,
        st.sampled_from(KINDS[among]),
        st.just(among),
        st.integers(1, LAST[among]),
        st.sampled_from(Meddling),
        st.integers(0, 9),
    )


mishaps = st.lists(st.sampled_from(Among).flatmap(mishaps_among), max_size=3)
some = st.lists(st.integers(0, 6), max_size=3)  # empty: all
numbers = st.integers(0, 30)


class Ask(StrEnum):
    """What people ask besides approving and rolling back, whether it fits or not."""

    REJECT = "reject"
    RESOLVE = "resolve"
    APPLY = "apply"
    ROLL_BACK = "roll back"
    APPROVE = "approve without applying"
    CANCEL = "cancel"


class AnyOrder(RuleBasedStateMachine):
    """``resources`` are set by the test: storage is started once."""

    resources: ClassVar[Resources]
    struck: ClassVar[Counter[Kind]] = Counter()
    arrived: ClassVar[Counter[RemapState]] = Counter()

    @initialize(side_by_side=st.booleans(), mode=st.sampled_from(["review", "review", "auto"]))
    def begin(self, side_by_side: bool, mode: str) -> None:
        self.example = Example(self.resources, side_by_side=side_by_side)
        self.example.start(mode)
        self.example.host.deliver_next()

    @precondition(lambda self: len(self.example.runs) < MOST_RUNS)
    @rule(
        kind=st.sampled_from(["review", "review", "auto", "auto", "dr", "schedule", "report"]),
        drifted=st.lists(st.integers(0, 8), min_size=1, max_size=4),
        planned=st.booleans(),
        wrong=mishaps,
    )
    def start(self, kind: str, drifted: list[int], planned: bool, wrong: list[Mishap]) -> None:
        for number in drifted:
            self.example.host.citrix.estate.meddle(Meddling.EDIT_BACK, number)
        mode = kind if kind in ("review", "auto", "report") else None
        self.example.start(mode, target=kind == "dr", scheduled=kind == "schedule")
        if planned:
            self.example.host.deliver_next(wrong)

    @precondition(lambda self: self.example.host.waiting)
    @rule(wrong=mishaps)
    def deliver(self, wrong: list[Mishap]) -> None:
        self.example.host.deliver_next(wrong)

    @precondition(lambda self: self.example.host.waiting)
    @rule(wrong=mishaps)
    def deliver_too(self, wrong: list[Mishap]) -> None:
        """Of all that can happen this should happen most."""
        self.example.host.deliver_next(wrong)

    @precondition(lambda self: self.example.to_decide())
    @rule(number=numbers, machines=some, now=st.booleans(), wrong=mishaps)
    def approve(self, number: int, machines: list[int], now: bool, wrong: list[Mishap]) -> None:
        runs = self.example.to_decide()
        approved = self.example.approve(runs[number % len(runs)], machines)
        if approved and now and self.example.host.waiting:
            self.example.host.deliver_next(wrong)

    @precondition(lambda self: self.example.to_decide())
    @rule(number=numbers, wrong=mishaps)
    def approve_all(self, number: int, wrong: list[Mishap]) -> None:
        self.approve(number, [], True, wrong)

    @precondition(lambda self: self.example.to_roll_back())
    @rule(number=numbers, machines=some, now=st.booleans(), wrong=mishaps)
    def roll_back(self, number: int, machines: list[int], now: bool, wrong: list[Mishap]) -> None:
        runs = self.example.to_roll_back()
        ordered = self.example.roll_back(runs[number % len(runs)], machines)
        if ordered and now and self.example.host.waiting:
            self.example.host.deliver_next(wrong)

    @rule(number=numbers, wrong=mishaps)
    def redeliver(self, number: int, wrong: list[Mishap]) -> None:
        every = self.example.host.every
        self.example.host.deliver(every[number % len(every)], wrong)

    @rule(what=st.sampled_from(Ask), number=numbers, machines=some)
    def ask(self, what: Ask, number: int, machines: list[int]) -> None:
        example = self.example
        run_id = example.runs[number % len(example.runs)]
        match what:
            case Ask.REJECT:
                example.reject(run_id, machines)
            case Ask.RESOLVE:
                example.resolve(run_id, 1 + number % 2)
            case Ask.APPLY:
                example.apply(run_id, machines)
            case Ask.ROLL_BACK:
                example.roll_back(run_id, machines)
            case Ask.APPROVE:
                example.approve(run_id, machines, apply=False)
            case Ask.CANCEL:
                example.cancel(run_id)

    @rule(what=st.sampled_from(Meddling), number=st.integers(0, 9))
    def change_the_world(self, what: Meddling, number: int) -> None:
        self.example.host.citrix.estate.meddle(what, number)

    @rule(seconds=st.sampled_from([1.0, 20.0, 61.0, 300.0]), jobs_end=st.booleans())
    def sweep(self, seconds: float, jobs_end: bool) -> None:
        if jobs_end:
            self.example.host.citrix.let_stuck_jobs_end()
        self.example.sweep(seconds)

    @rule(number=numbers)
    def give_up(self, number: int) -> None:
        self.example.give_up(number)

    @invariant()
    def everything_is_told_and_nothing_is_written_twice(self) -> None:
        self.example.judge.look()

    def teardown(self) -> None:
        try:
            self.example.conclude()
        finally:
            self.struck.update(self.example.host.struck)
            self.arrived.update(self.example.judge.arrived)
            self.example.close()


def test_any_order(resources: Resources) -> None:
    AnyOrder.resources = resources
    run_state_machine_as_test(AnyOrder, settings=SHORT)
    print(AnyOrder.struck, AnyOrder.arrived)
