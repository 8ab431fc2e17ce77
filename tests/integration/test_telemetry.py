"""What a run tells telemetry from plan to roll back, and what the look every five minutes does."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan

from sandbox.azurite import Azurite
from shared.azure.holds import Hold
from shared.azure.work_queue import WorkItem, WorkStep
from shared.model.run import RunStatus
from shared.runs.health import check_health
from shared.runs.watch import watch
from shared.runs.work import do_work
from shared.settings.settings import load
from shared.telemetry import telling
from shared.telemetry.subject import mark_log_lines
from tests.integration.workplace import OLIVE, Workplace, workplace
from tests.telemetry import Kept, by, kept_telemetry

ROOT = Path(__file__).parents[2]
OF_A_CALL = {
    "run.id", "profile", "mode", "trigger", "system", "http.request.method", "server.address", "server.port",
    "url.scheme", "attempt", "http.response.status_code", "transaction.id", "failure",
}  # fmt: skip
UUID = "2f16a414-edba-4406-b41d-05e19c216501"
OF_A_STEP = {"run.id", "profile", "mode", "trigger", "step", "status", "failure"}
OF_A_RUN = {"run.id", "profile", "mode", "trigger", "status", "machines", "remaps", "failure"}


@pytest.fixture(scope="module")
def module_place(azurite: Azurite) -> Iterator[Workplace]:
    with workplace(azurite) as made:
        yield made


@pytest.fixture
def place(module_place: Workplace) -> Iterator[Workplace]:
    yield module_place
    module_place.put_back()


@pytest.fixture
def kept() -> Iterator[Kept]:
    with kept_telemetry() as opened:
        yield opened


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    before = logging.getLogRecordFactory()
    mark_log_lines()
    caplog.set_level(logging.INFO)
    yield caplog
    logging.setLogRecordFactory(before)


def of(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def test_a_run_from_plan_to_roll_back(place: Workplace, kept: Kept) -> None:
    run_id = place.applied()
    place.rolled_back(run_id)
    assert [span.name for span in kept.spans("step")] == ["step plan", "step apply", "step rollback"]
    assert [of(span)["status"] for span in kept.spans("run")] == ["awaiting-review", "completed", "rolled-back"]
    steps = {span.context.span_id: span.name for span in kept.spans("step")}
    in_steps = [span for span in kept.spans() if "system" in of(span)]
    systems = {(steps[span.parent.span_id], of(span)["system"]) for span in in_steps if span.parent}
    everywhere = {"citrix", "storage"}
    assert {system for step, system in systems if step == "step plan"} >= everywhere | {"prism", "vault"}
    assert {system for step, system in systems if step == "step rollback"} >= everywhere
    # calls are made in pools, too: none of them lost its step
    assert {of(span).get("run.id") for span in kept.spans()} == {run_id}
    assert len({span.context.trace_id for span in kept.spans()}) == 1


def test_attributes_are_those_that_are_named_and_no_others(place: Workplace, kept: Kept) -> None:
    place.rolled_back(place.applied())
    for span in kept.spans():
        allowed = OF_A_CALL if "system" in of(span) else OF_A_STEP if span.name.startswith("step") else OF_A_RUN
        assert set(of(span)) <= allowed, span.name
        assert not span.events
        assert not span.links
        assert span.status.description is None
    assert len(kept.spans()) > 60


def test_the_metrics_of_a_run(place: Workplace, kept: Kept) -> None:
    profile = place.profile()
    run_id = place.applied(profile)
    place.rolled_back(run_id)
    points = kept.points()
    assert by(points["realign.runs"], "status") == {"awaiting-review": 1, "completed": 1, "rolled-back": 1}
    assert by(points["realign.findings"], "kind") == {"remap": 11, "aligned": 3}
    states = by(points["realign.remaps"], "state")
    assert (states["proposed"], states["verified"], states["rolled-back"]) == (11, 11, 11)
    assert {attributes["profile"] for attributes, _ in points["realign.findings"]} == {profile}
    assert set(by(points["realign.run.seconds"], "status")) == {"awaiting-review", "completed", "rolled-back"}
    assert by(points["realign.calls"], "system")["citrix"] == place.sandbox.calls.count("citrix")


def test_the_attempts_of_a_call_are_counted_as_the_other_side_sees_them(place: Workplace, kept: Kept) -> None:
    place.sandbox.faults.set("prism-500", "3")
    place.sandbox.faults.set("citrix-502", "2")
    place.planned()
    retried = [of(span) for span in kept.spans("citrix") if of(span)["attempt"] > 1]
    assert {attributes["attempt"] for attributes in retried} <= {2, 3}
    assert by(kept.points()["realign.retries"], "system")["citrix"] == len(retried) > 0
    assert len(kept.spans("citrix")) == place.sandbox.calls.count("citrix")
    of_prism = sum(place.sandbox.calls.count(f"prism/{name}") for name in ("paris", "amsterdam"))
    assert len(kept.spans("prism")) == of_prism


def test_citrix_and_prism_find_a_call_by_its_transaction_id(place: Workplace, kept: Kept) -> None:
    place.planned()
    reads = [of(span) for span in kept.spans("citrix GET")]
    assert len({attributes["transaction.id"] for attributes in reads}) == len(reads) > 3


def test_a_run_of_many_machines_has_no_span_and_no_line_for_one(
    place: Workplace, kept: Kept, lines: pytest.LogCaptureFixture
) -> None:
    run_id = place.applied()
    names = [machine.name.rpartition("\\")[2] for machine in place.site.machines.values()]
    uuids = [machine.id for machine in place.site.machines.values()]
    told = kept.text()
    ours = [record.getMessage() for record in lines.records if record.name.startswith("shared.")]
    assert len(ours) > 8
    for name in (*names, *uuids):
        assert name not in told
        assert not any(name in line for line in ours), name
    assert all(f"run={run_id}" in line and "profile=at-work" in line for line in ours), ours


def test_a_failed_run_is_a_failed_span_without_its_reason(place: Workplace, kept: Kept) -> None:
    place.sandbox.faults.set("vault-denied", None)
    run_id = place.planned()
    assert place.run(run_id).status is RunStatus.FAILED
    (run,), (step,) = kept.spans("run"), kept.spans("step")
    assert (of(run)["failure"], of(step)["failure"]) == ("failed", "failed")
    assert by(kept.points()["realign.runs"], "status") == {"failed": 1}


def test_a_message_tells_how_long_it_was_due(place: Workplace, kept: Kept) -> None:
    due = place.clock() + timedelta(seconds=30)
    item = WorkItem(place.started(place.profile()), WorkStep.PLAN, due)
    place.clock.advance(42)
    do_work(place.resources, item.to_json().encode())
    assert 12 <= by(kept.points()["realign.queue.age"], "step")["plan"] < 42


# the look every five minutes


@pytest.fixture
def alone(place: Workplace, tmp_path: Path) -> Callable[..., str]:
    """``alone(**changes)``: a profile in a folder of its own, so that nothing else is looked at."""

    def put(**changes: Any) -> str:
        name = place.profile(**changes)
        source = Path(place.sandbox.environ["REALIGN_PROFILES"], f"{name}.json")
        (tmp_path / source.name).write_text(source.read_text("utf-8"), "utf-8")
        return name

    return put


@pytest.fixture
def looked(place: Workplace, tmp_path: Path, kept: Kept) -> Callable[[], dict[str, Any]]:
    """Looks, and gives the points that were told."""

    def look() -> dict[str, Any]:
        resources = place.another_worker()
        resources.environ = {**resources.environ, "REALIGN_PROFILES": str(tmp_path)}
        resources.settings = load(resources.environ)
        kept.points()
        watch(resources)
        return kept.points()

    return look


def test_a_look_tells_what_is_ready(alone: Callable[..., str], looked: Callable[[], dict[str, Any]]) -> None:
    name = alone()
    told = by(looked()["realign.dependency.ready"], "name")
    assert told.keys() == {
        "storage", "key-vault", "disk", "clock", name, f"{name}/site", f"{name}/paris", f"{name}/amsterdam"
    }  # fmt: skip
    del told["clock"]  # the time of these tests goes on as they like
    assert set(told.values()) == {1}


def test_a_look_leaves_a_refused_credential_alone_for_two_hours(
    place: Workplace, alone: Callable[..., str], looked: Callable[[], dict[str, Any]]
) -> None:
    """For 20 minutes, as a run does, would be three wrong passwords an hour for as long as nobody looks."""
    place.sandbox.vault.put("wrong", json.dumps({"username": "svc-realign", "password": "wrong"}))
    clusters = json.loads(place.sandbox.profile_file.read_text("utf-8"))["clusters"]
    name = alone(clusters=[{**clusters[0], "credential": "wrong"}, *clusters[1:]])
    assert by(looked()["realign.dependency.ready"], "name")[f"{name}/paris"] == 0
    tried = place.sandbox.calls.count("prism/paris")
    assert tried > 0
    for minutes in (5, 30, 60):
        place.clock.advance(minutes * 60)
        assert by(looked()["realign.dependency.ready"], "name")[f"{name}/paris"] == 0
    assert place.sandbox.calls.count("prism/paris") == tried
    place.clock.advance(30 * 60)
    looked()
    assert place.sandbox.calls.count("prism/paris") == 2 * tried


def test_a_look_ends_in_time_and_leaves_out_what_it_did_not_begin(place: Workplace, kept: Kept) -> None:
    checks = check_health(place.resources, within=0.0).checks
    assert {check.name for check in checks if check.ready} == {"storage", "key-vault", "disk"}
    assert {attributes["kind"] for attributes, _ in kept.points()["realign.dependency.ready"]} <= {
        "storage", "vault", "host", "profile"
    }  # fmt: skip


def test_a_look_at_profiles_that_cannot_be_read_tells_of_that_and_of_the_rest(
    place: Workplace, azurite: Azurite, kept: Kept
) -> None:
    resources = place.another_worker()
    resources.settings = load({**resources.environ, "REALIGN_PROFILES": f"{azurite.blob_url}/nowhere"})
    watch(resources)
    told = by(kept.points()["realign.dependency.ready"], "name")
    assert (told["profiles"], told["storage"], told["key-vault"]) == (0, 1, 1)


def test_drift_waits_since_the_first_plan_that_nobody_decided_on(
    place: Workplace, alone: Callable[..., str], looked: Callable[[], dict[str, Any]]
) -> None:
    name = alone()
    assert by(looked()["realign.review.waiting"], "profile") == {name: 0}
    place.planned(name)
    place.clock.advance(3_600)
    place.planned(name)
    place.clock.advance(60)
    place.planned(name, mode="report")
    assert 3_660 <= by(looked()["realign.review.waiting"], "profile")[name] < 3_720
    newest = place.planned(name)
    place.approve(newest)
    place.work()
    assert by(looked()["realign.review.waiting"], "profile") == {name: 0}


def test_the_schedules_age_is_told_of_profiles_that_have_one_and_are_not_on_hold(
    place: Workplace, alone: Callable[..., str], looked: Callable[[], dict[str, Any]]
) -> None:
    name, _ = alone(schedule=True), alone()
    assert by(looked()["realign.schedule.age"], "profile")[name] < 60, "since the process began"
    place.planned(name, trigger="schedule")
    place.clock.advance(7_200)
    place.planned(name)
    points = looked()["realign.schedule.age"]
    assert set(by(points, "profile")) == {name}
    assert 7_200 <= by(points, "profile")[name] < 7_260
    place.resources.holds.put(name, Hold(place.clock() + timedelta(hours=1), OLIVE.name, place.clock()))
    assert "realign.schedule.age" not in looked()


def test_without_telemetry_a_look_asks_nobody(place: Workplace) -> None:
    assert not telling.started()
    place.sandbox.calls.clear()
    watch(place.resources)
    assert not place.sandbox.calls.as_json()


# the set-up

SET_UP = """
import json, logging, os, sys, threading
logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
hosts = set()
def heard(event, arguments):
    if event == "socket.connect":
        hosts.add(arguments[1][0])
    elif event == "socket.getaddrinfo":
        hosts.add(arguments[0])
