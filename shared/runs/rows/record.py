"""The row of a run while one worker has it: each change builds on the one before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

from shared.azure.table import Versioned
from shared.errors import EditedElsewhere
from shared.model.run import Run, Step
from shared.runs.resources import Resources

_TRIES = 5


class RunRecord:
    """The worker's view of its run. Safe for one thread at a time."""

    def __init__(self, resources: Resources, versioned: Versioned[Run]) -> None:
        self._resources = resources
        self.versioned = versioned

    @property
    def run(self) -> Run:
        return self.versioned.value

    def write(self, **changes: Any) -> None:
        """Change fields of the row. What others may change meanwhile, such as a wish to stop, is kept."""
        self.write_as(lambda run: replace(run, **changes))

    def write_as(self, change: Callable[[Run], Run]) -> None:
        """Change the row to what ``change`` makes of it as it is then, asked again where others were faster.

        Raises ``EditedElsewhere`` when the run was moved to another state, or another worker has taken it over, and
        ``IllegalMove`` for a status that it cannot have next.
        """
        for _ in range(_TRIES):
            changed = replace(change(self.run), updated_at=self._resources.now())
            try:
                self.versioned = self._resources.runs.update(changed, self.versioned)
            except EditedElsewhere:
                self.refresh()
            else:
                return
        raise EditedElsewhere(f"Run {self.run.id} is changed by others all the time. Try again.")

    def refresh(self) -> None:
        """Take in what others have changed. Raises ``EditedElsewhere`` where the run is this worker's no more."""
        fresh = self._resources.runs.get(self.run.id)
        if (fresh.value.status, fresh.value.attempts) != (self.run.status, self.run.attempts):
            raise EditedElsewhere(f"Run {self.run.id} is {fresh.value.status.value} now. Look at it again.")
        self.versioned = fresh

    def begin(self, name: str, **changes: Any) -> None:
        """Record that a step begins, once more if it did so before, and count the attempt."""
        again = f"Attempt {self.run.attempts + 1}." if self.run.attempts else ""
        over = ("wait", "settle")
        before = tuple(replace(step, status="done") if step.name in over else step for step in self.run.steps)
        step = Step(name, "running", self._resources.now(), again)
        self.write(attempts=self.run.attempts + 1, not_before=None, steps=with_step(before, step), **changes)

    def step(self, name: str, went: str, detail: str = "", /, **changes: Any) -> None:
        """Record a step, in place of the last one if that has this name and is not over; and change fields with it."""
        self.write(steps=with_step(self.run.steps, Step(name, went, self._resources.now(), detail)), **changes)


def with_step(steps: tuple[Step, ...], step: Step) -> tuple[Step, ...]:
    """``steps`` with ``step``, which takes the place of its own unfinished record."""
    for index in range(len(steps) - 1, -1, -1):
        if steps[index].name == step.name and steps[index].status in ("running", "waiting"):
            return (*steps[:index], step, *steps[index + 1 :])
    return (*steps, step)


def due(run: Run, now: datetime) -> bool:
    """False for a run that waits for its time: a delayed message brings it back."""
    return run.not_before is None or now >= run.not_before
