"""The host dies in the middle of planning, and messages get lost or spoilt: every run still comes to its right end.

One crash serves several tests, since the lock of a dead worker takes a minute to expire.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from azure.data.tables import UpdateMode

from shared.azure.lock import LockKind
from shared.azure.work_queue import WorkStep
from shared.runs.resources import Resources
from tests.e2e.client import WORKING, Api, Json, eventually
from tests.e2e.conftest import App, Serve
from tests.e2e.test_scenarios import concluded, right

SCENARIO = "activation-stale-copies-off"


@dataclass
class Crash:
    """Runs by what happened to them, as they were left and as they ended, and one that nothing happened to."""

    app: App
    left: dict[str, Json]
    ended: dict[str, Json]
    undisturbed: Json


@pytest.fixture(scope="module")
def app(serve: Serve) -> Iterator[App]:
    with serve(SCENARIO) as running:
        yield running


@pytest.fixture(scope="module")
def crash(app: App) -> Crash:
    body = app.sandbox.scenario.run
    undisturbed = app.api.run(app.name, body)
    left = slow_runs(app, {"killed": app.name, "worn-out": "worn-out", "half-written": "half-written"}, body)
    for run in left.values():
        eventually(lambda run=run: app.api.of(run["id"])["status"] == "planning")  # type: ignore[misc]
    left["waiting"] = app.api.start(app.name, body).json()
    left = {what: app.api.of(run["id"]) for what, run in left.items()}

    app.host.kill()
    app.sandbox.faults.clear("prism-slow")
    lose_every_message(app)
    leave_rows_of_an_earlier_attempt(app, left["half-written"]["id"])
    set_attempts(app, left["worn-out"]["id"], 5)
    app.api.url = app.host.restart()
    return Crash(app, left, swept(app.api, left), undisturbed)


def slow_runs(app: App, profiles: dict[str, str], body: Json) -> dict[str, Json]:
    """Runs whose reads take longer than the host lives. The queue gives their messages out together: while they are
    put in, another run keeps the host from taking any.
    """
    only_amsterdam = [entry for entry in app.document()["clusters"] if entry["name"] == "amsterdam"]
    app.sandbox.faults.set("prism-slow", "paris:60000")
    app.sandbox.faults.set("citrix-slow", 5_000)
    before = app.api.start(app.add_profile("before", clusters=only_amsterdam)).json()
    eventually(lambda: app.api.of(before["id"])["status"] == "planning")
    runs = {what: app.api.start(app.add_profile(profile), body).json() for what, profile in profiles.items()}
    app.sandbox.faults.clear("citrix-slow")
    return runs


def lose_every_message(app: App) -> None:
    """The platform would hide the messages of a dead worker for ten minutes; here they never come back."""
    app.queue().clear_messages()


def leave_rows_of_an_earlier_attempt(app: App, run_id: str) -> None:
    """What a worker leaves that dies while it writes: some rows, one of a machine that is no longer in the plan."""
    machine = next(iter(app.sandbox.expected))
    row = {"machineName": "CORP\\GONE", "machineNameLower": "corp\\gone", "finding": "remap", "reason": "vm-moved"}
    row |= {"explanation": "stale", "state": "proposed", "PartitionKey": run_id}
    with app.tables() as tables:
        client = tables.get_table_client("remaps")
        for key in (machine, "00000000-0000-4000-8000-000000000000"):
            client.create_entity({**row, "RowKey": key})


def set_attempts(app: App, run_id: str, attempts: int) -> None:
    with app.tables() as tables:
        row = {"PartitionKey": "run", "RowKey": run_id, "attempts": attempts}
        tables.get_table_client("runs").update_entity(row, mode=UpdateMode.MERGE)


def swept(api: Api, runs: dict[str, Json]) -> dict[str, Json]:
    """The runs at rest. The sweeper's timer would come by itself every 30 s; firing it saves the wait."""

    def rested() -> dict[str, Json]:
        api.fire("sweep")
        found = {what: api.of(run["id"]) for what, run in runs.items()}
        return found if not any(run["status"] in WORKING for run in found.values()) else {}

    return eventually(rested, within=150, every=2)


