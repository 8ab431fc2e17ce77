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
from tests.chaos.judge import (
    check_applied,
    check_no_secret,
    check_quiet,
    check_right,
    check_rolled_back,
    check_written,
    rows_of,
)
from tests.chaos.mixtures import SEEDS, SHORT, Mixture, mixture_of, scenario_of
from tests.chaos.play import Play
from tests.e2e.conftest import empty

MOST_RUNS = 3
DROP_AFTER = 4_000  # bytes: in the middle of even a short answer
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
    relay = mixed.relay or "tcp"
    with Sandbox(scenario, azurite=azurite, latency=mixed.latency, storage_proxy=True, relay=relay) as sandbox:
        sandbox.azure_relay.drop_after = DROP_AFTER
        for name in ("IDENTITY_ENDPOINT", "IDENTITY_HEADER"):  # msal reads these itself
            monkeypatch.setenv(name, sandbox.environ[name])
        play = Play(sandbox, azurite, mixed, monkeypatch)
        try:
            check_seed(play)
            check_no_secret(sandbox, azurite.connection_string, caplog.text)
        finally:
            play.close()


def check_seed(play: Play) -> None:
    """Runs under the mixture, until all of it has struck; then one when all is well again."""
    for _ in range(MOST_RUNS):
        check_run(play, play.mixture.mode)
        if play.wrote() and not play.left():
            break
        play.mend()
        play.drift_again()
    assert play.wrote(), "nothing was written"
    assert not play.left(), f"never struck: {play.left()}"
    play.mend()
    check_run(play, "review", last=True)
    places = play.places()
    for machine, expected in play.sandbox.expected.items():
        if expected.finding == "remap":
            found = places[machine].hosted_machine_id
            assert found == expected.to_uuid, f"when all was well again {machine} was not put right: {expected}"


def check_run(play: Play, mode: str, *, last: bool = False) -> None:
    """One run. It is rolled back where the mixture says so, or so that the next one finds something to do."""
    before = play.places()
    run_id = play.planned_and_applied(mode)
    check_quiet(play.sandbox)
    applied = play.places()
    run, rows = play.run(run_id), rows_of(play.looks, run_id)
    check_applied(run, rows, before, applied)
    check_right(rows.values(), play.sandbox.expected)
    if not last and (play.mixture.roll_back or play.left()) and play.rolled_back(run_id):
        check_quiet(play.sandbox)
        check_rolled_back(rows_of(play.looks, run_id), before, applied, play.places())
    check_written(play.sandbox, [rows_of(play.looks, each) for each in play.runs])
