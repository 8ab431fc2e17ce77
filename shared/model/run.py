"""A run as its row holds it: what was asked, how far it is, and what happened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NewType

from shared.model.citrix import MachineId
from shared.model.finding import Guard

RunId = NewType("RunId", str)


class Mode(StrEnum):
    """How far a run may go alone, from the strictest to the loosest."""

    REPORT = "report"
    REVIEW = "review"
    AUTO = "auto"


class RunStatus(StrEnum):
    QUEUED = "queued"
    PLANNING = "planning"
    PLANNED = "planned"
    AWAITING_REVIEW = "awaiting-review"
    APPLYING = "applying"
    COMPLETED = "completed"
    COMPLETED_WITH_ERRORS = "completed-with-errors"
    FAILED = "failed"
    CANCELLED = "cancelled"
    ROLLING_BACK = "rolling-back"
    ROLLED_BACK = "rolled-back"


class RemapState(StrEnum):
    PROPOSED = "proposed"
    APPROVED = "approved"
    REJECTED = "rejected"
    APPLYING = "applying"
    APPLIED = "applied"
    VERIFIED = "verified"
    FAILED = "failed"
    SUPERSEDED = "superseded"
    ROLLED_BACK = "rolled-back"
    ROLLBACK_FAILED = "rollback-failed"


@dataclass(frozen=True, slots=True)
class Step:
    """One recorded step of a run. ``status`` is ``running``, ``done``, ``failed`` or ``waiting``."""

    name: str
    status: str
    at: datetime
    detail: str = ""


@dataclass(frozen=True, slots=True)
class ClusterSummary:
    """What a run says about one cluster of the profile (design, section 6)."""

    name: str
    api: str
    status: str
    vms: int
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    max_changes: int
    max_change_percent: int


@dataclass(frozen=True, slots=True)
class Run:
    """One execution of a profile, as its row in ``runs`` holds it.

    ``site_id`` is the Citrix site that it was planned for, ``approved_by`` who approved last (``realign``: its mode
    did), ``cancelled_by`` who asked it to stop, ``writing_since`` when the first write to Citrix became possible,
    ``selection`` the input with the machines that are applied or rolled back where these are not all.
    """

    id: RunId
    profile: str
    mode: Mode
    status: RunStatus
    trigger: str
    requested_by: str
    created_at: datetime
    limits: Limits
    reason: str | None = None
    target: str | None = None
    settle_seconds: int = 0
    incident_start: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    updated_at: datetime | None = None
    not_before: datetime | None = None
    attempts: int = 0
    progress: int = 0
    fingerprint: str | None = None
    guards: tuple[Guard, ...] = ()
    findings: Mapping[str, int] = field(default_factory=dict)
    states: Mapping[str, int] = field(default_factory=dict)
    out_of_scope: int = 0
    unmatched: int = 0
    clusters: tuple[ClusterSummary, ...] = ()
    steps: tuple[Step, ...] = ()
    error: str | None = None
    site_id: str | None = None
    planned_at: datetime | None = None
    approved_by: str | None = None
    cancelled_by: str | None = None
    writing_since: datetime | None = None
    selection: str | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """Who did what, when. ``actor`` is the principal's name, or ``realign`` for the service itself."""

    at: datetime
    actor: str
    action: str
    detail: str
    machine: MachineId | None = None