sys.addaudithook(heard)
{before}
import function_app
function_app._resources()
from shared.telemetry import telling
from shared.telemetry.call import Call
from shared.telemetry.subject import working_on
with working_on("r1", "emea-vdi"), telling.step("plan", 1.0):
    for _ in range(3_000):
        telling.called(Call.to("prism", "GET", "https://prism.corp.example", 1))
from azure.core.settings import settings
from opentelemetry import trace
sampler = getattr(trace.get_tracer_provider(), "sampler", None)
print(json.dumps({{
    "started": telling.started(),
    "sampler": sampler and sampler.get_description(),
    "azure": settings.tracing_enabled(),
    "hosts": sorted(hosts),
    "instrumented": [name for name in sys.modules if name == "opentelemetry.instrumentation.instrumentor"],
    "threads": sorted(each.name for each in threading.enumerate()),
}}), flush=True)
os._exit(0)  # the exporter would wait for its end
"""
NOWHERE = "westeurope.in.applicationinsights.azure.com.invalid"  # its beginning is a region to the exporter
AS_THE_WORKER = """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider, sampling
trace.set_tracer_provider(TracerProvider(sampling.ALWAYS_OFF))
"""

FULL_DISK = """
import tempfile
def full():
    raise FileNotFoundError("marker: no usable temporary directory")
