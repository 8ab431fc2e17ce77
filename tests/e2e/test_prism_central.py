"""Prism Central through the host: which API answers, who signs in, which clusters are read, and what its jobs prove."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.e2e.client import Json
from tests.e2e.conftest import App, Serve
from tests.e2e.estates import add_strangers, by_host, clusters, estate, of, prism_host, profile

LON_VMS, DUB_VMS = 230, 110
ESTATE = """
name: centrals
connections:
  - {name: Nutanix Europe, plugin: AcropolisPCFactory}
  - {name: Nutanix Oslo, plugin: AcropolisHypervisorPCFactory}
  - {name: Nutanix Islands, plugin: AcropolisPCFactory}
  - {name: Nutanix AHV Rome}
clusters:
  - name: pc
    api: central-v4
    credential: apiKey
    hostingConnection: Nutanix Europe
    registered: [{name: PAR-CL01}, {name: AMS-CL01}]
    jobs: [{name: Rome to Amsterdam, action: FAILOVER, hoursAgo: 100}]
  - name: old
    api: central-v3
    v4: false
    hostingConnection: Nutanix Oslo
    registered: [{name: OSL-CL01}, {name: OSL-CL02}]
    jobs: [{name: Rome to Oslo, action: FAILOVER, hoursAgo: 100}]
  - name: islands
    api: central-v4
    hostingConnection: Nutanix Islands
    registered: [{name: LON-CL01}, {name: DUB-CL01}]
  - {name: rome, api: element-v2, hostingConnection: Nutanix AHV Rome}
catalogs: [{name: Persistent W11}]
machines:
  - {names: "PAR-{:02d}", count: 3, catalog: Persistent W11, record: {connection: Nutanix Europe, id: vm},
     vms: [{at: PAR-CL01, id: vm}]}
  - {names: "AMS-{:02d}", count: 2, catalog: Persistent W11, record: {connection: Nutanix Europe, id: gone},
     vms: [{at: AMS-CL01, id: new}]}
  - {names: "OSL-{:02d}", count: 2, catalog: Persistent W11, record: {connection: Nutanix Oslo, id: vm},
     vms: [{at: OSL-CL01, id: vm}]}
  - {names: "LON-{:02d}", count: 2, catalog: Persistent W11, record: {connection: Nutanix Islands, id: vm},
     vms: [{at: LON-CL01, id: vm}]}
  - {names: "DUB-{:02d}", count: 2, catalog: Persistent W11, record: {connection: Nutanix Islands, id: vm},
     vms: [{at: DUB-CL01, id: vm}]}
  - {names: "ROM-{:02d}", first: 1, catalog: Persistent W11, record: {connection: Nutanix AHV Rome, id: old},
     vms: [{at: AMS-CL01, id: new}], recovered: [{job: Rome to Amsterdam, from: old, to: new}]}
  - {names: "ROM-{:02d}", first: 2, catalog: Persistent W11, record: {connection: Nutanix AHV Rome, id: old},
     vms: [{at: OSL-CL02, id: new}], recovered: [{job: Rome to Oslo, from: old, to: new}]}
  - {names: "TUR-{:02d}", catalog: Persistent W11, record: {connection: Nutanix AHV Rome, id: vm},
     vms: [{at: PAR-CL01, id: vm}]}
