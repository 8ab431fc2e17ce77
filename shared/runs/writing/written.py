"""The hosting connections that a pass over a run writes to: known before the first write, reset after the last."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from shared.azure.inputs import Inputs
from shared.model.citrix import Hosting
from shared.model.run import Run
from shared.planning.names import fold

_KEY = "written-connections"


class WrittenConnections:
    """Names by ids, or by themselves where Citrix told no id. A pass begins with an approval or an order to roll back;
    what it wrote to is added up over crashes.

    Raises ``StorageError``.
    """

    def __init__(self, inputs: Inputs, run: Run) -> None:
        self._inputs = inputs
        self._run = run

    def add(self, places: Iterable[Hosting]) -> None:
        # writing_since is empty until the pass's first write: what is there is of the pass before
        known = dict(self.all()) if self._run.writing_since is not None else {}
        for place in places:
            known[place.connection_id or place.connection or ""] = place.connection or ""
        self._put(known)

    def keep_only(self, places: Iterable[Hosting]) -> None:
        """Forget the connections that are not among ``places``, where machines stand now.

        Where Citrix refused every machine nothing has changed, and a reset would only disturb those that were there.
        """
        there = {fold(text) for place in places for text in (place.connection_id, place.connection) if text}
        known = self.all()
        reached = {key: name for key, name in known.items() if {fold(key), fold(name)} & there}
        if reached != known:
            self._put(reached)

    def all(self) -> Mapping[str, str]:
        kept = self._inputs.names(self._run.id, _KEY) or ()
        return dict(entry.split("\n", 1) for entry in kept)

    def _put(self, known: Mapping[str, str]) -> None:
        self._inputs.put_names(self._run.id, _KEY, [f"{key}\n{name}" for key, name in sorted(known.items())])