tempfile.gettempdir = full
"""


def set_up(environ: dict[str, str], before: str = "") -> tuple[dict[str, Any], str]:
    code = SET_UP.format(before=before)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environ, capture_output=True, text=True, timeout=120, check=True
    )
    *said, last = done.stdout.strip().splitlines()
    return json.loads(last), "\n".join(said) + done.stderr


def test_the_set_up_samples_nothing_away_instruments_no_library_and_waits_for_nobody(place: Workplace) -> None:
    """Whatever the app settings say of that. More is told than the exporter can hold, and at its address is nobody."""
    switched = {"OTEL_TRACES_SAMPLER": "always_off", "AZURE_TRACING_ENABLED": "true"}
    nobody = f"InstrumentationKey={UUID};IngestionEndpoint=https://{NOWHERE}/"
    made, _ = set_up({**place.sandbox.environ, **switched, "APPLICATIONINSIGHTS_CONNECTION_STRING": nobody})
    assert (made["started"], made["sampler"], made["azure"]) == (True, "AlwaysOnSampler", False)
    assert made["instrumented"] == []
    assert set(made["hosts"]) <= {NOWHERE}
    assert made["threads"] == [
        "AzureMonitorMetricExporter Storage", "AzureMonitorTraceExporter Storage", "MainThread",
        "OtelBatchSpanRecordProcessor", "OtelPeriodicExportingMetricReader",
    ], "no statistics for Microsoft, no remote switches, no live metrics"  # fmt: skip


@pytest.mark.parametrize(
    ("key", "before"),
    [pytest.param("marker-no-uuid", "", id="no-connection-string"), pytest.param(UUID, FULL_DISK, id="a-full-disk")],
)
def test_a_set_up_that_fails_is_told_and_stops_nothing(place: Workplace, key: str, before: str) -> None:
    wrong = {"APPLICATIONINSIGHTS_CONNECTION_STRING": f"InstrumentationKey={key}"}
    made, said = set_up({**place.sandbox.environ, **wrong}, before)
    assert not made["started"]
    assert "telemetry is off" in said
    assert "marker" not in said


def test_where_the_worker_has_set_up_telemetry_the_app_says_so_and_uses_it(place: Workplace) -> None:
    made, said = set_up({**place.sandbox.environ, **place.sandbox.ingestion.settings()}, AS_THE_WORKER)
    assert (made["started"], made["sampler"]) == (True, "AlwaysOffSampler")
    assert "Remove PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY" in said
