"""``serve`` starts everything, says where it is, takes faults, and leaves nothing running however it ends."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from azure.core.exceptions import HttpResponseError
from azure.data.tables import TableServiceClient

from sandbox.host_process import HostError, HostProcess
from sandbox.sandbox import Sandbox
from sandbox.serve import admin_app

ROOT = Path(__file__).parents[2]
ENDED_SECONDS = 20.0


class Served:
    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "sandbox", "serve", *arguments]
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        assert self.process.stdout is not None
        self.where: dict[str, Any] = json.loads(self.process.stdout.readline())
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.verify = self.where["ca"]

    def ports(self) -> list[int]:
        storage = dict(part.partition("=")[::2] for part in self.where["storage"].split(";") if part)
        urls = [self.where[name] for name in ("app", "citrix", "cvad", "keyVault", "admin")]
        urls += [*self.where["prism"].values(), *(storage[f"{each}Endpoint"] for each in ("Blob", "Queue", "Table"))]
        return [port for url in urls if (port := urlsplit(url).port) is not None]

    def close(self) -> None:
        self.session.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        self.process.communicate(timeout=ENDED_SECONDS)


@pytest.fixture
def serve() -> Iterator[Callable[..., Served]]:
    running: list[Served] = []

    def start(*arguments: str) -> Served:
        running.append(Served(*arguments))
        return running[-1]

    yield start
    for each in running:
        each.close()


def open_ports(ports: list[int]) -> list[int]:
    found = []
    for port in ports:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                found.append(port)
    return found


def test_serve_says_where_everything_is_and_ends_with_ctrl_c(serve: Callable[..., Served]) -> None:
    served = serve("--machines", "40", "--seed", "3", "--latency-ms", "1", "--fault", "citrix-429=2")
    where = served.where
    assert {"app", "review", "citrix", "cvad", "prism", "keyVault", "storage"} <= set(where)
    assert sorted(where["prism"]) == ["amsterdam", "paris"]
    assert where["cvad"].startswith("https://127.0.0.1:")
    assert served.session.get(f"{where['app']}/api/health/live", timeout=30).status_code == 200
    assert open_ports(served.ports()) == served.ports()
    faults = served.session.get(f"{where['admin']}/faults", timeout=20).json()["items"]
    assert [(each["name"], each["left"]) for each in faults] == [("citrix-429", 2)]
    served.process.send_signal(signal.SIGINT)
    _, errors = served.process.communicate(timeout=ENDED_SECONDS)
    assert (served.process.returncode, errors) == (0, "")
    assert open_ports(served.ports()) == []


def test_serve_puts_all_of_it_behind_the_relay_where_it_is_told_to(serve: Callable[..., Served]) -> None:
    served = serve("--scenario", "healthy", "--relay", "azbridge", "--fault", "relay-drop=paris:2")
    where, session = served.where, served.session
    assert where["prism"]["paris"] == "https://prism-paris.corp.example:9440"
    entity = session.get(f"{where['relay']}/prism-paris?api-version=2016-07", timeout=20)
    assert (entity.status_code, "MissingToken" in entity.text) == (401, True)
    session.headers["X-Sandbox-User"] = "riley"
    profile = session.get(f"{where['app']}/api/profiles/{where['profile']}", timeout=30).json()
    assert "azbridge" in json.dumps(profile)


def test_the_admin_route_sets_and_clears_faults_and_shows_calls(serve: Callable[..., Served]) -> None:
    served = serve("--scenario", "healthy")
    admin, session = served.where["admin"], served.session
    paris = served.where["prism"]["paris"]
    cut = session.post(f"{admin}/faults", json={"name": "relay-down", "value": "paris"}, timeout=20)
    assert cut.json()["items"][0]["fired"] == 1
    assert open_ports([urlsplit(paris).port or 0]) == []
    assert session.delete(f"{admin}/faults/relay-down", timeout=20).status_code == 204
    assert open_ports([urlsplit(paris).port or 0]) != []
    for body, text in (({"name": "no"}, "job-stuck"), ({"name": "job-lost", "value": 0}, "takes"), ([], "Send")):
        refused = session.post(f"{admin}/faults", json=body, timeout=20)
        assert (refused.status_code, text in refused.json()["error"]) == (400, True)
    assert session.get(f"{admin}/calls", timeout=20).json()["defects"] == []


def test_storage_busy_strikes_when_it_is_set_while_serve_runs(serve: Callable[..., Served]) -> None:
    served = serve("--scenario", "healthy")
    admin, session = served.where["admin"], served.session
    assert session.post(f"{admin}/faults", json={"name": "storage-busy", "value": "table:1"}, timeout=20).ok
    with TableServiceClient.from_connection_string(served.where["storage"], retry_total=0) as tables:
        with pytest.raises(HttpResponseError, match="busy"):
            tables.create_table("busy1")
        tables.create_table("busy1")
    rows = session.get(f"{admin}/faults", timeout=20).json()["items"]
    assert [(row["name"], row["on"], row["fired"]) for row in rows] == [("storage-busy", False, 1)]


def test_the_admin_route_says_which_fault_this_sandbox_cannot_play(sandbox_for: Callable[..., Sandbox]) -> None:
    sandbox = sandbox_for("healthy")
    admin = sandbox.serve(admin_app(sandbox)).url
    answer = requests.post(f"{admin}/faults", json={"name": "storage-busy"}, timeout=20)
    assert (answer.status_code, "without a proxy" in answer.json()["error"]) == (409, True)


def test_a_killed_serve_leaves_nothing_running(serve: Callable[..., Served]) -> None:
    served = serve()
    ports = served.ports()
    served.process.kill()
    deadline = time.monotonic() + ENDED_SECONDS
    while open_ports(ports):
        assert time.monotonic() < deadline, "something outlived serve"
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        pytest.param(["--fault", "job-lost=0"], "takes", id="no-such-value"),
        pytest.param(["--fault", "nonsense"], "citrix-429", id="no-such-fault"),
        pytest.param(["--scenario", "nonsense"], "planned-migration", id="no-such-scenario"),
        pytest.param(["--scenario", "healthy", "--fault", "relay-drop"], "Azure Relay", id="nothing-to-strike"),
    ],
)
def test_serve_refuses_wrong_arguments_at_once(arguments: list[str], text: str) -> None:
    command = [sys.executable, "-m", "sandbox", "serve", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, text in done.stderr, done.stdout) == (2, True, "")


def test_a_host_can_be_killed_and_started_again(sandbox_for: Callable[..., Sandbox]) -> None:
    sandbox = sandbox_for("healthy")
    with HostProcess(sandbox.environ) as host:
        assert requests.get(f"{host.url}/api/health/live", timeout=30).status_code == 200
        host.kill()
        assert not host.running
        host.restart()
        assert requests.get(f"{host.url}/api/health/live", timeout=30).status_code == 200


def test_a_host_that_does_not_start_says_why(tmp_path: Path) -> None:
    host = HostProcess({}, app=tmp_path)
    with pytest.raises(HostError, match="host.json"):
        host.start()
    host.close()
