"""What a webhook is told: facts of a run, a sentence, and where to look. The OpenAPI document shows this very type."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated

from pydantic import Field, WithJsonSchema
from typing_extensions import TypedDict

from shared.azure.limits import cut
from shared.model.finding import FindingKind
from shared.model.notice import NoticeEvent
from shared.model.run import Mode, Run, RunStatus
from shared.runs.places import page_of_run, place_of_run

_TEXT_UNITS = 2_000
_MOST_GUARDS = 20

_Time = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]


class ToldRun(TypedDict):
    """The run as it came to rest."""

    id: str
    profile: str
    mode: Annotated[str, WithJsonSchema({"type": "string", "enum": [mode.value for mode in Mode]})]
    status: Annotated[str, WithJsonSchema({"type": "string", "enum": [status.value for status in RunStatus]})]
    trigger: str
    requestedBy: str
    approvedBy: str | None
    reason: str | None
    target: str | None
    createdAt: _Time
    findings: Annotated[dict[str, int], Field(description="Machines by kind of finding.")]
    states: Annotated[dict[str, int], Field(description="Remaps by state.")]
    guards: Annotated[list[str], Field(description="Names of the guards that make it wait.")]
    error: str | None


class ToldLinks(TypedDict):
    """Where to look; whole addresses where the app knows its own name."""

    run: str
    report: str
    review: str


class Message(TypedDict):
    """The body of the request."""

    event: Annotated[str, WithJsonSchema({"type": "string", "enum": [event.value for event in NoticeEvent]})]
    id: Annotated[str, Field(description="The same at each attempt, as in the header webhook-id.")]
    at: _Time
    summary: Annotated[str, Field(description="All of it as a sentence, for a chat or a ticket.")]
    run: ToldRun
    links: ToldLinks


def message_text(run: Run, event: NoticeEvent, message_id: str, at: datetime, home: str) -> str:
    """The message as JSON text. ``home`` is the app's own address, ``https://host``, or empty."""
    return json.dumps(message(run, event, message_id, at, home), ensure_ascii=False, separators=(",", ":"))


def message(run: Run, event: NoticeEvent, message_id: str, at: datetime, home: str) -> Message:
    here = f"{home}{place_of_run(run.id)}"
    return {
        "event": event.value,
        "id": message_id,
        "at": _time(at),
        "summary": summary(run, event),
        "run": {
            "id": run.id,
            "profile": run.profile,
            "mode": run.mode.value,
            "status": run.status.value,
            "trigger": run.trigger,
            "requestedBy": run.requested_by,
            "approvedBy": run.approved_by,
            "reason": cut(run.reason, _TEXT_UNITS) if run.reason is not None else None,
            "target": run.target,
            "createdAt": _time(run.created_at),
            "findings": dict(run.findings),
            "states": dict(run.states),
            "guards": [guard.name for guard in run.guards[:_MOST_GUARDS]],
            "error": cut(run.error, _TEXT_UNITS) if run.error is not None else None,
        },
        "links": {
            "run": here,
            "report": f"{here}/report",
            "review": f"{home}{page_of_run(run.id)}",
        },
    }


def summary(run: Run, event: NoticeEvent) -> str:
    """One sentence or two for people."""
    remaps = run.findings.get(FindingKind.REMAP.value, 0)
    wrong = "1 machine" if remaps == 1 else f"{remaps} machines"
    name = f"profile {run.profile}" + (f", target {run.target}" if run.target else "")
    states = ", ".join(f"{number} {state}" for state, number in run.states.items()) or "no remaps"
    guards = f" Guards: {', '.join(guard.name for guard in run.guards[:_MOST_GUARDS])}." if run.guards else ""
    waits = " It waits for review." if run.status is RunStatus.AWAITING_REVIEW else ""
    match event:
        case NoticeEvent.DRIFT:
            return f"Drift in {name}: {wrong} to correct in Citrix.{waits}{guards}"
        case NoticeEvent.AWAITING_REVIEW:
            return f"A run of {name} waits for review: {states}.{guards}"
        case NoticeEvent.COMPLETED:
            return f"A run of {name} is completed: {states}."
        case _:
            said = cut(run.error or "", _TEXT_UNITS)
            return f"A run of {name} ended as {run.status.value}: {said}".rstrip(": ")


def _time(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
