"""Two hosts on one queue and one storage: whatever reaches them, and however often, only one of them applies.

No two runs write to a site by turns: the one that comes second waits, and goes on by itself. Each machine is written
once, and each write is that of one run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby

import pytest

from sandbox.host_process import HostProcess
from shared.azure.work_queue import WorkStep
from tests.e2e.client import Api, Json, eventually
from tests.e2e.conftest import App, Serve
from tests.e2e.crashes import Life, as_it_was, queue_again, remap_rows, time_passes, unrecorded
from tests.e2e.estates import estate
from tests.e2e.kill_points import BEFORE_A_LOCK, ESTATE, MOVED_TO, REMAPS, TARGET, Phase

SECONDS = 20.0
SOME, OTHERS = range(1, 61), range(41, REMAPS + 1)  # they overlap
AUTO = {"mode": "auto", "target": TARGET}
DR = {"mode": "auto", "maxChanges": 200, "maxChangePercent": 100}
POLICY = {"dr": DR, "resetAgainAfterSeconds": 0}


@dataclass
class Hosts:
    """The app with its host, and a second host beside it."""

    app: App
    second: HostProcess
    second_api: Api

    def said(self, text: str) -> int:
        """How often the hosts wrote it to their logs."""
        return self.app.host.full_log().count(text) + self.second.full_log().count(text)


@pytest.fixture(scope="module")
def hosts(serve: Serve) -> Iterator[Hosts]:
    with (
        serve(estate(ESTATE), storage_proxy=True) as app,
        HostProcess(app.sandbox.environ) as second,
        Api(second.url, app.sandbox.function_key) as api,
    ):
        for name, numbers in {"some": SOME, "others": OTHERS}.items():
            machines = [f"W11-{number:03d}" for number in numbers]
            app.add_profile(name, scope={"machines": machines}, policy=POLICY)
        app.add_profile("all", policy=POLICY)
        yield Hosts(app, second, api)


@pytest.fixture(autouse=True)
def world(hosts: Hosts) -> Iterator[None]:
    with as_it_was(hosts.app):
        yield


def started(api: Api, profile: str) -> str:
    answer = api.start(profile, AUTO, role="Approver")
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def ended(hosts: Hosts, runs: list[str]) -> list[str]:
    return [hosts.app.api.until_rest(run, within=90)["status"] for run in runs]


def writers(hosts: Hosts, runs: list[str]) -> list[str]:
    """Those of the runs that wrote, in order. No write is two runs' or nobody's, and no two runs wrote by turns."""
    rows = [row for run in runs for row in remap_rows(hosts.app, run) if row.get("sent")]
    assert unrecorded(hosts.app, rows) == []
    by = {row["RowKey"]: row["PartitionKey"] for row in rows}
    assert len(by) == len(rows), "two runs wrote to one machine"
    wrote = [run for run, _ in groupby(by[write.machine_id] for write in hosts.app.sandbox.world.history)]
    assert len(wrote) == len(set(wrote)), "two runs wrote by turns"
    return wrote


def check_all_were_written_once(hosts: Hosts) -> None:
    sandbox = hosts.app.sandbox
    there = sandbox.world.site.connection(MOVED_TO)
    assert there is not None
    assert sum(each.connection_id == there.id for each in sandbox.world.site.machines.values()) == REMAPS
    assert Counter(sandbox.world.writes.values()) == {1: REMAPS}
    assert len(sandbox.world.history) == REMAPS


def test_runs_that_start_at_once_on_both_hosts_write_one_after_the_other(hosts: Hosts) -> None:
    first, second = hosts.app.api, hosts.second_api
    with ThreadPoolExecutor(4) as pool:
        asked = [(first, "some"), (second, "others"), (second, "some")]
        runs = list(pool.map(lambda each: started(*each), asked))
    for run in runs:
        for step in (WorkStep.APPLY, WorkStep.PLAN, WorkStep.APPLY):
            queue_again(hosts.app, run, step)
    assert ended(hosts, runs) == ["completed"] * 3
    check_all_were_written_once(hosts)
    assert len(writers(hosts, runs)) == 2


def test_runs_of_the_same_profile_and_site_wait_while_another_host_writes(hosts: Hosts) -> None:
    app = hosts.app
    with app.sandbox.holds.hold("citrix", "submitBatch", when="after") as hold:
        first = started(app.api, "some")
        assert hold.reached(SECONDS)
        of_profile, of_site = (started(hosts.second_api, profile) for profile in ("some", "others"))
        for run, status in ((of_profile, "queued"), (of_site, "applying")):
            waiting = eventually(lambda run=run: waits(app.api, run))  # type: ignore[misc]
            assert (waiting["status"], waiting["steps"][-1]["status"]) == (status, "waiting")
            assert first in waiting["steps"][-1]["detail"]
            queue_again(app, run, WorkStep.APPLY)
        queue_again(app, first, WorkStep.APPLY)
        eventually(lambda: hosts.said(f"already being worked on run={first}"))
        assert writers(hosts, [first]) == [first]
        assert [app.rows("runs", f"batch:{run}") for run in (of_profile, of_site)] == [[], []]
    assert ended(hosts, [first, of_profile, of_site]) == ["completed"] * 3
    assert writers(hosts, [first, of_profile, of_site]) == [first, of_site]
    check_all_were_written_once(hosts)


def waits(api: Api, run_id: str) -> Json:
    """The run, once it has found that it must wait for another one."""
    run = api.of(run_id)
    return run if run["steps"] and run["steps"][-1]["name"] == "wait" else {}


def test_a_message_that_comes_to_two_hosts_at_once_is_worked_on_once(hosts: Hosts) -> None:
    app, life = hosts.app, Life(hosts.app, "all")
    life.begin(Phase.PLAN)
    life.rests(Phase.PLAN)
    lock = BEFORE_A_LOCK
    with (
        app.sandbox.holds.hold("citrix", "submitBatch") as writing,
        app.sandbox.holds.hold(lock.system, lock.operation, match=lock.match) as late,
    ):
        life.begin(Phase.APPLY)
        assert late.reached(SECONDS)
        queue_again(app, life.run_id, WorkStep.APPLY)
        assert writing.reached(SECONDS), "the other host has the message as well"
        late.release()
        eventually(lambda: hosts.said(f"already being worked on run={life.run_id}"))
    run = life.rests(Phase.APPLY)
    assert (run["status"], run["attempts"]) == ("completed", 1)
    check_all_were_written_once(hosts)


def test_a_host_goes_on_with_what_the_other_one_left_when_it_died(hosts: Hosts) -> None:
    app = hosts.app
    hosts.second.kill()
    with app.sandbox.holds.hold("citrix", "submitBatch", when="after") as hold:
        run = started(app.api, "all")
        assert hold.reached(SECONDS)
        hosts.second_api.url = hosts.second.restart()
        app.host.kill()
        assert hold.dropped(SECONDS)
    time_passes(app)
    app.api.url = hosts.second_api.url
    hosts.second_api.fire("sweep")
    try:
        assert ended(hosts, [run]) == ["completed"]
        assert writers(hosts, [run]) == [run]
        check_all_were_written_once(hosts)
    finally:
        app.api.url = app.host.restart()
