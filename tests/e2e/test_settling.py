"""Settling: a DR run looks at its target again until every machine has shown up there or the time is up (design, 4).

Nobody waits in between: no worker thread (this host has one), no lock, no attempt.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from sandbox.world import SimVm
from tests.e2e.client import Json, eventually
from tests.e2e.conftest import App, Serve
from tests.e2e.estates import by_host, clusters, estate, of, profile
from tests.e2e.test_starting import check_problem

# Each Prism Central has one machine whose VM is late in its own way.
ESTATE = """
name: settling
connections:
  - {name: Nutanix AHV Paris}
  - {name: Nutanix Amsterdam, plugin: AcropolisPCFactory}
  - {name: Nutanix Berlin, plugin: AcropolisPCFactory}
  - {name: Nutanix Cork, plugin: AcropolisPCFactory}
  - {name: Nutanix AHV Lyon}
clusters:
  - {name: paris, api: element-v2, hostingConnection: Nutanix AHV Paris, registered: [{name: PAR-CL01}]}
  - {name: amsterdam, api: central-v4, hostingConnection: Nutanix Amsterdam, registered: [{name: AMS-CL01}]}
  - {name: berlin, api: central-v4, hostingConnection: Nutanix Berlin, registered: [{name: BER-CL01}]}
  - {name: cork, api: central-v3, v4: false, hostingConnection: Nutanix Cork, registered: [{name: CRK-CL01}]}
  - {name: lyon, api: element-v2, hostingConnection: Nutanix AHV Lyon, registered: [{name: LYO-CL01}]}
protectionDomains:
  - {name: PD-VDI, active: [LYO-CL01], inactive: [PAR-CL01]}
catalogs: [{name: Persistent W11}, {name: Protected W11}]
machines:
  - {names: "W11-{:02d}", count: 3, catalog: Persistent W11, record: {connection: Nutanix AHV Paris, id: old},
     vms: [{at: PAR-CL01, id: old, power: "off"}, {at: AMS-CL01, id: new}, {at: BER-CL01, id: new},
           {at: CRK-CL01, id: new}]}
  - {names: LATE-01, catalog: Persistent W11, record: {connection: Nutanix AHV Paris, id: old},
     vms: [{at: PAR-CL01, id: old, power: "off"}, {at: AMS-CL01, id: new}]}
  - {names: LATE-02, catalog: Persistent W11, record: {connection: Nutanix AHV Paris, id: old},
     vms: [{at: PAR-CL01, id: old, power: "off"}, {at: CRK-CL01, id: new}]}
  # Never moved: it is seen running at home, so nobody waits for it.
  - {names: HOME-01, catalog: Persistent W11, record: {connection: Nutanix AHV Paris, id: vm},
     vms: [{at: PAR-CL01, id: vm}]}
  # These move with a protection domain.
  - {names: "PD-{:02d}", count: 2, catalog: Protected W11, record: {connection: Nutanix AHV Paris, id: vm},
     vms: [{at: LYO-CL01, id: vm, domain: PD-VDI}]}
