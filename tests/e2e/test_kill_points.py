"""The host is killed at each named step of a run, starts again, and the run ends where an undisturbed one ends.

The same for every point: Citrix and storage end up the same, no machine was written more often than without the crash,
and no write was seen whose remap was not durable by then. What takes a platform minutes is done from outside: the locks
of the dead worker expire, and its message comes back. One run waits for all of that by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import pytest
import requests

from shared.azure.work_queue import WorkStep
from tests.e2e.client import WORKING, Json, eventually
from tests.e2e.conftest import App, Serve
from tests.e2e.crashes import Life, as_it_was, jobs_ended, outcome, queue_again, remap_rows, time_passes, unrecorded
from tests.e2e.estates import estate
from tests.e2e.kill_points import ESTATE, LONG, MOVED_FROM, MOVED_TO, POLICY, REMAPS, KillPoint, Phase, points

SECONDS = 20.0
SLOW_JOB_SECONDS = 4.0  # longer than a host needs to start and to come to the site
WRITTEN_TO = {
    Phase.PLAN: set(),
    Phase.APPLY: {MOVED_TO},
    Phase.AFTERWARDS: {MOVED_TO},
    Phase.ROLL_BACK: {MOVED_TO, MOVED_FROM},
}
MESSAGE_OF = {Phase.PLAN: WorkStep.PLAN, Phase.APPLY: WorkStep.APPLY, Phase.ROLL_BACK: WorkStep.ROLLBACK}


@dataclass(frozen=True)
class Left:
    """A run as a dead host left it; ``locks`` are the kinds that stood then."""

    app: App
    run_id: str
    locks: set[str]


@pytest.fixture(scope="module")
def app(serve: Serve) -> Iterator[App]:
    with serve(estate(ESTATE), storage_proxy=True) as running:
        yield running


@pytest.fixture(scope="module", autouse=True)
def abandoned(serve: Serve) -> Iterator[Left]:
    """A run whose host died after a batch was sent. Nobody helps it: it goes on while the other tests are at work."""
    with serve(estate(ESTATE)) as running:
        life = Life(running, running.name)
        life.begin(Phase.PLAN)
        life.rests(Phase.PLAN)
        with running.sandbox.holds.hold("citrix", "submitBatch", when="after") as hold:
            life.begin(Phase.APPLY)
            assert hold.reached(SECONDS)
            running.host.kill()
            assert hold.dropped(SECONDS)
        locks = {row["PartitionKey"] for row in running.rows("locks")}
        running.api.url = running.host.restart()
        yield Left(running, life.run_id, locks)


@pytest.fixture(scope="module")
def undisturbed(app: App) -> dict[Phase, Json]:
    """What a run comes to that nothing happens to, by phase."""
    life = Life(app, app.add_profile("undisturbed", policy={**POLICY, "resetAgainAfterSeconds": 1}))
    found = {}
    with as_it_was(app):
        for phase in Phase:
            life.begin(phase)
            life.rests(phase)
            found[phase] = outcome(app, life.run_id, phase)
    assert [len(found[phase]["writes"]) for phase in Phase] == [0, REMAPS, REMAPS, REMAPS]
    assert {len(written) for written in found[Phase.APPLY]["writes"].values()} == {1}
    assert {len(written) for written in found[Phase.ROLL_BACK]["writes"].values()} == {2}
    assert [moves for _, moves in found[Phase.ROLL_BACK]["zones"].values()] == [2, 0]
    return found


@pytest.fixture
def afresh(app: App) -> Iterator[None]:
    """Whatever becomes of a test, the next one finds the world as it was, a host, and nobody at work."""
    with as_it_was(app):
        yield
        if any(row["status"] in WORKING for row in app.rows("runs", "run")):
            app.host.kill()
    if not app.host.running:
        app.api.url = app.host.restart()


def message_of(point: KillPoint) -> WorkStep:
    if point.phase is Phase.AFTERWARDS:
        return WorkStep.OBSERVE if "power-states" in point.name else WorkStep.RESET_AGAIN
    return MESSAGE_OF[point.phase]


def killed_at(app: App, point: KillPoint, life: Life) -> None:
    """The phase begins, the host dies at the point and starts again; then the message comes back, or the client."""
    if point.items == "refused":
        app.sandbox.faults.set("batch-item-fail", 2)
    if point.items == "nested":
        app.sandbox.world.nested_items = 10
    unheard = killed(app, point, life)
    rows = remap_rows(app, life.run_id)
    if point.slow:
        assert not jobs_ended(app)
    else:
        eventually(lambda: jobs_ended(app))
    assert unrecorded(app, rows) == []
    assert unheard == point.asking
    time_passes(app)
    if not point.asking:
        queue_again(app, life.run_id, message_of(point))
    app.api.url = app.host.restart()
    if point.asking:
        life.begin(point.phase)
        app.api.fire("sweep")


def killed(app: App, point: KillPoint, life: Life) -> bool:
    """Whether the client, too, lost its answer."""
    if message_of(point) is WorkStep.OBSERVE:
        eventually(lambda: life.told("reset-again"))
        queue_again(app, life.run_id, WorkStep.OBSERVE)
    call, holds = point.call, app.sandbox.holds
    with (
        ThreadPoolExecutor(1) as pool,
        holds.hold("citrix", point.slow) as slow,
        holds.hold(call.system, call.operation, point.when, point.nth, call.match) as hold,
    ):
        asked = pool.submit(life.begin, point.phase)
        if not point.asking:
            asked.result(SECONDS)
        if point.slow:
            assert slow.reached(SECONDS)
            app.sandbox.world.job_start_seconds = SLOW_JOB_SECONDS
            slow.release()
        assert hold.reached(SECONDS), f"the run never came to {point.name}"
        app.host.kill()
        assert hold.dropped(SECONDS)
        return is_lost(asked)


def is_lost(asked: Future[None]) -> bool:
    try:
        asked.result(SECONDS)
    except requests.ConnectionError:
        return True
    return False


@pytest.mark.usefixtures("afresh")
@pytest.mark.parametrize("point", points(), ids=lambda point: point.name)
def test_a_run_whose_host_is_killed_ends_as_if_nothing_had_happened(
    app: App, undisturbed: dict[Phase, Json], point: KillPoint
) -> None:
    end = Phase.AFTERWARDS if point.onward else point.phase
    again = 2 if end is Phase.AFTERWARDS else 0
    life = Life(app, app.add_profile(point.name, policy={**POLICY, "resetAgainAfterSeconds": again}))
    for phase in (Phase.PLAN, Phase.APPLY):
        if phase < point.phase:
            life.begin(phase)
            life.rests(phase)
    killed_at(app, point, life)
    life.rests(point.phase)
    if point.onward and LONG:
        eventually(lambda: life.told("observe"), within=60)  # its message is there, too
    life.rests(end)
    found = outcome(app, life.run_id, end)
    for part, wanted in undisturbed[end].items():
        assert found[part] == wanted, part
    assert unrecorded(app, remap_rows(app, life.run_id)) == []
    assert {each.name for each in app.sandbox.world.site.connections.values() if each.resets} == WRITTEN_TO[end]


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
    assert unrecorded(app, remap_rows(app, run_id)) == []
    assert "queued-again" in [event["action"] for event in app.api.all(f"/api/runs/{run_id}/events")]
