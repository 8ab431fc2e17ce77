"""The immutable values that Realign works with. The words are those of the design's section 1.

UUIDs are lower case everywhere past the border of a client; empty strings from outside are ``None``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NewType

MachineId = NewType("MachineId", str)
VmUuid = NewType("VmUuid", str)
RunId = NewType("RunId", str)


class PowerState(StrEnum):
    ON = "on"
    OFF = "off"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Vm:
    """A virtual machine as one cluster of the profile reports it (contract ``prism.md``, section 6).

    ``cluster`` is the profile's name for the endpoint that reported it, ``cluster_uuid`` the registered cluster that
    it lives on: together with ``uuid`` the latter tells two copies apart. ``categories`` are written ``Key:Value``,
    None where it has some and Prism did not say which.
    ``by_rule``: a protection policy of Prism Central protects it. ``decoupled``: it is what a Metro failover left
    behind, never the live copy.
    """

    uuid: VmUuid
    name: str
    cluster: str
    cluster_uuid: str
    power: PowerState
    bios_uuid: VmUuid | None = None
    parent_uuid: VmUuid | None = None
    created: datetime | None = None
    addresses: tuple[str, ...] = ()
    macs: tuple[str, ...] = ()
    agent: bool = False
    in_flux: bool = False
    categories: tuple[str, ...] | None = ()
    by_rule: bool = False
    decoupled: bool = False


@dataclass(frozen=True, slots=True)
class ProtectedVm:
    """An entry of a protection domain or of one of its snapshots; ``uuid`` is the UUID at that time."""

    uuid: VmUuid
    name: str


@dataclass(frozen=True, slots=True)
class ProtectionDomain:
    """A protection domain as one Prism Element sees it; ``snapshots`` are its snapshots' entries, without repeats."""

    name: str
    active: bool
    vms: tuple[ProtectedVm, ...] = ()
    snapshots: tuple[ProtectedVm, ...] = ()


@dataclass(frozen=True, slots=True)
class RecoveredVm:
    """One VM that a recovery plan job moved: its UUID before and after, which may be the same, and its name."""

    source: VmUuid
    recovered: VmUuid
    name: str


@dataclass(frozen=True, slots=True)
class RecoveryJob:
    """A run of a recovery plan, as far as it made VMs (contract ``prism.md``, sections 4.3 and 5.6).

    ``action`` is Prism's word (``FAILOVER``, ``PLANNED_FAILOVER`` ...). ``test``: what it made are copies for a test,
    and the job may still be running; any other job here is finished. ``at`` is when it ended, or began where it still
    runs. ``recovered`` holds only what succeeded.
    """

    id: str
    name: str
    action: str
    at: datetime
    test: bool
    recovered: tuple[RecoveredVm, ...] = ()


@dataclass(frozen=True, slots=True)
class RegisteredCluster:
    """A Nutanix cluster behind an endpoint: the Element's own, or one registered with a Prism Central."""

    uuid: str
    name: str
    available: bool = True


class ReadStatus(StrEnum):
    """How the read of one cluster of the profile ended. Only ``ANSWERED`` allows to conclude from absence."""

    ANSWERED = "answered"
    INCOMPLETE = "incomplete"
    UNREACHABLE = "unreachable"
    REFUSED = "refused"
    FAILED = "failed"
    MISCONFIGURED = "misconfigured"


@dataclass(frozen=True, slots=True)
class ClusterReading:
    """What one cluster of the profile said in a run, or why it said nothing (``error``, a sentence).

    ``jobs`` is None where it has recovery plan jobs and did not tell them: then any of its VMs may be a test's copy.
    """

    name: str
    api: str
    hosting_connection: str
    status: ReadStatus
    vms: tuple[Vm, ...] = ()
    domains: tuple[ProtectionDomain, ...] = ()
    registered: tuple[RegisteredCluster, ...] = ()
    error: str | None = None
    jobs: tuple[RecoveryJob, ...] | None = ()

    @property
    def dead(self) -> bool:
        """True when nothing of what it said can be used."""
        return self.status not in (ReadStatus.ANSWERED, ReadStatus.INCOMPLETE)

    @property
    def whole(self) -> bool:
        """True when absence from this reading proves absence: everything answered, no registered cluster is down."""
        return self.status is ReadStatus.ANSWERED and all(cluster.available for cluster in self.registered)