profile: {name: settling, policy: {maxChangePercent: 100, dr: {mode: review}}}
"""
PARIS_VMS = "/PrismGateway/services/rest/v2.0/vms"
V4_VMS = "/api/vmm/{version}/ahv/config/vms"
V3_VMS = "/api/nutanix/v3/vms/list"
NOT_THERE = {"amsterdam": ["LATE-02"], "berlin": ["LATE-02", "HOME-01"], "cork": ["LATE-01", "HOME-01"]}
SETTLING = 25
TO_LYON: Json = {"target": "lyon", "scope": {"protectionDomain": "PD-VDI"}}


@dataclass
class Settled:
    """Three runs that settled side by side: as they waited, what else got through, and as they ended."""

    without: Json
    waiting: Json
    through: Json
    after_through: Json
    seen: Json
    given_up: Json
    seen_by_v3: Json
    machine_reads: int
    paris_reads: int
    amsterdam_reads: int


@pytest.fixture(scope="module")
def app(serve: Serve) -> Iterator[App]:
    with serve(estate(ESTATE), {"PYTHON_THREADPOOL_THREAD_COUNT": "1"}) as running:
        for central, others in NOT_THERE.items():
            running.add_profile(
                f"to-{central}",
                clusters=clusters(running, "paris", central),
                scope={"catalogs": ["Persistent W11"], "exclude": others},
            )
        # nobody waits for Paris once the target has been read, and this needs to hear from it
        running.sandbox.faults.set("prism-slow", "amsterdam:150")
        yield running


def vm_of(app: App, host: str, cluster: str) -> SimVm:
    (prism_cluster,) = app.sandbox.world.prisms[cluster].clusters
    return next(vm for vm in prism_cluster.vms.values() if vm.name == host)


def waits(app: App, run_id: str) -> Json:
    run = app.api.of(run_id)
    return run if run["notBefore"] is not None else {}


@pytest.fixture(scope="module")
def settled(app: App) -> Settled:
    calls = app.sandbox.calls
    vm_of(app, "LATE-01", "amsterdam").late = 1
    without = app.api.run("to-amsterdam", {"target": "amsterdam"})
    vm_of(app, "LATE-01", "amsterdam").late = 3  # one of its readings is that of the run that gets through
    vm_of(app, "LATE-02", "cork").late = 1
    calls.clear()
    asked = {"to-amsterdam": SETTLING, "to-berlin": 6, "to-cork": SETTLING}
    started = {
        name: app.api.start(name, {"target": name.removeprefix("to-"), "settleSeconds": seconds}).json()["id"]
        for name, seconds in asked.items()
    }
    waiting = eventually(lambda: waits(app, started["to-amsterdam"]))
    app.api.fire("sweep")
    through = app.api.run("to-amsterdam", {"mode": "report", "target": "amsterdam"})
    after_through = app.api.of(started["to-amsterdam"])
    ended = {name: app.api.until_rest(run_id) for name, run_id in started.items()}
    return Settled(
        without=without,
        waiting=waiting,
        through=through,
        after_through=after_through,
        seen=ended["to-amsterdam"],
        given_up=ended["to-berlin"],
        seen_by_v3=ended["to-cork"],
        machine_reads=calls.count("citrix", "GET", "/Machines"),
        paris_reads=calls.count("prism/paris", "GET", PARIS_VMS),
        amsterdam_reads=calls.count("prism/amsterdam", "GET", V4_VMS),
    )


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def steps(run: Json) -> list[tuple[str, str]]:
    return [(step["name"], step["status"]) for step in run["steps"]]


def test_without_settling_what_shows_up_late_is_missing(app: App, settled: Settled) -> None:
    finding = by_host(app, settled.without)["LATE-01"]
    assert (finding["finding"], finding["reason"]) == ("missing", "not-on-target")
    assert steps(settled.without) == [("plan", "done")]


def test_what_shows_up_late_is_found_by_a_run_that_settles(app: App, settled: Settled) -> None:
    run = settled.seen
    finding = by_host(app, run)["LATE-01"]
    assert (finding["finding"], finding["reason"]) == ("remap", "vm-moved")
    assert finding["to"]["hostedMachineId"] == vm_of(app, "LATE-01", "amsterdam").uuid
    assert (run["status"], run["error"]) == ("awaiting-review", None)
    assert run["settleSeconds"] == SETTLING
    assert steps(run) == [("settle", "done"), ("plan", "done")]
    assert run["notBefore"] is None
    assert of(run, "amsterdam")["vms"] == 4


def test_an_older_central_is_looked_at_again_in_the_same_way(app: App, settled: Settled) -> None:
    assert by_host(app, settled.seen_by_v3)["LATE-02"]["finding"] == "remap"
    assert steps(settled.seen_by_v3) == [("settle", "done"), ("plan", "done")]
    assert of(settled.seen_by_v3, "cork")["api"] == "central-v3"


def test_when_the_time_is_up_what_never_came_is_missing(app: App, settled: Settled) -> None:
    run = settled.given_up
    finding = by_host(app, run)["LATE-01"]
    assert (finding["finding"], finding["reason"]) == ("missing", "not-on-target")
    assert (run["status"], run["counts"]["findings"]) == ("awaiting-review", {"excluded": 2, "missing": 1, "remap": 3})
    assert steps(run) == [("settle", "done"), ("plan", "done")]
    settle = run["steps"][0]["detail"]
    assert "1 machine" in settle
    assert "berlin" in settle
    assert at(run["steps"][-1]["at"]) - at(run["startedAt"]) >= timedelta(seconds=6)
    assert at(run["steps"][-1]["at"]) - at(run["startedAt"]) < timedelta(seconds=15)


def test_while_it_waits_a_run_says_what_for_and_until_when(settled: Settled) -> None:
    run = settled.waiting
    assert (run["status"], run["attempts"], run["endedAt"]) == ("planning", 0, None)
    assert 0 < run["progress"] < 100
    (step,) = run["steps"]
    assert (step["name"], step["status"]) == ("settle", "waiting")
    assert step["detail"] == (
        f"At {at(step['at']):%H:%M:%S} UTC 1 machine in scope had not shown up at amsterdam, so it is read again."
    )
    assert timedelta(seconds=4) < at(run["notBefore"]) - at(step["at"]) < timedelta(seconds=6)
    assert of(run, "amsterdam").items() >= {"status": "answered", "vms": 3}.items(), "it shows what it has seen so far"


def test_while_it_waits_another_run_of_the_profile_gets_through(settled: Settled) -> None:
    assert settled.through["status"] == "planned"
    assert [step["name"] for step in settled.through["steps"]] == ["plan"], "it did not wait for the profile"
    assert settled.after_through["status"] == "planning"
    assert at(settled.through["endedAt"]) < at(settled.seen["steps"][-1]["at"])


def test_only_the_target_is_read_again(settled: Settled) -> None:
    runs = 4  # three that settle and the one that got through
    assert settled.machine_reads == runs
    assert settled.paris_reads == runs
    assert settled.amsterdam_reads == 1 + 3, "the run that got through, and three looks"


def test_looking_again_uses_up_no_attempts_and_the_sweeper_leaves_it_alone(app: App, settled: Settled) -> None:
    for run in (settled.seen, settled.given_up, settled.seen_by_v3):
        assert run["attempts"] == 1
        events = [event["action"] for event in app.api.all(f"/api/runs/{run['id']}/events")]
        assert events == ["run-requested", "planned"]


def test_a_run_that_finds_everybody_at_once_does_not_look_again(app: App) -> None:
    vm_of(app, "LATE-01", "amsterdam").late = 0
    app.sandbox.calls.clear()
    run = app.api.run("to-amsterdam", {"target": "amsterdam", "settleSeconds": 1_800})
    assert by_host(app, run)["LATE-01"]["finding"] == "remap"
    assert by_host(app, run)["HOME-01"]["finding"] == "aligned"
    assert steps(run) == [("plan", "done")]
    assert app.sandbox.calls.count("prism/amsterdam", "GET", V4_VMS) == 1


def test_a_target_that_comes_up_while_the_run_settles_is_read(app: App) -> None:
    app.sandbox.faults.set("relay-down", "berlin")
    scope = {"machines": ["W11-01", "W11-02"]}
    run_id = app.api.start("to-berlin", {"target": "berlin", "settleSeconds": 60, "scope": scope}).json()["id"]
    try:
        waiting = eventually(lambda: waits(app, run_id))
    finally:
        app.sandbox.faults.clear("relay-down")
    assert of(waiting, "berlin")["status"] == "unreachable"
    run = app.api.until_rest(run_id)
    assert of(run, "berlin").items() >= {"status": "answered", "error": None}.items()
    assert run["counts"]["findings"] == {"remap": 2}
    assert steps(run) == [("settle", "done"), ("plan", "done")]


def test_a_run_that_waits_outlives_its_host(app: App) -> None:
    vm_of(app, "LATE-02", "cork").late = 1
    app.sandbox.calls.clear()
    run_id = app.api.start("to-cork", {"target": "cork", "settleSeconds": SETTLING}).json()["id"]
    eventually(lambda: waits(app, run_id))
    app.host.kill()
    app.api.url = app.host.restart()
    run = app.api.until_rest(run_id)
    assert by_host(app, run)["LATE-02"]["finding"] == "remap"
    assert (run["attempts"], steps(run)) == (1, [("settle", "done"), ("plan", "done")])
    assert app.sandbox.calls.count("citrix", "GET", "/Machines") == 2, "what the old host had read died with it"


@pytest.fixture
def in_between(app: App) -> Iterator[Callable[[], None]]:
    """The moment of a migration in which the domain is active nowhere and no cluster lists its VMs; call to end it."""
    (lyon,) = app.sandbox.world.prisms["lyon"].clusters
    domain, vms = lyon.domains["PD-VDI"], dict(lyon.vms)

    def arrive() -> None:
        lyon.vms.update(vms)
        domain.active = True

    domain.active = False
    for entry in domain.vms:
        del lyon.vms[entry.uuid]
    yield arrive
    arrive()


def test_a_protection_domain_that_is_active_nowhere_yet_is_waited_for(app: App, in_between: Callable[[], None]) -> None:
    with profile(app, "to-lyon", clusters=clusters(app, "paris", "lyon")) as name:
        run_id = app.api.start(name, {**TO_LYON, "settleSeconds": 60}).json()["id"]
        waiting = eventually(lambda: waits(app, run_id))
        in_between()
        run = app.api.until_rest(run_id)
    (step,) = waiting["steps"]
    assert (waiting["status"], waiting["error"]) == ("planning", None)
    assert (step["name"], step["status"]) == ("settle", "waiting")
    assert step["detail"] == (
        f"At {at(step['at']):%H:%M:%S} UTC the protection domain of the scope had not shown up at lyon, so it is read "
        "again."
    )
    assert (run["status"], run["error"]) == ("awaiting-review", None)
    assert steps(run) == [("settle", "done"), ("plan", "done")]
    assert {(host, f["finding"], f["to"]["hostingConnection"]) for host, f in by_host(app, run).items()} == {
        ("PD-01", "remap", "Nutanix AHV Lyon"), ("PD-02", "remap", "Nutanix AHV Lyon"),
    }  # fmt: skip


@pytest.mark.usefixtures("in_between")
@pytest.mark.parametrize(
    ("more", "told"),
    [
        pytest.param({}, [("plan", "failed")], id="at-once-without-settling"),
        pytest.param({"settleSeconds": 6}, [("settle", "done"), ("plan", "failed")], id="when-the-time-is-up"),
    ],
)
def test_a_protection_domain_that_never_becomes_active_fails_the_run(
    app: App, more: Json, told: list[tuple[str, str]]
) -> None:
    with profile(app, "to-lyon", clusters=clusters(app, "paris", "lyon")) as name:
        run = app.api.run(name, {**TO_LYON, **more})
    assert run["status"] == "failed"
    for part in ("scope.protectionDomain: 'PD-VDI' is not active on the target lyon", "Activate or migrate it"):
        assert part in run["error"]
    assert steps(run) == told
    assert run["steps"][-1]["detail"] == run["error"]
    assert of(run, "lyon")["status"] == "answered"
    assert by_host(app, run) == {}


def test_a_protection_domain_that_no_cluster_knows_is_not_waited_for(app: App) -> None:
    scope = {"protectionDomain": "PD-NOWHERE"}
    with profile(app, "to-lyon", clusters=clusters(app, "paris", "lyon")) as name:
        run = app.api.run(name, {"target": "lyon", "scope": scope, "settleSeconds": 60})
    assert (run["status"], steps(run)) == ("failed", [("plan", "failed")])
    assert "known on: no cluster" in run["error"]


@pytest.mark.usefixtures("in_between")
@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param({"target": "lyon", "scope": {"machines": ["W11-01", "PD-01"]}}, "completed", id="machines"),
        pytest.param({"target": "lyon", "scope": {"protectionDomain": "PD-VDI"}}, "failed", id="protection-domain"),
    ],
)
def test_a_target_that_refuses_its_credential_does_not_settle(app: App, body: Json, status: str) -> None:
    """Time heals no password."""
    app.sandbox.vault.put("prism-wrong", json.dumps({"username": "svc-realign", "password": "wrong"}))
    wrong = clusters(app, "paris", "lyon", lyon={"credential": "prism-wrong"})
    with profile(app, "to-lyon", clusters=wrong) as name:
        run = app.api.run(name, {**body, "settleSeconds": 60})
    assert (run["status"], [step["name"] for step in run["steps"]]) == (status, ["plan"])
    assert of(run, "lyon")["status"] == "refused"
    assert at(run["endedAt"]) - at(run["startedAt"]) < timedelta(seconds=30)


SOON = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
REFUSED: dict[str, tuple[Json, str, str]] = {
    "settling-without-a-target": ({"settleSeconds": 60}, "settleSeconds", "target"),
    "settling-too-long": ({"target": "berlin", "settleSeconds": 1_801}, "settleSeconds", "1800"),
    "settling-less-than-not-at-all": ({"target": "berlin", "settleSeconds": -1}, "settleSeconds", "0"),
    "an-incident-in-the-future": ({"target": "berlin", "incidentStart": SOON}, "incidentStart", "has not come yet"),
    "an-incident-at-the-first-time-there-is": (
        {"target": "berlin", "incidentStart": "0001-01-01T00:00:00+14:00"},
        "incidentStart",
        "before the year 2000",
    ),
    "an-incident-in-no-time-zone": ({"incidentStart": "2026-11-20T03:00:00"}, "incidentStart", "time zone"),
    "an-incident-that-is-no-time": ({"incidentStart": "yesterday"}, "incidentStart", "incidentStart"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_meant_is_refused_with_its_field(app: App, case: str) -> None:
    body, field, part = REFUSED[case]
    before = len(app.api.all("/api/runs", profile="to-berlin"))
    problem = check_problem(app.api.start("to-berlin", body), 400, "invalid-request")
    assert problem["field"] == field
    assert part in problem["detail"]
    hooked = check_problem(app.api.hook("POST", json={"profile": "to-berlin", **body}), 400, "invalid-request")
    assert hooked["field"] == field
    assert len(app.api.all("/api/runs", profile="to-berlin")) == before