profile: {name: centrals, policy: {maxChangePercent: 100}}
"""
V4_VMS = "/api/vmm/{version}/ahv/config/vms"
V3_VMS = "/api/nutanix/v3/vms/list"
V4_STEPS = "/api/dataprotection/{version}/config/recovery-plan-jobs/{extId}/execution-steps"
V3_STEPS = "/api/nutanix/v3/recovery_plan_jobs/{uuid}/{status}"


@pytest.fixture(scope="module")
def app(serve: Serve) -> Iterator[App]:
    scenario = estate(ESTATE)
    london, dublin = scenario.world.prisms["islands"].clusters
    add_strangers(london, LON_VMS - len(london.vms))
    add_strangers(dublin, DUB_VMS - len(dublin.vms))
    with serve(scenario) as running:
        yield running


def kinds(app: App, run: Json, prefix: str) -> set[tuple[str, str]]:
    return {(f["finding"], f["reason"]) for host, f in by_host(app, run).items() if host.startswith(prefix)}


def checks(app: App, name: str) -> Json:
    """What the health check says of one profile, by the part behind its name."""
    answer = app.api.get("/api/health/ready")
    assert answer.status_code == 200, answer.text
    return {c["name"].partition("/")[2]: c for c in answer.json()["checks"] if c["name"].startswith(f"{name}/")}


def test_a_central_without_v4_costs_only_itself_and_says_which_api_to_name(app: App) -> None:
    wrong = {"api": "central-v4"}
    with profile(app, "wrong-api", clusters=clusters(app, "pc", "old", "rome", old=wrong)) as name:
        run = app.api.run(name)
        health = checks(app, name)
    assert (run["status"], run["error"]) == ("awaiting-review", None)
    assert of(run, "old").items() >= {"api": "central-v4", "status": "misconfigured", "vms": 0}.items()
    for part in (prism_host(app, "old"), "cluster old", "answers API v3 but not v4", "set api to central-v3"):
        assert part in of(run, "old")["error"]
    assert of(run, "pc").items() >= {"status": "answered", "error": None}.items()
    assert kinds(app, run, "PAR") == {("aligned", "own-vm-live")}
    assert kinds(app, run, "TUR") == {("remap", "vm-moved")}
    assert kinds(app, run, "OSL") == kinds(app, run, "AMS") == {("unknown", "cluster-unreachable")}
    assert (health["pc"]["state"], health["pc"]["remedy"]) == ("ready", None)
    assert health["old"]["state"] == "failed"
    assert "set api to central-v3" in health["old"]["remedy"]


def test_central_takes_what_answers_and_says_which_it_took(app: App) -> None:
    either = {"api": "central"}
    with profile(app, "either", clusters=clusters(app, "pc", "old", pc=either, old=either)) as name:
        run = app.api.run(name)
        health = checks(app, name)
    assert {c["name"]: (c["api"], c["status"]) for c in run["clusters"]} == {
        "pc": ("central-v4", "answered"), "old": ("central-v3", "answered"),
    }  # fmt: skip
    assert kinds(app, run, "OSL") == kinds(app, run, "PAR") == {("aligned", "own-vm-live")}
    assert {host: f["finding"] for host, f in by_host(app, run).items() if host.startswith("AMS")} == {
        "AMS-01": "remap", "AMS-02": "remap",
    }  # fmt: skip
    assert {name: check["state"] for name, check in health.items()} == {"site": "ready", "pc": "ready", "old": "ready"}


@pytest.mark.parametrize("api", ["central-v4", "central"])
def test_a_prism_element_is_no_central_and_says_which_api_to_name(app: App, api: str) -> None:
    with profile(app, "no-central", clusters=clusters(app, "rome", rome={"api": api})) as name:
        run = app.api.run(name)
        health = checks(app, name)
    assert of(run, "rome")["status"] == "misconfigured"
    for told in (of(run, "rome")["error"], health["rome"]["remedy"]):
        assert "set api to element-v2" in told
        assert prism_host(app, "rome") in told


@pytest.mark.parametrize(("name", "there"), [("islands", "DUB-CL01, LON-CL01"), ("old", "OSL-CL01, OSL-CL02")])
def test_a_wrong_name_in_prism_clusters_is_answered_with_those_there_are(app: App, name: str, there: str) -> None:
    app.sandbox.calls.clear()
    wrong = {name: {"prismClusters": ["NOWHERE-CL01"]}}
    with profile(app, "wrong-name", clusters=clusters(app, "rome", name, **wrong)) as chosen:
        run = app.api.run(chosen)
        assert app.sandbox.calls.count(f"prism/{name}", route=V4_VMS) == 0, "nothing is listed for a wrong profile"
        health = checks(app, chosen)
    assert of(run, name)["status"] == "misconfigured"
    for told in (of(run, name)["error"], health[name]["remedy"]):
        for part in (prism_host(app, name), "no registered cluster NOWHERE-CL01", "Correct prismClusters", there):
            assert part in told
    assert of(run, "rome")["status"] == "answered"


def test_only_the_vms_of_the_clusters_that_the_profile_names_are_listed(app: App) -> None:
    dublin = app.sandbox.world.prisms["islands"].clusters[1]
    for wanted in (["dub-cl01"], [dublin.uuid.upper()]):
        app.sandbox.calls.clear()
        with profile(app, "narrow", clusters=clusters(app, "islands", islands={"prismClusters": wanted})) as name:
            run = app.api.run(name)
        assert of(run, "islands").items() >= {"status": "answered", "vms": DUB_VMS, "error": None}.items()
        assert app.sandbox.calls.count("prism/islands", "GET", V4_VMS) == 2, "London's three pages are not asked for"
        assert kinds(app, run, "DUB") == {("aligned", "own-vm-live")}
        assert kinds(app, run, "LON") == {("missing", "no-vm")}
        assert app.sandbox.calls.throttled() == 0


def test_an_old_central_is_narrowed_too(app: App) -> None:
    with profile(app, "narrow-v3", clusters=clusters(app, "old", old={"prismClusters": ["OSL-CL02"]})) as name:
        run = app.api.run(name)
    assert of(run, "old").items() >= {"api": "central-v3", "status": "answered", "vms": 1}.items()
    assert kinds(app, run, "OSL") == {("missing", "no-vm")}


def test_reading_many_pages_is_never_answered_with_429(app: App) -> None:
    calls = app.sandbox.calls
    calls.clear()
    began = datetime.now(UTC)
    with (
        profile(app, "pages-one", clusters=clusters(app, "islands")) as one,
        profile(app, "pages-two", clusters=clusters(app, "islands", "pc")) as two,
        ThreadPoolExecutor(2) as callers,
    ):
        runs = list(callers.map(app.api.run, (one, two)))
    seconds = (datetime.now(UTC) - began).total_seconds()
    for run in runs:
        assert of(run, "islands").items() >= {"status": "answered", "vms": LON_VMS + DUB_VMS, "error": None}.items()
        assert kinds(app, run, "LON") == kinds(app, run, "DUB") == {("aligned", "own-vm-live")}
    pages = calls.count("prism/islands", "GET", V4_VMS)
    assert pages == 2 * 4
    assert calls.throttled() == 0, calls.as_json()
    assert seconds > pages / 2 - 1, "the budget of two a second was there to be kept"


def test_an_api_key_and_a_user_both_sign_in(app: App) -> None:
    prism = app.sandbox.world.prisms["pc"]
    app.sandbox.vault.put("prism-key", json.dumps({"apiKey": prism.api_key}))
    app.sandbox.vault.put("prism-user", json.dumps({"username": prism.username, "password": prism.password}))
    found = []
    for secret in ("prism-key", "prism-user"):
        with profile(app, "signing-in", clusters=clusters(app, "pc", pc={"credential": secret})) as name:
            run = app.api.run(name)
        assert of(run, "pc").items() >= {"status": "answered", "error": None}.items()
        found.append({host: f["to"] for host, f in by_host(app, run).items()})
    assert found[0] == found[1]


REFUSED: dict[str, tuple[Json, str]] = {
    "api-key": ({"apiKey": "refused-marker"}, "the API key"),
    "user": ({"username": "svc-realign", "password": "refused-marker"}, "the user name or password"),
}


@pytest.mark.parametrize("api", ["central-v4", "central"])
@pytest.mark.parametrize("kind", REFUSED)
def test_a_credential_that_central_refuses_is_tried_once_and_then_left_alone(app: App, kind: str, api: str) -> None:
    content, called = REFUSED[kind]
    secret = f"prism-refused-{kind}-{api}"
    app.sandbox.vault.put(secret, json.dumps(content))
    calls = app.sandbox.calls
    calls.clear()
    changed = {"api": api, "credential": secret}
    with profile(app, "refused", clusters=clusters(app, "pc", "rome", pc=changed)) as name:
        first, second = app.api.run(name), app.api.run(name)
        assert calls.count("prism/pc") == 1, "a refused credential locks the account"
        health = checks(app, name)
        app.sandbox.vault.put(secret, json.dumps({"apiKey": app.sandbox.world.prisms["pc"].api_key}))
        third = app.api.run(name)
    assert of(first, "pc")["status"] == of(second, "pc")["status"] == "refused"
    for part in (prism_host(app, "pc"), called, secret, "Correct the secret", "20 minutes"):
        assert part in of(first, "pc")["error"]
    for told in (of(second, "pc")["error"], health["pc"]["remedy"]):
        assert f"refused secret {secret} a short time ago" in told
    assert "refused-marker" not in json.dumps([first, second, health])
    assert of(first, "rome")["status"] == "answered"
    assert of(third, "pc")["status"] == "answered", "a new version of the secret is tried at once"


JOBS: dict[str, tuple[str, str, str, str]] = {
    "v4": ("pc", "ROM-01", V4_STEPS, "Rome to Amsterdam"),
    "v3": ("old", "ROM-02", V3_STEPS, "Rome to Oslo"),
}


@pytest.mark.parametrize("version", JOBS)
def test_a_job_from_before_the_incident_is_no_lineage_and_its_steps_are_never_asked_for(app: App, version: str) -> None:
    central, host, steps, job = JOBS[version]
    with profile(app, "incident", clusters=clusters(app, central, "rome")) as name:
        finding, asked = found_with(app, name, central, host, steps, None)
        assert (finding["finding"], finding["confidence"]) == ("remap", "strong"), finding
        assert not told_by_jobs(finding)
        assert asked == 0

        long_ago = (datetime.now(UTC) - timedelta(hours=120)).isoformat()
        finding, asked = found_with(app, name, central, host, steps, long_ago)
        assert (finding["finding"], finding["confidence"]) == ("remap", "proven"), finding
        (fact,) = told_by_jobs(finding)
        uuid = next(each.uuid for each in app.sandbox.world.prisms[central].jobs)
        assert (fact["kind"], fact["source"]) == ("lineage", f"recovery-plan-job {uuid}")
        for part in (job, finding["from"]["hostedMachineId"], f"became {finding['to']['hostedMachineId']}"):
            assert part in fact["detail"]
        assert asked >= 1


def found_with(
    app: App, name: str, central: str, host: str, steps: str, start: str | None
) -> tuple[dict[str, Any], int]:
    app.sandbox.calls.clear()
    run = app.api.run(name, {"target": central} | ({"incidentStart": start} if start else {}))
    assert (run["incidentStart"] is None) is (start is None)
    return by_host(app, run)[host], app.sandbox.calls.count(f"prism/{central}", route=steps)


def told_by_jobs(finding: Json) -> list[Json]:
    return [fact for fact in finding["evidence"] if fact["source"].startswith("recovery-plan-job")]
