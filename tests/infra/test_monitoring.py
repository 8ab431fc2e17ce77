"""Alerts and workbook ask for metrics that the app sends, by the dimensions that these have."""

from __future__ import annotations

import json
import re

import pytest

from tests.infra.deployments import INFRA, deployed

# what the app sends, with its dimensions
METRICS = {
    "realign.runs": {"profile", "status", "trigger"},
    "realign.findings": {"profile", "kind"},
    "realign.remaps": {"profile", "state"},
    "realign.run.seconds": {"profile", "status"},
    "realign.calls": {"system", "host", "status"},
    "realign.retries": {"system", "host"},
    "realign.queue.age": {"step"},
    "realign.poison": {"step"},
    "realign.dependency.ready": {"name", "kind"},
    "realign.review.waiting": {"profile"},
    "realign.schedule.age": {"profile"},
}
RULE = "Microsoft.Insights/scheduledQueryRules"
QUERIES = sorted((INFRA / "queries").glob("*.kql"))


@pytest.mark.parametrize("path", QUERIES, ids=lambda path: path.stem)
def test_a_query_asks_for_metrics_and_dimensions_that_there_are(path) -> None:
    query = path.read_text(encoding="utf-8")
    assert query.splitlines()[0].startswith("//") or query.startswith("AppMetrics\n")
    names = set(re.findall(r"'(realign\.[a-z.]+)'", query))
    assert names
    assert names <= set(METRICS)
    assert set(re.findall(r"Properties\.(\w+)", query)) <= set().union(*(METRICS[name] for name in names))


def test_these_are_the_metrics_that_the_app_tells() -> None:
    recorder = (INFRA.parent / "shared" / "telemetry" / "recorder.py").read_text(encoding="utf-8")
    assert set(re.findall(r'"(realign\.[a-z.]+)"', recorder)) == set(METRICS)


def test_every_query_is_used() -> None:
    bicep = "\n".join(path.read_text(encoding="utf-8") for path in (INFRA / "modules").glob("*.bicep"))
    assert [path.name for path in QUERIES if f"'../queries/{path.name}'" not in bicep] == []


@pytest.mark.parametrize("rule", deployed("all-told").of(RULE), ids=lambda rule: rule.name)
def test_an_alert_is_counted_in_its_window_and_told_to_people(rule) -> None:
    condition = rule.properties["criteria"]["allOf"][0]
    assert "{" not in condition["query"]
    assert condition["timeAggregation"] == "Count"
    columns = {each["name"] for each in condition.get("dimensions", [])}
    produced = re.findall(r"\bby ([\w, ]+)", condition["query"])
    assert columns <= {name.strip() for line in produced for name in line.split(",")}
    people = deployed("all-told").one("Microsoft.Insights/actionGroups")
    assert rule.properties["actions"] == {"actionGroups": [people.id]}
    assert [each["emailAddress"] for each in people.properties["emailReceivers"]] == ["ops@corp.example"]


def test_the_alerts_are_those_that_somebody_should_get_up_for() -> None:
    names = {rule.name.removeprefix("realign-") for rule in deployed("relay").of(RULE)}
    asked_for = {"run-failed", "poison-message", "dependency-not-ready", "review-waiting", "schedule-late"}
    assert names == asked_for | {"queue-slow", "silent"}


def test_limits_in_hours_become_seconds_of_the_query() -> None:
    queries = {rule.name: rule.properties["criteria"]["allOf"][0]["query"] for rule in deployed("relay").of(RULE)}
    assert "Sum / ItemCount > 24 * 3600" in queries["realign-review-waiting"]
    assert "Sum / ItemCount > 26 * 3600" in queries["realign-schedule-late"]


def test_silence_speaks_when_nothing_comes_in() -> None:
    rule = next(each for each in deployed("relay").of(RULE) if each.name == "realign-silent")
    condition = rule.properties["criteria"]["allOf"][0]
    assert (condition["operator"], condition["threshold"]) == ("LessThan", 1)


def test_without_addresses_alerts_show_in_the_portal_alone() -> None:
    assert deployed("relay").of("Microsoft.Insights/actionGroups") == []
    assert all(rule.properties["actions"] == {"actionGroups": []} for rule in deployed("relay").of(RULE))


def test_the_workbook_is_json_with_a_chart_for_each_query() -> None:
    workbook = json.loads(deployed("relay").one("Microsoft.Insights/workbooks").properties["serializedData"])
    charts = [item["content"] for item in workbook["items"] if item["type"] == 3]
    assert len(charts) == len([path for path in QUERIES if path.stem.startswith("workbook_")])
    assert all(chart["query"].startswith("AppMetrics") and chart["title"] for chart in charts)
