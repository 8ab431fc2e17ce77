from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from functions.shapes import (
    CSV_COLUMNS,
    event_shape,
    finding_shape,
    findings_csv,
    health_shape,
    hold_shape,
    profile_shape,
    run_shape,
    time_text,
)
from shared.azure.finding_row import StoredCandidate, StoredFinding
from shared.azure.holds import Hold
from shared.model.citrix import Hosting, MachineId
from shared.model.finding import Confidence, Evidence, FindingKind, Guard
from shared.model.nutanix import PowerState, VmUuid
from shared.model.run import ClusterSummary, Event, Limits, Mode, RemapState, Run, RunId, RunStatus, Step
from shared.profile_files import parse_profile
from shared.runs.probing.check import Check, Health, Stage
from tests.unit.profiles import SMALLEST

AT = datetime(2026, 11, 22, 3, 0, 0, 123456, tzinfo=UTC)
TEXT = "2026-11-22T03:00:00.123Z"

RUN = Run(
    id=RunId("r/1"),
    profile="emea-vdi",
    mode=Mode.REVIEW,
    status=RunStatus.AWAITING_REVIEW,
    trigger="http",
    requested_by="ann@example.com",
    created_at=AT,
    limits=Limits(200, 25),
)
REMAP = StoredFinding(
    machine=MachineId("m-1"),
    machine_name="CORP\\W11-001",
    dns_name="w11-001.corp.example",
    catalog="Persistent W11",
    delivery_group=None,
    kind=FindingKind.REMAP,
    reason="vm-moved",
    explanation="Its VM now stands on amsterdam.",
    confidence=Confidence.PROVEN,
    evidence=(Evidence("lineage", "Prism, cluster amsterdam", "It carries the id."),),
    candidates=(StoredCandidate("amsterdam", VmUuid("u-2"), "W11-001", PowerState.ON),),
    before=Hosting("Nutanix AHV Paris", VmUuid("u-1"), "c-1"),
    after=Hosting("Nutanix AHV Amsterdam", VmUuid("u-2"), "c-2"),
    state=RemapState.PROPOSED,
)
ALIGNED = replace(REMAP, kind=FindingKind.ALIGNED, reason="own-vm-live", confidence=None, after=None, state=None)


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (None, None),
        (AT, TEXT),
        (datetime(2026, 11, 22, tzinfo=UTC), "2026-11-22T00:00:00.000Z"),
        (datetime(2026, 11, 22, 5, tzinfo=timezone(timedelta(hours=2))), "2026-11-22T03:00:00.000Z"),
    ],
    ids=["none", "cut-to-milliseconds", "midnight", "another-zone"],
)
def test_times_are_utc_to_the_millisecond(at: datetime | None, text: str | None) -> None:
    assert time_text(at) == text


def test_a_run_that_has_just_been_asked_for() -> None:
    here = "/api/runs/r%2F1"
    assert run_shape(RUN) == {
        "id": "r/1",
        "profile": "emea-vdi",
        "siteId": None,
        "mode": "review",
        "status": "awaiting-review",
        "trigger": "http",
        "requestedBy": "ann@example.com",
        "approvedBy": None,
        "cancelledBy": None,
        "reason": None,
        "target": None,
        "settleSeconds": 0,
        "incidentStart": None,
        "limits": {"maxChanges": 200, "maxChangePercent": 25},
        "createdAt": TEXT,
        "startedAt": None,
        "plannedAt": None,
        "endedAt": None,
        "notBefore": None,
        "progress": 0,
        "attempts": 0,
        "fingerprint": None,
        "guards": [],
        "counts": {"findings": {}, "states": {}, "outOfScope": 0, "unmatched": 0},
        "clusters": [],
        "steps": [],
        "error": None,
        "links": {
            "self": here,
            "remaps": f"{here}/remaps",
            "csv": f"{here}/remaps.csv",
            "events": f"{here}/events",
            "report": f"{here}/report",
        },
    }


