"""What telemetry tells of calls, steps, runs and log lines, and what it never does."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import requests
from opentelemetry.trace import StatusCode

from shared.call_failure import CallFailed
from shared.errors import CitrixError
from shared.http import call
from shared.model.run import Limits, Mode, Run, RunId, RunStatus
from shared.telemetry import telling
from shared.telemetry.recorder import trace_of
from shared.telemetry.subject import mark_log_lines, met, present, turned_to, working_on
from shared.telemetry.threads import Threads
from tests.telemetry import Kept, by, kept_telemetry
from tests.unit.answers import Handler, Reply, answering, one_after_the_other, quick

ROOT = Path(__file__).parents[2]
URL = "https://prism.corp.example:9440/api/vms?filter=marker-in-the-query"
RUN = RunId("99f1145b45e159df2a744e8")
NOW = datetime(2025, 11, 23, 9, 0, tzinfo=UTC)
UUID = "2f16a414-edba-4406-b41d-05e19c216501"


@pytest.fixture
def kept() -> Iterator[Kept]:
    with kept_telemetry() as opened:
        yield opened


def a_run(**changes: object) -> Run:
    made = Run(
        id=RUN,
        profile="emea-vdi",
        mode=Mode.REVIEW,
        status=RunStatus.QUEUED,
        trigger="http",
        requested_by="olive",
        created_at=NOW,
        limits=Limits(200, 25),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def ask(handler: Handler, **options: object) -> None:
    session, _ = answering(handler)
    call(session, "GET", URL, system="Prism X", limits=quick(), repeatable=True, **options)  # type: ignore[arg-type]


def asked_in_a_step(handler: Handler, **options: object) -> None:
    with working_on(RUN, "emea-vdi"), telling.step("plan", None):
        ask(handler, **options)


def test_each_attempt_is_a_span_of_its_step_with_host_status_and_number(kept: Kept) -> None:
    asked_in_a_step(one_after_the_other(Reply(status=503), Reply(status=429), Reply({"ok": 1})))
    step, calls = kept.spans("step plan")[0], kept.spans("other GET")
    assert [(span.attributes or {})["attempt"] for span in calls] == [1, 2, 3]
    assert [(span.attributes or {})["http.response.status_code"] for span in calls] == [503, 429, 200]
    assert [span.status.status_code for span in calls] == [StatusCode.ERROR, StatusCode.ERROR, StatusCode.UNSET]
    assert {span.parent.span_id for span in calls if span.parent} == {step.context.span_id}
    assert {(span.attributes or {})["server.address"] for span in calls} == {"prism.corp.example"}
    assert all(span.end_time >= span.start_time for span in calls if span.end_time and span.start_time)


def test_calls_and_retries_are_counted_by_host_and_status(kept: Kept) -> None:
    asked_in_a_step(one_after_the_other(Reply(status=503), Reply({"ok": 1})))
    points = kept.points()
    assert by(points["realign.calls"], "status") == {"503": 1, "200": 1}
    assert by(points["realign.retries"], "host") == {"prism.corp.example:9440": 1}


def test_a_call_without_an_answer_tells_what_went_wrong_and_no_status(kept: Kept) -> None:
    session, _ = answering(one_after_the_other(requests.exceptions.ConnectTimeout("marker-in-an-error")))
    with working_on(RUN), telling.step("plan", None), pytest.raises(Exception, match="did not"):
        call(session, "POST", URL, system="Prism X", limits=quick(attempts=1), repeatable=False)
    span = kept.spans("other POST")[0]
    assert (span.attributes or {})["failure"] in ("timeout", "unreachable")
    assert "http.response.status_code" not in (span.attributes or {})
    assert "marker" not in kept.text()


def test_an_answer_that_cannot_be_read_is_malformed_whatever_its_status(kept: Kept) -> None:
    broken = Reply(raw=b'{"a": marker-in-a-body')
    with pytest.raises(Exception, match="no valid JSON"):
        asked_in_a_step(one_after_the_other(broken, broken, broken))
    assert by(kept.points()["realign.calls"], "status") == {"malformed": 3}


def test_nothing_of_the_path_the_query_the_headers_or_the_body_is_told(kept: Kept) -> None:
    headers = {"X-Key": "marker-in-a-header"}
    answer = Reply({"ok": "marker-in-the-answer"}, headers={"X-Thing": "marker-in-an-answers-header"})
    asked_in_a_step(one_after_the_other(answer), headers=lambda: headers, json={"a": "marker-in-the-body"})
    assert len(kept.spans()) == 2
    text = kept.text()
    assert "prism.corp.example" in text
    assert "marker" not in text
    assert "/api" not in text


@pytest.mark.parametrize(
    ("sent", "answered", "told"),
    [
        pytest.param({"Citrix-TransactionId": UUID}, {}, UUID, id="the-one-that-was-sent"),
        pytest.param({}, {"Citrix-TransactionId": UUID}, UUID, id="else-the-one-that-was-answered"),
        pytest.param(
            {"NTNX-Request-Id": UUID}, {"NTNX-Request-Id": UUID.replace("2", "3")}, UUID, id="sent-goes-first"
        ),
        pytest.param({}, {"Citrix-TransactionId": "a-token-that-was-echoed"}, None, id="and-nothing-but-a-uuid"),
    ],
)
def test_the_transaction_id(kept: Kept, sent: dict[str, str], answered: dict[str, str], told: str | None) -> None:
    asked_in_a_step(one_after_the_other(Reply({}, headers=answered)), headers=lambda: sent)
    assert (kept.spans("other")[0].attributes or {}).get("transaction.id") == told


def test_a_call_outside_of_a_step_is_counted_and_is_a_span_only_if_it_fails(kept: Kept) -> None:
    ask(one_after_the_other(Reply({"ok": 1})))
    assert kept.spans() == []
    with pytest.raises(CallFailed, match="500"):
        ask(one_after_the_other(Reply(status=500)))
    assert [span.name for span in kept.spans()] == ["other GET"]
    assert by(kept.points()["realign.calls"], "status") == {"200": 1, "500": 1}


def test_the_steps_of_a_run_are_in_one_trace_that_its_id_names(kept: Kept) -> None:
    for name in ("plan", "apply"):
        with working_on(RUN), telling.step(name, 2.5):
            met(a_run())
    spans = kept.spans("step")
    assert {f"{span.context.trace_id:032x}" for span in spans} == {RUN.ljust(32, "0")}
    assert {name: value for name, value in (spans[0].attributes or {}).items() if name != "step"} == {
        "run.id": RUN, "profile": "emea-vdi", "mode": "review", "trigger": "http"
    }  # fmt: skip
    assert by(kept.points()["realign.queue.age"], "step") == {"plan": 2.5, "apply": 2.5}


def test_an_id_that_no_trace_can_have_gets_one_of_its_own() -> None:
    assert trace_of("not-hexadecimal").trace_id != trace_of("nor-this-one").trace_id != 0


def test_a_step_that_raises_says_what_kind_of_error_and_not_its_text(kept: Kept) -> None:
    refused = CitrixError("marker-in-a-sentence", kind="sign-in", system="Citrix")
    for error in (refused, KeyError("marker-in-a-bug")):
        with working_on(RUN), pytest.raises(type(error)), telling.step("plan", None):
            raise error
    assert [(span.attributes or {})["failure"] for span in kept.spans()] == [refused.code, "KeyError"]
    assert all(span.status.status_code is StatusCode.ERROR and not span.events for span in kept.spans())
    assert "marker" not in kept.text()


def test_work_in_a_pool_is_about_the_run_of_who_submitted_it(kept: Kept) -> None:
    with Threads(2) as pool, working_on(RUN, "emea-vdi"), telling.step("plan", None):
        assert pool.submit(lambda: present().run).result() == RUN
        assert list(pool.map(lambda _: present().profile, range(3))) == ["emea-vdi"] * 3
        pool.submit(ask, one_after_the_other(Reply({}))).result()
    assert kept.spans("other")[0].parent == kept.spans("step")[0].context
    with Threads(1) as pool:
        assert pool.submit(lambda: present().run).result() == ""


def test_a_plan_tells_its_findings_once_and_its_remaps_as_they_come_to_a_state(kept: Kept) -> None:
    queued = a_run(status=RunStatus.PLANNING)
    planned = replace(
        queued, status=RunStatus.AWAITING_REVIEW, planned_at=NOW, findings={"remap": 3, "aligned": 2},
        states={"proposed": 3}, updated_at=NOW + timedelta(seconds=40),
    )  # fmt: skip
    applying = replace(planned, status=RunStatus.APPLYING, states={"approved": 3}, approved_by="ada")
    half = replace(applying, states={"approved": 1, "verified": 2}, writing_since=NOW + timedelta(hours=2))
    done = replace(
        half, status=RunStatus.COMPLETED, states={"verified": 3}, updated_at=NOW + timedelta(hours=2, seconds=9)
    )  # fmt: skip
    telling.changed(queued, planned, rests=True)
    telling.changed(planned, applying, rests=False)
    telling.changed(applying, half, rests=False)
    telling.changed(half, done, rests=True)
    points = kept.points()
    assert by(points["realign.findings"], "kind") == {"remap": 3, "aligned": 2}
    assert by(points["realign.remaps"], "state") == {"proposed": 3, "approved": 3, "verified": 3}
    assert by(points["realign.runs"], "status") == {"awaiting-review": 1, "completed": 1}
    # a person thought for two hours in between
    assert by(points["realign.run.seconds"], "status") == {"awaiting-review": 40, "completed": 9}
    assert [(span.attributes or {})["status"] for span in kept.spans("run")] == ["awaiting-review", "completed"]


def test_a_run_that_applies_what_its_mode_approved_has_worked_since_the_request(kept: Kept) -> None:
    was = a_run(status=RunStatus.APPLYING, approved_by="realign", writing_since=NOW + timedelta(seconds=20))
    failed = replace(was, status=RunStatus.FAILED, error="marker-in-a-reason", updated_at=NOW + timedelta(seconds=30))
    telling.changed(was, failed, rests=True)
    assert by(kept.points()["realign.run.seconds"], "status") == {"failed": 30}
    span = kept.spans("run")[0]
    assert span.status.status_code is StatusCode.ERROR
    assert "marker" not in kept.text()


def test_a_run_that_a_person_ends_is_counted_and_has_not_worked(kept: Kept) -> None:
    was = a_run(status=RunStatus.AWAITING_REVIEW)
    telling.changed(was, replace(was, status=RunStatus.CANCELLED, cancelled_by="olive"), rests=True)
    points = kept.points()
    assert by(points["realign.runs"], "status") == {"cancelled": 1}
    assert "realign.run.seconds" not in points
    assert kept.spans() == []


def test_what_is_told_by_a_gauge_is_exported_once_and_a_queues_longest_wait_of_several(kept: Kept) -> None:
    telling.dependency("emea-vdi/paris", "cluster", ready=True)
    telling.dependency("emea-vdi/paris", "cluster", ready=False)
    telling.review_waits("emea-vdi", 60)
    telling.schedule_age("emea-vdi", 3_600)
    for waited in (3.0, 9.0, 1.0):
        with working_on(RUN), telling.step("plan", waited):
            pass
    points = kept.points()
    assert points["realign.dependency.ready"] == [({"name": "emea-vdi/paris", "kind": "cluster"}, 0)]
    assert points["realign.queue.age"] == [({"step": "plan"}, 9.0)]
    assert points["realign.review.waiting"] == [({"profile": "emea-vdi"}, 60)]
    assert points["realign.schedule.age"] == [({"profile": "emea-vdi"}, 3_600)]
    assert kept.points() == {}


@pytest.fixture
def marked(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    before = logging.getLogRecordFactory()
    mark_log_lines()
    mark_log_lines()
    caplog.set_level(logging.INFO)
    yield caplog
    logging.setLogRecordFactory(before)


def test_every_log_line_of_a_run_names_it_and_its_profile_once(marked: pytest.LogCaptureFixture) -> None:
    log = logging.getLogger("anybody")
    with working_on(RUN, "emea-vdi"):
        log.info("read %d%% of %s", 50, "it")
        log.info("planned run=%s findings=%s", RUN, 3)
        with Threads(1) as pool:
            pool.submit(log.warning, "in a pool").result()
    log.info("outside")
    assert marked.messages == [
        f"read 50% of it run={RUN} profile=emea-vdi",
        f"planned run={RUN} findings=3 profile=emea-vdi",
        f"in a pool run={RUN} profile=emea-vdi",
        "outside",
    ]
    assert marked.records[0].__dict__["realign_profile"] == "emea-vdi"


def test_a_run_that_is_met_or_made_tells_its_profile(marked: pytest.LogCaptureFixture) -> None:
    log = logging.getLogger("anybody")
    with working_on(RUN):
        log.info("before")
        met(replace(a_run(), id=RunId("another"), profile="not-this-one"))
        log.info("still before")
        met(a_run())
        log.info("after")
    with working_on(profile="emea-vdi"):
        turned_to(a_run())
        log.info("made")
    known = f" run={RUN} profile=emea-vdi"
    assert marked.messages == [
        f"before run={RUN}", f"still before run={RUN}", f"after{known}", f"made{known}"
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["two\nlines", "100%s", "a b", "x" * 65, ""])
def test_a_message_cannot_forge_a_log_line_by_the_run_that_it_names(
    marked: pytest.LogCaptureFixture, name: str
) -> None:
    with working_on(name):
        logging.getLogger("anybody").info("worked on %s", "it")
    assert marked.messages == ["worked on it"]


def test_without_a_connection_string_nothing_of_opentelemetry_is_imported() -> None:
    """Neither by the import of the app, nor by its use cases, nor by a call."""
    code = """
import json, sys
import function_app
import shared.runs.work, shared.runs.watch, shared.http
from shared.telemetry import telling
from shared.telemetry.call import Call
telling.called(Call.to("prism", "GET", "https://prism.corp.example", 1))
with telling.step("plan", 1.0):
    pass
print(json.dumps([name for name in sys.modules if name.partition(".")[0] == "opentelemetry"]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert json.loads(done.stdout) == []
