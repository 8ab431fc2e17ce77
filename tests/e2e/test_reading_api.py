"""Reading over HTTP: runs, findings, CSV, events, profiles, health, hooks; and one shape for everything refused."""

from __future__ import annotations

import base64
import csv
import io
import json
from collections.abc import Iterator
from typing import Any

import pytest

from functions.contract.operations import OPERATIONS
from sandbox.scenario import load
from tests.e2e.client import Json
from tests.e2e.conftest import App, Serve
from tests.e2e.test_starting import check_problem

FORMULAS = ('=HYPERLINK("http://evil.example","x")', "+1", "-1", "@SUM(A1)")
HARMLESS = 'quote"d;,'
FINDINGS = ("aligned", "remap", "ambiguous", "missing", "conflict", "excluded", "unknown")


@pytest.fixture(scope="module")
def app(serve: Serve) -> Iterator[App]:
    scenario = load("duplicates-and-conflicts")
    last = list(scenario.world.site.machines.values())[::-1]
    for machine, name in zip(last, (*FORMULAS, HARMLESS), strict=False):
        machine.dns_name = name  # a directory may hold anything, and a CSV is opened in a spreadsheet
    with serve(scenario) as running:
        yield running


@pytest.fixture(scope="module")
def runs(app: App) -> list[Json]:
    """Seven runs of two profiles, newest first."""
    app.add_profile("second")
    bodies: list[tuple[str, Json]] = [
        (app.name, {}),
        ("second", {"mode": "report"}),
        (app.name, {"mode": "report"}),
    ] * 2
    app.add_profile("failing", scope={"protectionDomain": "PD-NOWHERE"})
    started = [app.api.run(profile, body) for profile, body in [*bodies, ("failing", {})]]
    return started[::-1]


@pytest.fixture(scope="module")
def run_id(runs: list[Json]) -> str:
    return str(runs[-1]["id"])


def ids(items: list[Json]) -> list[str]:
    return [str(item["id"]) for item in items]


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 1000])
def test_runs_come_newest_first_page_by_page(app: App, runs: list[Json], limit: int) -> None:
    assert ids(app.api.all("/api/runs", limit=limit)) == ids(runs)
    first = app.api.get("/api/runs", params={"limit": limit}).json()
    assert len(first["items"]) == min(limit, 7)
    assert (first["cursor"] is None) is (limit >= 7)


@pytest.mark.parametrize("limit", [1, 2, 1000])
def test_runs_of_one_profile(app: App, runs: list[Json], limit: int) -> None:
    wanted = [run for run in runs if run["profile"] == "second"]
    assert ids(app.api.all("/api/runs", profile="second", limit=limit)) == ids(wanted)
    assert app.api.all("/api/runs", profile="nobody") == []
    assert app.api.all("/api/runs", profile="x' or PartitionKey ne '") == []
    assert app.api.all("/api/runs", profile="x" * 3_000) == []


@pytest.mark.parametrize("profile", [None, "emea-vdi", "failing"])
@pytest.mark.parametrize("status", ["planned", "awaiting-review", "failed", "queued"])
def test_runs_by_status(app: App, runs: list[Json], profile: str | None, status: str) -> None:
    wanted = [run for run in runs if run["status"] == status and profile in (None, run["profile"])]
    chosen = {"profile": profile} if profile else {}
    assert ids(app.api.all("/api/runs", status=status, limit=1, **chosen)) == ids(wanted)


def test_a_run_in_a_list_is_the_run(app: App, run_id: str) -> None:
    listed = next(item for item in app.api.all("/api/runs") if item["id"] == run_id)
    assert app.api.of(run_id) == {**listed, "unmatched": {}}


ODD_IDS = (
    "nowhere",
    "0" * 23,
    "a%2Fb",
    "%2e%2e",
    "x" * 4_000,
    "é" * 40,
    "a'b",
    "%00",
    "a%23b%3Fc",
    "%F0%9F%92%A9",
)


