"""Fifty profiles on one minute of the schedule: each its own message and its own outcome, whatever befalls another."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import pytest

from tests.e2e.client import Json, eventually
from tests.e2e.conftest import App, Serve
from tests.e2e.test_scenarios import concluded, right

pytestmark = pytest.mark.timeout(180)

MANY = 50
VMS = "/PrismGateway/services/rest/v2.0/vms"


@pytest.fixture
def app(serve: Serve) -> Iterator[App]:
    with serve("duplicates-and-conflicts") as running:
        yield running


@pytest.fixture
def nobody() -> Iterator[int]:
    """A port at which nobody listens, and nobody else will as long as the test runs."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield int(taken.getsockname()[1])


def rested(app: App, wanted: int) -> list[Json]:
    runs = app.api.all("/api/runs", limit=1000)
    done = [run for run in runs if run["status"] not in ("queued", "planning")]
    return done if len(done) == wanted else []


def test_fifty_scheduled_profiles_each_get_their_run_and_a_dead_cluster_hurts_its_own_alone(
    app: App, nobody: int
) -> None:
    paris, amsterdam, oslo = app.document()["clusters"]
    for number in range(MANY - 1):
        app.add_profile(f"site-{number:02d}", schedule=True)
    app.add_profile("with-a-dead-one", schedule=True, clusters=[paris, {**amsterdam, "port": nobody}, oslo])
    app.sandbox.calls.clear()
    app.api.fire("reconcile")
    runs = eventually(lambda: rested(app, MANY), within=120)

    assert len({run["profile"] for run in runs}) == MANY
    by_profile = {run["profile"]: run for run in runs}
    hurt = by_profile.pop("with-a-dead-one")
    assert [(c["name"], c["status"]) for c in hurt["clusters"]] == [
        ("paris", "answered"), ("amsterdam", "unreachable"), ("oslo", "answered"),
    ]  # fmt: skip
    assert hurt["counts"]["findings"]["unknown"] > 0
    expected = {m: right(e) for m, e in app.sandbox.expected.items() if e.finding != "aligned"}
    for run in by_profile.values():
        assert (run["status"], run["error"], run["attempts"]) == ("awaiting-review", None, 1)
        assert {cluster["status"] for cluster in run["clusters"]} == {"answered"}
    for run in list(by_profile.values())[::16]:
        assert {m: concluded(f) for m, f in app.api.findings(run["id"]).items()} == expected


def test_scheduled_runs_share_a_listing_and_a_run_by_http_reads_its_own(app: App) -> None:
    for number in range(8):
        app.add_profile(f"site-{number}", schedule=True)
    app.sandbox.calls.clear()
    app.api.fire("reconcile")
    eventually(lambda: rested(app, 8))
    assert app.sandbox.calls.count("prism/paris", "GET", VMS) == 1
    app.api.run("site-0", {"mode": "report"})
    assert app.sandbox.calls.count("prism/paris", "GET", VMS) == 2
    assert json.dumps(app.api.all("/api/runs")).count('"trigger": "schedule"') == 8
