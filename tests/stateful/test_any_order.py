"""Start, plan, approve, apply, cancel, roll back, redelivery, lost locks, crashes and a changed world, in any order.

The short form takes part in every run of the tests; ``make soak`` runs the long one. A failure prints the acts that
led to it, and a ``@reproduce_failure`` to be put on ``AnyOrder``; an example that had threads side by side may go
another way when it is replayed.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from random import Random
from typing import ClassVar

from hypothesis import HealthCheck, Phase, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from shared.model.run import RemapState
from shared.profile.policy import ModeName
from shared.runs.resources import Resources
from tests.stateful import drawing
from tests.stateful.example import Example
from tests.stateful.mishaps import Kind

LONG = os.environ.get("REALIGN_LONG") == "1"
EXAMPLES, STEPS = (300, 30) if LONG else (14, 14)

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


LEAST_KINDS, LEAST_ARRIVED = 10, 30

log = logging.getLogger(__name__)


class AnyOrder(RuleBasedStateMachine):
    """``resources`` are set by the test: storage is started once. ``struck`` and ``arrived`` are of all examples."""

    resources: ClassVar[Resources]
    struck: ClassVar[Counter[Kind]] = Counter()
    arrived: ClassVar[Counter[RemapState]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self.acts = 0

    @initialize(side_by_side=st.booleans(), mode=st.sampled_from(["review", "review", "auto"]))
    def begin(self, side_by_side: bool, mode: ModeName) -> None:
        self.example = Example(self.resources, side_by_side=side_by_side)
        self.example.start(mode)
        self.example.host.deliver_next()

    @rule(seed=st.integers(0, 2**32))
    def happens(self, seed: int) -> None:
        self.acts += 1
        # hypothesis likes to repeat a value, and the same act again would show little
        act = drawing.act(Random(f"{seed}/{self.acts}"))
        note(f"{self.acts}: {act}")
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
    # an example in which nothing happens shows nothing
    log.info("struck %s, arrived %s", dict(AnyOrder.struck), dict(AnyOrder.arrived))
    assert len(AnyOrder.struck) >= LEAST_KINDS, AnyOrder.struck
    assert min(AnyOrder.arrived[state] for state in (RemapState.VERIFIED, RemapState.ROLLED_BACK)) >= LEAST_ARRIVED
