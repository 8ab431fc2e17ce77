"""One story in the words of the API: the examples of the OpenAPI document, shaped by what shapes real answers."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from functions.parameters import cursor_for
from functions.shapes import (
    event_shape,
    finding_shape,
    findings_csv,
    health_shape,
    hold_shape,
    profile_shape,
    run_shape,
)
from shared.azure.finding_row import StoredCandidate, StoredFinding
from shared.azure.holds import Hold
from shared.model.citrix import Hosting, MachineId
from shared.model.finding import Confidence, Evidence, FindingKind
from shared.model.notice import NoticeEvent
from shared.model.nutanix import PowerState, VmUuid
from shared.model.run import ClusterSummary, Event, Limits, Mode, RemapState, Run, RunId, RunStatus, Step
from shared.profile_files import parse_profile
from shared.runs.notifying.message import message
from shared.runs.probing.check import Check, Stage
from shared.runs.probing.check import Health as Dependencies

_AT = datetime(2026, 11, 22, 6, 10, tzinfo=UTC)
_PLANNED = _AT + timedelta(seconds=9)
_OLD, _NEW = VmUuid("0d4f1c58-5f0e-4b0a-9a34-6f1f0a0f2b11"), VmUuid("7c9e6679-7425-40de-944b-e07fc1f90ae7")
_MACHINE = MachineId("5a1f0d2c-9a7b-4c7e-8f39-2f0b6f0c1d22")
_PROFILE = {
    "name": "emea-vdi",
    "site": {"kind": "daas", "region": "eu", "customerId": "acme1234abcd", "credential": "citrix-emea"},
    "clusters": [
        {
            "name": "paris",
            "api": "element-v2",
            "host": "prism-par.corp.example",
            "credential": "prism-paris",
            "ca": "corp-root-ca",
            "hostingConnection": "Nutanix AHV Paris",
        },
        {
            "name": "amsterdam",
            "api": "central-v4",
            "host": "pc-ams.corp.example",
            "credential": "prism-ams",
            "ca": "corp-root-ca",
            "hostingConnection": "Nutanix AHV Amsterdam",
        },
    ],
    "schedule": True,
}

_QUEUED = Run(
    id=RunId("18f5d4b3c2a10e7f6d5c4b3"),
    profile="emea-vdi",
    mode=Mode.REVIEW,
    status=RunStatus.QUEUED,
    trigger="http",
    requested_by="olive@corp.example",
    created_at=_AT,
    limits=Limits(6_000, 100),
    reason="Failover drill",
    target="amsterdam",
)
_WAITING = replace(
    _QUEUED,
    status=RunStatus.AWAITING_REVIEW,
    started_at=_AT + timedelta(seconds=1),
    planned_at=_PLANNED,
    progress=100,
    attempts=1,
    fingerprint="61007a7c61c8a7d9",
    findings={"aligned": 12, "remap": 38},
    states={"proposed": 38},
    clusters=(
        ClusterSummary("paris", "element-v2", "unreachable", 0, "Prism prism-par.corp.example:9440 did not answer."),
        ClusterSummary("amsterdam", "central-v4", "answered", 412),
    ),
    steps=(Step("plan", "done", _PLANNED, "50 machines in scope, 38 remaps, 0 machines out of scope."),),
    site_id="1b8f7a5e-3c1d-4b7e-9f0a-5d7c2e8b6a90",
)
_APPLYING = replace(_WAITING, status=RunStatus.APPLYING, approved_by="ada@corp.example", progress=5)
_FINDING = StoredFinding(
    machine=_MACHINE,
    machine_name="CORP\\W11-001",
    dns_name="w11-001.corp.example",
    catalog="Persistent W11",
    delivery_group="Finance",
    kind=FindingKind.REMAP,
    reason="vm-moved",
    explanation="The VM W11-001 stands on amsterdam now, under Nutanix AHV Amsterdam.",
    confidence=Confidence.PROVEN,
    evidence=(Evidence("lineage", "recovery-plan-job 8f2e", f"The VM {_OLD} became {_NEW}."),),
    candidates=(StoredCandidate("amsterdam", _NEW, "W11-001", PowerState.ON),),
    before=Hosting("Nutanix AHV Paris", _OLD),
    after=Hosting("Nutanix AHV Amsterdam", _NEW),
    state=RemapState.PROPOSED,
)
_HOLD = Hold(_AT + timedelta(hours=48), "olive@corp.example", _AT, "migration weekend")
_EVENT = Event(_PLANNED, "realign", "planned", "50 machines in scope, 38 remaps, 0 machines out of scope.")
_HEALTH = Dependencies(
    (
        Check("storage", "storage", True, 8, None, (Stage("rights", True, 8, "a row written and deleted"),)),
        Check(
            "emea-vdi/paris",
            "cluster",
            False,
            5_009,
            "prism-par.corp.example does not accept a connection at port 9440 within 5 s. A firewall may be between.",
            (Stage("secret", True, 4), Stage("name", True, 1, "10.1.2.3"), Stage("tcp", False, 5_004)),
        ),
    )
)

run_queued: Any = run_shape(_QUEUED)
run_waiting: Any = run_shape(_WAITING, {})
run_applying: Any = run_shape(_APPLYING)
run_for_key: Any = {**run_shape(_WAITING), "links": {"self": f"/api/hooks/runs?id={_WAITING.id}"}}
runs: Any = {"items": [run_shape(_WAITING)], "cursor": cursor_for(_WAITING.id, "runs")}
findings: Any = {"items": [finding_shape(_FINDING)], "cursor": None}
csv: Any = findings_csv([_FINDING])
events: Any = {"items": [event_shape(_EVENT)], "cursor": None}
profile: Any = profile_shape(parse_profile(json.dumps(_PROFILE), file="emea-vdi.json"), None)
profiles: Any = {"items": [profile], "cursor": None}
held: Any = {"profile": "emea-vdi", "hold": hold_shape(_HOLD)}
released: Any = {"profile": "emea-vdi", "hold": None}
health: Any = health_shape(_HEALTH)
told: Any = message(
    _WAITING, NoticeEvent.AWAITING_REVIEW, f"{_WAITING.id}-20261122T061009000000-awaiting-review", _PLANNED, ""
)
me: Any = {"name": "olive@corp.example", "roles": ["Realign.Reader", "Realign.Operator"]}
live: Any = {"status": "live"}

start: Any = {
    "mode": "review",
    "target": "amsterdam",
    "scope": {"catalogs": ["Persistent W11"], "exclude": ["W11-LAB-*"]},
    "limits": {"maxChanges": 50, "maxChangePercent": 10},
    "settleSeconds": 600,
    "incidentStart": "2026-11-22T04:30:00Z",
    "reason": "Failover drill",
}
hook: Any = {"profile": "emea-vdi", "target": "amsterdam", "mode": "review"}
approve: Any = {"machines": [_MACHINE], "fingerprint": _WAITING.fingerprint, "comment": "pilot, change 4711"}
reject: Any = {"all": True, "fingerprint": _WAITING.fingerprint}
resolve: Any = {
    "machine": _MACHINE,
    "candidate": {"cluster": "amsterdam", "uuid": _NEW},
    "comment": "The other one is last week's restore.",
}
machines: Any = {"machines": [_MACHINE]}
cancel: Any = {"comment": "wrong catalog"}
hold: Any = {"hours": 48, "reason": "migration weekend"}
