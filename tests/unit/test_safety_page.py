"""The page on safety stands by its word: each promise names a test that is there, and says how it is kept."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.unit.test_coverage_page import names_below

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests"
PAGE = (ROOT / "docs" / "safety.md").read_text(encoding="utf-8")
KINDS = "unit|integration|e2e|stateful|chaos|nutanix_clients"
PROOF = re.compile(rf"`((?:{KINDS})/[\w/]+\.py)((?:::\w+)*)`")
SECTIONS = [
    "Never guess",
    "Never lose a record",
    "Never write what nobody can undo",
    "People decide",
    "Twice, late, side by side, or killed",
    "Secrets",
]


def section(title: str) -> str:
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def promises(title: str) -> list[list[str]]:
    """The rows of a section's table: promise, how, test."""
    lines = [line for line in section(title).splitlines() if line.startswith("|")]
    assert lines[0] == "| promise | how | test |", title
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


ROWS = [row for title in SECTIONS for row in promises(title)]


def test_there_is_a_section_for_each_kind_of_promise_and_for_what_is_none() -> None:
    titles = re.findall(r"^## (.*)$", PAGE, flags=re.MULTILINE)
    assert titles == [*SECTIONS, "What is not promised"]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0].rstrip("."))
def test_a_promise_is_a_sentence_with_a_proof(row: list[str]) -> None:
    assert len(row) == 3
    assert row[0].endswith(".")
    assert PROOF.fullmatch(row[2]), row[2]


@pytest.mark.parametrize("proof", sorted({row[2] for row in ROWS}))
def test_every_proof_is_a_test_that_is_there(proof: str) -> None:
    found = PROOF.fullmatch(proof)
    assert found is not None
    path, names = found.groups()
    way = tuple(names.strip(":").split("::")) if names else ()
    there = names_below(ast.parse((TESTS / path).read_text(encoding="utf-8")))
    tests = {each for each in there if each[-1].startswith("test_")}
    assert [each for each in tests if each[: len(way)] == way], f"{proof} names no test"


def test_no_promise_is_made_twice() -> None:
    said = [row[0] for row in ROWS]
    assert len(said) == len(set(said))


@pytest.mark.parametrize("command", ["make soak", "make crash", "make chaos"])
def test_every_long_form_is_a_command_that_is_there(command: str) -> None:
    assert f"| `{command}` |" in PAGE
    target = command.removeprefix("make ")
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)


def test_what_is_not_promised_is_said() -> None:
    limits = re.findall(r"^- \*\*(.*?)\*\*", section("What is not promised"), flags=re.MULTILINE)
    assert len(limits) >= 4