@pytest.mark.parametrize("odd", ODD_IDS, ids=lambda odd: odd[:12])
@pytest.mark.parametrize("below", ["", "/remaps", "/remaps.csv", "/events"])
def test_a_run_that_is_not_there_is_not_found(app: App, odd: str, below: str) -> None:
    answer = app.api.get(f"/api/runs/{odd}{below}")
    if odd in ("%00", "%2e%2e"):  # the host's own affair: a NUL is refused, dots are a way up
        assert answer.status_code in (400, 404, 200)
        return
    check_problem(answer, 404, "not-found")
    assert len(answer.json()["detail"]) < 300


@pytest.mark.parametrize("limit", [1, 7, 100])
def test_findings_come_page_by_page(app: App, run_id: str, limit: int) -> None:
    found = app.api.all(f"/api/runs/{run_id}/remaps", limit=limit)
    keys = [item["machine"]["id"] for item in found]
    assert keys == sorted(app.sandbox.expected)


@pytest.mark.parametrize("finding", FINDINGS)
def test_findings_by_kind(app: App, run_id: str, finding: str) -> None:
    found = app.api.all(f"/api/runs/{run_id}/remaps", finding=finding, limit=2)
    wanted = sorted(machine for machine, right in app.sandbox.expected.items() if right.finding == finding)
    assert [item["machine"]["id"] for item in found] == wanted


def test_findings_by_state(app: App, run_id: str) -> None:
    proposed = app.api.all(f"/api/runs/{run_id}/remaps", state="proposed", limit=1)
    assert {item["finding"] for item in proposed} == {"remap"}
    assert len(proposed) == app.api.of(run_id)["counts"]["states"]["proposed"]
    assert app.api.all(f"/api/runs/{run_id}/remaps", state="verified") == []
    assert app.api.all(f"/api/runs/{run_id}/remaps", state="proposed", finding="missing") == []


@pytest.mark.parametrize(
    ("q", "names"), [("dup-", 3), ("CORP\\dup-02", 1), ("w-0", 0), ("'", 0), ("lab\\", 2), ("%", 0)]
)
def test_findings_by_a_part_of_the_name(app: App, run_id: str, q: str, names: int) -> None:
    assert len(app.api.all(f"/api/runs/{run_id}/remaps", q=q, limit=1)) == names


def test_a_finding_has_the_documented_shape(app: App, run_id: str) -> None:
    remap = app.api.all(f"/api/runs/{run_id}/remaps", finding="remap")[0]
    assert set(remap) == {
        "machine", "finding", "reason", "explanation", "confidence", "evidence", "candidates", "from", "to", "state",
        "error",
    }  # fmt: skip
    assert set(remap["machine"]) == {"id", "name", "dnsName", "catalog", "deliveryGroup"}
    assert all(set(fact) == {"kind", "source", "detail"} for fact in remap["evidence"])
    assert all(set(vm) == {"cluster", "uuid", "name", "powerState"} for vm in remap["candidates"])
    assert remap["evidence"]
    assert remap["candidates"]
    several = app.api.all(f"/api/runs/{run_id}/remaps", finding="ambiguous")[0]
    assert (several["to"], several["state"], several["confidence"]) == (None, None, None)
    assert len(several["candidates"]) == 2


REFUSED_PARAMETERS = {
    "limit-0": ("runs", {"limit": "0"}, "limit"),
    "limit-1001": ("runs", {"limit": "1001"}, "limit"),
    "limit-word": ("remaps", {"limit": "abc"}, "limit"),
    "limit-negative": ("remaps", {"limit": "-1"}, "limit"),
    "limit-arabic": ("events", {"limit": "٣"}, "limit"),
    "limit-long": ("events", {"limit": "1" * 5_000}, "limit"),
    "status": ("runs", {"status": "done"}, "status"),
    "finding": ("remaps", {"finding": "drift"}, "finding"),
    "state": ("remaps", {"state": "done"}, "state"),
    "q-long": ("remaps", {"q": "x" * 201}, "q"),
    "unknown-runs": ("runs", {"profil": "x"}, "profil"),
    "unknown-one": ("one", {"limit": "1"}, "limit"),
    "unknown-remaps": ("remaps", {"kind": "remap"}, "kind"),
    "unknown-csv": ("remaps.csv", {"limit": "1"}, "limit"),
    "unknown-events": ("events", {"q": "1"}, "q"),
    "unknown-profiles": ("profiles", {"name": "x"}, "name"),
    "cursor-no-base64": ("runs", {"cursor": "%%%"}, "cursor"),
    "cursor-forged": ("remaps", {"cursor": base64.urlsafe_b64encode(b"x' or 'a' eq 'a\x00").decode()}, "cursor"),
    "cursor-padded": ("events", {"cursor": "MTIz===="}, "cursor"),
    "cursor-long": ("remaps", {"cursor": base64.urlsafe_b64encode(b"a" * 600).decode().rstrip("=")}, "cursor"),
    "cursor-longish": ("remaps", {"cursor": base64.urlsafe_b64encode(b"a" * 400).decode().rstrip("=")}, "cursor"),
    "cursor-slashes": ("remaps", {"cursor": base64.urlsafe_b64encode(b"/" * 200).decode().rstrip("=")}, "cursor"),
    "cursor-no-utf-8": ("remaps", {"cursor": "_w"}, "cursor"),
}


