"""Every scenario through the host: drift goes in, exactly the right findings come out."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from sandbox.scenario import Expected, answering_api, load, names
from tests.e2e.client import Json, eventually
from tests.e2e.conftest import App, Serve

pytestmark = pytest.mark.timeout(120)

Concluded = tuple[str, str, str | None, str | None, str | None]


def concluded(finding: Json) -> Concluded:
    to = finding["to"] or {"hostingConnection": None, "hostedMachineId": None}
    return (
        finding["finding"],
        finding["reason"],
        finding["confidence"],
        to["hostingConnection"],
        to["hostedMachineId"],
    )


def right(expected: Expected) -> Concluded:
    return expected.finding, expected.reason, expected.confidence, expected.to_connection, expected.to_uuid


def stored(row: dict[str, Any]) -> Concluded:
    return row["finding"], row["reason"], row.get("confidence"), row.get("toConnection"), row.get("toMachineId")


@pytest.mark.parametrize("name", names())
def test_the_findings_of_a_run_are_exactly_the_right_ones(name: str, serve: Serve) -> None:
    scenario = load(name)
    with serve(scenario) as app:
        before = records(app)
        run = run_of(app)
        findings = app.api.findings(run["id"])

        assert {machine: concluded(item) for machine, item in findings.items()} == {
            machine: right(expected) for machine, expected in with_a_row(app).items()
        }
        check_run(run, app)
        check_rows(app, run["id"], findings)
        assert records(app) == before, "a plan writes nothing to Citrix"


def run_of(app: App) -> Json:
    """The scenario's run, at rest: asked for over HTTP, or started by the timer."""
    scenario = app.sandbox.scenario
    if scenario.trigger == "http":
        return app.api.run(scenario.profile_name, scenario.run)
    app.api.fire("reconcile")
    (started,) = eventually(lambda: app.api.all("/api/runs", profile=scenario.profile_name))
    return app.api.until_rest(started["id"])


def with_a_row(app: App) -> dict[str, Expected]:
    """A scheduled run counts what is aligned, and writes no row for it."""
    scenario = app.sandbox.scenario
    scheduled = scenario.trigger == "schedule"
    return {m: e for m, e in scenario.expected.items() if not (scheduled and e.finding == "aligned")}


def records(app: App) -> dict[str, tuple[str | None, str | None]]:
    machines = app.sandbox.world.site.machines.values()
    return {machine.id: (machine.connection_id, machine.hosted_machine_id) for machine in machines}


def check_run(run: Json, app: App) -> None:
    scenario = app.sandbox.scenario
    remaps = sum(expected.finding == "remap" for expected in scenario.expected.values())
    mode = scenario.run.get("mode", "review")
    after = "awaiting-review" if remaps else "completed"
    assert run["status"] == ("planned" if mode == "report" else after)
    assert (run["mode"], run["target"], run["trigger"]) == (mode, scenario.run.get("target"), scenario.trigger)
    assert run["requestedBy"] == ("Olive Operator" if scenario.trigger == "http" else "schedule")
    assert [guard["name"] for guard in run["guards"]] == list(scenario.guards)
    assert run["counts"]["outOfScope"] == scenario.out_of_scope
    assert run["counts"]["findings"] == Counter(expected.finding for expected in scenario.expected.values())
    assert run["counts"]["states"] == ({"proposed": remaps} if remaps else {})
    assert (run["progress"], run["error"], run["attempts"]) == (100, None, 1)
    assert bool(run["endedAt"]) is (run["status"] != "awaiting-review")
    settled = [step["detail"] for step in run["steps"] if step["name"] == "settle"]
    assert len(settled) == (1 if "settleSeconds" in scenario.run else 0), "it looked again, and says so once"
    unmatched = app.api.of(run["id"])["unmatched"]
    assert {key: tuple(found) for key, found in unmatched.items()} == scenario.unmatched
    prisms = app.sandbox.world.prisms.values()
    dead = {prism.name for prism in prisms if not prism.up}
    assert {cluster["name"]: cluster["status"] for cluster in run["clusters"]} == {
        prism.name: "unreachable" if prism.name in dead else "answered" for prism in prisms
    }
    assert {cluster["name"]: cluster["api"] for cluster in run["clusters"]} == {
        prism.name: answering_api(prism) for prism in prisms
    }
    assert not [cluster["error"] for cluster in run["clusters"] if cluster["error"] and cluster["name"] not in dead]


def check_rows(app: App, run_id: str, findings: dict[str, Json]) -> None:
    """What the API shows is what stands in the table: a partition a run, a row a machine."""
    rows = app.rows("remaps")
    assert {row["PartitionKey"] for row in rows} == {run_id}
    assert {row["RowKey"]: stored(row) for row in rows} == {m: concluded(f) for m, f in findings.items()}
    for row in rows:
        shown = findings[row["RowKey"]]
        assert shown["machine"]["name"] == row["machineName"]
        assert shown["from"]["hostingConnection"] == row.get("fromConnection")
        assert shown["from"]["hostedMachineId"] == row.get("fromMachineId")
        assert shown["state"] == row.get("state") == ("proposed" if shown["finding"] == "remap" else None)
        assert shown["explanation"]
