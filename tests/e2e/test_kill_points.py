"""The host is killed at each named step of a run, starts again, and the run ends where an undisturbed one ends.

The same for every point: Citrix and storage end up the same, no machine was written more often than without the crash,
and no write was seen whose remap was not durable by then. What takes a platform minutes is done from outside: the locks
of the dead worker expire, and its message comes back. One run waits for all of that itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests
from azure.data.tables import UpdateMode

from sandbox.citrix_site import SimHosting
from shared.azure.row_time import to_text
from shared.azure.work_queue import WorkStep
from shared.model.run import RunId
from shared.runs.resources import Resources
from tests.e2e.client import WORKING, Api, Json, eventually
from tests.e2e.conftest import App, Serve
from tests.e2e.estates import estate
from tests.e2e.kill_points import ESTATE, LONG, MOVED_FROM, MOVED_TO, REMAPS, TARGET, KillPoint, Phase, points

SECONDS = 20.0
SLOW_JOB_SECONDS = 3.0  # longer than a host needs to start
LONG_AGO = timedelta(minutes=15)
POLICY = {"maxChanges": 200, "maxChangePercent": 100, "switchCatalogZone": True}
STEPS = {
    Phase.PLAN: {"plan"},
    Phase.APPLY: {"plan", "apply", "reset", "move-zones"},
    Phase.AFTERWARDS: {"plan", "apply", "reset", "move-zones", "reset-again", "observe"},
    Phase.ROLL_BACK: {"plan", "apply", "rollback", "reset", "move-zones", "move-zones-back"},
}
TO = {Phase.PLAN: [], Phase.APPLY: [MOVED_TO], Phase.AFTERWARDS: [MOVED_TO], Phase.ROLL_BACK: [MOVED_TO, MOVED_FROM]}


@pytest.fixture(scope="module")
def app(serve: Serve) -> Iterator[App]:
    with serve(estate(ESTATE), storage_proxy=True) as running:
        yield running


@pytest.fixture(scope="module", autouse=True)
def abandoned(serve: Serve) -> Iterator[Left]:
    """A run whose host died after a batch was sent. Nobody helps it: it goes on while the other tests are at work."""
    with serve(estate(ESTATE)) as running:
        life = Life(running, running.name)
        life.plan()
        with running.sandbox.holds.hold("citrix", "submitBatch", when="after") as hold:
            life.order_apply()
            assert hold.reached(SECONDS)
            running.host.kill()
            assert hold.dropped(SECONDS)
        locks = {row["PartitionKey"] for row in running.rows("locks")}
        running.api.url = running.host.restart()
        yield Left(running, life.run_id, locks)


@dataclass(frozen=True)
class Left:
    """A run as a dead host left it; ``locks`` are the kinds that stood then."""

    app: App
    run_id: str
    locks: set[str]


@pytest.fixture(scope="module")
def undisturbed(app: App) -> dict[Phase, Json]:
    """What a run comes to that nothing happens to, by phase."""
    life = Life(app, app.add_profile("undisturbed", policy={**POLICY, "resetAgainAfterSeconds": 1}))
    with as_it_was(app)():
        found = {}
        for phase in Phase:
            life.begin(phase)
            life.rests(phase)
            found[phase] = outcome(app, life.run_id, phase)
    assert len(found[Phase.APPLY]["writes"]) == REMAPS
    assert {len(each) for each in found[Phase.ROLL_BACK]["writes"].values()} == {2}
    return found


@dataclass
class Life:
    """The life of one run, as its client drives it."""

    app: App
    profile: str
    run_id: str = ""

    @property
    def api(self) -> Api:
        return self.app.api

    def begin(self, phase: Phase) -> None:
        """Asks for what the phase does, once more if nobody knows whether the first time was heard."""
        match phase:
            case Phase.PLAN:
                key = {"Idempotency-Key": self.profile}
                answer = self.api.start(self.profile, {"mode": "review", "target": TARGET}, headers=key)
                assert answer.status_code == 202, answer.text
                self.run_id = answer.json()["id"]
            case Phase.APPLY:
                self.order_apply()
            case Phase.ROLL_BACK:
                self._ordered("rollback", {})

    def plan(self) -> None:
        self.begin(Phase.PLAN)
        self.rests(Phase.PLAN)

    def order_apply(self) -> None:
        fingerprint = self.api.of(self.run_id)["fingerprint"]
        self._ordered("approve", {"all": True, "fingerprint": fingerprint})

    def _ordered(self, action: str, body: Json) -> None:
        answer = self.api.act(self.run_id, action, body)
        # 409: the request whose answer was lost had done its work
        assert answer.status_code in (202, 409), answer.text

    def rests(self, phase: Phase) -> Json:
        """The run at the end of the phase; after its own end it is looked at without the usual 20 seconds' wait."""
        if phase is not Phase.AFTERWARDS:
            return self.api.until_rest(self.run_id, within=60)
        eventually(lambda: self._told("reset-again"))
        if not self._told("observe"):
            queue_again(self.app, self.run_id, WorkStep.OBSERVE)
        return eventually(lambda: self._told("observe"))

    def rests_by_itself(self) -> Json:
        return eventually(lambda: self._told("reset-again") and self._told("observe"), within=60)

    def _told(self, name: str) -> Json:
        run = self.api.of(self.run_id)
        over = {step["name"] for step in run["steps"] if step["status"] != "waiting"}
        return run if name in over else {}