@pytest.mark.parametrize("case", REFUSED_PARAMETERS)
def test_a_parameter_that_does_not_validate_is_refused_with_its_name(app: App, run_id: str, case: str) -> None:
    where, parameters, field = REFUSED_PARAMETERS[case]
    path = {"runs": "/api/runs", "profiles": "/api/profiles", "one": f"/api/runs/{run_id}"}.get(
        where, f"/api/runs/{run_id}/{where}"
    )
    assert check_problem(app.api.get(path, params=parameters), 400, "invalid-request")["field"] == field


def test_a_cursor_of_another_list_or_of_another_run_is_refused(app: App, runs: list[Json], run_id: str) -> None:
    other = next(run["id"] for run in runs if run["id"] != run_id and run["counts"]["findings"])
    lists = ["/api/runs", *(f"/api/runs/{each}/{below}" for each in (run_id, other) for below in ("remaps", "events"))]
    cursors = {path: app.api.get(path, params={"limit": 1}).json()["cursor"] for path in lists}
    for home, cursor in cursors.items():
        assert cursor is not None
        assert app.api.get(home, params={"cursor": cursor}).status_code == 200
        for path in set(lists) - {home}:
            answer = app.api.get(path, params={"cursor": cursor})
            assert check_problem(answer, 400, "invalid-request")["field"] == "cursor"


def test_the_csv_has_a_row_a_finding_and_a_column_a_field(app: App, run_id: str) -> None:
    answer = app.api.get(f"/api/runs/{run_id}/remaps.csv")
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert answer.headers["Content-Disposition"] == f'attachment; filename="realign-{run_id}.csv"'
    assert answer.content.startswith(b"\xef\xbb\xbf")
    rows = list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"), newline="")))
    assert list(rows[0]) == [
        "machine.id", "machine.name", "machine.dnsName", "machine.catalog", "machine.deliveryGroup", "finding",
        "reason", "explanation", "confidence", "evidence", "candidates", "from.hostingConnection",
        "from.hostedMachineId", "to.hostingConnection", "to.hostedMachineId", "state", "error",
    ]  # fmt: skip
    findings = app.api.findings(run_id)
    assert [row["machine.id"] for row in rows] == sorted(findings)
    for row in rows:
        finding = findings[row["machine.id"]]
        assert row["machine.name"] == finding["machine"]["name"]
        assert row["finding"] == finding["finding"]
        assert row["to.hostedMachineId"] == ((finding["to"] or {}).get("hostedMachineId") or "")
        assert json.loads(row["candidates"]) == finding["candidates"]
        assert json.loads(row["evidence"]) == finding["evidence"]


def test_a_name_that_a_spreadsheet_would_run_is_text_in_the_csv(app: App, run_id: str) -> None:
    rows = csv.DictReader(io.StringIO(app.api.get(f"/api/runs/{run_id}/remaps.csv").content.decode("utf-8-sig")))
    names = {row["machine.dnsName"] for row in rows}
    for formula in FORMULAS:
        assert f"'{formula}" in names
    assert HARMLESS in names
    assert not any(name.startswith(("=", "+", "-", "@", "\t")) for name in names)


