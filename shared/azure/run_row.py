"""A run as rows of the table ``runs``: its main row, and its way back to a ``Run``.

Times are ISO text in UTC, lists are JSON text. Texts that could pass a property's limit are cut with a mark; ids,
limits and counts never are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from shared.azure.limits import Value, cut, list_to_json, storable, to_json
from shared.azure.row_time import to_text, to_time
from shared.model.finding import Guard
from shared.model.run import ClusterSummary, Limits, Mode, Run, RunId, RunStatus, Step

RUN_PARTITION = "run"
_TEXT_UNITS = 8_000  # reason and error: more is no sentence
_ITEM_UNITS = 1_000  # an explanation, an error or a detail within a list


def run_to_row(run: Run) -> dict[str, Value | None]:
    return {
        "PartitionKey": RUN_PARTITION,
        "RowKey": run.id,
        "profile": run.profile,
        "mode": run.mode.value,
        "status": run.status.value,
        "trigger": run.trigger,
        "requestedBy": cut(run.requested_by, _TEXT_UNITS),
        "createdAt": to_text(run.created_at),
        "maxChanges": run.limits.max_changes,
        "maxChangePercent": run.limits.max_change_percent,
        "reason": _cut(run.reason, _TEXT_UNITS),
        "target": run.target,
        "settleSeconds": run.settle_seconds,
        "incidentStart": to_text(run.incident_start),
        "startedAt": to_text(run.started_at),
        "endedAt": to_text(run.ended_at),
        "updatedAt": to_text(run.updated_at),
        "notBefore": to_text(run.not_before),
        "attempts": run.attempts,
        "progress": run.progress,
        "fingerprint": run.fingerprint,
        "guards": list_to_json(
            [{"name": guard.name, "explanation": cut(guard.explanation, _ITEM_UNITS)} for guard in run.guards],
            lambda left_out: {"name": "cut", "explanation": f"{left_out} more guards were left out."},
        ),
        "findings": to_json(dict(run.findings)),
        "states": to_json(dict(run.states)),
        "outOfScope": run.out_of_scope,
        "unmatched": run.unmatched,
        "clusters": _clusters_to_json(run.clusters),
        "steps": _steps_to_json(run.steps),
        "error": _cut(run.error, _TEXT_UNITS),
        "siteId": run.site_id,
        "plannedAt": to_text(run.planned_at),
        "approvedBy": _cut(run.approved_by, _TEXT_UNITS),
        "cancelledBy": _cut(run.cancelled_by, _TEXT_UNITS),
        "writingSince": to_text(run.writing_since),
        "selection": run.selection,
    }


def row_to_run(row: Mapping[str, Any]) -> Run:
    return Run(
        id=RunId(row["RowKey"]),
        profile=row["profile"],
        mode=Mode(row["mode"]),
        status=RunStatus(row["status"]),
        trigger=row["trigger"],
        requested_by=row["requestedBy"],
        created_at=datetime.fromisoformat(row["createdAt"]),
        limits=Limits(row["maxChanges"], row["maxChangePercent"]),
        reason=row.get("reason"),
        target=row.get("target"),
        settle_seconds=row.get("settleSeconds") or 0,
        incident_start=to_time(row.get("incidentStart")),
        started_at=to_time(row.get("startedAt")),
        ended_at=to_time(row.get("endedAt")),
        updated_at=to_time(row.get("updatedAt")),
        not_before=to_time(row.get("notBefore")),
        attempts=row["attempts"],
        progress=row["progress"],
        fingerprint=row.get("fingerprint"),
        guards=tuple(Guard(**guard) for guard in json.loads(row["guards"])),
        findings=json.loads(row["findings"]),
        states=json.loads(row["states"]),
        out_of_scope=row["outOfScope"],
        unmatched=row["unmatched"],
        clusters=tuple(ClusterSummary(**cluster) for cluster in json.loads(row["clusters"])),
        steps=tuple(
            Step(step["name"], step["status"], datetime.fromisoformat(step["at"]), step["detail"])
            for step in json.loads(row["steps"])
        ),
        error=row.get("error"),
        site_id=row.get("siteId"),
        planned_at=to_time(row.get("plannedAt")),
        approved_by=row.get("approvedBy"),
        cancelled_by=row.get("cancelledBy"),
        writing_since=to_time(row.get("writingSince")),
        selection=row.get("selection"),
    )


def _cut(text: str | None, units: int) -> str | None:
    return cut(storable(text), units) if text is not None else None


def _clusters_to_json(clusters: Sequence[ClusterSummary]) -> str:
    return list_to_json(
        [
            {
                "name": cluster.name,
                "api": cluster.api,
                "status": cluster.status,
                "vms": cluster.vms,
                "error": _cut(cluster.error, _ITEM_UNITS),
            }
            for cluster in clusters
        ],
        lambda left_out: {
            "name": "cut",
            "api": "",
            "status": "",
            "vms": 0,
            "error": f"{left_out} more clusters were left out.",
        },
    )


def _steps_to_json(steps: Sequence[Step]) -> str:
    def marker(left_out: int) -> dict[str, str | None]:
        last = steps[left_out - 1]
        detail = f"{left_out} earlier steps were left out."
        return {"name": "cut", "status": "done", "at": to_text(last.at), "detail": detail}

    return list_to_json(
        [
            {"name": s.name, "status": s.status, "at": to_text(s.at), "detail": cut(s.detail, _ITEM_UNITS)}
            for s in steps
        ],
        marker,
        keep_last=True,
    )