def outcome(app: App, run_id: str, phase: Phase) -> Json:
    """Everything that must not depend on a crash: the run, its remaps, what is stored beside them, and Citrix."""
    run, world = app.api.of(run_id), app.sandbox.world
    whole = ("status", "mode", "target", "progress", "counts", "fingerprint", "guards", "clusters", "error")
    stored = app.rows("remaps", run_id)
    writes: dict[str, list[SimHosting]] = {}
    for write in world.history:
        writes.setdefault(write.machine_id, []).append(write.after)
    return {
        "run": {name: run[name] for name in whole},
        "steps": {step["name"]: step["status"] for step in run["steps"] if step["name"] in STEPS[phase]},
        "findings": app.api.findings(run_id),
        "approved": {row["RowKey"]: (row.get("sent"), row.get("approvedBy")) for row in stored},
        "departed": Resources(app.sandbox.environ).departed.of(world.site.id),
        "batches": {row["ended"] for row in app.rows("runs", f"batch:{run_id}")},
        "machines": {each.id: (each.hosting, each.power_state) for each in world.site.machines.values()},
        "zones": {each.name: (each.zone, each.moves) for each in world.site.catalogs.values()},
        "writes": writes,
    }


def departed(app: App) -> list[dict[str, Any]]:
    return [row for row in app.rows("remaps") if row["PartitionKey"].startswith("departed:")]


def as_it_was(app: App) -> Callable[[], Any]:
    """Puts back, when it ends, what a run changes in Citrix and in what is known of the site."""
    from contextlib import contextmanager

    return contextmanager(lambda: _as_it_was(app))


def _as_it_was(app: App) -> Iterator[None]:
    site, world = app.sandbox.world.site, app.sandbox.world
    machines = {each.id: replace(each) for each in site.machines.values()}
    zones = {each.id: (each.zone_id, each.zone) for each in site.catalogs.values()}
    yield
    app.sandbox.holds.release_all()
    app.queue().clear_messages()
    eventually(lambda: all(job.ended for job in site.jobs.values()))
    world.job_start_seconds = 0.0
    site.jobs.clear()
    site.machines.update(machines)
    for catalog in site.catalogs.values():
        (catalog.zone_id, catalog.zone), catalog.moves = zones[catalog.id], 0
    for connection in site.connections.values():
        connection.resets = 0
    world.history.clear()
    world.writes.clear()
    with app.tables() as service:
        for row in departed(app):
            service.get_table_client("remaps").delete_entity(row)


def unrecorded(app: App, run_id: str, rows: list[dict[str, Any]]) -> list[object]:
    """Writes that Citrix has seen and no row of the run accounts for."""
    connections = {each.id: each.name for each in app.sandbox.world.site.connections.values()}
    known = {row["RowKey"]: row for row in rows if row.get("sent")}

    def recorded(machine: str, before: SimHosting, after: SimHosting) -> bool:
        row = known.get(machine)
        if row is None:
            return False
        places = [(row[f"{end}Connection"], row[f"{end}MachineId"].lower()) for end in ("from", "to")]
        seen = [(connections[str(at.connection_id)], str(at.hosted_machine_id).lower()) for at in (before, after)]
        forth = seen == places and row["state"] not in ("proposed", "approved", "rejected", "superseded")
        return forth or seen == places[::-1]

    return [each for each in app.sandbox.world.history if not recorded(each.machine_id, each.before, each.after)]


def time_passes(app: App) -> None:
    """The locks of a dead worker expire, and the sweeper finds that nobody was at work for a while."""
    long_ago = to_text(datetime.now(UTC) - LONG_AGO)
    with app.tables() as service:
        for lock in app.rows("locks"):
            if lock["PartitionKey"] != "hold":
                changed = {name: lock[name] for name in ("PartitionKey", "RowKey")} | {"expiresAt": long_ago}
                service.get_table_client("locks").update_entity(changed, mode=UpdateMode.MERGE)
        for row in app.rows("runs", "run"):
            if row["status"] in WORKING:
                changed = {"PartitionKey": "run", "RowKey": row["RowKey"], "updatedAt": long_ago}
                service.get_table_client("runs").update_entity(changed, mode=UpdateMode.MERGE)


