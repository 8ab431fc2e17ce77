"""What a run concludes: findings with their evidence, guards, and the plan that they make up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from shared.model.citrix import Hosting, Machine
from shared.model.nutanix import Vm


class FindingKind(StrEnum):
    ALIGNED = "aligned"
    REMAP = "remap"
    AMBIGUOUS = "ambiguous"
    MISSING = "missing"
    CONFLICT = "conflict"
    EXCLUDED = "excluded"
    UNKNOWN = "unknown"


class Confidence(StrEnum):
    """From the highest to the lowest; what a person chose is above all."""

    CHOSEN = "chosen"
    PROVEN = "proven"
    STRONG = "strong"
    WEAK = "weak"

    def reaches(self, least: Confidence) -> bool:
        """True for what is at least as sure as ``least``."""
        order = list(Confidence)
        return order.index(self) <= order.index(least)


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