@pytest.mark.parametrize("filters", [{"finding": "remap"}, {"q": "dup"}, {"state": "proposed"}, {"q": "nobody"}])
def test_the_csv_takes_the_filters_of_the_list(app: App, run_id: str, filters: dict[str, str]) -> None:
    answer = app.api.get(f"/api/runs/{run_id}/remaps.csv", params=filters)
    rows = list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"), newline="")))
    listed = app.api.all(f"/api/runs/{run_id}/remaps", **filters)
    assert [row["machine.id"] for row in rows] == [item["machine"]["id"] for item in listed]


def test_events_tell_who_did_what_when(app: App, run_id: str) -> None:
    events = app.api.all(f"/api/runs/{run_id}/events")
    assert [(event["actor"], event["action"]) for event in events] == [
        ("Olive Operator", "run-requested"), ("realign", "planned"), ("realign", "guard")
    ]  # fmt: skip
    assert "split-brain" in events[2]["detail"]
    assert [event["at"] for event in events] == sorted(event["at"] for event in events)
    assert app.api.all(f"/api/runs/{run_id}/events", limit=1) == events


def test_profiles_show_their_errors_and_no_secret(app: App, runs: list[Json]) -> None:
    app.add_profile("broken", clusters=[], policy={"mode": "yolo"})
    app.add_file("unreadable.json", "{")
    app.add_file("clash.json", json.dumps(app.document()))
    try:
        items = {item["name"]: item for item in app.api.get("/api/profiles").json()["items"]}
    finally:
        for name in ("broken", "unreadable", "clash"):
            app.remove_profile(name)
    assert list(items) == sorted(items)
    assert [name for name, item in items.items() if item["valid"]] == ["failing", "second"]
    assert any("broken.json: policy.mode" in error for error in items["broken"]["errors"])
    assert any("unreadable.json: line 1" in error for error in items["unreadable"]["errors"])
    assert "clash.json" in items[app.name]["errors"][0]
    one = app.api.get(f"/api/profiles/{app.name}").json()
    assert one["valid"]
    assert one["profile"]["clusters"][0]["credential"] == "prism-paris"
    text = json.dumps(one) + json.dumps(items)
    world = app.sandbox.world
    assert world.site.client_secret not in text
    assert all(prism.password not in text for prism in world.prisms.values())


@pytest.mark.parametrize("name", ["nowhere", "..%2Fhost", "x" * 3_000, "%C3%A9", "UPPER"])
def test_a_profile_that_is_not_there_is_not_found(app: App, name: str) -> None:
    problem = check_problem(app.api.get(f"/api/profiles/{name}"), 404, "not-found")
    assert len(problem["detail"]) < 700


def test_live_is_for_everybody(app: App) -> None:
    answer = app.api.get("/api/health/live", role=None)
    assert (answer.status_code, answer.json()) == (200, {"status": "live"})


def checks(answer: Any) -> dict[str, Json]:
    return {check["name"]: check for check in answer.json()["checks"]}


def test_ready_names_everything_that_the_app_depends_on(app: App, runs: list[Json]) -> None:
    answer = app.api.get("/api/health/ready")
    assert (answer.status_code, answer.json()["status"]) == (200, "ready")
    found = checks(answer)
    for name, kind in (
        ("storage", "storage"), ("key-vault", "vault"), (f"{app.name}/site", "site"), (f"{app.name}/oslo", "cluster")
    ):  # fmt: skip
        assert set(found[name]) == {"name", "kind", "state", "latencyMs", "remedy", "stages"}
        assert (found[name]["kind"], found[name]["state"], found[name]["remedy"]) == (kind, "ready", None)
        assert isinstance(found[name]["latencyMs"], int)
        assert {stage["state"] for stage in found[name]["stages"]} == {"passed"}


def test_ready_is_degraded_while_a_cluster_is_down(app: App, runs: list[Json]) -> None:
    app.sandbox.faults.set("relay-down", "paris")
    try:
        answer = app.api.get("/api/health/ready")
    finally:
        app.sandbox.faults.clear("relay-down")
    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
    failed = {name: check for name, check in checks(answer).items() if check["state"] == "failed"}
    assert set(failed) == {f"{profile}/paris" for profile in (app.name, "second", "failing")}
    assert all("hybrid connection" in check["remedy"] for check in failed.values())


