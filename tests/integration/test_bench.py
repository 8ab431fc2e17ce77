"""The benchmark of the published scripts beside Realign does what it says, whatever its figures are."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.bench.scripts import central_script, daas_script
from tests.bench.scripts.contender import ContenderFailed, Place, Timekeeper, laps_of

ROOT = Path(__file__).parents[2]
MACHINES = 8


@pytest.fixture(scope="module")
def printed() -> list[str]:
    command = [sys.executable, "-m", "tests.bench.scripts", "--machines", str(MACHINES), "--latency-ms", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def figures(printed: list[str]) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(printed[-1])
    return read


def test_the_last_line_has_what_the_benchmark_promises(figures: dict[str, Any]) -> None:
    assert set(figures) == {"machines", "latencyMs", "contenders", "ratios"}
    assert (figures["machines"], figures["latencyMs"]) == (MACHINES, 1)
    assert [each["name"] for each in figures["contenders"]] == ["DaaS script", "Prism Central script", "Realign"]
    assert {frozenset(each) for each in figures["contenders"]} == {
        frozenset({"name", "citrixCalls", "prismCalls", "seconds"})
    }
    assert set(figures["ratios"]) == {"seconds", "citrixCalls"}


def test_a_script_makes_the_calls_that_were_read_from_it(figures: dict[str, Any]) -> None:
    daas, central, _ = figures["contenders"]
    # token, site, connection, machines, reset; then two changes a machine
    assert (daas["citrixCalls"], daas["prismCalls"]) == (5 + 2 * MACHINES, 3)
    # twice the site, catalogs, connection, machines, two resets, a change a machine; each with a token and a site
    assert (central["citrixCalls"], central["prismCalls"]) == (3 * (7 + MACHINES), 2)


def test_the_ratios_are_against_the_better_script(figures: dict[str, Any]) -> None:
    *scripts, ours = figures["contenders"]
    fewest = min(each["citrixCalls"] for each in scripts)
    fastest = min(each["seconds"] for each in scripts)
    assert figures["ratios"]["citrixCalls"] == pytest.approx(fewest / ours["citrixCalls"], abs=0.01)
    assert figures["ratios"]["seconds"] == pytest.approx(fastest / ours["seconds"], rel=0.1)


def test_the_table_names_every_contender_and_what_is_not_counted(printed: list[str]) -> None:
    text = "\n".join(printed)
    for name in (daas_script.NAME, central_script.NAME, "Realign", "not counted: reset-again", "not counted: observe"):
        assert f"\n{name}" in text


def test_make_bench_takes_its_size_and_has_one_of_its_own() -> None:
    def said(*sizes: str) -> str:
        command = ["make", "--dry-run", "bench", *sizes]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True).stdout

    assert "tests.bench.scripts --machines 300 --latency-ms 20\n" in said()
    assert "tests.bench.scripts --machines 8 --latency-ms 1\n" in said("MACHINES=8", "LATENCY_MS=1")


def idle(place: Place, timekeeper: Timekeeper) -> None:
    timekeeper.lap("idle", 0.0)


def broken(place: Place, timekeeper: Timekeeper) -> None:
    raise ValueError("a call failed")


def test_a_contender_that_leaves_a_machine_wrong_ends_the_benchmark() -> None:
    with pytest.raises(AssertionError, match="Nobody left 2 machines wrong"):
        laps_of("Nobody", idle, 2, 0.0)


def test_a_contender_that_fails_ends_the_benchmark_with_its_reason() -> None:
    with pytest.raises(ContenderFailed, match="a call failed"):
        laps_of("Nobody", broken, 2, 0.0)
