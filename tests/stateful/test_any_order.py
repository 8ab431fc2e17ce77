"""Start, plan, approve, apply, cancel, roll back, redelivery, lost locks, crashes and a changed world, in any order.

The short form takes part in every run of the tests; ``make soak`` runs the long one. A failure prints the acts that
led to it, and a ``@reproduce_failure`` to be put on ``AnyOrder``; an example that had threads side by side may go
another way when it is replayed.
"""

from __future__ import annotations

import os
from collections import Counter
from typing import ClassVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from shared.model.run import RemapState
from shared.runs.resources import Resources
from tests.stateful.acts import Act, Approve, Ask, Deliver, GiveUp, Meddle, Redeliver, RollBack, Start, Sweep, Wish
from tests.stateful.estate import Meddling
from tests.stateful.example import Example
from tests.stateful.mishaps import Among, Kind, Mishap

LONG = os.environ.get("REALIGN_LONG") == "1"
EXAMPLES, STEPS = (300, 30) if LONG else (16, 12)

FORM = settings(
    max_examples=EXAMPLES,
    stateful_step_count=STEPS,
    deadline=None,
    derandomize=not LONG,
    database=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.generate, Phase.shrink) if LONG else (Phase.generate,),
)

OF_STORAGE = [Kind.CRASH_BEFORE, Kind.LOCK_STOLEN, Kind.LOCK_DELETED, Kind.DOWN]
KINDS_OF_RUN = ["review", "review", "auto", "auto", "dr", "schedule", "report"]


def mishaps_among(among: Among) -> st.SearchStrategy[Mishap]:
    kinds = OF_STORAGE if among is Among.STORAGE else list(Kind)
    meddlings, machines = st.sampled_from(Meddling), st.integers(0, 9)
    return st.builds(Mishap, st.sampled_from(kinds), st.just(among), st.integers(1, 45), meddlings, machines)


wrong = st.lists(st.sampled_from(Among).flatmap(mishaps_among), min_size=1, max_size=3).map(tuple)
maybe_wrong = st.one_of(st.just(()), wrong)
some = st.lists(st.integers(0, 6), max_size=3).map(tuple)  # empty: all
drifted = st.lists(st.integers(0, 8), min_size=1, max_size=4).map(tuple)
number = st.integers(0, 30)
# twice: happens twice as often
ACTS: list[st.SearchStrategy[Act]] = [
    *[st.builds(Deliver, maybe_wrong)] * 3,
    *[st.builds(Approve, number, some, st.just(True), wrong)] * 3,
    *[st.builds(RollBack, number, some, st.just(True), wrong)] * 3,
    *[st.builds(Start, st.sampled_from(KINDS_OF_RUN), drifted, st.just(True), maybe_wrong)] * 3,
    *[st.builds(Meddle, st.sampled_from(Meddling), st.integers(0, 9))] * 2,
    *[st.builds(Ask, st.sampled_from(Wish), number, some)] * 2,
    st.builds(Approve, number, some, st.just(False), st.just(())),
    st.builds(RollBack, number, some, st.just(False), st.just(())),
    st.builds(Start, st.sampled_from(KINDS_OF_RUN), drifted, st.just(False), st.just(())),
    st.builds(Redeliver, number, maybe_wrong),
    st.builds(Sweep, st.sampled_from([1.0, 20.0, 61.0, 300.0]), st.booleans()),
    st.builds(GiveUp, number),
]


class AnyOrder(RuleBasedStateMachine):
    """``resources`` are set by the test: storage is started once. ``struck`` and ``arrived`` are of all examples."""

    resources: ClassVar[Resources]
    struck: ClassVar[Counter[Kind]] = Counter()
    arrived: ClassVar[Counter[RemapState]] = Counter()

    @initialize(side_by_side=st.booleans(), mode=st.sampled_from(["review", "review", "auto"]))
    def begin(self, side_by_side: bool, mode: str) -> None:
        self.example = Example(self.resources, side_by_side=side_by_side)
        self.example.start(mode)
        self.example.host.deliver_next()

    @rule(act=st.sampled_from(range(len(ACTS))).flatmap(lambda index: ACTS[index]))
    def happens(self, act: Act) -> None:
        act.on(self.example)

    @invariant()
    def nothing_is_done_twice_or_untold(self) -> None:
        self.example.judge.look()

    def teardown(self) -> None:
        example = getattr(self, "example", None)
        if example is None:
            return
        try:
            example.conclude()
        finally:
            self.struck.update(example.host.struck)
            self.arrived.update(example.judge.arrived)
            example.close()


def test_any_order(resources: Resources) -> None:
    AnyOrder.resources = resources
    run_state_machine_as_test(AnyOrder, settings=FORM)
    print(AnyOrder.struck, AnyOrder.arrived)
