"""The unpacked package, in an environment with its requirements alone, plays a run from the start to ``completed``."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from sandbox.azurite import Azurite
from sandbox.host_process import HostProcess
from sandbox.sandbox import Sandbox
from sandbox.scenario import load
from tests.e2e.client import Api

GREEDY = """
import azure.functions as func
app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)

@app.route(route="take/{name}")
def take(req: func.HttpRequest) -> func.HttpResponse:
    name = req.route_params["name"]
    try:
        exec(f"import {name}")
    except ModuleNotFoundError:
        return func.HttpResponse("not there", status_code=404)
    return func.HttpResponse("there")
"""


IMPORT = """
import importlib, json, sys
sys.path.insert(0, sys.argv[1])
missing = {}
for name in json.load(sys.stdin):
    try:
        importlib.import_module(name)
    except ImportError as error:
        missing[name] = str(error)
print(json.dumps(missing))
"""


def imported_by(app: Path) -> set[str]:
    """The modules that the app's code names in imports, wherever these stand: many come at their first use only."""
    names: set[str] = set()
    for path in app.rglob("*.py"):
        names.add(".".join(path.relative_to(app).with_suffix("").parts).removesuffix(".__init__"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module)
    return names


@pytest.fixture(scope="module")
def sandbox(azurite: Azurite) -> Iterator[Sandbox]:
    with Sandbox(load("planned-migration"), azurite=azurite) as running:
        yield running


@pytest.fixture(scope="module")
def api(sandbox: Sandbox, unpacked: Path, app_alone: tuple[str, ...]) -> Iterator[Api]:
    with (
        HostProcess(sandbox.environ, unpacked, sandbox=app_alone) as host,
        Api(host.url, sandbox.function_key) as client,
    ):
        yield client


def test_everything_that_the_package_imports_is_in_it_or_required(unpacked: Path, app_alone: tuple[str, ...]) -> None:
    names = imported_by(unpacked)
    assert {"function_app", "shared.relay.tunnels", "websockets.asyncio.client"} <= names
    done = subprocess.run(
        [app_alone[0], "-I", "-c", IMPORT, unpacked],
        input=json.dumps(sorted(names)),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.stdout.strip(), done.returncode) == ("{}", 0), done.stderr


def test_every_package_that_is_installed_is_pinned(unpacked: Path, app_alone: tuple[str, ...]) -> None:
    freeze = [sys.executable, "-m", "pip", "--python", app_alone[0], "freeze", "--disable-pip-version-check"]
    done = subprocess.run(freeze, capture_output=True, text=True, timeout=60, check=True)
    text = (unpacked / "requirements.txt").read_text(encoding="utf-8")
    pinned = set(re.findall(r"^[\w.-]+==[\w.]+", text.lower(), re.MULTILINE))
    installed = set(done.stdout.lower().replace("_", "-").split())
    assert len(installed) > 40
    assert installed - pinned == set()


def test_the_unpacked_package_answers(api: Api) -> None:
    assert api.get("/api/health/live", role=None).json() == {"status": "live"}
    assert api.get("/api/health/ready", role="Reader").json()["status"] == "ready"


def test_the_unpacked_package_plays_a_whole_run(api: Api, sandbox: Sandbox) -> None:
    run = api.run(sandbox.scenario.profile_name, {"limits": {"maxChangePercent": 100}}, role="Approver")
    assert run["status"] == "awaiting-review"
    done = api.approve(run)
    assert done["status"] == "completed"
    remaps = [finding for finding in api.findings(run["id"]).values() if finding["finding"] == "remap"]
    assert {finding["state"] for finding in remaps} == {"verified"}
    for finding in remaps:
        machine = sandbox.world.site.machine(finding["machine"]["name"])
        assert machine is not None
        assert machine.connection_id is not None
        assert sandbox.world.site.connections[machine.connection_id].name == finding["to"]["hostingConnection"]
    report = api.get(f"/api/runs/{run['id']}/report", role="Reader")
    assert (report.status_code, "<style" in report.text) == (200, True)


def test_the_unpacked_package_has_its_page(api: Api) -> None:
    page = api.get("/api/review", role="Reader")
    assert page.status_code == 200
    assert "text/html" in page.headers["Content-Type"]


def test_an_app_in_that_host_has_nothing_of_the_hosts(
    sandbox: Sandbox, tmp_path: Path, app_alone: tuple[str, ...]
) -> None:
    (tmp_path / "function_app.py").write_text(GREEDY, encoding="utf-8")
    (tmp_path / "host.json").write_text('{"version": "2.0"}', encoding="utf-8")
    with HostProcess(sandbox.environ, tmp_path, sandbox=app_alone) as host:
        answers = {
            # of the host and loaded by it, the host itself, of the tests, of the checkout; and a requirement
            name: requests.get(f"{host.url}/api/take/{name}", timeout=30).status_code
            for name in ("aiohttp.web", "croniter", "sandbox.world", "pytest", "trustme", "shared", "jinja2")
        }
    assert answers == dict.fromkeys(answers, 404) | {"jinja2": 200}
