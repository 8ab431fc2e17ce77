"""One example of the stateful test: an estate, an app on it, its judge, and what people do to it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import pytest

from shared.azure.runs import ACTIVE
from shared.errors import RealignError
from shared.model.citrix import MachineId
from shared.model.remap import Remap
from shared.model.run import RemapState, RunId, RunStatus
from shared.profile.policy import ModeName
from shared.runs.access import SCHEDULE
from shared.runs.deciding.cancel import cancel
from shared.runs.deciding.orders import ROLLABLE, order_apply, order_roll_back
from shared.runs.deciding.resolve import resolve
from shared.runs.deciding.review import REVIEWABLE, approve, reject
from shared.runs.deciding.review_request import (
    ApproveRequest,
    CancelRequest,
    Candidate,
    MachinesRequest,
    ResolveRequest,
    ReviewRequest,
)
from shared.runs.request import RunRequest
from shared.runs.resources import Resources
from shared.runs.roll_back import can_be_rolled_back
from shared.runs.start import start_run
from shared.runs.sweep import SWEEP_EVERY, sweep
from shared.runs.work import give_up
from tests.stateful.estate import AMSTERDAM, Meddling, uuid_of
from tests.stateful.host import ADA, Host
from tests.stateful.judge import Judge
from tests.stateful.mishaps import Mishap
from tests.stateful.plumbing import plug_in, profile_document

QUIET_ROUNDS = 200
AMBIGUOUS = MachineId("m-006")

_numbers = itertools.count(1)


class Example:
    """``machines`` of an action are numbers of the run's remaps; empty: all that it can concern."""

    def __init__(self, resources: Resources, *, side_by_side: bool = False) -> None:
        self.name = f"any-order-{next(_numbers)}"
        self._profile = Path(resources.environ["REALIGN_PROFILES"], f"{self.name}.json")
        self._profile.write_text(json.dumps(profile_document(self.name)), encoding="utf-8")
        self._patch = pytest.MonkeyPatch()
        self.resources = resources
        self.host = Host(resources, f"site-{self.name}")
        plug_in(self._patch, self.host, side_by_side=side_by_side)
        self.judge = self.host.judge = Judge(self.host)
        self.runs: list[RunId] = []

    def close(self) -> None:
        self._patch.undo()
        self._profile.unlink()
        table = self.resources.runs._table
        for run_id in self.resources.runs.active():  # an example that failed leaves them
            table.delete("active", run_id)

    def start(self, mode: ModeName | None, *, target: bool = False, scheduled: bool = False) -> RunId | None:
        request = RunRequest(mode=mode, target=AMSTERDAM if target else None)
        caller, trigger = (SCHEDULE, "schedule") if scheduled else (ADA, "http")
        known = len(self.runs)

        def started() -> None:
            run = start_run(self.resources, self.name, request, caller, trigger=trigger).run
            self.runs.append(run.id)
            self.judge.know(run.id)

        self._asked(started)
        return self.runs[-1] if len(self.runs) > known else None

    def approve(self, run_id: RunId, machines: Sequence[int], *, apply: bool = True) -> bool:
        names, run = self._named(run_id, machines), self.judge.runs[run_id]
        request = ApproveRequest(
            machines=names, all=names is None, fingerprint=run.fingerprint or "none", comment="looked at", apply=apply
        )
        return self._asked(lambda: approve(self.resources, run_id, request, ADA))

    def reject(self, run_id: RunId, machines: Sequence[int]) -> bool:
        names, run = self._named(run_id, machines), self.judge.runs[run_id]
        request = ReviewRequest(machines=names, all=names is None, fingerprint=run.fingerprint or "none")
        return self._asked(lambda: reject(self.resources, run_id, request, ADA))

    def resolve(self, run_id: RunId, candidate: int) -> bool:
        chosen = Candidate(cluster=AMSTERDAM, uuid=uuid_of(6, candidate))
        request = ResolveRequest(machine=AMBIGUOUS, candidate=chosen, comment="asked its user")
        return self._asked(lambda: resolve(self.resources, run_id, request, ADA))

    def apply(self, run_id: RunId, machines: Sequence[int]) -> bool:
        request = MachinesRequest(machines=self._named(run_id, machines))
        return self._asked(lambda: order_apply(self.resources, run_id, request, ADA))

    def roll_back(self, run_id: RunId, machines: Sequence[int]) -> bool:
        request = MachinesRequest(machines=self._named(run_id, machines))
        return self._asked(lambda: order_roll_back(self.resources, run_id, request, ADA))

    def cancel(self, run_id: RunId) -> bool:
        return self._asked(lambda: cancel(self.resources, run_id, CancelRequest(comment="stop"), ADA))

    def drift(self, machines: Sequence[int]) -> None:
        """The estate is whole again, and these machines' records are what they were at first."""
        estate = self.host.citrix.estate
        estate.mend()
        for number in machines:
            estate.meddle(Meddling.EDIT_BACK, number)

    def planned_anew(self) -> None:
        """A run with something to decide on, unless one of the same profile is at work."""
        self.drift(range(9))
        self.start("review")
        self.deliver(())
        self.judge.look()

    def deliver(self, wrong: Sequence[Mishap]) -> None:
        """The next message; without one, the sweeper comes."""
        if not self.host.waiting:
            self.sweep()
        if self.host.waiting:
            self.host.deliver_next(wrong)

    def give_up(self, number: int) -> None:
        """A message that the platform has delivered too often."""
        message = self.host.every[number % len(self.host.every)]
        body = json.dumps({"run": message.run, "step": message.step.value}).encode()
        give_up(self.resources, body)

    def sweep(self, seconds: float = 61.0) -> None:
        self.host.clock.advance(seconds)
        sweep(self.resources)

    def until_quiet(self) -> None:
        """Nothing goes wrong any more: whatever is left comes to its end."""
        self.host.citrix.let_stuck_jobs_end()
        swept = self.host.clock()
        for _ in range(QUIET_ROUNDS):
            if self.host.waiting:
                self.host.deliver_next()
            if not self.host.waiting or self.host.clock() - swept >= SWEEP_EVERY:
                self.sweep(0.0 if self.host.waiting else 61.0)
                swept = self.host.clock()
            if not self.host.waiting:
                return
        raise AssertionError(f"it never came to rest: {self.host.waiting}")

    def conclude(self) -> None:
        """Every run has to come to its rest, whatever happened before."""
        self.judge.look()
        self.host.clock.advance(600)  # late looks at power states are not what this is about
        self.until_quiet()
        self.judge.conclude()

    def at_work(self) -> bool:
        return any(run.status in ACTIVE for run in self.judge.runs.values())

    def to_decide(self) -> list[RunId]:
        """The runs that have something left to approve."""
        return self._resting(REVIEWABLE, lambda remap: remap.state in (RemapState.PROPOSED, RemapState.APPROVED))

    def to_roll_back(self) -> list[RunId]:
        """The runs that have something to take back."""
        return self._resting(ROLLABLE, can_be_rolled_back)

    def _resting(self, statuses: Collection[RunStatus], has: Callable[[Remap], bool]) -> list[RunId]:
        judge = self.judge
        rests = [run_id for run_id in self.runs if judge.runs[run_id].status in statuses]
        return [run_id for run_id in rests if any(has(remap) for remap in judge.remaps[run_id].values())]

    def _named(self, run_id: RunId, numbers: Sequence[int]) -> tuple[str, ...] | None:
        known = sorted(self.judge.remaps[run_id])
        if not numbers:
            return None
        return tuple(sorted({known[number % len(known)] for number in numbers})) if known else ("m-999",)

    def _asked(self, act: Callable[[], object]) -> bool:
        """Whether it was done. What is refused has changed nothing."""
        try:
            act()
        except RealignError:
            self.judge.check_unchanged()
            return False
        return True
