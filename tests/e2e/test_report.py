"""The report of a run over HTTP, from its plan to its roll back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sandbox.scenario import load
from tests.e2e.client import Json
from tests.e2e.conftest import App, Serve
from tests.e2e.review import POLICY
from tests.unit.test_report import Reader

HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def app(serve: Serve) -> Iterator[App]:
    scenario = load("duplicates-and-conflicts")
    with serve(scenario) as running:
        running.add_profile(running.name, policy=POLICY)
        yield running


@pytest.fixture(scope="module")
def run(app: App) -> Json:
    """One that was approved, but for one remap that was rejected with a comment that wants to be a picture."""
    planned = app.api.run(app.name, {"reason": HOSTILE})
    first, *others = [key for key, each in app.api.findings(planned["id"]).items() if each["state"] == "proposed"]
    app.api.reject(planned, first, comment=HOSTILE)
    return app.api.approve(planned, *others, comment="change 4711")


def text_of(app: App, run_id: str) -> str:
    answer = app.api.get(f"/api/runs/{run_id}/report", role="Reader")
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.headers["Content-Disposition"] == f'inline; filename="realign-{run_id}.html"'
    assert "script" not in answer.headers["Content-Security-Policy"]
    page = Reader(answer.text)
    assert not {"img", "script"} & set(page.tags)
    return " ".join("".join(page.text).split())


def test_the_report_tells_what_changed_what_did_not_and_who_decided(app: App, run: Json) -> None:
    text = text_of(app, run["id"])
    findings = app.api.findings(run["id"])
    changed = [each for each in findings.values() if each["state"] == "verified"]
    assert changed
    assert f"What changed in Citrix {len(changed)} machines" in text
    for finding in findings.values():
        if finding["finding"] != "aligned":
            assert finding["machine"]["name"] in text
            assert " ".join(finding["explanation"].split()) in text
    for finding in changed:
        assert finding["to"]["hostedMachineId"] in text
    assert "remap, rejected: 1 machine" in text
    assert "Comment: change 4711" in text
    assert text.count(HOSTILE) == 2
    assert "first write possible" in text


def test_the_report_of_a_run_that_was_taken_back_says_that_nothing_is_changed(app: App, run: Json) -> None:
    app.api.rollback(run["id"])
    text = text_of(app, run["id"])
    assert "rolled-back It was taken back." in text
    assert "What changed in Citrix Nothing." in text
    assert "remap, rolled-back" in text
    assert "rollback-requested" in text


def test_a_report_links_from_its_run(app: App, run: Json) -> None:
    assert run["links"]["report"] == f"/api/runs/{run['id']}/report"
    assert app.api.get("/api/runs/nowhere/report").status_code == 404
    assert app.api.get(f"{run['links']['report']}?format=pdf").status_code == 400
