"""What stops a run or the schedule, and what goes on without a person: cancel, hold, DR runs, mode auto."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from tests.e2e.client import Json, eventually
from tests.e2e.conftest import App, Serve
from tests.e2e.review import POLICY, as_planned, change_row, ids, put_back, states, told
from tests.e2e.test_starting import check_problem, locked

OLIVE = "Olive Operator"
HOUR = timedelta(hours=1)
UNSPLIT = {"exclude": ["SPLIT-*"]}


@pytest.fixture(scope="module")
def app(serve: Serve) -> Iterator[App]:
    with serve("duplicates-and-conflicts") as running:
        yield running


@pytest.fixture(autouse=True)
def as_it_was(app: App) -> Iterator[None]:
    with put_back(app):
        yield


@pytest.fixture
def scheduled(app: App, request: pytest.FixtureRequest) -> Iterator[str]:
    """A profile with a schedule, as long as a test needs it: the timer starts all there are."""
    name = request.node.name.replace("_", "-").removeprefix("test-")[:60].rstrip("-")
    yield app.add_profile(name, schedule=True, policy=POLICY)
    app.remove_profile(name)


def hold(app: App, profile: str, body: Json | None = None) -> Json:
    answer = app.api.post(f"/api/profiles/{profile}/hold", json=body or {})
    assert answer.status_code == 200, answer.text
    assert answer.json()["profile"] == profile
    put: Json = answer.json()["hold"]
    return put


def hold_of(app: App, profile: str) -> Json | None:
    one = app.api.get(f"/api/profiles/{profile}").json()["hold"]
    listed = {item["name"]: item["hold"] for item in app.api.get("/api/profiles").json()["items"]}
    assert listed[profile] == one
    found: Json | None = one
    return found


def hours_left(put: Json) -> float:
    at, until = (datetime.fromisoformat(put[key]) for key in ("at", "until"))
    assert abs(datetime.now(UTC) - at) < HOUR
    return (until - at) / HOUR


def runs_of(app: App, profile: str) -> list[Json]:
    return app.api.all("/api/runs", profile=profile)


def started_by_timer(app: App, profile: str) -> Json:
    app.api.fire("reconcile")
    (run,) = eventually(lambda: runs_of(app, profile))
    return run


def test_a_run_that_awaits_review_is_cancelled_at_once(app: App) -> None:
    run = app.api.run(app.add_profile("cancel-waiting", policy=POLICY))
    answer = app.api.act(run["id"], "cancel", {"comment": "a mistake"}, role="Operator")
    assert (answer.status_code, answer.headers["Location"]) == (202, f"/api/runs/{run['id']}")
    done = answer.json()
    assert (done["status"], done["cancelledBy"]) == ("cancelled", OLIVE)
    assert done["endedAt"]
    assert OLIVE in done["error"]
    events = app.api.all(f"/api/runs/{run['id']}/events")
    assert (events[-1]["actor"], events[-1]["action"]) == (OLIVE, "cancel-requested")
    assert events[-1]["detail"].endswith("Comment: a mistake")
    check_problem(app.api.act(run["id"], "cancel"), 409, "not-waiting")
    approve = {"all": True, "fingerprint": run["fingerprint"]}
    check_problem(app.api.act(run["id"], "approve", approve), 409, "not-waiting")
    assert as_planned(app, run) == set()


def test_a_run_that_is_being_applied_stops_and_tells_what_it_left(app: App) -> None:
    run = app.api.run(app.add_profile("cancel-applying", policy=POLICY))
    first = app.api.approve(run, ids(app, run)["REP-01"])
    assert first["status"] == "completed"
    with locked(app, run["profile"]):
        assert app.api.act(run["id"], "approve", {"all": True, "fingerprint": run["fingerprint"]}).status_code == 202
        answer = app.api.act(run["id"], "cancel", {})
        assert answer.status_code == 202
        assert answer.headers["Location"] == f"/api/runs/{run['id']}"
        assert (answer.json()["status"], answer.json()["cancelledBy"]) == ("applying", OLIVE)
    done = app.api.until_rest(run["id"])
    assert done["status"] == "cancelled"
    assert "what was applied until then stays" in done["error"]
    assert as_planned(app, run) == {"REP-01"}
    left = states(app, run)
    assert left.pop("REP-01") == "verified"
    assert set(left.values()) == {"superseded"}
    back = app.api.rollback(run["id"])
    assert (back["status"], as_planned(app, run)) == ("rolled-back", set())


def test_a_hold_lasts_as_long_as_it_is_asked_for(app: App) -> None:
    profile = app.add_profile("held", policy={**POLICY, "holdHours": 7})
    assert hold_of(app, profile) is None
    put = hold(app, profile)
    assert (put["by"], put["reason"], hours_left(put)) == (OLIVE, None, 7)
    assert hold_of(app, profile) == put
    longer = hold(app, profile, {"hours": 48, "reason": "migration weekend"})
    assert (longer["reason"], hours_left(longer)) == ("migration weekend", 48)
    shorter = hold(app, profile, {"hours": 1})
    assert hours_left(shorter) == 1
    assert hold_of(app, profile) == shorter
    for _ in range(2):
        answer = app.api.call("DELETE", f"/api/profiles/{profile}/hold")
        assert (answer.status_code, answer.json()) == (200, {"profile": profile, "hold": None})
    assert hold_of(app, profile) is None


def test_a_hold_that_cannot_be_put_is_refused(app: App) -> None:
    profile = app.add_profile("held-for-no-time", policy={**POLICY, "holdHours": 0})
    place = f"/api/profiles/{profile}/hold"
    problem = check_problem(app.api.post(place), 400, "invalid-request")
    assert (problem["field"], "holdHours" in problem["detail"]) == ("hours", True)
    for body, field in (({"hours": 0}, "hours"), ({"hours": 721}, "hours"), ({"until": "x"}, "until")):
        assert check_problem(app.api.post(place, json=body), 400, "invalid-request")["field"] == field
    assert check_problem(app.api.post(place, data=b"{"), 400, "invalid-request")["field"] == "body"
    for method in ("POST", "DELETE"):
        assert check_problem(app.api.call(method, f"{place}?x=1"), 400, "invalid-request")["field"] == "x"
        check_problem(app.api.call(method, "/api/profiles/nowhere/hold"), 404, "not-found")
    for method in ("GET", "PUT", "PATCH"):
        answer = app.api.call(method, place)
        check_problem(answer, 405, "method-not-allowed")
        assert answer.headers["Allow"] == "DELETE, POST"
    assert hold_of(app, profile) is None


def test_a_broken_profile_takes_no_hold_and_its_hold_can_be_ended(app: App) -> None:
    profile = app.add_profile("broken-while-held")
    put = hold(app, profile, {"hours": 2})
    app.add_profile(profile, clusters=[])
    check_problem(app.api.post(f"/api/profiles/{profile}/hold", json={}), 409, "profile-invalid")
    assert hold_of(app, profile) == put
    assert app.api.call("DELETE", f"/api/profiles/{profile}/hold").status_code == 200
    assert hold_of(app, profile) is None
    app.remove_profile(profile)


def test_the_timer_starts_nothing_on_hold_and_goes_on_afterwards(app: App, scheduled: str) -> None:
    hold(app, scheduled)
    app.api.fire("reconcile")
    eventually(lambda: f"on hold profile={scheduled}" in app.host.full_log())
    by_hand = app.api.run(scheduled, {"mode": "report"})
    assert by_hand["status"] == "planned", "a hold is the schedule's alone"
    assert [run["trigger"] for run in runs_of(app, scheduled)] == ["http"]
    app.api.call("DELETE", f"/api/profiles/{scheduled}/hold")
    app.api.fire("reconcile")
    eventually(lambda: len(runs_of(app, scheduled)) == 2)
    newest = runs_of(app, scheduled)[0]
    assert (newest["trigger"], app.api.until_rest(newest["id"])["status"]) == ("schedule", "awaiting-review")


def test_a_dr_run_takes_the_place_of_what_the_schedule_proposed(app: App, scheduled: str) -> None:
    proposed = app.api.until_rest(started_by_timer(app, scheduled)["id"])
    assert proposed["status"] == "awaiting-review"
    by_hand = app.api.run(scheduled)
    disaster = app.api.run(scheduled, {"target": "amsterdam", "mode": "review"})

    given_way = app.api.of(proposed["id"])
    assert (given_way["status"], given_way["cancelledBy"]) == ("cancelled", f"DR run {disaster['id']}")
    assert given_way["counts"]["states"] == {"superseded": len(states(app, proposed))}
    assert set(states(app, proposed).values()) == {"superseded"}
    (finding, *_) = app.api.all(f"/api/runs/{proposed['id']}/remaps", state="superseded")
    assert disaster["id"] in finding["error"]
    assert told(app, proposed)[-1] == ("realign", "cancel-requested")
    assert app.api.of(by_hand["id"])["status"] == "awaiting-review", "a person's run is left to that person"

    put = hold_of(app, scheduled)
    assert put is not None
    assert (put["by"], hours_left(put)) == (OLIVE, 24)
    assert disaster["id"] in put["reason"]
    assert "amsterdam" in put["reason"]


def test_a_dr_run_cancels_a_scheduled_run_that_has_not_begun(app: App, scheduled: str) -> None:
    with locked(app, scheduled):
        queued = started_by_timer(app, scheduled)
        assert queued["status"] == "queued"
        disaster = app.api.start(scheduled, {"target": "amsterdam", "mode": "review"}).json()
        assert app.api.of(queued["id"])["status"] == "cancelled"
    assert app.api.until_rest(disaster["id"])["status"] in ("awaiting-review", "completed")
    assert app.api.findings(queued["id"]) == {}


def test_a_dr_run_lengthens_a_hold_and_never_shortens_it(app: App) -> None:
    profile = app.add_profile("held-by-both", policy={**POLICY, "holdHours": 10})
    long = hold(app, profile, {"hours": 100})
    app.api.run(profile, {"target": "amsterdam", "mode": "review"})
    assert hold_of(app, profile) == long
    hold(app, profile, {"hours": 2})
    app.api.run(profile, {"target": "amsterdam", "mode": "review"})
    put = hold_of(app, profile)
    assert put is not None
    assert round(hours_left(put)) == 10


def test_mode_auto_applies_what_is_sure_and_the_rest_waits_for_a_person(app: App) -> None:
    profile = app.add_profile("auto", scope=UNSPLIT, policy={**POLICY, "mode": "auto"})
    run = app.api.run(profile)
    assert (run["status"], run["guards"], run["approvedBy"]) == ("awaiting-review", [], "realign")
    sure, weak = {"DUP-02", "FQDN-01", "REP-01", "VERYLONGMACHINE"}, {"SWAP-A", "SWAP-B"}
    assert states(app, run) == {**dict.fromkeys(sure, "verified"), **dict.fromkeys(weak, "proposed")}
    assert as_planned(app, run) == sure
    assert ("realign", "approved") in told(app, run)
    done = app.api.approve(run)
    assert (done["status"], done["approvedBy"], as_planned(app, run)) == ("completed", OLIVE, sure | weak)
    assert (OLIVE, "approved") in told(app, run)


def test_cancelling_what_waits_after_a_part_was_applied_says_that_this_part_stays(app: App) -> None:
    scope = {"machines": ["REP-01", "SWAP-A", "SWAP-B"]}
    run = app.api.run(app.add_profile("auto-cancelled", scope=scope, policy={**POLICY, "mode": "auto"}))
    assert run["counts"]["states"] == {"proposed": 2, "verified": 1}
    done = app.api.cancel(run["id"])
    assert done["status"] == "cancelled"
    assert done["error"] == f"{OLIVE} cancelled it; what was applied until then stays."
    assert as_planned(app, run) == {"REP-01"}


def test_mode_auto_takes_what_its_confidence_allows(app: App) -> None:
    policy = {**POLICY, "mode": "auto", "autoConfidence": "weak"}
    run = app.api.run(app.add_profile("auto-weak", scope=UNSPLIT, policy=policy))
    assert (run["status"], set(states(app, run).values())) == ("completed", {"verified"})


def test_a_guard_makes_mode_auto_wait_for_a_person(app: App) -> None:
    split = app.api.run(app.add_profile("auto-split", policy={**POLICY, "mode": "auto"}))
    limits = {"limits": {"maxChanges": 3}}
    many = app.api.run(app.add_profile("auto-many", scope=UNSPLIT, policy={**POLICY, "mode": "auto"}), limits)
    for run, guard in ((split, "split-brain"), (many, "max-changes")):
        assert (run["status"], [each["name"] for each in run["guards"]]) == ("awaiting-review", [guard])
        assert set(states(app, run).values()) == {"proposed"}
        assert as_planned(app, run) == set()
        assert ("realign", "guard") in told(app, run)
    done = app.api.approve(many)
    assert (done["status"], len(as_planned(app, many))) == ("completed", 6), "a person has looked at the guard"


def test_a_key_starts_what_the_policy_applies_alone_and_waits_for_its_end(app: App) -> None:
    profile = app.add_profile("auto-hook", scope=UNSPLIT, policy={**POLICY, "dr": {"mode": "auto"}})
    body = {"profile": profile, "target": "paris", "scope": {"machines": ["REP-01", "FQDN-01"]}}
    answer = app.api.hook("POST", json=body, headers={"Prefer": "wait=60"})
    assert (answer.status_code, answer.json()["status"]) == (200, "completed")
    assert (answer.json()["requestedBy"], answer.json()["approvedBy"]) == ("function-key", "realign")
    assert as_planned(app, answer.json()) == {"REP-01", "FQDN-01"}


def test_an_expired_hold_holds_nothing(app: App, scheduled: str) -> None:
    hold(app, scheduled)
    past = (datetime.now(UTC) - HOUR).isoformat()
    change_row(app, "locks", "hold", scheduled, until=past)
    assert hold_of(app, scheduled) is None
    run = started_by_timer(app, scheduled)
    assert app.api.until_rest(run["id"])["status"] == "awaiting-review"
