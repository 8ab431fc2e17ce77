"""The hosting connections that a pass over a run writes to: known before the first write, reset after the last."""

from __future__ import annotations

from collections.abc import Iterable

from shared.azure.inputs import Inputs
from shared.model.run import Run

_KEY = "written-connections"


class WrittenConnections:
    """Ids, or names where Citrix told no id. A pass begins with an approval; what it wrote to is added up over crashes.

    Raises ``StorageError``.
    """

    def __init__(self, inputs: Inputs, run: Run) -> None:
        self._inputs = inputs
        self._run = run

    def add(self, connections: Iterable[str]) -> None:
        # writing_since is empty until the pass's first write: what is there is of the pass before
        known = self.all() if self._run.writing_since is not None else ()
        self._inputs.put_names(self._run.id, _KEY, sorted({*known, *connections}))

    def all(self) -> tuple[str, ...]:
        return self._inputs.names(self._run.id, _KEY) or ()
