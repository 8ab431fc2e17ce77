"""Runs that the timer starts: one for each scheduled profile that is valid, by hand and by its schedule."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.client import WORKING, Json, eventually
from tests.e2e.conftest import App, Serve
from tests.e2e.test_scenarios import concluded, right

SCHEDULED = ("emea-vdi", "apac-vdi")


def add_profiles(app: App) -> None:
    """Two that are scheduled; beside them a broken one, one without a schedule and one that cannot be read."""
    app.add_profile("emea-vdi", schedule=True)
    app.add_profile("apac-vdi", schedule=True)
    app.add_profile("by-hand", schedule=False)
    app.add_profile("broken", schedule=True, clusters=[])
    app.add_file("unreadable.json", "{")


@pytest.fixture
def app(serve: Serve) -> Iterator[App]:
    with serve("duplicates-and-conflicts") as running:
        add_profiles(running)
        yield running


def rested(app: App) -> list[Json]:
    runs = app.api.all("/api/runs")
    return runs if runs and not any(run["status"] in WORKING for run in runs) else []


def test_the_timer_starts_a_run_for_each_scheduled_profile(app: App) -> None:
    app.api.fire("reconcile")
    runs = eventually(lambda: done if len(done := rested(app)) >= len(SCHEDULED) else [])
    assert sorted(run["profile"] for run in runs) == sorted(SCHEDULED)
    for run in runs:
        assert (run["trigger"], run["requestedBy"], run["target"]) == ("schedule", "schedule", None)
        assert (run["status"], run["mode"]) == ("awaiting-review", "review")
        events = app.api.all(f"/api/runs/{run['id']}/events")
        assert [event["action"] for event in events] == ["run-requested", "planned", "guard"]

    expected = app.sandbox.expected
    by_http = app.api.run("emea-vdi")
    every = {machine: concluded(finding) for machine, finding in app.api.findings(by_http["id"]).items()}
    assert every == {machine: right(finding) for machine, finding in expected.items()}
    drifted = {machine: finding for machine, finding in every.items() if finding[0] != "aligned"}
    assert 0 < len(drifted) < len(every)
    for run in runs:
        findings = app.api.findings(run["id"])
        assert {machine: concluded(finding) for machine, finding in findings.items()} == drifted
        assert len(app.rows("remaps", run["id"])) == len(drifted), "aligned machines have no row"
        assert run["counts"] == by_http["counts"], "aligned machines are counted"
        assert run["guards"] == by_http["guards"]
        assert run["fingerprint"] == by_http["fingerprint"]


def test_the_timer_fails_with_what_kept_it_from_starting_profiles_and_starts_the_others(app: App) -> None:
    app.api.fire("reconcile")
    eventually(lambda: "Not started by the schedule: 2 profiles; started: 2." in app.host.full_log())
    assert "unreadable: unreadable.json: line 1" in app.host.full_log()
    assert "broken: broken.json: clusters" in app.host.full_log()
    eventually(lambda: rested(app))


def test_a_missing_setting_is_named_by_health_and_by_the_timer_that_fails(serve: Serve) -> None:
    told = "KEY_VAULT_URL is not set: give the vault's URL"
    with serve("healthy", {"KEY_VAULT_URL": ""}) as app:
        answer = app.api.get("/api/health/ready")
        assert (answer.status_code, answer.json()["code"]) == (500, "settings-invalid")
        assert told in answer.json()["detail"]
        app.api.fire("reconcile")
        eventually(lambda: told in app.host.full_log().partition("in reconcile\n")[2])


def test_the_schedule_itself_starts_runs_and_does_not_pile_them_up(serve: Serve) -> None:
    with serve("healthy", {"REALIGN_SCHEDULE": "* * * * * *"}) as app:
        app.sandbox.faults.set("prism-slow", 2_000)
        app.add_profile("emea-vdi", schedule=True)
        first = eventually(lambda: app.api.all("/api/runs"))
        assert [run["trigger"] for run in first] == ["schedule"]
        done = app.api.until_rest(first[0]["id"])
        assert (done["status"], done["attempts"], done["error"]) == ("completed", 1, None)
        assert done["counts"]["findings"] == {"aligned": 17, "excluded": 3}
        later = eventually(lambda: runs if len(runs := app.api.all("/api/runs")) > 1 else [])
        # Planning saw several more ticks (it made three slow calls); none of them started another run.
        assert later[-1]["id"] == done["id"]
        assert later[-2]["createdAt"] >= done["endedAt"]
        assert {finding["finding"] for finding in app.api.findings(done["id"]).values()} == {"excluded"}
