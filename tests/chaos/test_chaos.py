"""Seeded mixtures of faults: after each run every machine is as planned and verified, or untouched and reported.

``make chaos`` plays all seeds, ``make chaos SEED=17`` one of them; every run of the tests plays a few, over which each
fault strikes at least once. A failure tells its seed and mixture.
"""

from __future__ import annotations

import os
from pprint import pformat

import pytest

from sandbox.azurite import Azurite
from sandbox.faults import DEFAULT_CALLS
from sandbox.sandbox import Sandbox
from sandbox.scenario import load
from shared.model.run import RemapState
from tests.chaos.judge import check_applied, check_no_secret, check_right, check_rolled_back, check_written, rows_of
from tests.chaos.mixtures import SEEDS, SHORT, Mixture, mixture_of, scenario_of
from tests.chaos.play import Play
from tests.e2e.conftest import empty

MOST_RUNS = 3
WANTED = os.environ.get("REALIGN_CHAOS", "")


def seeds() -> list[int]:
    if WANTED == "all":
        return list(range(1, SEEDS + 1))
    return [int(WANTED)] if WANTED else list(SHORT)


def mixture(seed: int) -> Mixture:
    return mixture_of(seed, load(scenario_of(seed)))


def test_every_fault_is_in_the_seeds_of_every_run_of_the_tests() -> None:
    assert {fault for seed in SHORT for fault in mixture(seed).faults} == set(DEFAULT_CALLS)


@pytest.mark.parametrize("seed", seeds())
def test_chaos(seed: int, azurite: Azurite, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    scenario = load(scenario_of(seed))
    mixed = mixture_of(seed, scenario)
    print(f"make chaos SEED={seed}\n{pformat(mixed)}")  # noqa: T201 - shown where the seed fails
    world = scenario.world
    world.site.batch_form, world.nested_items = mixed.batch_form, mixed.nested_items
    world.power_lag_seconds, world.job_start_seconds = mixed.power_lag, mixed.job_start
    empty(azurite.connection_string)
    with Sandbox(scenario, azurite=azurite, latency=mixed.latency, storage_proxy=True) as sandbox:
        for name in ("IDENTITY_ENDPOINT", "IDENTITY_HEADER"):  # msal reads these itself
            monkeypatch.setenv(name, sandbox.environ[name])
        play = Play(sandbox, azurite, mixed, monkeypatch)
        try:
            check_seed(play)
            check_no_secret(sandbox, azurite.connection_string, caplog.text)
        finally:
            play.close()


def check_seed(play: Play) -> None:
    """One run under the mixture, or a second where the first could not plan; then one when all is well again."""
    mixed, sandbox = play.mixture, play.sandbox
    for number in range(1, MOST_RUNS + 1):
        if number == MOST_RUNS:
            play.mend()
        check_run(play, mixed.mode, roll_back=mixed.roll_back)
        if play.wrote() and not play.pending():
            break
    assert play.wrote(), "nothing was written"
    assert not play.pending(), f"never set: {play.pending()}"
    silent = [name for name in play.set if not sandbox.faults.fired(name)]
    assert not silent, f"set, and never fired: {silent}"
    play.mend()
    check_run(play, "review", roll_back=False)
    places = play.places()
    for machine, expected in sandbox.expected.items():
        if expected.finding == "remap":
            found = places[machine].hosted_machine_id
            assert found == expected.to_uuid, f"when all was well again {machine} was not put right: {expected}"


def check_run(play: Play, mode: str, *, roll_back: bool) -> None:
    before = play.places()
    run_id = play.planned_and_applied(mode)
    applied = play.places()
    run, rows = play.run(run_id), rows_of(play.resources, play.run(run_id))
    check_applied(run, rows, before, applied)
    check_right(rows.values(), play.sandbox.expected)
    if roll_back and play.rolled_back(run_id):
        rows = rows_of(play.resources, play.run(run_id))
        check_rolled_back(rows, before, applied, play.places())
        assert RemapState.APPLYING not in {row.state for row in rows.values()}
    check_written(play.sandbox, [rows_of(play.resources, play.run(each)) for each in play.runs])