def test_a_planned_run() -> None:
    shape = run_shape(
        replace(
            RUN,
            guards=(Guard("max-changes", "Too many."),),
            findings={"remap": 38, "aligned": 12},
            states={"proposed": 38},
            out_of_scope=5,
            unmatched=1_002,
            clusters=(ClusterSummary("paris", "element-v2", "unreachable", 0, "It did not answer."),),
            steps=(Step("plan", "done", AT, "50 machines."),),
        ),
        unmatched={"machines": tuple(f"W11-{n}" for n in range(1_001)), "exclude": ("X-*",)},
    )
    assert shape["guards"] == [{"name": "max-changes", "explanation": "Too many."}]
    assert shape["counts"] == {
        "findings": {"remap": 38, "aligned": 12},
        "states": {"proposed": 38},
        "outOfScope": 5,
        "unmatched": 1_002,
    }
    assert shape["clusters"] == [
        {"name": "paris", "api": "element-v2", "status": "unreachable", "vms": 0, "error": "It did not answer."}
    ]
    assert shape["steps"] == [{"name": "plan", "status": "done", "at": TEXT, "detail": "50 machines."}]
    assert shape["unmatched"] == {"machines": [f"W11-{n}" for n in range(1_000)], "exclude": ["X-*"]}
    json.dumps(shape)


def test_a_dr_run_says_how_long_it_settles_and_since_when_jobs_count() -> None:
    began = datetime(2026, 11, 22, 4, 30, tzinfo=timezone(timedelta(hours=1)))
    shape = run_shape(
        replace(RUN, target="amsterdam/AMS-CL01", settle_seconds=600, incident_start=began, not_before=AT)
    )
    assert (shape["target"], shape["settleSeconds"]) == ("amsterdam/AMS-CL01", 600)
    assert (shape["incidentStart"], shape["notBefore"]) == ("2026-11-22T03:30:00.000Z", TEXT)


def test_a_run_says_when_it_was_planned_for_which_site_and_who_decided() -> None:
    shape = run_shape(replace(RUN, planned_at=AT, site_id="s-1", approved_by="ada", cancelled_by="otto"))
    assert (shape["plannedAt"], shape["siteId"]) == (TEXT, "s-1")
    assert (shape["approvedBy"], shape["cancelledBy"]) == ("ada", "otto")


def test_a_hold() -> None:
    until = datetime(2026, 11, 23, 3, tzinfo=UTC)
    shape = {"until": "2026-11-23T03:00:00.000Z", "by": "ann", "at": TEXT, "reason": None}
    assert hold_shape(Hold(until, "ann", AT)) == shape
    assert hold_shape(Hold(until, "ann", AT, "DR drill")) == {**shape, "reason": "DR drill"}


def test_a_remap() -> None:
    assert finding_shape(REMAP) == {
        "machine": {
            "id": "m-1",
            "name": "CORP\\W11-001",
            "dnsName": "w11-001.corp.example",
            "catalog": "Persistent W11",
            "deliveryGroup": None,
        },
        "finding": "remap",
        "reason": "vm-moved",
        "explanation": "Its VM now stands on amsterdam.",
        "confidence": "proven",
        "evidence": [{"kind": "lineage", "source": "Prism, cluster amsterdam", "detail": "It carries the id."}],
        "candidates": [{"cluster": "amsterdam", "uuid": "u-2", "name": "W11-001", "powerState": "on"}],
        "from": {"hostingConnection": "Nutanix AHV Paris", "hostedMachineId": "u-1"},
        "to": {"hostingConnection": "Nutanix AHV Amsterdam", "hostedMachineId": "u-2"},
        "state": "proposed",
        "error": None,
    }


def test_a_finding_that_is_no_remap_has_neither_to_nor_state_nor_confidence() -> None:
    shape = finding_shape(ALIGNED)
    assert (shape["to"], shape["state"], shape["confidence"]) == (None, None, None)


def test_an_event_names_a_machine_only_where_it_is_about_one() -> None:
    event = Event(AT, "ann", "planned", "50 machines.")
    assert event_shape(event) == {"at": TEXT, "actor": "ann", "action": "planned", "detail": "50 machines."}
    assert event_shape(replace(event, machine=MachineId("m-1")))["machine"] == "m-1"


def test_a_good_profile_is_shown_as_it_is_written() -> None:
    shape = profile_shape(parse_profile(json.dumps(SMALLEST), file="p.json"))
    assert (shape["name"], shape["file"], shape["valid"], shape["errors"]) == ("emea", "p.json", True, [])
    assert (shape["schedule"], shape["hold"]) == (False, None)
    assert shape["profile"]["site"] == SMALLEST["site"]
    assert shape["profile"]["clusters"][0]["hostingConnection"] == "Nutanix AHV Paris"


def test_a_profile_shows_the_hold_of_its_schedule() -> None:
    hold = Hold(AT, "ann", AT, "DR drill")
    for text in (json.dumps(SMALLEST), "{"):
        assert profile_shape(parse_profile(text, file="p.json"), hold)["hold"] == hold_shape(hold)


