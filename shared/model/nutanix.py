"""What Prism reports: VMs, clusters, protection domains, recovery plan jobs.

UUIDs are lower case everywhere past the border of a client; empty strings from outside are ``None``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NewType

VmUuid = NewType("VmUuid", str)


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
