"""An on-premises site and its clusters behind an Azure Relay, through the host: planned, applied, cut, and taken back.

``REALIGN_LONG=1`` cuts the relay for 30 seconds, the short form for a few.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.e2e.client import Json
from tests.e2e.conftest import App, Serve
from tests.e2e.review import POLICY, as_planned, ids, put_back, states
from tests.e2e.test_scenarios import concluded, right

SCENARIO = "cvad-activation"
PRISM, CONTROLLER = "amsterdam", "ddc02"
TARGET = {"target": PRISM, "mode": "review"}
MOVED = {f"W11-{number:03d}" for number in range(1, 7)}
CUT_SECONDS = 30.0 if os.environ.get("REALIGN_LONG") == "1" else 6.0
HOLD_SECONDS = 60.0
WITHIN = 180.0

pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module", params=["hcm", "azbridge"])
def whole(request: pytest.FixtureRequest, serve: Serve) -> Iterator[App]:
    with serve(SCENARIO, relay=request.param) as running:
        yield running


@pytest.fixture
def app(whole: App) -> Iterator[App]:
    whole.sandbox.calls.clear()
    before = len(whole.sandbox.world.history)
    with put_back(whole):
        yield whole
        whole.sandbox.faults.clear("relay-down")
    del whole.sandbox.world.history[before:]


@pytest.fixture
def name(app: App) -> Iterator[str]:
    """The scenario's profile, without a second reset half a minute after the test."""
    profile = app.add_profile("relayed", policy={**app.document().get("policy", {}), **POLICY})
    yield profile
    app.remove_profile(profile)


def right_findings(app: App) -> dict[str, object]:
    return {machine: right(expected) for machine, expected in app.sandbox.expected.items()}


def found(app: App, run: Json) -> dict[str, object]:
    return {machine: concluded(finding) for machine, finding in app.api.findings(run["id"]).items()}


@contextmanager
def cut(app: App, which: str, system: str, operation: str) -> Iterator[None]:
    """The relay of ``which`` goes down in the middle of a call, and comes back after a while."""
    with app.sandbox.holds.hold(system, operation) as hold:
        yield
        assert hold.reached(HOLD_SECONDS)
        app.sandbox.faults.set("relay-down", which)
    time.sleep(CUT_SECONDS)  # how long the relay is away, which is what the test is about
    app.sandbox.faults.clear("relay-down")


def test_a_protection_domain_activation_with_all_of_it_behind_the_relay(app: App, name: str) -> None:
    profile = app.document()
    assert all("relay" in each for each in [*profile["clusters"], *profile["site"]["hosts"]])
    run = app.api.run(name, TARGET)
    assert (run["status"], run["error"]) == ("awaiting-review", None)
    assert found(app, run) == right_findings(app)
    run = app.api.approve(run)
    assert (run["status"], run["counts"]["states"]) == ("completed", {"verified": len(MOVED)})
    assert as_planned(app, run) == MOVED
    run = app.api.rollback(run["id"])
    assert (run["status"], as_planned(app, run)) == ("rolled-back", set())
    assert app.sandbox.calls.count("relay", "GET", "connect") > 0


def test_health_shows_each_relay_as_a_hop(app: App) -> None:
    checks = {check["name"]: check for check in app.api.get("/api/health/ready").json()["checks"]}
    hops = {name: check["state"] for name, check in checks.items() if check["kind"] == "relay"}
    host = "ddc0{}.corp.example"
    assert hops == {
        f"{app.name}/paris/relay": "failed",
        f"{app.name}/amsterdam/relay": "ready",
        f"{app.name}/site/{host.format(1)}:443/relay": "failed",
        f"{app.name}/site/{host.format(2)}:443/relay": "ready",
    }
    assert "no listener connected" in checks[f"{app.name}/paris/relay"]["remedy"]
    assert checks[f"{app.name}/site"]["state"] == "ready"


def test_a_relay_that_is_cut_in_mid_plan_leaves_nothing_wrong_and_says_what_is_unknown(app: App, name: str) -> None:
    with cut(app, PRISM, f"prism/{PRISM}", "v2ListVms"):
        started = app.api.start(name, TARGET).json()["id"]
    run = app.api.until_rest(started, WITHIN)
    if run["status"] == "failed":
        assert "relay" in run["error"]
    else:
        (cluster,) = (each for each in run["clusters"] if each["name"] == PRISM)
        is_right = found(app, run) == right_findings(app)
        assert is_right or (cluster["status"] != "ok" and "relay" in cluster["error"])
        unsure = {m: f for m, f in app.api.findings(run["id"]).items() if concluded(f) != right_findings(app)[m]}
        assert all(finding["finding"] == "unknown" for finding in unsure.values())
    again = app.api.run(name, TARGET)
    assert found(app, again) == right_findings(app)


def applied_with_a_cut(app: App, name: str, operation: str) -> Json:
    """A run that is applied while the controller's relay goes down in the middle of ``operation``, at its end."""
    run = app.api.run(name, TARGET)
    with cut(app, CONTROLLER, f"cvad/{CONTROLLER}", operation):
        app.api.act(run["id"], "approve", {"all": True, "fingerprint": run["fingerprint"]})
    run = app.api.until_rest(run["id"], WITHIN)
    assert (run["status"], run["error"]) == ("completed", None)
    assert set(states(app, run).values()) == {"verified"}
    assert as_planned(app, run) == MOVED
    return run


def times_written(app: App) -> dict[str, int]:
    return Counter(write.machine_id for write in app.sandbox.world.history)


def test_a_controllers_relay_that_is_cut_in_mid_apply_ends_as_if_nothing_had_been(app: App, name: str) -> None:
    run = applied_with_a_cut(app, name, "submitBatch")
    assert times_written(app) == {ids(app, run)[machine]: 1 for machine in MOVED}


def test_a_relay_that_is_cut_after_the_batch_was_taken_writes_nothing_twice(app: App, name: str) -> None:
    run = applied_with_a_cut(app, name, "getJob")
    assert times_written(app) == {ids(app, run)[machine]: 1 for machine in MOVED}