class Provisioning(StrEnum):
    """Citrix's provisioning types; any other value counts as ``UNKNOWN`` (contract ``citrix.md``, section 4.5)."""

    UNKNOWN = "Unknown"
    MANUAL = "Manual"
    MCS = "MCS"
    MCS_IMPORT = "MCSImport"
    PVS = "PVS"
    PVS_STREAMING = "PVSStreaming"


@dataclass(frozen=True, slots=True)
class Hosting:
    """Where Citrix believes a machine is, or should believe it is. Each part may be null in Citrix."""

    connection: str | None
    machine_id: VmUuid | None
    connection_id: str | None = None


@dataclass(frozen=True, slots=True)
class Machine:
    """A Citrix machine record. ``name`` is ``DOMAIN\\host`` as Citrix writes it."""

    id: MachineId
    name: str
    dns_name: str | None
    hosting: Hosting
    provisioning: Provisioning = Provisioning.MANUAL
    hosted_name: str | None = None
    catalog: str | None = None
    catalog_id: str | None = None
    delivery_group: str | None = None
    delivery_group_id: str | None = None


@dataclass(frozen=True, slots=True)
class HostingConnection:
    """Citrix's connection to a hypervisor (``hypervisors`` in its API; contract ``citrix.md``, section 7.2)."""

    id: str
    name: str
    plugin_id: str
    zone: str | None = None
    zone_id: str | None = None
    in_maintenance: bool = False


@dataclass(frozen=True, slots=True)
class Folder:
    """A machine catalog or a delivery group: ``name`` may stand in several folders, ``path`` is unique."""

    id: str
    name: str
    path: str
    zone: str | None = None
    provisioning: Provisioning = Provisioning.UNKNOWN


@dataclass(frozen=True, slots=True)
class Site:
    """Everything that a run reads from Citrix."""

    id: str
    name: str
    machines: tuple[Machine, ...]
    connections: tuple[HostingConnection, ...]
    catalogs: tuple[Folder, ...] = ()
    delivery_groups: tuple[Folder, ...] = ()


class FindingKind(StrEnum):
    ALIGNED = "aligned"
    REMAP = "remap"
    AMBIGUOUS = "ambiguous"
    MISSING = "missing"
    CONFLICT = "conflict"
    EXCLUDED = "excluded"
    UNKNOWN = "unknown"


class Confidence(StrEnum):
    PROVEN = "proven"
    STRONG = "strong"
    WEAK = "weak"
    CHOSEN = "chosen"


@dataclass(frozen=True, slots=True)
class Evidence:
    """A fact that a finding rests on: what kind, where it was read, and a sentence."""

    kind: str
    source: str
    detail: str


@dataclass(frozen=True, slots=True)
class Finding:
    """What a run concluded about one machine. ``after`` is set for a remap alone."""

    machine: Machine
    kind: FindingKind
    reason: str
    explanation: str
    evidence: tuple[Evidence, ...] = ()
    candidates: tuple[Vm, ...] = ()
    confidence: Confidence | None = None
    after: Hosting | None = None


@dataclass(frozen=True, slots=True)
class Guard:
    """A limit that a plan passed: it waits for a person."""

    name: str
    explanation: str


@dataclass(frozen=True, slots=True)
class Plan:
    """The findings of a run, in the order of the machines' ids, and what only the whole shows.

    ``out_of_scope`` counts the machines without a finding; ``unmatched`` are the names of each scope key that match
    nothing; ``machines_in_scope`` is what ``maxChangePercent`` counts from.
    """

    findings: tuple[Finding, ...]
    guards: tuple[Guard, ...]
    out_of_scope: int
    machines_in_scope: int
    unmatched: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


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
    """One execution of a profile, as its row in ``runs`` holds it."""

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


@dataclass(frozen=True, slots=True)
class Event:
    """Who did what, when. ``actor`` is the principal's name, or ``realign`` for the service itself."""

    at: datetime
    actor: str
    action: str
    detail: str
    machine: MachineId | None = None
