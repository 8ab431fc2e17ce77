"""From a plan to what Citrix says: approve, reject, resolve, apply and roll back over HTTP."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

import pytest

from tests.e2e.client import Json, principal
from tests.e2e.conftest import App, Serve
from tests.e2e.review import POLICY, as_planned, ids, put_back, states, told
from tests.e2e.test_starting import check_problem, locked

REMAPS = {"DUP-02", "FQDN-01", "REP-01", "SWAP-A", "SWAP-B", "VERYLONGMACHINE"}
SOME = ("DUP-02", "REP-01")
OLIVE = "Olive Operator"


@pytest.fixture(scope="module")
def app(serve: Serve) -> Iterator[App]:
    with serve("duplicates-and-conflicts") as running:
        yield running


@pytest.fixture(autouse=True)
def as_it_was(app: App) -> Iterator[None]:
    with put_back(app):
        yield


@pytest.fixture
def run(app: App, request: pytest.FixtureRequest) -> Json:
    """A run that awaits review, of a profile of its own."""
    name = request.node.name.replace("_", "-").removeprefix("test-")[:60].rstrip("-")
    planned = app.api.run(app.add_profile(name, policy=POLICY))
    assert planned["status"] == "awaiting-review"
    assert states(app, planned) == dict.fromkeys(REMAPS, "proposed")
    assert as_planned(app, planned) == set()
    return planned


def some(app: App, run: Json, *names: str) -> list[str]:
    known = ids(app, run)
    return [known[name] for name in names]


def test_approving_answers_at_once_and_the_run_goes_on_alone(app: App, run: Json) -> None:
    with locked(app, run["profile"]):
        answer = app.api.act(run["id"], "approve", {"all": True, "fingerprint": run["fingerprint"]})
        assert answer.status_code == 202
        assert answer.headers["Location"] == f"/api/runs/{run['id']}"
        assert int(answer.headers["Retry-After"]) > 0
        shown = answer.json()
        assert (shown["status"], shown["approvedBy"], shown["endedAt"]) == ("applying", OLIVE, None)
        assert shown["counts"]["states"] == {"approved": len(REMAPS)}
        busy = check_problem(app.api.start(run["profile"], {"ifBusy": "reject"}), 409, "profile-busy")
        assert busy["runId"] == run["id"]
        again = app.api.act(run["id"], "approve", {"all": True, "fingerprint": run["fingerprint"]})
        check_problem(again, 409, "not-waiting")
        check_problem(app.api.act(run["id"], "rollback"), 409, "not-waiting")
        assert as_planned(app, run) == set(), "another run holds the profile, so this one waits"
    done = app.api.until_rest(run["id"])
    assert (done["status"], done["error"], done["progress"]) == ("completed", None, 100)
    assert states(app, run) == dict.fromkeys(REMAPS, "verified")
    assert as_planned(app, run) == REMAPS


def test_who_would_not_wait_for_another_run_is_told_which_one(app: App, run: Json) -> None:
    body = {"all": True, "fingerprint": run["fingerprint"]}
    assert app.api.act(run["id"], "approve", {**body, "apply": False}).status_code == 200
    with locked(app, run["profile"]):
        other = app.api.start(run["profile"]).json()
        for action, asked in (("approve", body), ("apply", {}), ("rollback", {})):
            answer = app.api.act(run["id"], action, {**asked, "ifBusy": "reject"})
            assert check_problem(answer, 409, "profile-busy")["runId"] == other["id"], action
        assert app.api.of(run["id"])["status"] == "awaiting-review"
        assert states(app, run) == dict.fromkeys(REMAPS, "approved")
    app.api.until_rest(other["id"])


def test_who_waits_gets_the_applied_run(app: App, run: Json) -> None:
    body = {"all": True, "fingerprint": run["fingerprint"], "comment": "change 4711 „Umzug“"}
    answer = app.api.act(run["id"], "approve", body, within=60)
    assert (answer.status_code, answer.headers["Preference-Applied"]) == (200, "wait=60")
    done = answer.json()
    assert (done["status"], done["counts"]["states"]) == ("completed", {"verified": len(REMAPS)})
    assert done["plannedAt"] < done["endedAt"]
    assert done["siteId"]
    assert as_planned(app, run) == REMAPS
    events = app.api.all(f"/api/runs/{run['id']}/events")
    (approved,) = [event for event in events if event["action"] == "approved"]
    assert approved["actor"] == OLIVE
    assert approved["detail"].endswith("Comment: change 4711 „Umzug“")
    assert run["fingerprint"] in approved["detail"]
    actions = [action for _, action in told(app, run)]
    assert actions[0] == "run-requested"
    assert actions.index("planned") < actions.index("approved") < actions.index("reset") < actions.index("completed")


def test_some_are_approved_and_the_rest_later_under_the_same_fingerprint(app: App, run: Json) -> None:
    first = app.api.approve(run, *some(app, run, *SOME), comment="the first wave")
    assert (first["status"], first["fingerprint"]) == ("completed", run["fingerprint"])
    assert as_planned(app, run) == set(SOME)
    left = REMAPS - set(SOME)
    assert states(app, run) == {**dict.fromkeys(SOME, "verified"), **dict.fromkeys(left, "proposed")}
    second = app.api.approve(run)
    assert (second["status"], second["counts"]["states"]) == ("completed", {"verified": len(REMAPS)})
    assert as_planned(app, run) == REMAPS
    by_machine = [e for e in app.api.all(f"/api/runs/{run['id']}/events") if "machine" in e]
    assert sorted(e["machine"] for e in by_machine if e["action"] == "approved") == sorted(some(app, run, *SOME))
    assert all("the first wave" in e["detail"] for e in by_machine if e["action"] == "approved")


def test_an_approval_that_is_asked_for_again_tells_what_was_approved_before(app: App, run: Json) -> None:
    body = {"fingerprint": run["fingerprint"], "apply": False}
    for machines in ({"machines": some(app, run, *SOME)}, {"machines": some(app, run, *SOME)}, {"all": True}):
        assert app.api.act(run["id"], "approve", {**body, **machines}).status_code == 200
    events = [e for e in app.api.all(f"/api/runs/{run['id']}/events") if e["action"] == "approved"]
    plan = run["fingerprint"]
    assert sorted(event["detail"] for event in events if "machine" not in event) == [
        f"2 remaps of the plan {plan} approved, 2 of them before.",
        f"2 remaps of the plan {plan} approved.",
        f"{len(REMAPS)} remaps of the plan {plan} approved, 2 of them before.",
    ]
    assert states(app, run) == dict.fromkeys(REMAPS, "approved")


def test_approving_without_applying_writes_nothing_until_apply_is_asked_for(app: App, run: Json) -> None:
    answer = app.api.act(
        run["id"], "approve", {"all": True, "fingerprint": run["fingerprint"], "apply": False}, within=60
    )
    assert answer.status_code == 200
    assert "Location" not in answer.headers
    approved = answer.json()
    assert (approved["status"], approved["counts"]["states"]) == ("awaiting-review", {"approved": len(REMAPS)})
    assert as_planned(app, run) == set()

    some_applied = app.api.apply(run["id"], *some(app, run, *SOME))
    assert (some_applied["status"], as_planned(app, run)) == ("awaiting-review", set(SOME))
    assert some_applied["counts"]["states"] == {"approved": len(REMAPS) - 2, "verified": 2}
    rest = app.api.apply(run["id"])
    assert (rest["status"], as_planned(app, run)) == ("completed", REMAPS)
    assert told(app, run).count((OLIVE, "apply-requested")) == 2


def test_apply_answers_with_the_place_to_look(app: App, run: Json) -> None:
    app.api.approve(run, apply=False)
    with locked(app, run["profile"]):
        answer = app.api.act(run["id"], "apply", {"machines": some(app, run, "REP-01"), "comment": "only one"})
        assert (answer.status_code, answer.json()["status"]) == (202, "applying")
        assert answer.headers["Location"] == f"/api/runs/{run['id']}"
    app.api.until_rest(run["id"])
    assert as_planned(app, run) == {"REP-01"}
    (asked,) = [e for e in app.api.all(f"/api/runs/{run['id']}/events") if e["action"] == "apply-requested"]
    assert asked["detail"] == "1 machine. Comment: only one"


def test_rejected_remaps_are_not_applied_and_the_csv_shows_all_states(app: App, run: Json) -> None:
    rejected = app.api.reject(run, *some(app, run, *SOME), comment="not these")
    assert (rejected["status"], rejected["fingerprint"]) == ("awaiting-review", run["fingerprint"])
    done = app.api.approve(run)
    assert (done["status"], as_planned(app, run)) == ("completed", REMAPS - set(SOME))
    assert done["counts"]["states"] == {"rejected": 2, "verified": len(REMAPS) - 2}
    answer = app.api.get(f"/api/runs/{run['id']}/remaps.csv")
    rows = list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"), newline="")))
    assert {row["machine.name"].removeprefix("CORP\\"): row["state"] for row in rows if row["state"]} == states(
        app, run
    )
    found = app.api.all(f"/api/runs/{run['id']}/remaps", state="rejected")
    assert {item["machine"]["name"] for item in found} == {f"CORP\\{name}" for name in SOME}
    (actor,) = {actor for actor, action in told(app, run) if action == "rejected"}
    assert actor == OLIVE


def test_a_run_whose_remaps_are_all_rejected_is_completed(app: App, run: Json) -> None:
    app.api.approve(run, *some(app, run, "REP-01"), apply=False)
    answer = app.api.act(run["id"], "reject", {"all": True, "fingerprint": run["fingerprint"]})
    assert answer.status_code == 200
    done = answer.json()
    assert (done["status"], done["counts"]["states"]) == ("completed", {"rejected": len(REMAPS)})
    assert done["endedAt"]
    assert as_planned(app, run) == set()
    check_problem(app.api.act(run["id"], "apply"), 409, "not-waiting")


def candidate_on(app: App, run: Json, name: str, cluster: str) -> Json:
    """The candidate that a machine has on a cluster."""
    machine = ids(app, run)[name]
    candidates = app.api.findings(run["id"])[machine]["candidates"]
    candidate: Json = next(each for each in candidates if each["cluster"] == cluster)
    return candidate


def test_a_person_decides_an_ambiguous_machine(app: App, run: Json) -> None:
    machine, candidate = ids(app, run)["DUP-01"], candidate_on(app, run, "DUP-01", "amsterdam")
    chosen = app.api.resolve(run["id"], machine, "Amsterdam", candidate["uuid"].upper(), "Users work on this one.")
    assert chosen["status"] == "awaiting-review"
    assert chosen["fingerprint"] not in (None, run["fingerprint"])
    assert chosen["counts"]["findings"]["remap"] == run["counts"]["findings"]["remap"] + 1
    assert chosen["counts"]["findings"]["ambiguous"] == run["counts"]["findings"]["ambiguous"] - 1
    assert chosen["counts"]["states"] == {"proposed": len(REMAPS) + 1}
    finding = app.api.findings(run["id"])[machine]
    assert (finding["finding"], finding["reason"], finding["confidence"]) == ("remap", "chosen", "chosen")
    assert (finding["state"], finding["to"]["hostedMachineId"]) == ("proposed", candidate["uuid"])
    assert finding["to"]["hostingConnection"] == "Nutanix AHV Amsterdam"
    assert "Olive Operator chose" in finding["explanation"]
    assert "Users work on this one." in finding["explanation"]
    assert len(finding["candidates"]) == 2

    old = app.api.act(run["id"], "approve", {"machines": [machine], "fingerprint": run["fingerprint"]})
    assert check_problem(old, 409, "plan-changed")["fingerprint"] == chosen["fingerprint"]
    done = app.api.approve(chosen, machine)
    assert (done["status"], as_planned(app, run)) == ("completed", {"DUP-01"})
    assert app.sandbox.world.site.machine("CORP\\DUP-01").hosted_machine_id == candidate["uuid"]  # type: ignore[union-attr]
    (resolved,) = [e for e in app.api.all(f"/api/runs/{run['id']}/events") if e["action"] == "resolved"]
    assert (resolved["actor"], resolved["machine"]) == (OLIVE, machine)


def test_a_choice_may_be_changed_as_long_as_it_is_only_proposed(app: App, run: Json) -> None:
    machine = ids(app, run)["DUP-01"]
    first = app.api.resolve(run["id"], machine, "amsterdam", candidate_on(app, run, "DUP-01", "amsterdam")["uuid"])
    here = candidate_on(app, run, "DUP-01", "paris")["uuid"]
    second = app.api.resolve(run["id"], machine, "paris", here)
    assert len({run["fingerprint"], first["fingerprint"], second["fingerprint"]}) == 3
    assert second["counts"] == first["counts"]
    assert app.api.findings(run["id"])[machine]["to"]["hostedMachineId"] == here
    app.api.approve(second, machine, apply=False)
    body = {"machine": machine, "candidate": {"cluster": "paris", "uuid": here}, "comment": "c"}
    problem = check_problem(app.api.act(run["id"], "resolve", body), 409, "remap-not-open")
    assert "approved" in problem["detail"]


def test_a_vm_that_two_machines_claim_is_given_to_one_of_them(app: App, run: Json) -> None:
    known = ids(app, run)
    uuid = candidate_on(app, run, "CONF-01", "paris")["uuid"]
    chosen = app.api.resolve(run["id"], known["CONF-01"], "paris", uuid)
    body = {"machine": known["LAB\\CONF-01"], "candidate": {"cluster": "paris", "uuid": uuid}, "comment": "c"}
    problem = check_problem(app.api.act(run["id"], "resolve", body), 409, "remap-not-open")
    assert problem["machines"] == [known["CONF-01"]]
    done = app.api.approve(chosen, known["CONF-01"])
    assert (done["status"], as_planned(app, run)) == ("completed", {"CONF-01"})


def test_a_vm_of_a_machine_that_nobody_may_touch_stays_with_it(app: App, run: Json) -> None:
    machine, uuid = ids(app, run)["OWN-01"], candidate_on(app, run, "OWN-01", "paris")["uuid"]
    chosen = app.api.resolve(run["id"], machine, "paris", uuid)
    done = app.api.approve(chosen, machine)
    assert (done["status"], done["counts"]["states"]) == ("completed-with-errors", {"failed": 1, "proposed": 6})
    assert as_planned(app, run) == set()
    assert "still held by LAB\\OWN-01" in app.api.findings(run["id"])[machine]["error"]


def test_a_completed_run_waits_again_for_what_a_person_decides_later(app: App, run: Json) -> None:
    completed = app.api.approve(run)
    assert completed["status"] == "completed"
    machine, uuid = ids(app, run)["DUP-01"], candidate_on(app, run, "DUP-01", "amsterdam")["uuid"]
    chosen = app.api.resolve(run["id"], machine, "amsterdam", uuid)
    assert (chosen["status"], chosen["endedAt"]) == ("awaiting-review", None)
    done = app.api.approve(chosen)
    assert (done["status"], as_planned(app, run)) == ("completed", REMAPS | {"DUP-01"})


def test_a_roll_back_of_some_and_then_of_the_rest(app: App, run: Json) -> None:
    app.api.approve(run)
    back = app.api.rollback(run["id"], *some(app, run, *SOME))
    assert back["status"] == "rolled-back"
    assert as_planned(app, run) == REMAPS - set(SOME)
    assert back["counts"]["states"] == {"rolled-back": 2, "verified": len(REMAPS) - 2}
    again = app.api.act(run["id"], "rollback", {"machines": some(app, run, "REP-01")})
    assert "(rolled-back)" in check_problem(again, 409, "remap-not-open")["detail"]
    whole = app.api.rollback(run["id"])
    assert (whole["status"], as_planned(app, run)) == ("rolled-back", set())
    assert whole["counts"]["states"] == {"rolled-back": len(REMAPS)}
    assert told(app, run).count((OLIVE, "rollback-requested")) == 2
    assert "written nothing" in check_problem(app.api.act(run["id"], "rollback"), 409, "not-waiting")["detail"]
    check_problem(
        app.api.act(run["id"], "approve", {"all": True, "fingerprint": run["fingerprint"]}), 409, "not-waiting"
    )


def test_what_somebody_else_changed_is_reported_and_not_rolled_back(app: App, run: Json) -> None:
    app.api.approve(run)
    changed = app.sandbox.world.site.machine("CORP\\REP-01")
    assert changed is not None
    changed.hosted_machine_id = "11111111-2222-4333-8444-555555555555"
    back = app.api.rollback(run["id"])
    assert back["status"] == "rolled-back"
    assert changed.hosted_machine_id == "11111111-2222-4333-8444-555555555555"
    assert as_planned(app, run) == set()
    assert states(app, run) == {**dict.fromkeys(REMAPS, "rolled-back"), "REP-01": "rollback-failed"}
    (finding,) = app.api.all(f"/api/runs/{run['id']}/remaps", state="rollback-failed")
    assert finding["error"]
    assert "1 remaps could not be rolled back" in back["error"]


def test_a_comment_and_a_name_from_anywhere_come_back_as_they_went(app: App, run: Json) -> None:
    headers = principal("Approver", name="Zoë Łukasz 山田")
    body = {"machines": some(app, run, "REP-01"), "fingerprint": run["fingerprint"], "comment": "確認済み 🚒"}
    answer = app.api.act(run["id"], "reject", body, role=None, headers=headers)
    assert answer.status_code == 200, answer.text
    events = [e for e in app.api.all(f"/api/runs/{run['id']}/events") if e["action"] == "rejected"]
    assert {event["actor"] for event in events} == {"Zoë Łukasz 山田"}
    assert all(event["detail"].endswith("確認済み 🚒") for event in events)
