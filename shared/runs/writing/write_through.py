"""One pass of changes: what was sent is read back, what did not change goes once more, every remap gets its state."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from shared.model.citrix import Hosting, MachineId
from shared.model.remap import Change, Remap
from shared.model.run import RemapState
from shared.runs.rows.remap_rows import RemapRows
from shared.runs.writing.outcome import Outcome, Told
from shared.runs.writing.read_back import Goal, judge, read_back
from shared.runs.writing.sending import Sending
from shared.runs.writing.stragglers import send_again

_NOT_DONE = "Citrix said that it was done, and the machine still has its old values."


@dataclass(frozen=True)
class WriteThrough:
    """``cancelled`` is asked once what is left could go again; ``tell`` hears what did not go as planned.

    ``in_site``: how many machines the site has, about.
    """

    sending: Sending
    rows: RemapRows
    goal: Goal
    cancelled: Callable[[], bool]
    tell: Callable[[Mapping[MachineId, tuple[RemapState, str]]], None]
    in_site: int

    def settle(self, wanted: Mapping[MachineId, Hosting], outcomes: Mapping[MachineId, Outcome]) -> list[MachineId]:
        """Give each remap in ``wanted`` the state that it has come to; those that there was no time left for.

        ``outcomes`` is what was told of them. Raises ``CitrixError``, ``LockLost`` and ``StorageError``.
        """
        if not wanted:
            return []

        settled: set[MachineId] = set()

        def settle(machines: Sequence[MachineId], told: Mapping[MachineId, Outcome]) -> list[MachineId]:
            left = self._read_back(machines, wanted, told)
            settled.update(set(machines) - set(left))
            return left

        again = settle(list(wanted), outcomes)
        told = send_again(self.sending, [Change(m, wanted[m]) for m in again], outcomes, settle)
        kept = [m for m in again if m not in settled and m in told and told[m].told is Told.KEPT]
        left = settle([m for m in again if m not in settled and m not in kept], told)
        self._failed({machine: _sentence(told.get(machine)) for machine in left})
        if not self.cancelled():
            return kept
        self._failed(
            {m: f"{_sentence(outcomes.get(m))} The run was cancelled, so it was not sent again." for m in kept}
        )
        return []

    def _read_back(
        self, machines: Sequence[MachineId], wanted: Mapping[MachineId, Hosting], told: Mapping[MachineId, Outcome]
    ) -> list[MachineId]:
        """Settle what can be told now; the machines for which nothing was done and nothing is under way."""
        if not machines:
            return []
        self.sending.check()
        found = read_back(self.sending.writer, machines, self.in_site)
        again: list[MachineId] = []
        changed: list[Remap] = []
        for machine in machines:
            remap = self.rows[machine]
            now = found[machine].hosting if machine in found else None
            judged = judge(self.goal, remap, wanted[machine], now, told.get(machine))
            if judged is None:
                again.append(machine)
            else:
                changed.append(replace(remap, state=judged[0], error=judged[1]))
        self.rows.move(changed)
        self.tell({r.machine: (r.state, r.error or "") for r in changed if r.state is self.goal.failed})
        return again

    def _failed(self, sentences: Mapping[MachineId, str]) -> None:
        self.rows.move_to(self.goal.failed, sentences)
        self.tell({machine: (self.goal.failed, sentence) for machine, sentence in sentences.items()})


def _sentence(outcome: Outcome | None) -> str:
    return outcome.sentence if outcome is not None and outcome.sentence is not None else _NOT_DONE