def test_ready_is_degraded_by_a_broken_profile_alone(app: App) -> None:
    app.add_profile("broken", clusters=[])
    try:
        answer = app.api.get("/api/health/ready")
    finally:
        app.remove_profile("broken")
    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
    assert "broken.json" in checks(answer)["broken"]["remedy"]


def test_ready_is_503_while_the_vault_refuses(app: App) -> None:
    app.sandbox.faults.set("vault-denied")
    try:
        answer = app.api.get("/api/health/ready")
    finally:
        app.sandbox.faults.clear("vault-denied")
    assert (answer.status_code, answer.json()["status"]) == (503, "unavailable")
    assert "Key Vault Secrets User" in checks(answer)["key-vault"]["remedy"]


def test_ready_is_503_while_storage_fails(serve: Serve) -> None:
    with serve("healthy", faults={"storage-busy": "table:1"}) as app:
        assert app.api.get("/api/health/ready").status_code == 200
        app.sandbox.faults.set("storage-busy", "table:1000")
        answer = app.api.get("/api/health/ready")
        assert answer.status_code == 503
        assert "too busy" in checks(answer)["storage"]["remedy"]


def test_a_probe_does_not_try_a_refused_credential_again(app: App) -> None:
    app.sandbox.vault.put("prism-bad", json.dumps({"username": "svc-realign", "password": "wrong"}))
    clusters = [{**entry, "credential": "prism-bad"} for entry in app.document()["clusters"]]
    app.add_profile("probed", clusters=clusters[:1])
    try:
        app.sandbox.calls.clear()
        found = [checks(app.api.get("/api/health/ready"))["probed/paris"]["remedy"] for _ in range(2)]
        refused = app.sandbox.calls.count("prism/paris") - 2 * 3 * 2  # what the other three profiles ask twice
    finally:
        app.remove_profile("probed")
    assert "prism-bad" in found[0]
    assert "a short time ago" in found[1]
    assert refused <= 1


def allowed() -> dict[str, str]:
    """The methods of every address."""
    found: dict[str, set[str]] = {}
    for operation in OPERATIONS:
        path = f"/api/{operation.route}".replace("{name}", "x").replace("{id}", "x")
        found.setdefault(path, set()).add(operation.method)
    return {path: ", ".join(sorted(methods)) for path, methods in found.items()}


ALLOWED = allowed()


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"])
@pytest.mark.parametrize("path", ALLOWED)
def test_a_method_that_a_route_does_not_know_is_refused(app: App, path: str, method: str) -> None:
    if method in ALLOWED[path].split(", "):
        return
    headers = {"x-functions-key": app.sandbox.function_key}
    answer = app.api.call(method, path, role=None, headers=headers)
    check_problem(answer, 405, "method-not-allowed")
    assert answer.headers["Allow"] == ALLOWED[path]


