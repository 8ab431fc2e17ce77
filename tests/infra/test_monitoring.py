"""Alerts and workbook ask for metrics that the app sends, by the dimensions and values that these have."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from typing import Any

import pytest

from shared.model.run import Limits, Mode, Run, RunId, RunStatus
from shared.telemetry import telling
from shared.telemetry.call import Call
from shared.telemetry.subject import working_on
from tests.infra.deployments import INFRA, ROOT, deployed
from tests.infra.kql import asked, said_of
from tests.telemetry import kept_telemetry

NOW = datetime(2025, 11, 23, 9, 0, tzinfo=UTC)
WAS = Run(RunId("99f1145b45e159df2a744e8"), "emea-vdi", Mode.AUTO, RunStatus.PLANNING, "schedule", "timer", NOW,
          Limits(200, 25))  # fmt: skip


def ends(status: RunStatus) -> None:
    done = replace(WAS, status=status, planned_at=NOW, findings={"remap": 1}, states={"verified": 1})
    telling.changed(WAS, done, rests=True)


def paris(ready: bool) -> None:
    telling.dependency("emea-vdi/paris", "cluster", ready=ready)


def review(hours: float) -> None:
    telling.review_waits("emea-vdi", hours * 3_600)


def schedule(hours: float) -> None:
    telling.schedule_age("emea-vdi", hours * 3_600)


def waited(seconds: float) -> None:
    with working_on(WAS.id), telling.step("plan", seconds):
        pass


@cache
def metrics() -> dict[str, set[str]]:
    """Every metric that the app tells, with its dimensions, as OpenTelemetry gets them."""
    with kept_telemetry() as kept:
        ends(RunStatus.FAILED)
        paris(False)
        waited(1.0)
        telling.called(Call.to("prism", "GET", "https://prism.corp.example", attempt=2))
        telling.poisoned("plan")
        review(1)
        schedule(1)
        return {name: set(points[0][0]) for name, points in kept.points().items()}


# The exporter sends Min and Max of a histogram alone; of every other metric a point is a value and a count.
HISTOGRAMS = {"realign.run.seconds"}
RULE = "Microsoft.Insights/scheduledQueryRules"
QUERIES = sorted((INFRA / "queries").glob("*.kql"))


@pytest.mark.parametrize("path", QUERIES, ids=lambda path: path.stem)
def test_a_query_asks_for_metrics_and_dimensions_that_there_are(path) -> None:
    query = path.read_text(encoding="utf-8")
    assert query.splitlines()[0].startswith("//") or query.startswith("AppMetrics\n")
    names = set(re.findall(r"'(realign\.[a-z.]+)'", query))
    assert names
    assert names <= set(metrics())
    assert set(re.findall(r"Properties\.(\w+)", query)) <= set().union(*(metrics()[name] for name in names))
    assert names <= HISTOGRAMS or not re.search(r"\b(Max|Min)\b", query)


def test_these_are_the_metrics_that_the_app_tells() -> None:
    recorder = (ROOT / "shared" / "telemetry" / "recorder.py").read_text(encoding="utf-8")
    assert set(re.findall(r'"(realign\.[a-z.]+)"', recorder)) == set(metrics())
    assert set(re.findall(r'create_histogram\("([a-z.]+)"', recorder)) == HISTOGRAMS


def test_microsofts_parser_takes_every_query_and_finds_the_columns_of_the_alerts() -> None:
    """At the deployment nobody looks: ``skipQueryValidation``, since the tables are not there before the app."""
    alerts = [rule.properties["criteria"]["allOf"][0] for rule in deployed("relay").of(RULE)]
    charts = [path.read_text(encoding="utf-8") for path in QUERIES if path.stem.startswith("workbook_")]
    pages = [*(ROOT / "docs").glob("*.md")]
    blocks = [
        block for page in pages for block in re.findall(r"```kusto\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    ]
    documented = [query for block in blocks for query in block.split("\n\n")]
    wrong = ["AppMetrics | where Nam == 'x'", "AppMetrics | summarise count()", "AppMetrics | summarize sum(Name)"]
    said = said_of([*(each["query"] for each in alerts), *charts, *documented, *wrong])
    assert [each["faults"] for each in said[: -len(wrong)] if each["faults"]] == []
    assert all(each["faults"] for each in said[-len(wrong) :])
    for alert, each in zip(alerts, said, strict=False):
        assert {dimension["name"] for dimension in alert.get("dimensions", [])} <= set(each["columns"])
    assert len(documented) >= 5


def test_every_query_is_used() -> None:
    bicep = "\n".join(path.read_text(encoding="utf-8") for path in (INFRA / "modules").glob("*.bicep"))
    assert [path.name for path in QUERIES if f"'../queries/{path.name}'" not in bicep] == []


@pytest.mark.parametrize("rule", deployed("all-told").of(RULE), ids=lambda rule: rule.name)
def test_an_alert_is_counted_in_its_window_and_told_to_people(rule) -> None:
    condition = rule.properties["criteria"]["allOf"][0]
    assert "{" not in condition["query"]
    assert condition["timeAggregation"] == "Count"
    # the probe's five minutes three times: two samples are in it, however late they come
    assert (rule.properties["evaluationFrequency"], rule.properties["windowSize"]) in {
        ("PT5M", "PT15M"),
        ("PT5M", "PT30M"),
    }
    people = deployed("all-told").one("Microsoft.Insights/actionGroups")
    assert rule.properties["actions"] == {"actionGroups": [people.id]}
    assert [each["emailAddress"] for each in people.properties["emailReceivers"]] == ["ops@corp.example"]


def test_the_alerts_are_those_that_somebody_should_get_up_for() -> None:
    names = {rule.name.removeprefix("realign-") for rule in deployed("relay").of(RULE)}
    asked_for = {"run-failed", "poison-message", "dependency-not-ready", "review-waiting", "schedule-late"}
    assert names == asked_for | {"queue-slow", "silent"}


@pytest.mark.parametrize("page", ["docs/operations.md", "infra/README.md"])
def test_every_alert_has_its_row_and_no_other(page: str) -> None:
    section = (ROOT / page).read_text(encoding="utf-8").partition("| alert |")[2].partition("\n\n")[0]
    alerts = [*deployed("relay").of(RULE), *deployed("relay").of("Microsoft.Insights/metricAlerts")]
    assert sorted(re.findall(r"^\| `([a-z-]+)` \|", section, re.MULTILINE)) == sorted(
        each.name.removeprefix("realign-") for each in alerts
    )


def test_limits_in_hours_become_seconds_of_the_query() -> None:
    queries = {rule.name: rule.properties["criteria"]["allOf"][0]["query"] for rule in deployed("relay").of(RULE)}
    assert "Sum / ItemCount > 24 * 3600" in queries["realign-review-waiting"]
    assert "Sum / ItemCount > 26 * 3600" in queries["realign-schedule-late"]


DAYS = {  # an alert, and what is told in each export of a window
    "run-failed": {
        True: [[(ends, RunStatus.FAILED)], [(ends, RunStatus.COMPLETED_WITH_ERRORS)]],
        False: [[(ends, RunStatus.COMPLETED)]],
    },
    "poison-message": {True: [[(telling.poisoned, "plan")]], False: [[(waited, 1)]]},
    "dependency-not-ready": {
        True: [[(paris, False), (paris, False)]],
        False: [[(paris, False), (paris, True)], [(paris, False)]],
    },
    "review-waiting": {
        True: [[(review, 25)]],
        False: [[(review, 23)], [(review, 25), (review, 0)]],
    },
    "schedule-late": {
        True: [[(schedule, 27)]],
        False: [[(schedule, 25)], [(schedule, 27), (schedule, 0)]],
    },
    "queue-slow": {True: [[(waited, 1_801), (waited, 1)]], False: [[(waited, 1_799)]]},
    "silent": {True: [[], [(waited, 1)]], False: [[(paris, False)]]},
}


@pytest.mark.parametrize("alert", DAYS)
@pytest.mark.parametrize("speaks", [True, False], ids=["a-bad-day", "a-good-day"])
def test_an_alert_speaks_of_what_the_app_tells_on_a_bad_day_and_on_no_other(alert: str, speaks: bool) -> None:
    rule = next(each for each in deployed("relay").of(RULE) if each.name == f"realign-{alert}")
    condition = rule.properties["criteria"]["allOf"][0]
    for day in DAYS[alert][speaks]:
        found, limit = len(asked(condition["query"], exported(day))), condition["threshold"]
        assert {"GreaterThan": found > limit, "LessThan": found < limit}[condition["operator"]] is speaks, day


def exported(day: list[tuple[Callable[[Any], None], Any]]) -> list[dict[str, Any]]:
    """The rows of AppMetrics after a day on which each of these was told before another export."""
    rows = []
    with kept_telemetry() as kept:
        for minute, (tell, what) in enumerate(day):
            tell(what)
            rows += [
                {"Name": name, "Sum": value, "ItemCount": 1, "TimeGenerated": minute, "Properties": attributes}
                for name, points in kept.points().items()
                for attributes, value in points
            ]
    return rows


def test_without_addresses_alerts_show_in_the_portal_alone() -> None:
    assert deployed("relay").of("Microsoft.Insights/actionGroups") == []
    assert all(rule.properties["actions"] == {"actionGroups": []} for rule in deployed("relay").of(RULE))


def test_the_workbook_is_json_with_a_chart_for_each_query() -> None:
    workbook = json.loads(deployed("relay").one("Microsoft.Insights/workbooks").properties["serializedData"])
    charts = [item["content"] for item in workbook["items"] if item["type"] == 3]
    assert len(charts) == len([path for path in QUERIES if path.stem.startswith("workbook_")])
    assert all(chart["query"].startswith("AppMetrics") and chart["title"] for chart in charts)
    workspace = deployed("relay").one("Microsoft.OperationalInsights/workspaces").id
    assert all(chart["crossComponentResources"] == [workspace] for chart in charts)


def test_the_health_check_of_the_platform_has_an_alert() -> None:
    rule = deployed("relay").one("Microsoft.Insights/metricAlerts").properties
    (condition,) = rule["criteria"]["allOf"]
    assert rule["scopes"] == [deployed("relay").one("Microsoft.Web/sites").id]
    assert (condition["metricName"], condition["operator"], condition["threshold"]) == (
        "HealthCheckStatus",
        "LessThan",
        100,
    )
