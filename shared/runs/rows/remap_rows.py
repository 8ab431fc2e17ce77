"""The remaps of one run while a worker has them: their rows as they stand, moved by the table of states alone."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace

from shared.azure.remaps import Remaps
from shared.azure.table import Versioned
from shared.model.citrix import MachineId
from shared.model.remap import Remap
from shared.model.run import RemapState, RunId


class RemapRows:
    """Safe to use from several threads, as long as no two of them move the same remap."""

    def __init__(self, remaps: Remaps, run_id: RunId, check: Callable[[], None]) -> None:
        self._remaps = remaps
        self._run_id = run_id
        self._check = check
        self._guard = threading.Lock()
        self._rows: dict[MachineId, Versioned[Remap]] = {}
        self.reload()

    def reload(self) -> None:
        """Read them again, as others may have left them."""
        rows = {row.value.machine: row for row in self._remaps.load(self._run_id)}
        with self._guard:
            self._rows = rows

    def __getitem__(self, machine: MachineId) -> Remap:
        return self._rows[machine].value

    def of(self, states: Collection[RemapState], among: Collection[MachineId] | None = None) -> list[Remap]:
        """The remaps in these states, in the order of their machines' ids."""
        return [
            row.value
            for machine, row in self._rows.items()
            if row.value.state in states and (among is None or machine in among)
        ]

    def every(self) -> list[Remap]:
        return [row.value for row in self._rows.values()]

    def counts(self) -> dict[str, int]:
        """How many remaps are in each state, for the run's row."""
        return dict(sorted(Counter(row.value.state.value for row in self._rows.values()).items()))

    def told(self) -> str:
        """The same as a sentence."""
        counts = self.counts()
        return ", ".join(f"{number} {state}" for state, number in counts.items()) + "." if counts else "No remaps."

    def move(self, changed: Iterable[Remap]) -> None:
        """Write remaps as they become. Raises ``IllegalMove``, ``EditedElsewhere``, ``LockLost``, ``StorageError``."""
        moves = [(self._rows[remap.machine], remap) for remap in changed]
        written = self._remaps.move(self._run_id, moves, self._check)
        with self._guard:
            self._rows |= {row.value.machine: row for row in written}

    def move_to(self, state: RemapState, sentences: Mapping[MachineId, str | None]) -> None:
        """Move machines to one state, each with its error, or none."""
        self.move(replace(self[machine], state=state, error=error) for machine, error in sentences.items())