def without_keys(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {row["RowKey"]: {name: value for name, value in row.items() if name != "PartitionKey"} for row in rows}


@pytest.mark.timeout(240)
def test_the_host_was_killed_in_the_middle_of_planning(crash: Crash) -> None:
    states = {what: (run["status"], run["attempts"]) for what, run in crash.left.items()}
    planning = ("planning", 1)
    assert states == {
        "killed": planning, "worn-out": planning, "half-written": planning, "waiting": ("queued", 0)
    }  # fmt: skip


@pytest.mark.timeout(240)
@pytest.mark.parametrize("what", ["killed", "half-written"])
def test_a_run_whose_host_was_killed_ends_as_if_nothing_had_happened(crash: Crash, what: str) -> None:
    run, undisturbed = crash.ended[what], crash.undisturbed
    assert (run["status"], run["attempts"], run["progress"]) == (undisturbed["status"], 2, 100)
    for same in ("counts", "fingerprint", "guards", "clusters", "mode", "target", "error"):
        assert run[same] == undisturbed[same]
    expected = {machine: right(finding) for machine, finding in crash.app.sandbox.expected.items()}
    findings = crash.app.api.findings(run["id"])
    assert {machine: concluded(finding) for machine, finding in findings.items()} == expected
    rows, others = (crash.app.rows("remaps", each["id"]) for each in (run, undisturbed))
    assert without_keys(rows) == without_keys(others), "none is missing, none is left over"
    actions = [event["action"] for event in crash.app.api.all(f"/api/runs/{run['id']}/events")]
    assert actions == ["run-requested", "queued-again", "planned"]


@pytest.mark.timeout(240)
def test_a_run_whose_message_was_lost_is_queued_again(crash: Crash) -> None:
    run = crash.ended["waiting"]
    assert (run["status"], run["attempts"]) == (crash.undisturbed["status"], 1)
    assert run["fingerprint"] == crash.undisturbed["fingerprint"]
    actions = [event["action"] for event in crash.app.api.all(f"/api/runs/{run['id']}/events")]
    assert "queued-again" in actions


@pytest.mark.timeout(240)
def test_a_run_that_failed_five_times_is_given_up(crash: Crash) -> None:
    run = crash.ended["worn-out"]
    assert run["status"] == "failed"
    assert run["endedAt"]
    assert "5 times" in run["error"]
    assert [step["status"] for step in run["steps"]] == ["failed"]
    assert crash.app.api.findings(run["id"]) == {}


@pytest.mark.timeout(240)
def test_a_profile_works_on_after_a_crash(crash: Crash) -> None:
    for profile in (crash.app.name, "worn-out"):
        assert crash.app.api.run(profile, crash.app.sandbox.scenario.run)["status"] == crash.undisturbed["status"]


def poison(app: App, text: str) -> None:
    app.queue("realign-work-poison").send_message(base64.b64encode(text.encode()).decode())


def stranded(app: App, profile: str) -> str:
    """A run that waits in vain: it is queued, and its message is gone before anybody could take it."""
    resources = Resources(app.sandbox.environ)
    lock = resources.locks.acquire(LockKind.PROFILE, profile, "0" * 23, "a test", resources.now())  # type: ignore[arg-type]
    run_id = str(app.api.start(app.add_profile(profile)).json()["id"])
    eventually(lambda: app.api.of(run_id)["steps"])
    app.queue().clear_messages()
    lock.release()  # type: ignore[union-attr]
    return run_id


POISON = {
    "plan": {"step": "plan"},
    "a-step-that-nobody-knows": {"step": "teleport"},
    "no-step": {},
}


@pytest.mark.parametrize("case", POISON)
def test_a_message_that_failed_too_often_ends_its_run_as_failed(app: App, case: str) -> None:
    run_id = stranded(app, f"poison-{case}")
    poison(app, json.dumps({"run": run_id, **POISON[case]}))
    run = app.api.until_rest(run_id)
    assert run["status"] == "failed"
    assert "start a new run" in run["error"]
    assert app.api.all(f"/api/runs/{run_id}/events")[-1]["action"] == "failed"


def test_a_poison_message_leaves_a_finished_run_alone(app: App) -> None:
    run = app.api.run(app.add_profile("finished"))
    poison(app, json.dumps({"run": run["id"], "step": "plan"}))
    emptied(app, "realign-work-poison")
    assert app.api.of(run["id"]) == run | {"unmatched": {}}


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"run": 7, "step": "plan"}', '{"run": "0123456789abcdef0123456", "step": "plan"}']
)
def test_a_poison_message_that_names_no_run_is_logged_and_dropped(app: App, text: str) -> None:
    before = app.host.full_log().count("dropped a poison message")
    poison(app, text)
    emptied(app, "realign-work-poison")
    eventually(lambda: app.host.full_log().count("dropped a poison message") > before)


def test_a_message_that_cannot_be_decoded_goes_the_same_way(app: App) -> None:
    app.queue().send_message("this is not base64!")
    emptied(app, "realign-work")
    assert app.api.run(app.add_profile("after-garbage"))["status"] == "awaiting-review"


def test_a_message_for_a_run_that_was_purged_is_dropped(app: App) -> None:
    Resources(app.sandbox.environ).queue.send("0123456789abcdef0123456", WorkStep.PLAN)  # type: ignore[arg-type]
    emptied(app, "realign-work")
    eventually(lambda: "dropped a message for a run that is not there" in app.host.full_log())


def test_a_message_that_comes_twice_plans_once(app: App) -> None:
    run = app.api.run(app.add_profile("twice"))
    Resources(app.sandbox.environ).queue.send(run["id"], WorkStep.PLAN)
    emptied(app, "realign-work")
    assert app.api.of(run["id"]) == run | {"unmatched": {}}


def emptied(app: App, queue: str) -> None:
    def count() -> int:
        return int(app.queue(queue).get_queue_properties().approximate_message_count or 0)

    eventually(lambda: count() == 0)
