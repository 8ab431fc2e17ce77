"""Review actions that are refused: what the answer says, and that nothing has changed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.e2e.client import Json, principal
from tests.e2e.conftest import App, Serve
from tests.e2e.review import POLICY, change_row, ids, put_back, states
from tests.e2e.test_starting import check_problem, locked

ACTIONS = ("approve", "reject", "resolve", "apply", "rollback", "cancel")


@pytest.fixture(scope="module")
def app(serve: Serve) -> Iterator[App]:
    with serve("duplicates-and-conflicts") as running:
        yield running


@pytest.fixture(scope="module")
def waiting(app: App) -> Json:
    """A run that awaits review: nothing here changes it."""
    run = app.api.run(app.add_profile("waiting", policy=POLICY))
    assert run["status"] == "awaiting-review"
    return run


@pytest.fixture(autouse=True)
def unchanged(app: App, waiting: Json) -> Iterator[None]:
    before = shown(app, waiting)
    yield
    assert shown(app, waiting) == before
    assert set(states(app, waiting).values()) == {"proposed"}


def shown(app: App, run: Json) -> tuple[Json, dict[str, Json], list[Json]]:
    return app.api.of(run["id"]), app.api.findings(run["id"]), app.api.all(f"/api/runs/{run['id']}/events")


def everything(run: Json, **more: Any) -> Json:
    return {"all": True, "fingerprint": run["fingerprint"], **more}


def some(run: Json, *machines: str) -> Json:
    return {"machines": machines, "fingerprint": run["fingerprint"]}


def body_of(action: str, run: Json) -> Json:
    """A body that the action would take from a run that lets it."""
    if action == "resolve":
        return {"machine": "m", "candidate": {"cluster": "paris", "uuid": "u"}, "comment": "c"}
    return everything({"fingerprint": "f", **run}) if action in ("approve", "reject") else {}


@pytest.mark.parametrize("action", ACTIONS)
def test_a_run_that_is_not_there_is_not_found(app: App, action: str) -> None:
    for run_id in ("0" * 23, "nowhere", "%2F%23"):
        problem = check_problem(app.api.act(run_id, action, body_of(action, {})), 404, "not-found")
        assert "Check the id" in problem["detail"]


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_an_action_is_a_post_and_nothing_else(app: App, waiting: Json, action: str, method: str) -> None:
    answer = app.api.call(method, f"/api/runs/{waiting['id']}/{action}", role="Approver")
    check_problem(answer, 405, "method-not-allowed")
    assert answer.headers["Allow"] == "POST"


@pytest.mark.parametrize("action", ACTIONS)
def test_a_body_parameter_or_preference_that_is_wrong_is_refused_by_name(app: App, waiting: Json, action: str) -> None:
    place, good = f"/api/runs/{waiting['id']}/{action}", body_of(action, waiting)
    for raw in (b"{", b"\xff", b"[]", b"null", b"[" * 50_000):
        problem = check_problem(app.api.post(place, role="Approver", data=raw), 400, "invalid-request")
        assert problem["field"] == "body"
    problem = check_problem(app.api.act(waiting["id"], action, {**good, "force": True}), 400, "invalid-request")
    assert (problem["field"], "not a known field" in problem["detail"]) == ("force", True)
    problem = check_problem(app.api.act(waiting["id"], action, good, params={"dryRun": "1"}), 400, "invalid-request")
    assert problem["field"] == "dryRun"
    problem = check_problem(app.api.act(waiting["id"], action, good, within=201), 400, "invalid-request")
    assert problem["field"] == "Prefer"


@pytest.mark.parametrize("action", ["approve", "reject"])
@pytest.mark.parametrize(
    "choice", [{}, {"all": False}, {"all": True, "machines": ["m-1"]}], ids=["neither", "not-all", "both"]
)
def test_which_remaps_are_meant_has_to_be_said_in_one_way(app: App, waiting: Json, action: str, choice: Json) -> None:
    body = {"fingerprint": waiting["fingerprint"], **choice}
    problem = check_problem(app.api.act(waiting["id"], action, body), 400, "invalid-request")
    assert 'either "machines" with their ids, or "all": true' in problem["detail"]


@pytest.mark.parametrize("action", ["approve", "reject"])
def test_another_fingerprint_is_refused_with_the_present_one(app: App, waiting: Json, action: str) -> None:
    body = everything({"fingerprint": "0123abcd"})
    problem = check_problem(app.api.act(waiting["id"], action, body), 409, "plan-changed")
    assert problem["fingerprint"] == waiting["fingerprint"]
    assert waiting["fingerprint"] in problem["detail"]
    assert "0123abcd" in problem["detail"]


@pytest.mark.parametrize("action", ["approve", "reject", "apply", "rollback"])
@pytest.mark.parametrize("stranger", ["m-unknown", "../remaps", "%", "山田", "'", "x" * 200])
def test_an_unknown_machine_is_named_and_the_known_ones_beside_it_stay(
    app: App, waiting: Json, action: str, stranger: str
) -> None:
    machines = [ids(app, waiting)["REP-01"], stranger]
    body = {"machines": machines} if action in ("apply", "rollback") else some(waiting, *machines)
    problem = check_problem(app.api.act(waiting["id"], action, body), 404, "not-found")
    assert stranger[:80] in problem["detail"]
    assert machines[0] not in problem["detail"]


def test_of_many_unknown_machines_the_first_are_named(app: App, waiting: Json) -> None:
    strangers = [f"m-{number:05d}" for number in range(2_000)]
    problem = check_problem(app.api.act(waiting["id"], "approve", some(waiting, *strangers)), 404, "not-found")
    assert "m-00000" in problem["detail"]
    assert "and 1990 more" in problem["detail"]


@pytest.mark.parametrize("action", ["approve", "reject", "apply", "rollback"])
@pytest.mark.parametrize(
    ("name", "kind"),
    [("FINE-01", "aligned"), ("DUP-01", "ambiguous"), ("CONF-01", "conflict"), ("MISS-01", "missing")],
)
def test_a_machine_without_a_remap_is_named_with_its_finding(
    app: App, waiting: Json, action: str, name: str, kind: str
) -> None:
    known = ids(app, waiting)
    machines = [known["REP-01"], known[name]]
    body = {"machines": machines} if action in ("apply", "rollback") else some(waiting, *machines)
    problem = check_problem(app.api.act(waiting["id"], action, body), 409, "remap-not-open")
    assert problem["machines"] == [known[name]]
    assert f"{known[name]} ({kind})" in problem["detail"]


def test_what_is_not_approved_is_not_applied(app: App, waiting: Json) -> None:
    machine = ids(app, waiting)["REP-01"]
    problem = check_problem(app.api.act(waiting["id"], "apply", {"machines": [machine]}), 409, "remap-not-open")
    assert f"{machine} (proposed)" in problem["detail"]
    check_problem(app.api.act(waiting["id"], "apply"), 409, "not-waiting")


def test_a_run_that_wrote_nothing_has_nothing_to_roll_back(app: App, waiting: Json) -> None:
    problem = check_problem(app.api.act(waiting["id"], "rollback"), 409, "not-waiting")
    assert "written nothing" in problem["detail"]
    machine = ids(app, waiting)["REP-01"]
    problem = check_problem(app.api.act(waiting["id"], "rollback", {"machines": [machine]}), 409, "remap-not-open")
    assert problem["machines"] == [machine]


def test_a_choice_that_cannot_be_made_is_refused(app: App, waiting: Json) -> None:
    known, findings = ids(app, waiting), app.api.findings(waiting["id"])
    one, other = known["DUP-01"], known["DUP-03"]
    candidate = findings[one]["candidates"][0]
    right = {"cluster": candidate["cluster"], "uuid": candidate["uuid"]}
    for wrong in (
        {**right, "uuid": findings[other]["candidates"][0]["uuid"]},
        {**right, "cluster": "oslo"},
        {**right, "cluster": "nowhere"},
    ):
        body = {"machine": one, "candidate": wrong, "comment": "c"}
        problem = check_problem(app.api.act(waiting["id"], "resolve", body), 400, "invalid-request")
        assert problem["field"] == "candidate"
        assert candidate["uuid"] in problem["detail"], "it says which ones there are"
    for name, kind in (("FINE-01", "aligned"), ("MISS-01", "missing"), ("REP-01", "remap"), ("LAB-01", "excluded")):
        body = {"machine": known[name], "candidate": right, "comment": "c"}
        problem = check_problem(app.api.act(waiting["id"], "resolve", body), 409, "remap-not-open")
        assert (problem["machines"], kind in problem["detail"]) == ([known[name]], True)
    body = {"machine": "m-unknown", "candidate": right, "comment": "c"}
    assert "m-unknown" in check_problem(app.api.act(waiting["id"], "resolve", body), 404, "not-found")["detail"]


def test_a_run_that_is_queued_or_cancelled_decides_nothing(app: App) -> None:
    profile = app.add_profile("queued", policy=POLICY)
    with locked(app, profile):
        run = app.api.start(profile).json()
        for action in ("approve", "reject", "resolve", "apply", "rollback"):
            problem = check_problem(app.api.act(run["id"], action, body_of(action, {})), 409, "not-waiting")
            assert f"Run {run['id']} is queued" in problem["detail"]
        assert app.api.cancel(run["id"], comment="a mistake")["status"] == "cancelled"
    for action in ACTIONS:
        problem = check_problem(app.api.act(run["id"], action, body_of(action, {})), 409, "not-waiting")
        assert problem["detail"]
    assert app.api.of(run["id"])["status"] == "cancelled"
    assert app.api.findings(run["id"]) == {}, "it was never planned"


def test_a_run_that_only_reports_is_neither_approved_nor_cancelled(app: App) -> None:
    run = app.api.run(app.add_profile("reporting", policy=POLICY), {"mode": "report"})
    assert run["status"] == "planned"
    for action in ACTIONS:
        check_problem(app.api.act(run["id"], action, body_of(action, run)), 409, "not-waiting")
    problem = app.api.act(run["id"], "approve", everything(run)).json()
    assert "start a run in mode review" in problem["detail"]
    assert app.api.of(run["id"]) == {**run, "unmatched": {}}
    assert set(states(app, run).values()) == {"proposed"}


def test_a_rejected_remap_is_not_approved_after_all(app: App) -> None:
    run = app.api.run(app.add_profile("rejected", policy=POLICY))
    known = ids(app, run)
    app.api.reject(run, known["REP-01"])
    before = states(app, run)
    machines = some(run, known["FQDN-01"], known["REP-01"])
    problem = check_problem(app.api.act(run["id"], "approve", machines), 409, "remap-not-open")
    assert problem["machines"] == [known["REP-01"]]
    assert f"{known['REP-01']} (rejected)" in problem["detail"]
    assert states(app, run) == before
    assert before["FQDN-01"] == "proposed"


def test_a_completed_run_with_nothing_left_says_so(app: App) -> None:
    with put_back(app):
        run = app.api.run(app.add_profile("done", policy=POLICY), {"scope": {"machines": ["REP-01"]}})
        done = app.api.approve(run)
        assert (done["status"], states(app, run)) == ("completed", {"REP-01": "verified"})
        problem = check_problem(app.api.act(run["id"], "approve", everything(run)), 409, "not-waiting")
        assert "no remap left" in problem["detail"]
        again = some(run, ids(app, run)["REP-01"])
        problem = check_problem(app.api.act(run["id"], "approve", again), 409, "remap-not-open")
        assert "(verified)" in problem["detail"]
        check_problem(app.api.act(run["id"], "reject", again), 409, "remap-not-open")
        check_problem(app.api.act(run["id"], "apply"), 409, "not-waiting")
        check_problem(app.api.act(run["id"], "cancel"), 409, "not-waiting")
        assert states(app, run) == {"REP-01": "verified"}


def test_an_old_plan_is_not_carried_out_and_may_still_be_rejected(app: App) -> None:
    run = app.api.run(app.add_profile("old", policy={**POLICY, "planMaxAgeHours": 2}))
    known = ids(app, run)
    change_row(app, "runs", "run", run["id"], plannedAt=(datetime.now(UTC) - timedelta(hours=2, minutes=1)).isoformat())
    candidate = app.api.findings(run["id"])[known["DUP-01"]]["candidates"][0]
    chosen = {"machine": known["DUP-01"], "candidate": {k: candidate[k] for k in ("cluster", "uuid")}, "comment": "c"}
    for action, body in (("approve", everything(run)), ("resolve", chosen), ("apply", {})):
        problem = check_problem(app.api.act(run["id"], action, body), 409, "plan-outdated")
        assert "2 hours of planMaxAgeHours" in problem["detail"]
        assert "Start a new run" in problem["detail"]
    assert set(states(app, run).values()) == {"proposed"}
    change_row(
        app, "runs", "run", run["id"], plannedAt=(datetime.now(UTC) - timedelta(hours=1, minutes=59)).isoformat()
    )
    approved = app.api.approve(run, known["REP-01"], apply=False)
    assert approved["counts"]["states"]["approved"] == 1
    change_row(app, "runs", "run", run["id"], plannedAt=(datetime.now(UTC) - timedelta(hours=3)).isoformat())
    check_problem(app.api.act(run["id"], "apply"), 409, "plan-outdated")
    assert app.api.reject(run)["status"] == "completed"


def test_a_newer_plan_of_the_profile_goes_before(app: App) -> None:
    profile = app.add_profile("planned-twice", policy=POLICY)
    older = app.api.run(profile)
    newer = app.api.run(profile, {"mode": "report"})
    for action in ("approve", "resolve", "apply"):
        problem = check_problem(app.api.act(older["id"], action, body_of(action, older)), 409, "plan-outdated")
        assert newer["id"] in problem["detail"]
    assert set(states(app, older).values()) == {"proposed"}
    assert app.api.reject(older)["status"] == "completed"


def test_a_run_that_failed_before_it_had_a_plan_is_no_newer_plan(app: App) -> None:
    profile = app.add_profile("failed-later", policy=POLICY)
    run = app.api.run(profile)
    failed = app.api.run(profile, {"scope": {"catalogs": ["No Such Catalog"], "protectionDomain": "PD-NONE"}})
    assert failed["status"] == "failed"
    assert app.api.approve(run, ids(app, run)["REP-01"], apply=False)["counts"]["states"]["approved"] == 1
    check_problem(app.api.act(failed["id"], "approve", body_of("approve", {})), 409, "not-waiting")


def test_four_eyes_keep_the_one_who_started_a_run_from_deciding_on_it(app: App) -> None:
    run = app.api.run(app.add_profile("four-eyes", policy={**POLICY, "fourEyes": True}), role="Approver")
    known = ids(app, run)
    for action, body in (("approve", everything(run)), ("resolve", body_of("resolve", run))):
        problem = check_problem(app.api.act(run["id"], action, body), 403, "not-allowed")
        assert "fourEyes" in problem["detail"]
    assert set(states(app, run).values()) == {"proposed"}
    body = {**some(run, known["REP-01"]), "apply": False}
    answer = app.api.act(run["id"], "approve", body, role=None, headers=principal("Approver", name="Ada Approver"))
    assert (answer.status_code, answer.json()["approvedBy"]) == (200, "Ada Approver")
    assert states(app, run)["REP-01"] == "approved"