def test_a_problem_carries_the_callers_trace(app: App) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    answer = app.api.get("/api/runs/nowhere", headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-01"})
    assert answer.json()["traceId"] == trace
    assert trace in app.host.full_log()
    other = app.api.get("/api/runs/nowhere", headers={"traceparent": "00-<script>-x-01"})
    assert len(other.json()["traceId"]) == 32


def test_no_answer_is_kept_by_a_cache_sniffed_framed_or_told_on(app: App, run_id: str) -> None:
    paths = ("/api/runs", f"/api/runs/{run_id}/remaps.csv", f"/api/runs/{run_id}/report", "/api/runs/nowhere")
    for path in (*paths, "/api/profiles", "/api/health/live"):
        answer = app.api.get(path)
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        policy = answer.headers["Content-Security-Policy"].split("; ")
        assert {"default-src 'none'", "frame-ancestors 'none'"} <= set(policy)


POLLED = ("/api/runs/{run}", "/api/runs", "/api/runs/{run}/remaps?limit=2", "/api/runs/{run}/events", "/api/profiles")


@pytest.mark.parametrize("path", [*POLLED, "/api/profiles/{profile}", "/api/openapi.json"])
def test_what_has_not_changed_is_not_sent_again(app: App, run_id: str, path: str) -> None:
    place = path.format(run=run_id, profile=app.name)
    first = app.api.get(place)
    tag = first.headers["ETag"]
    for known in (tag, tag.removeprefix("W/"), f'"old", {tag}', "*"):
        again = app.api.get(place, headers={"If-None-Match": known})
        assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", tag)
    other = app.api.get(place, headers={"If-None-Match": 'W/"old"'})
    assert (other.status_code, other.content) == (200, first.content)


def test_the_tag_of_a_run_changes_with_all_that_is_shown_of_it(app: App) -> None:
    profile = app.add_profile("polled", policy={"maxChangePercent": 100, "resetAgainAfterSeconds": 0})
    run = app.api.run(profile)
    hooked = {"id": run["id"]}
    seen = [(app.api.get(f"/api/runs/{run['id']}").headers["ETag"], app.api.hook("GET", params=hooked).headers["ETag"])]
    assert seen[0][0] != seen[0][1], "they show other links"
    first, *_ = [key for key, each in app.api.findings(run["id"]).items() if each["state"] == "proposed"]
    app.api.act(run["id"], "approve", {"machines": [first], "fingerprint": run["fingerprint"], "apply": False})
    known = {"If-None-Match": seen[0][1]}
    changed = app.api.hook("GET", params=hooked, headers=known)
    assert (changed.status_code, changed.json()["counts"]["states"]["approved"]) == (200, 1)
    assert app.api.hook("GET", params=hooked, headers={"If-None-Match": changed.headers["ETag"]}).status_code == 304
    app.api.cancel(run["id"])
    cancelled = app.api.get(f"/api/runs/{run['id']}", headers={"If-None-Match": seen[0][0]})
    assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")
    app.remove_profile(profile)


@pytest.mark.parametrize("tag", ["abc", '"a', "*, *", 'w/"a"', '"a" "b"', "é"])
@pytest.mark.parametrize("path", ["/api/runs/{run}", "/api/runs", "/api/openapi.json", "hook"])
def test_an_if_none_match_that_is_no_list_of_tags_is_refused(app: App, run_id: str, path: str, tag: str) -> None:
    headers = {"If-None-Match": tag.encode().decode("latin-1")}
    answer = (
        app.api.hook("GET", params={"id": run_id}, headers=headers)
        if path == "hook"
        else app.api.get(path.format(run=run_id), headers=headers)
    )
    assert check_problem(answer, 400, "invalid-request")["field"] == "If-None-Match"


def test_strangers_learn_of_no_tag(app: App, run_id: str) -> None:
    for known in ("*", "garbage"):
        answer = app.api.get(f"/api/runs/{run_id}", role=None, headers={"If-None-Match": known})
        assert check_problem(answer, 401, "not-authenticated")
        assert "ETag" not in answer.headers


BODIES = ("profiles/{profile}/runs", "profiles/{profile}/hold", "hooks/runs") + tuple(
    f"runs/{{run}}/{action}" for action in ("approve", "reject", "resolve", "apply", "rollback", "cancel")
)


def sent(app: App, run_id: str, place: str, data: bytes, kind: str | None) -> Any:
    headers = {"Content-Type": kind} if kind else {}
    if place == "hooks/runs":
        return app.api.hook("POST", data=data, headers=headers)
    path = f"/api/{place}".format(profile=app.name, run=run_id)
    return app.api.post(path, role="Approver", data=data, headers=headers)


@pytest.mark.parametrize("place", BODIES)
def test_a_body_of_20_mb_is_refused_wherever_a_body_is_read(app: App, run_id: str, place: str) -> None:
    body = b'{"reason": "' + b"x" * (20 * 1024 * 1024) + b'"}'
    problem = check_problem(sent(app, run_id, place, body, "application/json"), 413, "body-too-large")
    assert "16,777,216 is the most" in problem["detail"]


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
@pytest.mark.parametrize("place", BODIES)
def test_a_body_of_another_type_is_refused_wherever_a_body_is_read(
    app: App, run_id: str, place: str, kind: str
) -> None:
    problem = check_problem(sent(app, run_id, place, b"{}", kind), 415, "unsupported-media-type")
    assert "Content-Type: application/json" in problem["detail"]
