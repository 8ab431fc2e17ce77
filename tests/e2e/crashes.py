"""What the tests of crashes share: a run's life as its client drives it, what it comes to, and the estate as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sandbox.citrix_site import SimHosting
from shared.azure.row_time import to_text
from shared.azure.work_queue import WorkStep
from shared.model.run import RunId
from shared.runs.resources import Resources
from tests.e2e.client import WORKING, Api, Json, eventually
from tests.e2e.conftest import App
from tests.e2e.kill_points import TARGET, Phase
from tests.e2e.review import change_row

LONG_AGO = timedelta(minutes=15)
NOT_WRITTEN = ("proposed", "approved", "rejected", "superseded")
STEPS = {
    Phase.PLAN: {"plan"},
    Phase.APPLY: {"plan", "apply", "reset", "move-zones"},
    Phase.AFTERWARDS: {"plan", "apply", "reset", "move-zones", "reset-again", "observe"},
    Phase.ROLL_BACK: {"plan", "apply", "rollback", "reset", "move-zones", "move-zones-back"},
}


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
        """Asks for what the phase does; the steps after a run's end come without being asked for.

        Raises ``ConnectionError`` where the host dies over it. Asking again is right then, whether or not it was heard.
        """
        match phase:
            case Phase.PLAN:
                key = {"Idempotency-Key": self.profile}
                answer = self.api.start(self.profile, {"mode": "review", "target": TARGET}, headers=key)
                assert answer.status_code == 202, answer.text
                self.run_id = answer.json()["id"]
            case Phase.APPLY:
                fingerprint = self.api.of(self.run_id)["fingerprint"]
                self._ordered("approve", {"all": True, "fingerprint": fingerprint})
            case Phase.ROLL_BACK:
                self._ordered("rollback", {})

    def _ordered(self, action: str, body: Json) -> None:
        answer = self.api.act(self.run_id, action, body)
        # 409: the request whose answer was lost had done its work
        assert answer.status_code in (202, 409), answer.text

    def rests(self, phase: Phase) -> Json:
        """The run at the end of a phase. The look at the power states comes at once and not after its 20 seconds."""
        if phase is not Phase.AFTERWARDS:
            return self.api.until_rest(self.run_id, within=60)
        eventually(lambda: self.told("reset-again"))
        if not self.told("observe"):
            queue_again(self.app, self.run_id, WorkStep.OBSERVE)
        return eventually(lambda: self.told("observe"))

    def told(self, name: str) -> Json:
        """The run, once a step of that name is over."""
        run = self.api.of(self.run_id)
        over = {step["name"] for step in run["steps"] if step["status"] != "waiting"}
        return run if name in over else {}


def outcome(app: App, run_id: str, phase: Phase) -> Json:
    """Everything that must not depend on a crash: the run, its remaps, what is stored beside them, and Citrix."""
    run, world = app.api.of(run_id), app.sandbox.world
    whole = ("status", "mode", "target", "progress", "counts", "fingerprint", "guards", "clusters", "error")
    writes: dict[str, list[SimHosting]] = {}
    for write in world.history:
        writes.setdefault(write.machine_id, []).append(write.after)
    return {
        "run": {name: run[name] for name in whole},
        "steps": {step["name"]: step["status"] for step in run["steps"] if step["name"] in STEPS[phase]},
        "findings": app.api.findings(run_id),
        "rows": {row["RowKey"]: (row.get("sent"), row.get("approvedBy")) for row in app.rows("remaps", run_id)},
        "batches": {row["ended"] for row in app.rows("runs", f"batch:{run_id}")},
        "under way": run_id in Resources(app.sandbox.environ).batches.begun(world.site.id),
        "moves": {row["catalog"]: row["state"] for row in app.rows("runs", f"zone:{run_id}")},
        "departed": Resources(app.sandbox.environ).departed.of(world.site.id),
        "machines": {each.id: (each.hosting, each.power_state) for each in world.site.machines.values()},
        "zones": {each.name: (each.zone, each.moves) for each in world.site.catalogs.values()},
        "writes": writes,
    }


def unrecorded(app: App, rows: list[dict[str, Any]]) -> list[object]:
    """Writes that Citrix has executed and that none of the ``rows`` of remaps accounts for."""
    connections = {each.id: each.name for each in app.sandbox.world.site.connections.values()}
    sent = {row["RowKey"]: row for row in rows if row.get("sent")}

    def recorded(machine: str, before: SimHosting, after: SimHosting) -> bool:
        row = sent.get(machine)
        if row is None or row["state"] in NOT_WRITTEN:
            return False
        places = [(row[f"{end}Connection"], row[f"{end}MachineId"].lower()) for end in ("from", "to")]
        seen = [(connections[str(at.connection_id)], str(at.hosted_machine_id).lower()) for at in (before, after)]
        return seen in (places, places[::-1])

    return [each for each in app.sandbox.world.history if not recorded(each.machine_id, each.before, each.after)]


def remap_rows(app: App, run_id: str) -> list[dict[str, Any]]:
    """The remaps of a run as they stand in storage; none of a run that is not known yet."""
    return [row for row in app.rows("remaps", run_id or "none") if row.get("state")]


@contextmanager
def as_it_was(app: App) -> Iterator[None]:
    """Afterwards Citrix has what it had before, nothing is queued, and no trace of the runs is left in the world."""
    world = app.sandbox.world
    site = world.site
    machines = {each.id: replace(each) for each in site.machines.values()}
    zones = {each.id: (each.zone_id, each.zone) for each in site.catalogs.values()}
    try:
        yield
    finally:
        app.sandbox.holds.release_all()
        app.queue().clear_messages()
        eventually(lambda: jobs_ended(app))
        world.job_start_seconds, world.nested_items = 0.0, 0
        app.sandbox.faults.clear("batch-item-fail")
        site.jobs.clear()
        site.machines.update(machines)
        for catalog in site.catalogs.values():
            (catalog.zone_id, catalog.zone), catalog.moves = zones[catalog.id], 0
        for connection in site.connections.values():
            connection.resets = 0
        world.history.clear()
        world.writes.clear()
        with app.tables() as service:
            for row in app.rows("remaps"):
                if row["PartitionKey"].startswith("departed:"):
                    service.get_table_client("remaps").delete_entity(row)


def jobs_ended(app: App) -> bool:
    """True when nothing is under way at Citrix."""
    return all(job.ended for job in list(app.sandbox.world.site.jobs.values()))


def time_passes(app: App) -> None:
    """The locks of a dead worker expire, the sweeper finds that nobody was at work, and no call is under way."""
    long_ago = to_text(datetime.now(UTC) - LONG_AGO)
    for lock in app.rows("locks"):
        if "expiresAt" in lock:
            change_row(app, "locks", lock["PartitionKey"], lock["RowKey"], expiresAt=long_ago)
    for row in app.rows("runs", "run"):
        if row["status"] in WORKING:
            change_row(app, "runs", "run", row["RowKey"], updatedAt=long_ago)
    for row in app.rows("runs"):
        if row.get("alone") and not row["ended"]:
            change_row(app, "runs", row["PartitionKey"], row["RowKey"], beganAt=long_ago)


def queue_again(app: App, run_id: str, step: WorkStep) -> None:
    """The platform delivers a message once more."""
    Resources(app.sandbox.environ).queue.send(RunId(run_id), step)