def queue_again(app: App, run_id: str, step: WorkStep) -> None:
    """The platform delivers the message of a dead worker anew."""
    Resources(app.sandbox.environ).queue.send(RunId(run_id), step)


STEP_OF = {Phase.PLAN: WorkStep.PLAN, Phase.APPLY: WorkStep.APPLY, Phase.ROLL_BACK: WorkStep.ROLLBACK}


def step_of(point: KillPoint) -> WorkStep:
    if point.phase is Phase.AFTERWARDS:
        return WorkStep.OBSERVE if "power" in point.name else WorkStep.RESET_AGAIN
    return STEP_OF[point.phase]


def killed_at(app: App, point: KillPoint, life: Life) -> None:
    """The phase begins, the host dies at the point and starts again, and whoever was there asks or delivers again."""
    world, call = app.sandbox.world, point.call
    world.job_start_seconds = SLOW_JOB_SECONDS if point.slow else 0.0
    if point.phase is Phase.AFTERWARDS and step_of(point) is WorkStep.OBSERVE:
        eventually(lambda: "reset-again" in {step["name"] for step in app.api.of(life.run_id)["steps"]})
        queue_again(app, life.run_id, WorkStep.OBSERVE)
    with (
        ThreadPoolExecutor(1) as pool,
        app.sandbox.holds.hold(call.system, call.operation, point.when, point.nth, call.match) as hold,
    ):
        asked = pool.submit(life.begin, point.phase)
        if not point.asking:
            asked.result(SECONDS)
        assert hold.reached(SECONDS), f"the run never came to {point.name}"
        app.host.kill()
        assert hold.dropped(SECONDS)
        unheard = unanswered(asked)
    rows = [row for row in app.rows("remaps") if not row["PartitionKey"].startswith("departed:")]
    if not point.slow:
        eventually(lambda: all(job.ended for job in list(world.site.jobs.values())))
    assert unrecorded(app, life.run_id, rows) == []
    time_passes(app)
    if not point.asking:
        queue_again(app, life.run_id, step_of(point))
    app.api.url = app.host.restart()
    assert unheard == point.asking
    if unheard:
        life.begin(point.phase)
        app.api.fire("sweep")


def unanswered(asked: Future[None]) -> bool:
    try:
        asked.result(SECONDS)
    except requests.ConnectionError:
        return True
    return False


@pytest.mark.parametrize("point", points(), ids=lambda point: point.name)
def test_a_run_whose_host_is_killed_ends_as_if_nothing_had_happened(
    app: App, undisturbed: dict[Phase, Json], point: KillPoint
) -> None:
    again = 2 if point.phase is Phase.AFTERWARDS or point.onward else 0
    life = Life(app, app.add_profile(point.name, policy={**POLICY, "resetAgainAfterSeconds": again}))
    with as_it_was(app)():
        for phase in Phase:
            if phase > point.phase:
                break
            if phase is Phase.AFTERWARDS and point.phase is not Phase.AFTERWARDS:
                continue
            if phase is point.phase:
                killed_at(app, point, life)
            else:
                life.begin(phase)
            life.rests(phase)
        end = Phase.AFTERWARDS if point.onward else point.phase
        if point.onward and LONG:
            life.rests_by_itself()
        life.rests(end)
        found = outcome(app, life.run_id, end)
        for part, wanted in undisturbed[end].items():
            assert found[part] == wanted, part
        assert unrecorded(app, life.run_id, app.rows("remaps", life.run_id)) == []
        resets = {each.name: each.resets for each in app.sandbox.world.site.connections.values()}
        assert {name for name, number in resets.items() if number} == set(TO[end])


@pytest.mark.timeout(240)
def test_a_run_whose_host_was_killed_goes_on_by_itself_once_its_locks_expire(abandoned: Left) -> None:
    app, run_id = abandoned.app, abandoned.run_id
    assert {"profile", "site"} <= abandoned.locks

    def rested() -> Json:
        app.api.fire("sweep")
        run = app.api.of(run_id)
        return run if run["status"] not in WORKING else {}

    run = eventually(rested, within=150, every=2)
    assert (run["status"], run["counts"]["states"]) == ("completed", {"verified": REMAPS})
    writes = app.sandbox.world.history
    assert len(writes) == len({write.machine_id for write in writes}) == REMAPS
    assert unrecorded(app, run_id, app.rows("remaps", run_id)) == []
    assert "queued-again" in [event["action"] for event in app.api.all(f"/api/runs/{run_id}/events")]
