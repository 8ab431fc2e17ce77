"""How the local host starts, stops, fires timers, and starts again when a function runs over its time."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import requests

from tests.integration.host_app.running import REPOSITORY, environment, eventually, host

APP = "import azure.functions as func\napp = func.FunctionApp()\n"


def refusal(tmp_path: Path, app: str | None, host_json: str | None = '{"version": "2.0"}') -> str:
    """What the host says about an app that it refuses."""
    if app is not None:
        (tmp_path / "function_app.py").write_text(app, "utf-8")
    if host_json is not None:
        (tmp_path / "host.json").write_text(host_json, "utf-8")
    ended = subprocess.run(
        [sys.executable, "-m", "sandbox", "host", "--port", "0", "--app", str(tmp_path)],
        cwd=REPOSITORY,
        env=environment(tmp_path, {}),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert "Traceback" not in ended.stderr
    return ended.stderr


@pytest.mark.parametrize(
    ("app", "host_json", "says"),
    [
        pytest.param(None, "{}", "function_app.py does not exist", id="no-app"),
        pytest.param(APP, None, "needs a host.json", id="no-host-json"),
        pytest.param(APP, "{", "is not valid JSON", id="host-json-is-no-json"),
        pytest.param("app = 1\n", "{}", "defines no FunctionApp", id="no-function-app"),
        pytest.param(APP + "other = app\n", "{}", "app, other; Azure takes exactly one", id="one-app-under-two-names"),
        pytest.param(
            APP + "for _ in 'ab':\n    @app.route(route='x')\n    def same(req): ...\n",
            "{}",
            "Function same does not have a unique",
            id="a-name-twice",
        ),
        pytest.param(
            APP + "@app.route(route='x')\ndef one(req, other): ...\n",
            "{}",
            "no binding gives a value to other",
            id="parameter",
        ),
        pytest.param(
            APP + "@app.route(route='x/{n:regex}')\ndef one(req): ...\n",
            "{}",
            "{n:regex}",
            id="a-constraint-not-served",
        ),
        pytest.param(
            APP + "@app.route(route='x')\ndef one(req, context: int): ...\n",
            "{}",
            "must be annotated as azure.functions.Context",
            id="a-context-that-is-none",
        ),
        pytest.param(
            APP + "@app.route(route='x')\ndef one(req) -> func.HttpResponse | None: ...\n",
            "{}",
            "is no type; Azure takes one class",
            id="a-union-as-return-annotation",
        ),
        pytest.param(
            APP + "@app.route(route='x')\ndef one(req) -> 'Nowhere': ...\n",
            "{}",
            "its annotations can't be read: name 'Nowhere'",
            id="an-annotation-of-nothing",
        ),
        pytest.param(
            APP + "@app.route(route='x', trigger_arg_name='the_req')\ndef one(the_req): ...\n",
            "{}",
            "the binding the_req has an underscore",
            id="an-underscore-in-a-binding",
        ),
        pytest.param(
            APP + "@app.route(route='Admin/x')\ndef one(req): ...\n",
            "{}",
            "begins with admin or runtime",
            id="a-reserved-route",
        ),
        pytest.param(
            APP + "@app.blob_trigger(arg_name='b', path='p', connection='c')\ndef one(b): ...\n",
            "{}",
            "does not serve blobTrigger",
            id="a-trigger-not-served",
        ),
    ],
)
def test_an_app_that_azure_would_refuse_is_refused_with_a_sentence(
    tmp_path: Path, app: str | None, host_json: str | None, says: str
) -> None:
    assert says in refusal(tmp_path, app, host_json)


def test_a_timer_that_is_fired_by_hand_runs_at_once(tmp_path: Path) -> None:
    with host(tmp_path) as running:
        assert running.post("/admin/functions/yearly", json={"input": "x"}).status_code == 202
        assert eventually(lambda: running.journal(timer="yearly")) == [{"timer": "yearly", "past_due": False}]


def test_two_functions_may_share_a_route(tmp_path: Path) -> None:
    two = "@app.route(route='same', auth_level='ANONYMOUS')\ndef {0}(req) -> str:\n    return '{0}'\n"
    (tmp_path / "function_app.py").write_text(APP + two.format("b") + two.format("a"), "utf-8")
    (tmp_path / "host.json").write_text("{}", "utf-8")
    with host(tmp_path, app=tmp_path) as running:
        assert running.get("/api/same").text == "a"


def remember(folder: Path, function: str, last: datetime) -> None:
    folder.mkdir()
    (folder / f"{function}.json").write_text(json.dumps({"last": last.isoformat()}), "utf-8")


def remembered(folder: Path, function: str) -> datetime:
    return datetime.fromisoformat(json.loads((folder / f"{function}.json").read_text("utf-8"))["last"])


def test_an_occurrence_that_was_missed_is_made_up_for_once(tmp_path: Path) -> None:
    status = tmp_path / "status"
    remember(status, "yearly", datetime.now(UTC) - timedelta(days=800))
    late = {"timer": "yearly", "past_due": True}
    for _ in range(2):
        with host(tmp_path, SANDBOX_TIMER_STATUS=str(status)) as running:
            eventually(lambda: remembered(status, "yearly") > datetime.now(UTC) - timedelta(minutes=1))
            eventually(lambda: (status / "scheduled.json").exists())
            assert running.terminate() == 0
            assert running.journal(timer="yearly") == [late]
    assert running.journal(timer="scheduled") == []


def test_a_timer_that_is_fired_by_hand_has_not_had_its_occurrence(tmp_path: Path) -> None:
    status = tmp_path / "status"
    with host(tmp_path, SANDBOX_TIMER_STATUS=str(status)) as running:
        eventually(lambda: (status / "yearly.json").exists())
        before = remembered(status, "yearly")
        running.post("/admin/functions/yearly")
        eventually(lambda: running.journal(timer="yearly"))
        assert running.terminate() == 0
    assert remembered(status, "yearly") == before


def test_firing_what_does_not_exist_is_a_404(tmp_path: Path) -> None:
    with host(tmp_path) as running:
        assert running.post("/admin/functions/nobody").status_code == 404
        assert running.get("/admin/functions/yearly").status_code == 404
        assert running.post("/admin/functions").status_code == 404


def test_a_timer_fires_on_the_schedule_that_a_setting_names(tmp_path: Path) -> None:
    with host(tmp_path, SAMPLE_SCHEDULE="* * * * * *") as running:
        eventually(lambda: len(running.journal(timer="scheduled")) >= 2)


def test_a_timer_never_overlaps_itself(tmp_path: Path) -> None:
    with host(tmp_path, **{"AzureWebJobs.overlapping.Disabled": "false"}) as running:
        eventually(lambda: running.journal(timer="overlapping", event="begin"))
        running.post("/admin/functions/overlapping")
        eventually(lambda: len(running.journal(timer="overlapping", event="end")) >= 3)
        events = [entry["event"] for entry in running.journal(timer="overlapping")]
    assert events[:6] == ["begin", "end"] * 3


@pytest.mark.parametrize(
    ("schedule", "says"),
    [("", "the app setting SAMPLE_SCHEDULE is not set"), ("@daily", "'@daily' is not NCRONTAB")],
)
def test_a_timer_without_a_schedule_is_left_out_and_the_rest_is_served(
    tmp_path: Path, schedule: str, says: str
) -> None:
    with host(tmp_path, SAMPLE_SCHEDULE=schedule) as running:
        assert running.get("/api/echo/1").status_code == 200
        assert running.post("/admin/functions/scheduled").status_code == 404
        assert "Function scheduled is not served: its" in running.log()
        assert says in running.log()


def test_a_signal_lets_a_running_function_end_and_takes_nothing_new(tmp_path: Path) -> None:
    with host(tmp_path) as running, ThreadPoolExecutor(2) as callers:
        call = callers.submit(running.get, "/api/busy/gate")
        eventually(lambda: running.journal(busy="in"))
        running.process.terminate()
        eventually(lambda: refused(running.url))
        assert running.process.poll() is None
        running.open_gate()
        assert call.result().status_code == 200
        assert running.process.wait(20) == 0


def refused(url: str) -> bool:
    try:
        with requests.get(f"{url}/api/echo/1", timeout=2):
            return False
    except requests.ConnectionError:
        return True


def test_an_idle_host_stops_at_once(tmp_path: Path) -> None:
    with host(tmp_path) as running:
        running.get("/api/echo/1")  # leaves an idle connection open
        assert running.terminate() == 0
        assert running.log().rstrip().endswith("stopped")


def test_a_function_over_its_time_restarts_the_worker_under_the_same_address(tmp_path: Path) -> None:
    with host(tmp_path) as running:
        answer = running.get("/api/busy/gate")
        assert (answer.status_code, answer.content) == (500, b"")
        eventually(lambda: running.log().count("serving functions=") == 2)
        assert "ran over functionTimeout (4.0 s)" in running.log()
        running.session.close()
        assert running.get("/api/echo/1").status_code == 200
        assert running.process.poll() is None
        assert running.terminate() == 0
