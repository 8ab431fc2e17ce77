"""A remap as its row holds it while it is reviewed, applied and rolled back; and what is sent to Citrix for it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from shared.model.citrix import Hosting, MachineId
from shared.model.finding import Confidence
from shared.model.nutanix import VmUuid
from shared.model.run import RemapState


@dataclass(frozen=True, slots=True)
class Remap:
    """The change of one machine, ``before`` to ``after`` (``from`` and ``to`` in the API).

    ``sent``: a write for it may have reached Citrix, whatever became of it. ``approved_by`` is an actor's name.
    """

    machine: MachineId
    machine_name: str
    before: Hosting
    after: Hosting
    confidence: Confidence
    state: RemapState
    catalog: str | None = None
    approved_by: str | None = None
    sent: bool = False
    error: str | None = None


@dataclass(frozen=True, slots=True)
class DepartedVm:
    """A VM that a verified remap moved a machine away from; ``connection`` is the hosting connection it had there."""

    connection: str
    uuid: VmUuid


@dataclass(frozen=True, slots=True)
class Change:
    """What one PATCH sets: a machine's hosting connection, by its present name, and its hosted machine id."""

    machine: MachineId
    hosting: Hosting


class SendingStep(StrEnum):
    """What changes are sent for."""

    APPLY = "apply"
    ROLLBACK = "rollback"


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch of changes as it is kept before and while Citrix works on it.

    ``number`` is unique within the run. ``job`` is Citrix's job id, None as long as it is not known; ``alone``: its
    changes are sent one by one, without such a job. ``nested`` are the jobs of single changes that had only begun when
    they were answered. ``ended``: nothing of it is under way any more.
    """

    number: int
    step: SendingStep
    machines: tuple[MachineId, ...]
    began_at: datetime
    job: str | None = None
    ended: bool = False
    alone: bool = False
    nested: tuple[tuple[MachineId, str], ...] = ()


class ZoneMoveState(StrEnum):
    MOVING = "moving"
    MOVED = "moved"
    FAILED = "failed"
    MOVED_BACK = "moved-back"


@dataclass(frozen=True, slots=True)
class ZoneMove:
    """The move of a catalog to another zone, kept before it is asked for. Zones by id and name."""

    catalog: str
    catalog_id: str
    from_zone: str
    from_zone_id: str
    to_zone: str
    to_zone_id: str
    state: ZoneMoveState
