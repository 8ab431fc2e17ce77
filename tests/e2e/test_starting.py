"""Starting runs over HTTP: what is answered, what is refused, and what is started once however often it is asked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from shared.azure.lock import Lock, LockKind
from shared.model.run import RunId
from shared.runs.resources import Resources
from tests.e2e.client import Json, eventually, principal
from tests.e2e.conftest import App, Serve


@pytest.fixture(scope="module")
def app(serve: Serve) -> Iterator[App]:
    # One worker thread: whatever holds it for long would be noticed.
    with serve("planned-migration", {"PYTHON_THREADPOOL_THREAD_COUNT": "1"}) as running:
        yield running


@contextmanager
def locked(app: App, profile: str) -> Iterator[str]:
    """While another run works on the profile none of its runs is planned; the id of that run."""
    holder = RunId("0" * 23)
    now = datetime.now(UTC)
    lock = Resources(app.sandbox.environ).locks.acquire(LockKind.PROFILE, profile, holder, "a test", now)
    assert isinstance(lock, Lock)
    with lock:
        yield holder


def count(app: App, profile: str) -> int:
    return len(app.api.all("/api/runs", profile=profile))


def check_problem(answer: Any, status: int, code: str) -> Json:
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    problem: Json = answer.json()
    assert (problem["status"], problem["code"], problem["type"]) == (status, code, f"urn:realign:{code}")
    assert problem["title"]
    assert problem["detail"]
    assert problem["traceId"]
    return problem


def test_a_start_answers_at_once_with_the_run_and_its_place(app: App) -> None:
    answer = app.api.start(app.name, {"reason": "drill"})
    assert answer.status_code == 202
    run = answer.json()
    assert (run["profile"], run["status"], run["trigger"], run["reason"]) == (app.name, "queued", "http", "drill")
    assert run["requestedBy"] == "Olive Operator"
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.headers["Location"] == f"/api/runs/{run['id']}" == run["links"]["self"]
    place = app.api.get(answer.headers["Location"])
    assert (place.status_code, place.json()["id"]) == (200, run["id"])
    done = app.api.until_rest(run["id"])
    assert done["startedAt"] >= run["createdAt"]
    assert app.api.get(done["links"]["remaps"]).status_code == 200


def test_who_waits_gets_the_finished_run(app: App) -> None:
    answer = app.api.start(app.name, headers={"Prefer": "respond-async, wait=60"})
    assert answer.status_code == 200
    assert answer.json()["status"] == "awaiting-review"
    assert answer.headers["Location"] == f"/api/runs/{answer.json()['id']}"
    assert answer.headers["Preference-Applied"] == "wait=60"


def test_who_waits_too_briefly_gets_the_unfinished_run(app: App) -> None:
    profile = app.add_profile("brief")
    with locked(app, profile):
        answer = app.api.start(profile, headers={"Prefer": "wait=1"})
    assert answer.status_code == 202
    assert int(answer.headers["Retry-After"]) > 0
    assert app.api.until_rest(answer.json()["id"])["status"] == "awaiting-review"


def test_waiting_holds_no_worker_thread(app: App) -> None:
    profiles = [app.add_profile(f"waiting-{number}") for number in range(2)]
    with ThreadPoolExecutor(2) as callers, locked(app, profiles[0]), locked(app, profiles[1]):
        waiting = [callers.submit(app.api.start, profile, headers={"Prefer": "wait=5"}) for profile in profiles]
        eventually(lambda: all(count(app, profile) == 1 for profile in profiles))
        assert app.api.get("/api/health/live", role=None).status_code == 200
        assert app.api.get("/api/profiles").status_code == 200
        assert not any(future.done() for future in waiting)
        ids = [future.result().json()["id"] for future in waiting]
        assert [future.result().status_code for future in waiting] == [202, 202]
    for run_id in ids:
        assert app.api.until_rest(run_id)["status"] == "awaiting-review"


@pytest.mark.parametrize("preference", ["wait=201", "wait=-1", "wait=1.5", "wait=soon", "wait=", "wait=9999999"])
def test_a_wait_beyond_the_limit_is_refused(app: App, preference: str) -> None:
    profile = app.add_profile("refused-wait")
    problem = check_problem(app.api.start(profile, headers={"Prefer": preference}), 400, "invalid-request")
    assert problem["field"] == "Prefer"
    assert "200" in problem["detail"]
    assert count(app, profile) == 0


def test_a_repeated_key_answers_the_same_run(app: App) -> None:
    profile = app.add_profile("repeated")
    headers = {"Idempotency-Key": "drill 2026/11 ÄÖ".encode().decode("latin-1")}
    first = app.api.start(profile, {"mode": "report", "reason": "drill"}, headers=headers)
    again = app.api.start(profile, {"reason": "drill", "mode": "report"}, headers={**headers, "Prefer": "wait=60"})
    assert first.status_code == 202
    assert "Idempotency-Replayed" not in first.headers
    assert again.json()["id"] == first.json()["id"]
    assert again.headers["Idempotency-Replayed"] == "true"
    assert (again.status_code, again.json()["status"]) == (200, "planned")
    assert count(app, profile) == 1
    check_problem(app.api.start(profile, {"mode": "review"}, headers=headers), 422, "idempotency-mismatch")
    assert count(app, profile) == 1


def test_a_key_belongs_to_its_caller_and_its_profile(app: App) -> None:
    one, other = app.add_profile("key-one"), app.add_profile("key-other")
    headers = {"Idempotency-Key": "same"}
    ids = {
        app.api.start(one, headers=headers).json()["id"],
        app.api.start(other, headers=headers).json()["id"],
        app.api.start(one, role=None, headers={**headers, **principal("Operator", name="Otto")}).json()["id"],
        app.api.hook("POST", json={"profile": one}, headers=headers).json()["id"],
    }
    assert len(ids) == 4


def test_a_key_that_is_too_long_is_refused(app: App) -> None:
    assert app.api.start(app.add_profile("long-key"), headers={"Idempotency-Key": "k" * 255}).status_code == 202
    answer = app.api.start(app.name, headers={"Idempotency-Key": "k" * 256})
    assert check_problem(answer, 400, "invalid-request")["field"] == "Idempotency-Key"


def test_concurrent_starts_with_one_key_make_one_run(app: App) -> None:
    profile = app.add_profile("at-once")
    with ThreadPoolExecutor(6) as callers:
        asked = [callers.submit(app.api.start, profile, headers={"Idempotency-Key": "once"}) for _ in range(6)]
        answers = [future.result() for future in asked]
    assert {answer.status_code for answer in answers} == {202}
    ids = {answer.json()["id"] for answer in answers}
    assert len(ids) == 1
    assert count(app, profile) == 1
    assert sum("Idempotency-Replayed" not in answer.headers for answer in answers) == 1
    run = app.api.until_rest(ids.pop())
    events = app.api.get(run["links"]["events"]).json()["items"]
    assert [event["action"] for event in events] == ["run-requested", "planned"]
    assert (run["status"], run["attempts"]) == ("awaiting-review", 1)


def test_who_does_not_want_to_queue_is_told_which_run_is_at_work(app: App) -> None:
    profile = app.add_profile("busy")
    with locked(app, profile):
        first = app.api.start(profile).json()["id"]
        problem = check_problem(app.api.start(profile, {"ifBusy": "reject"}), 409, "profile-busy")
        assert problem["runId"] == first
        assert first in problem["detail"]
    app.api.until_rest(first)
    assert app.api.run(profile, {"ifBusy": "reject"})["status"] == "awaiting-review"


def test_a_second_run_of_a_profile_waits_for_the_first(app: App) -> None:
    profile = app.add_profile("one-by-one")
    with locked(app, profile) as holder:
        ids = [app.api.start(profile).json()["id"] for _ in range(2)]

        def waiting() -> bool:
            return all(app.api.of(run)["steps"] and app.api.of(run)["notBefore"] for run in ids)

        eventually(waiting)
        for run in ids:
            shown = app.api.of(run)
            assert shown["status"] == "queued"
            assert [(step["name"], step["status"]) for step in shown["steps"]] == [("wait", "waiting")]
            assert holder in shown["steps"][0]["detail"]
    for run in ids:
        done = app.api.until_rest(run)
        assert (done["status"], done["attempts"]) == ("awaiting-review", 1)
        assert [(step["name"], step["status"]) for step in done["steps"]] == [("wait", "done"), ("plan", "done")]


def test_a_mode_looser_than_the_policy_needs_an_approver(app: App) -> None:
    profile = app.add_profile("strict", policy={"mode": "report", "maxChanges": 10, "maxChangePercent": 10})
    problem = check_problem(app.api.start(profile, {"mode": "review"}), 403, "not-allowed")
    assert "Realign.Approver" in problem["detail"]
    assert count(app, profile) == 0
    assert app.api.run(profile, {"mode": "review"}, role="Approver")["mode"] == "review"
    assert app.api.run(profile)["mode"] == "report"
    check_problem(app.api.hook("POST", json={"profile": profile, "mode": "review"}), 403, "not-allowed")


@pytest.mark.parametrize("limits", [{"maxChanges": 11}, {"maxChangePercent": 11}])
def test_limits_beyond_the_policy_need_an_approver(app: App, limits: Json) -> None:
    profile = app.add_profile("limited", policy={"maxChanges": 10, "maxChangePercent": 10})
    check_problem(app.api.start(profile, {"limits": limits}), 403, "not-allowed")
    check_problem(app.api.hook("POST", json={"profile": profile, "limits": limits}), 403, "not-allowed")
    assert app.api.run(profile, {"limits": limits}, role="Approver")["limits"].items() >= limits.items()


def test_lower_limits_are_anybodys_and_hold(app: App) -> None:
    run = app.api.run(app.name, {"limits": {"maxChanges": 3}})
    assert run["limits"]["maxChanges"] == 3
    assert [guard["name"] for guard in run["guards"]] == ["max-changes"]
    assert run["status"] == "awaiting-review"


def test_a_target_raises_the_limits_to_those_of_a_disaster(app: App) -> None:
    policy = {"maxChanges": 3, "maxChangePercent": 100, "dr": {"maxChanges": 50}}
    profile = app.add_profile("disaster", policy=policy)
    run = app.api.run(profile, {"target": "AMSTERDAM", "limits": {"maxChanges": 40}})
    assert (run["limits"]["maxChanges"], run["guards"]) == (40, [])
    check_problem(app.api.start(profile, {"limits": {"maxChanges": 40}}), 403, "not-allowed")
    check_problem(app.api.start(profile, {"target": "amsterdam", "limits": {"maxChanges": 51}}), 403, "not-allowed")


@pytest.mark.parametrize("target", ["oslo", "amsterdam/AMS-CL01", "amsterdam/", "/", " "])
def test_a_target_that_is_no_cluster_of_the_profile_is_refused(app: App, target: str) -> None:
    problem = check_problem(app.api.start(app.name, {"target": target}), 400, "invalid-request")
    assert problem["field"] == "target"


def one_cluster(app: App, **changes: Any) -> Json:
    first, *others = app.document()["clusters"]
    return {"clusters": [{**first, **changes}, *others]}


def test_mode_auto_is_the_policys_or_an_approvers(app: App) -> None:
    profile = app.add_profile("auto-disaster", policy={"dr": {"mode": "auto"}})
    with locked(app, profile):
        check_problem(app.api.start(profile, {"mode": "auto"}), 403, "not-allowed")
        check_problem(app.api.hook("POST", json={"profile": profile, "mode": "auto"}), 403, "not-allowed")
        started = [
            app.api.start(profile, {"mode": "auto"}, role="Approver"),
            app.api.start(profile, {"target": "amsterdam"}),
            app.api.hook("POST", json={"profile": profile, "target": "amsterdam", "mode": "auto"}),
        ]
        for answer in started:
            assert (answer.status_code, answer.json()["mode"]) == (202, "auto")
            assert app.api.cancel(answer.json()["id"])["status"] == "cancelled"


def names_of(app: App, run: Json) -> set[str]:
    return {finding["machine"]["name"] for finding in app.api.findings(run["id"]).values()}


def test_the_scope_of_a_request_narrows_the_profiles(app: App) -> None:
    profile = app.add_profile(
        "narrow", scope={"machines": ["W11-001", "w11-002", "CORP\\W11-003"], "exclude": ["*-002"]}
    )
    scope = {"machines": ["W11-002", "w11-003.corp.example", "W11-004", "NOBODY"]}
    run = app.api.run(profile, {"scope": scope})
    findings = {f["machine"]["name"]: f["reason"] for f in app.api.findings(run["id"]).values()}
    assert findings == {"CORP\\W11-002": "excluded-by-scope", "CORP\\W11-003": "vm-moved"}
    assert run["counts"]["outOfScope"] == 25
    assert app.api.of(run["id"])["unmatched"] == {"machines": ["NOBODY"]}


def test_an_exclusion_of_the_profile_holds_whatever_a_request_asks_for(app: App) -> None:
    profile = app.add_profile("excluding", scope={"exclude": ["app-*"]})
    run = app.api.run(profile, {"scope": {"machines": ["APP-01"], "exclude": ["nobody-*"]}})
    (finding,) = app.api.findings(run["id"]).values()
    assert (finding["finding"], finding["reason"]) == ("excluded", "excluded-by-scope")
    assert app.api.of(run["id"])["unmatched"] == {"exclude": ["nobody-*"]}


def test_names_may_come_as_csv(app: App) -> None:
    text = "\ufeffIgnored;Name\r\nx;W11-001\r\ny; w11-002.corp.example \r\nz;\r\nx;GHOST\r\n"
    run = app.api.run(app.name, {"machinesCsv": text})
    assert names_of(app, run) == {"CORP\\W11-001", "CORP\\W11-002"}
    assert app.api.of(run["id"])["unmatched"] == {"machines": ["GHOST"]}
    both = app.api.run(app.name, {"machinesCsv": text, "scope": {"machines": ["W11-002", "W11-003"]}})
    assert names_of(app, both) == {"CORP\\W11-002"}


@pytest.mark.parametrize("text", ["", "  \r\n", "Host\r\nW11-001\r\n", "Name\r\n\r\n", 'Name\r\n"W11-001', "no csv"])
def test_a_csv_without_names_is_refused(app: App, text: str) -> None:
    problem = check_problem(app.api.start(app.name, {"machinesCsv": text}), 400, "invalid-request")
    assert problem["field"] == "machinesCsv"
    assert "machinesCsv" in problem["detail"]


def test_a_large_csv_is_taken_whole(app: App) -> None:
    lines = "".join(f"GHOST-{number:06d}\r\n" for number in range(20_000))
    run = app.api.run(app.name, {"machinesCsv": f"Name\r\n{lines}W11-001\r\n", "mode": "report"})
    assert names_of(app, run) == {"CORP\\W11-001"}
    assert run["counts"]["unmatched"] == 20_000
    assert app.api.of(run["id"])["unmatched"]["machines"][-1] == "GHOST-000999"


def test_a_catalog_that_stands_in_several_folders_fails_with_the_paths(app: App) -> None:
    site = app.sandbox.world.site
    first = next(iter(site.catalogs.values()))
    twin = type(first)("cafe0000-0000-4000-8000-000000000000", 99, first.name, "APAC", first.zone_id, first.zone)
    site.catalogs[twin.id] = twin
    profile = app.add_profile("folders", scope={"catalogs": [first.name]})
    try:
        run = app.api.run(profile)
        assert run["status"] == "failed"
        for part in ("scope.catalogs", "Persistent W11", "EMEA", "APAC", "several folders"):
            assert part in run["error"]
        by_path = app.api.run(app.add_profile("by-path", scope={"catalogs": [f"emea/{first.name}"]}))
        assert by_path["counts"]["outOfScope"] == 0
    finally:
        del site.catalogs[twin.id]


def test_a_protection_domain_is_a_scope(app: App) -> None:
    run = app.api.run(app.name, {"scope": {"protectionDomain": "pd-vdi"}})
    assert run["counts"] == {"findings": {"remap": 23}, "states": {"proposed": 23}, "outOfScope": 4, "unmatched": 0}


REFUSED_BODIES: dict[str, tuple[Any, str]] = {
    "unknown-field": ({"mod": "review"}, "mod"),
    "unknown-inner-field": ({"scope": {"machine": ["a"]}}, "scope.machine"),
    "wrong-type": ({"settleSeconds": "60"}, "settleSeconds"),
    "wrong-inner-type": ({"limits": {"maxChanges": "7"}}, "limits.maxChanges"),
    "wrong-choice": ({"mode": "apply"}, "mode"),
    "wrong-busy": ({"ifBusy": "wait"}, "ifBusy"),
    "negative": ({"limits": {"maxChanges": -1}}, "limits.maxChanges"),
    "over-100": ({"limits": {"maxChangePercent": 101}}, "limits.maxChangePercent"),
    "no-names": ({"scope": {"machines": []}}, "scope.machines"),
    "empty-name": ({"scope": {"machines": ["W11-001", " "]}}, "scope.machines[1]"),
    "no-time-zone": ({"incidentStart": "2026-11-22T03:00:00"}, "incidentStart"),
    "long-reason": ({"reason": "x" * 1_001}, "reason"),
    "a-list": ([], "body"),
    "a-number": (7, "body"),
    "null": (None, "body"),
}


@pytest.mark.parametrize("case", REFUSED_BODIES)
def test_a_body_that_does_not_validate_is_refused_with_its_field(app: App, case: str) -> None:
    body, field = REFUSED_BODIES[case]
    answer = app.api.post(f"/api/profiles/{app.name}/runs", data=json.dumps(body).encode())
    problem = check_problem(answer, 400, "invalid-request")
    assert problem["field"] == field
    assert field == "body" or field in problem["detail"]


@pytest.mark.parametrize("raw", [b"{", b"\xff\xfe", b'{"mode":"review","mode":"report"} x', b"[" * 100_000])
def test_a_body_that_is_no_json_is_refused(app: App, raw: bytes) -> None:
    answer = app.api.post(f"/api/profiles/{app.name}/runs", data=raw)
    assert check_problem(answer, 400, "invalid-request")["field"] == "body"


def test_an_empty_body_asks_for_nothing_special(app: App) -> None:
    assert app.api.post(f"/api/profiles/{app.add_profile('empty-body')}/runs").status_code == 202


def test_an_unknown_profile_is_not_found(app: App) -> None:
    problem = check_problem(app.api.start("nowhere"), 404, "not-found")
    assert app.name in problem["detail"]


def test_a_broken_profile_is_refused_with_its_errors(app: App) -> None:
    clusters = one_cluster(app, api="element-v3", hots="x")["clusters"]
    profile = app.add_profile("broken", clusters=clusters, policy={"maxChanges": "many"})
    problem = check_problem(app.api.start(profile), 409, "profile-invalid")
    text = " ".join(problem["errors"])
    for part in ("broken.json", "clusters[0].api", "clusters[0].hots", "policy.maxChanges"):
        assert part in text
    app.remove_profile("broken")


def test_a_run_keeps_the_profile_that_it_was_started_with(app: App) -> None:
    profile = app.add_profile("edited")
    with locked(app, profile):
        run_id = app.api.start(profile).json()["id"]
        app.add_profile("edited", scope={"machines": ["W11-001"]})
    assert app.api.until_rest(run_id)["counts"]["outOfScope"] == 0


def test_sixty_starts_a_minute_are_the_most(app: App) -> None:
    profile, calm = app.add_profile("hasty"), app.add_profile("calm")
    with locked(app, profile), ThreadPoolExecutor(6) as callers:
        asked = [callers.submit(app.api.start, profile) for _ in range(60)]
        assert {future.result().status_code for future in asked} == {202}
        refused = app.api.start(profile)
        check_problem(refused, 429, "too-many-requests")
        assert 1 <= int(refused.headers["Retry-After"]) <= 60
        assert app.api.start(calm).status_code == 202, "the limit is each profile's own"
        app.queue().clear_messages()


def test_the_hook_starts_a_run_and_tells_its_status(app: App) -> None:
    started = app.api.hook(
        "POST", json={"profile": app.add_profile("hooked"), "mode": "report"}, headers={"Prefer": "wait=60"}
    )
    assert (started.status_code, started.json()["status"]) == (200, "planned")
    run = started.json()
    assert (run["trigger"], run["requestedBy"]) == ("hook", "function-key")
    place = started.headers["Location"]
    assert place == f"/api/hooks/runs?id={run['id']}"
    shown = app.api.hook("GET", params={"id": run["id"]})
    assert (shown.status_code, shown.json()["links"]) == (200, {"self": place})
    check_problem(app.api.hook("GET", params={"id": "nowhere"}), 404, "not-found")
    assert check_problem(app.api.hook("GET"), 400, "invalid-request")["field"] == "id"
    assert check_problem(app.api.hook("POST", json={}), 400, "invalid-request")["field"] == "profile"
    check_problem(app.api.hook("POST", json={"profile": "nowhere"}), 404, "not-found")


def test_names_from_anywhere_in_the_world_come_back_as_they_went(app: App) -> None:
    profile = app.add_profile("worldwide")
    name = "Zoë Łukasz 山田"
    run = app.api.run(
        profile, {"reason": "Probe: „drill“ 🚒", "mode": "report"}, role=None, headers=principal("Operator", name=name)
    )
    assert (run["requestedBy"], run["reason"]) == (name, "Probe: „drill“ 🚒")
    assert app.api.get(f"/api/runs?profile={profile}&limit=1").json()["items"][0]["requestedBy"] == name