def test_a_broken_profile_shows_its_errors_and_nothing_of_its_text() -> None:
    shape = profile_shape(parse_profile('{"name": "emea", "clusters": "s3cr3t"}', file="p.json"))
    assert (shape["name"], shape["valid"], shape["profile"], shape["schedule"]) == ("emea", False, None, None)
    assert len(shape["errors"]) == 2
    assert "s3cr3t" not in json.dumps(shape)


WALKED = (Stage("name", True, 1, "10.1.2.3"), Stage("tcp", False, 8))


def test_health() -> None:
    ready = Check("storage", "storage", ready=True, latency_ms=7)
    failed = Check("emea/paris", "cluster", ready=False, latency_ms=9, remedy="Check it.", stages=WALKED)
    assert health_shape(Health((ready, failed))) == {
        "status": "degraded",
        "checks": [
            {"name": "storage", "kind": "storage", "state": "ready", "latencyMs": 7, "remedy": None, "stages": []},
            {
                "name": "emea/paris",
                "kind": "cluster",
                "state": "failed",
                "latencyMs": 9,
                "remedy": "Check it.",
                "stages": [
                    {"name": "name", "state": "passed", "latencyMs": 1, "detail": "10.1.2.3"},
                    {"name": "tcp", "state": "failed", "latencyMs": 8, "detail": None},
                ],
            },
        ],
    }


def rows(*findings: StoredFinding) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(findings_csv(findings), newline="")))


def test_the_csv_has_a_column_for_every_field_in_the_order_of_the_json() -> None:
    def flat(shape: dict[str, Any], way: str = "") -> list[str]:
        return [
            name
            for key, value in shape.items()
            for name in (flat(value, f"{way}{key}.") if isinstance(value, dict) else [f"{way}{key}"])
        ]

    assert list(CSV_COLUMNS) == flat(finding_shape(REMAP))
    assert findings_csv([]) == ",".join(CSV_COLUMNS) + "\r\n"


def test_a_csv_row_holds_what_the_json_holds() -> None:
    (row,) = rows(REMAP)
    assert row["machine.name"] == "CORP\\W11-001"
    assert row["machine.deliveryGroup"] == ""
    assert row["to.hostedMachineId"] == "u-2"
    assert json.loads(row["candidates"]) == finding_shape(REMAP)["candidates"]
    assert json.loads(row["evidence"]) == finding_shape(REMAP)["evidence"]


def test_a_csv_row_of_no_remap_leaves_its_cells_empty() -> None:
    (row,) = rows(ALIGNED)
    assert [row[c] for c in ("to.hostingConnection", "to.hostedMachineId", "state", "confidence")] == [""] * 4


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", " =1", '"=1', '"" =1', "\u00a0@x", "\t"])
def test_a_cell_that_a_spreadsheet_would_run_is_made_text(name: str) -> None:
    (row,) = rows(replace(REMAP, machine_name=name))
    assert row["machine.name"] == f"'{name}"


@pytest.mark.parametrize(
    "name", ["W11-1", "1-2", "0d4f1c58-5f0e-4b0a-9a34-6f1f0a0f2b11", 'a "b", c', "line\r\nline", "Büro", "a=b", ""]
)
def test_any_other_cell_comes_back_as_it_was(name: str) -> None:
    (row,) = rows(replace(REMAP, machine_name=name))
    assert row["machine.name"] == name


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ("=HYPERLINK(1)", "'=HYPERLINK(1)"),
        ("a;=1+1", "a;'=1+1"),
        ("a\r\n@SUM(A1)", "a\r\n'@SUM(A1)"),
        ("＝1+1", "'＝1+1"),
        ("\r=1", "'\r'=1"),
        ("a\r=1", "a\r'=1"),
        ("a\r\n b", "a\r\n b"),
        ('a;"=1+1', "a;'\"=1+1"),
        ("a; \t-1", "a;' \t-1"),
        ("CORP\\-1", "CORP\\-1"),
        ("S-1-5-21-7", "S-1-5-21-7"),
        ("W11-001", "W11-001"),
        ("a = b; c - d", "a = b; c - d"),
    ],
)
def test_nothing_in_a_cell_begins_a_formula_whatever_the_spreadsheet_takes_for_its_start(name: str, cell: str) -> None:
    (row,) = rows(replace(REMAP, machine_name=name))
    assert row["machine.name"] == cell
