"""What a request brought along that is too large for its run's row: lists of names and texts, never cut.

An input is written as numbered rows and then a head row that counts them. Without its head an input is not there, so
a crash in between leaves nothing that could be read as the whole.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from shared.azure.limits import checked, quoted, to_json, transactions, utf16_units
from shared.azure.storage import Storage
from shared.azure.table import Table
from shared.errors import StorageError
from shared.model.run import RunId

NAMES_A_ROW = 500
UNITS_A_ROW = 30_000

_KEY = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


class Inputs:
    """``key`` is a word of the caller (``machines``, ``csv``). Raises ``StorageError`` when the account fails."""

    def __init__(self, storage: Storage) -> None:
        self._table: Table = storage.table("inputs")

    def put_names(self, run_id: RunId, key: str, names: Sequence[str]) -> None:
        self._put(run_id, key, (to_json(group) for group in _groups(names)))

    def names(self, run_id: RunId, key: str) -> tuple[str, ...] | None:
        """The names in the order they came, or None when there is no such input."""
        return self.read(run_id, key).names(key)

    def put_text(self, run_id: RunId, key: str, text: str) -> None:
        self._put(run_id, key, _pieces(text))

    def text(self, run_id: RunId, key: str) -> str | None:
        """The text, or None when there is no such input."""
        return self.read(run_id, key).text(key)

    def read(self, run_id: RunId, *keys: str) -> KeptInputs:
        """Several inputs with one question."""
        of_keys = " or ".join(
            f"RowKey eq {quoted(key)} or (RowKey ge {quoted(f'{key}:')} and RowKey lt {quoted(f'{key};')})"
            for key in keys
        )
        heads: dict[str, int] = {}
        parts: dict[str, list[str]] = {key: [] for key in keys}
        for row in self._table.query(f"PartitionKey eq {quoted(run_id)} and ({of_keys})"):
            key, colon, _ = str(row.values["RowKey"]).partition(":")
            if colon:
                parts[key].append(row.values["content"])
            else:
                heads[key] = int(row.values["parts"])
        for key, count in heads.items():
            if len(parts[key]) < count:
                raise StorageError(
                    f"Input {key} of run {run_id} has {len(parts[key])} of its {count} parts. Start the run again.",
                    kind="failed",
                    system="Storage",
                )
        # parts beyond the head's count are of a longer input that this one took the place of
        return KeptInputs({key: parts[key][:count] for key, count in heads.items()})

    def _put(self, run_id: RunId, key: str, parts: Iterable[str]) -> None:
        if not _KEY.fullmatch(key):
            raise ValueError(f"{key!r} is no key of an input")
        count = 0

        def rows() -> Iterator[dict[str, str | int | bool | float]]:
            nonlocal count
            for part in parts:
                yield _row(run_id, f"{key}:{count:06d}", part)
                count += 1

        for group in transactions(rows()):
            self._table.put_all(group)
        self._table.put({"PartitionKey": run_id, "RowKey": key, "parts": count})

    def remove(self, run_id: RunId) -> None:
        """Remove all that is kept of a run here."""
        self._table.empty(run_id)


@dataclass(frozen=True, slots=True)
class KeptInputs:
    """Inputs as they were read, by their keys; one that is not there has no parts."""

    parts: Mapping[str, Sequence[str]]

    def names(self, key: str) -> tuple[str, ...] | None:
        parts = self.parts.get(key)
        return tuple(name for part in parts for name in json.loads(part)) if parts is not None else None

    def text(self, key: str) -> str | None:
        parts = self.parts.get(key)
        return "".join(parts) if parts is not None else None


def _row(run_id: RunId, key: str, content: str) -> dict[str, str | int | bool | float]:
    try:
        return checked({"PartitionKey": run_id, "RowKey": key, "content": content})
    except ValueError as error:
        raise StorageError(
            f"An input of run {run_id} cannot be stored: {error}. Shorten its names.", kind="failed", system="Storage"
        ) from error


def _groups(names: Sequence[str]) -> Iterator[list[str]]:
    """``names`` in groups that one row holds: 500, or fewer where they are long."""
    group: list[str] = []
    units = 0
    for name in names:
        size = utf16_units(to_json(name)) + 1
        if group and (len(group) == NAMES_A_ROW or units + size > UNITS_A_ROW):
            yield group
            group, units = [], 0
        group.append(name)
        units += size
    if group:
        yield group


def _pieces(text: str) -> Iterator[str]:
    # Outside the Basic Multilingual Plane a character takes two units; one that is cut in half would be lost.
    size = UNITS_A_ROW if utf16_units(text) == len(text) else UNITS_A_ROW // 2
    for start in range(0, len(text), size):
        yield text[start : start + size]
