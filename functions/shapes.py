"""The JSON and CSV shapes of the API (design, section 6)."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, overload

from shared.azure.finding_row import StoredFinding
from shared.azure.holds import Hold
from shared.model.citrix import Hosting
from shared.model.run import Event, Run
from shared.profile_files import ProfileFile
from shared.runs.places import place_of_run
from shared.runs.probing.check import Health

if TYPE_CHECKING:
    from functions.contract import answers

MOST_UNMATCHED = 1_000  # names a scope key


@overload
def time_text(at: datetime) -> str: ...
@overload
def time_text(at: datetime | None) -> str | None: ...
def time_text(at: datetime | None) -> str | None:
    """RFC 3339 in UTC, to the millisecond."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z") if at is not None else None


def run_shape(run: Run, unmatched: Mapping[str, Iterable[str]] | None = None) -> answers.Run:
    here = place_of_run(run.id)
    shape: answers.Run = {
        "id": run.id,
        "profile": run.profile,
        "siteId": run.site_id,
        "mode": run.mode.value,
        "status": run.status.value,
        "trigger": run.trigger,
        "requestedBy": run.requested_by,
        "approvedBy": run.approved_by,
        "cancelledBy": run.cancelled_by,
        "reason": run.reason,
        "target": run.target,
        "settleSeconds": run.settle_seconds,
        "incidentStart": time_text(run.incident_start),
        "limits": {"maxChanges": run.limits.max_changes, "maxChangePercent": run.limits.max_change_percent},
        "createdAt": time_text(run.created_at),
        "startedAt": time_text(run.started_at),
        "plannedAt": time_text(run.planned_at),
        "endedAt": time_text(run.ended_at),
        "notBefore": time_text(run.not_before),
        "progress": run.progress,
        "attempts": run.attempts,
        "fingerprint": run.fingerprint,
        "guards": [{"name": guard.name, "explanation": guard.explanation} for guard in run.guards],
        "counts": {
            "findings": dict(run.findings),
            "states": dict(run.states),
            "outOfScope": run.out_of_scope,
            "unmatched": run.unmatched,
        },
        "clusters": [
            {"name": c.name, "api": c.api, "status": c.status, "vms": c.vms, "error": c.error} for c in run.clusters
        ],
        "steps": [{"name": s.name, "status": s.status, "at": time_text(s.at), "detail": s.detail} for s in run.steps],
        "error": run.error,
        "links": {
            "self": here,
            "remaps": f"{here}/remaps",
            "csv": f"{here}/remaps.csv",
            "events": f"{here}/events",
            "report": f"{here}/report",
        },
    }
    if unmatched is not None:
        # an uploaded CSV may have 200,000 names; their number is in the counts
        shape["unmatched"] = {key: list(islice(names, MOST_UNMATCHED)) for key, names in unmatched.items()}
    return shape


def finding_shape(finding: StoredFinding) -> answers.Finding:
    return {
        "machine": {
            "id": finding.machine,
            "name": finding.machine_name,
            "dnsName": finding.dns_name,
            "catalog": finding.catalog,
            "deliveryGroup": finding.delivery_group,
        },
        "finding": finding.kind.value,
        "reason": finding.reason,
        "explanation": finding.explanation,
        "confidence": finding.confidence.value if finding.confidence else None,
        "evidence": [{"kind": e.kind, "source": e.source, "detail": e.detail} for e in finding.evidence],
        "candidates": [
            {"cluster": c.cluster, "uuid": c.uuid, "name": c.name, "powerState": c.power.value}
            for c in finding.candidates
        ],
        "from": _hosting_shape(finding.before),
        "to": _hosting_shape(finding.after) if finding.after is not None else None,
        "state": finding.state.value if finding.state else None,
        "error": finding.error,
    }


def _hosting_shape(hosting: Hosting) -> answers.Hosting:
    return {"hostingConnection": hosting.connection, "hostedMachineId": hosting.machine_id}


def event_shape(event: Event) -> answers.Event:
    shape: answers.Event = {
        "at": time_text(event.at),
        "actor": event.actor,
        "action": event.action,
        "detail": event.detail,
    }
    if event.machine is not None:
        shape["machine"] = event.machine
    return shape


def hold_shape(hold: Hold) -> answers.Hold:
    return {"until": time_text(hold.until), "by": hold.by, "at": time_text(hold.at), "reason": hold.reason}


def profile_shape(file: ProfileFile, hold: Hold | None = None) -> answers.ProfileFile:
    """A profile with its errors, and the hold of its schedule. It names secrets and holds none."""
    profile = file.profile
    return {
        "name": file.name,
        "file": file.file,
        "valid": profile is not None,
        "errors": list(file.errors),
        "schedule": profile.schedule if profile is not None else None,
        "hold": hold_shape(hold) if hold is not None else None,
        "profile": profile.model_dump(mode="json", by_alias=True, exclude_none=True) if profile is not None else None,
    }


def health_shape(health: Health) -> answers.Health:
    return {
        "status": health.status,
        "checks": [
            {
                "name": check.name,
                "kind": check.kind,
                "state": "ready" if check.ready else "failed",
                "latencyMs": check.latency_ms,
                "remedy": check.remedy,
                "stages": [
                    {
                        "name": stage.name,
                        "state": "passed" if stage.passed else "failed",
                        "latencyMs": stage.latency_ms,
                        "detail": stage.detail or None,
                    }
                    for stage in check.stages
                ],
            }
            for check in health.checks
        ],
    }


CSV_COLUMNS = (
    "machine.id",
    "machine.name",
    "machine.dnsName",
    "machine.catalog",
    "machine.deliveryGroup",
    "finding",
    "reason",
    "explanation",
    "confidence",
    "evidence",
    "candidates",
    "from.hostingConnection",
    "from.hostedMachineId",
    "to.hostingConnection",
    "to.hostedMachineId",
    "state",
    "error",
)
# At the start of a cell, and behind what a spreadsheet of another language takes for the start of one. Blanks and
# quotes do not count: a spreadsheet takes them away, or for the marks around a cell.
_FORMULA = re.compile(r"(^|;|\r\n|[\r\n])(?=[ \t\u00a0\"]*[=+\-@\t\r＝＋－＠])")


def findings_csv(findings: Iterable[StoredFinding]) -> str:
    """The findings as CSV: a column a field, in the order of the JSON shape. Lists are JSON in their cell."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(CSV_COLUMNS)
    for finding in findings:
        shape = finding_shape(finding)
        writer.writerow([_cell(_at(shape, column)) for column in CSV_COLUMNS])
    return out.getvalue()


def _at(shape: Mapping[str, Any], column: str) -> Any:
    value: Any = shape
    for part in column.split("."):
        value = value[part] if value is not None else None
    return value


def _cell(value: Any) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    # a spreadsheet would run it as a formula; the quote makes it text there
    return _FORMULA.sub(r"\1'", text)
