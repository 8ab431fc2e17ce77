"""The page on the life of a run names every move of runs and remaps, and no other."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from itertools import product
from pathlib import Path

import pytest

from shared.model.run import RemapState, RunStatus
from shared.model.states import REMAP_MOVES, RUN_MOVES
from shared.planning.recheck import Action
from shared.runs.writing.pacing import MOST_AT_ONCE
from shared.runs.writing.sizes import Sizes

PAGE = (Path(__file__).parents[2] / "docs" / "run-lifecycle.md").read_text(encoding="utf-8")
NOTHING = "no remap"


def told(kind: str) -> list[tuple[str, str]]:
    """The moves of a table of the page: what its first cell names, to what its second one does."""
    table = PAGE.split(f"\n| {kind}: from | to | when |\n")[1].split("\n\n")[0]
    found: list[tuple[str, str]] = []
    for line in table.splitlines()[1:]:
        before, after, when = (cell.strip() for cell in line.strip("|").split("|"))
        assert when
        found += product(names_in(before), names_in(after))
    return found


def names_in(cell: str) -> list[str]:
    return [NOTHING] if cell == NOTHING else re.findall(r"`([a-z-]+)`", cell)


def moves(
    table: Mapping[RunStatus, frozenset[RunStatus]] | Mapping[RemapState | None, frozenset[RemapState]],
) -> list[tuple[str, str]]:
    return sorted(
        (NOTHING if before is None else before.value, after.value)
        for before, afters in table.items()
        for after in afters
    )


def test_the_moves_of_a_run_are_those_of_the_table() -> None:
    assert sorted(told("run")) == moves(RUN_MOVES)


def test_the_moves_of_a_remap_are_those_of_the_table() -> None:
    assert sorted(told("remap")) == moves(REMAP_MOVES)


@pytest.mark.parametrize("state", [*RunStatus, *RemapState])
def test_every_state_is_named(state: StrEnum) -> None:
    kind = "run" if isinstance(state, RunStatus) else "remap"
    assert state.value in {name for move in told(kind) for name in move}


def test_the_picture_has_only_moves_of_the_table() -> None:
    (picture,) = re.findall(r"```mermaid\n(.*?)```", PAGE, flags=re.DOTALL)
    drawn = re.findall(r"^ +(\w+) --> (\w+)", picture, flags=re.MULTILINE)
    assert len(drawn) > 10
    assert {(a.replace("_", "-"), b.replace("_", "-")) for a, b in drawn} <= set(moves(RUN_MOVES))


def test_every_verdict_on_what_was_approved_is_told() -> None:
    section = PAGE.split("\n## What is looked at again before a write\n")[1].split("\n## ")[0]
    become = {
        Action.DONE: "`applied`",
        Action.SUPERSEDED: "`superseded`",
        Action.FAILED: "`failed`",
        Action.ASK: "`proposed`",
    }
    assert {*become, Action.GO} == set(Action)
    cells = [line.strip("|").split("|")[-1] for line in section.splitlines() if line.startswith("| ")]
    assert [action for action, word in become.items() if not any(word in cell for cell in cells)] == []


def test_the_sizes_of_batches_are_those_of_the_code() -> None:
    section = PAGE.split("**Batches.**")[1].split("\n\n")[0]
    sizes = [int(number) for number in re.findall(r"\b\d+\b", section) if int(number) >= Sizes.LEAST]
    assert sizes == [Sizes.LEAST, Sizes.FIRST_MOST, Sizes.MOST, Sizes.LEAST]
    assert MOST_AT_ONCE == 4
    assert "at most four at a time" in section
