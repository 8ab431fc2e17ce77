"""What a run's report says, gathered from its row, findings and events. Pure: the template shows it as it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from functions.reporting.chart import Slice, bar
from shared.azure.finding_row import StoredFinding
from shared.model.citrix import Hosting
from shared.model.finding import FindingKind
from shared.model.run import Event, RemapState, Run, RunStatus

MOST_ROWS = 2_000  # of one group of machines that were left as they are; the CSV has all of them
MOST_NAMES = 1_000  # of the scope that match nothing, a key
NO_PERSON = "realign"

_FINDINGS = ("remap", "aligned", "ambiguous", "conflict", "missing", "unknown", "excluded")
_STATES = (
    "verified", "applied", "applying", "approved", "proposed", "rejected", "superseded", "failed", "rolled-back",
    "rollback-failed",
)  # fmt: skip
_CHANGED = (RemapState.VERIFIED, RemapState.APPLIED, RemapState.ROLLBACK_FAILED)
_DECISIONS = frozenset(
    {
        "approved", "rejected", "resolved", "apply-requested", "rollback-requested", "cancel-requested",
        "approval-too-late",
    }
)  # fmt: skip
_OUTCOMES = {
    RunStatus.QUEUED: "It waits for a worker.",
    RunStatus.PLANNING: "It is being planned.",
    RunStatus.PLANNED: "It was made to report only. Nothing was written.",
    RunStatus.AWAITING_REVIEW: "It waits for review.",
    RunStatus.APPLYING: "It is being applied.",
    RunStatus.COMPLETED: "It is completed.",
    RunStatus.COMPLETED_WITH_ERRORS: "It is completed, and something did not go as planned.",
    RunStatus.FAILED: "It failed.",
    RunStatus.CANCELLED: "It was cancelled.",
    RunStatus.ROLLING_BACK: "It is being taken back.",
    RunStatus.ROLLED_BACK: "It was taken back.",
}


@dataclass(frozen=True, slots=True)
class Change:
    """A machine whose record Citrix has as planned now; ``error`` where it could not be taken back."""

    machine: str
    catalog: str
    before: str
    after: str
    state: str
    confidence: str
    why: str


@dataclass(frozen=True, slots=True)
class Left:
    """A machine that is as it was, and why."""

    machine: str
    catalog: str
    has: str
    proposed: str
    why: str


@dataclass(frozen=True, slots=True)
class Group:
    """Machines left as they are for one reason; ``more`` of them are in the CSV alone."""

    title: str
    rows: tuple[Left, ...]
    number: int

    @property
    def more(self) -> int:
        return self.number - len(self.rows)


@dataclass(frozen=True, slots=True)
class Unmatched:
    """Names of one key of the scope that match nothing, and how many more of them there are."""

    key: str
    names: tuple[str, ...]
    more: int


@dataclass(frozen=True, slots=True)
class Report:
    run: Run
    outcome: str
    made_at: str
    findings: tuple[Slice, ...]
    states: tuple[Slice, ...]
    changes: tuple[Change, ...]
    groups: tuple[Group, ...]
    aligned: int
    decisions: tuple[tuple[str, str, str, str], ...]
    timings: tuple[tuple[str, str, str], ...]
    steps: tuple[tuple[str, str, str, str], ...]
    unmatched: tuple[Unmatched, ...]


def report_of(
    run: Run,
    findings: Iterable[StoredFinding],
    events: Iterable[Event],
    unmatched: Mapping[str, Sequence[str]],
    now: datetime,
) -> Report:
    """``findings`` are read once, and of those that are aligned nothing is kept but their number."""
    changes, left, aligned = _sorted_out(findings)
    return Report(
        run=run,
        outcome=_OUTCOMES[run.status],
        made_at=time_of(now),
        findings=bar(run.findings, _FINDINGS),
        states=bar(run.states, _STATES),
        changes=tuple(changes),
        groups=tuple(_groups(left)),
        aligned=max(aligned, run.findings.get(FindingKind.ALIGNED.value, 0)),
        decisions=tuple(_decision(event) for event in events if event.action in _DECISIONS and event.machine is None),
        timings=tuple(_timings(run)),
        steps=tuple((step.name, step.status, time_of(step.at), step.detail) for step in run.steps),
        unmatched=tuple(
            Unmatched(key, tuple(names[:MOST_NAMES]), max(0, len(names) - MOST_NAMES))
            for key, names in unmatched.items()
        ),
    )


def time_of(at: datetime | None) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if at is not None else ""


def _sorted_out(
    findings: Iterable[StoredFinding],
) -> tuple[list[Change], dict[tuple[str, str], tuple[list[Left], int]], int]:
    changes: list[Change] = []
    left: dict[tuple[str, str], tuple[list[Left], int]] = {}
    aligned = 0
    for finding in findings:
        if finding.kind is FindingKind.ALIGNED:
            aligned += 1
        elif finding.state in _CHANGED:
            changes.append(_change(finding))
        else:
            key = (finding.kind.value, finding.state.value if finding.state else finding.reason)
            rows, number = left.setdefault(key, ([], 0))
            if len(rows) < MOST_ROWS:
                rows.append(_left(finding))
            left[key] = (rows, number + 1)
    return changes, left, aligned


def _change(finding: StoredFinding) -> Change:
    return Change(
        machine=finding.machine_name,
        catalog=finding.catalog or "",
        before=hosting_text(finding.before),
        after=hosting_text(finding.after),
        state=finding.state.value if finding.state else "",
        confidence=finding.confidence.value if finding.confidence else "",
        why=finding.error or finding.explanation,
    )


def _left(finding: StoredFinding) -> Left:
    return Left(
        machine=finding.machine_name,
        catalog=finding.catalog or "",
        has=hosting_text(finding.before),
        proposed=hosting_text(finding.after) if finding.after is not None else "",
        why=" ".join(part for part in (finding.error, finding.explanation) if part),
    )


def _groups(left: Mapping[tuple[str, str], tuple[list[Left], int]]) -> Iterable[Group]:
    order = [*_FINDINGS]
    for kind, word in sorted(left, key=lambda key: (order.index(key[0]), key[1])):
        rows, number = left[kind, word]
        yield Group(f"{'remap' if kind == 'remap' else kind}, {word}", tuple(rows), number)


def hosting_text(hosting: Hosting | None) -> str:
    """``connection, VM uuid``, as people compare them."""
    if hosting is None:
        return ""
    return ", ".join((hosting.connection or "no hosting connection", hosting.machine_id or "no VM"))


def _decision(event: Event) -> tuple[str, str, str, str]:
    who = "the run's mode" if event.actor == NO_PERSON else event.actor
    return time_of(event.at), who, event.action, event.detail


def _timings(run: Run) -> Iterable[tuple[str, str, str]]:
    """What, when, and how long after what went before."""
    moments = (
        ("asked for", run.created_at),
        ("begun", run.started_at),
        ("planned", run.planned_at),
        ("first write possible", run.writing_since),
        ("ended", run.ended_at),
    )
    before: datetime | None = None
    for name, at in moments:
        if at is not None:
            yield name, time_of(at), _lasted(at - before) if before is not None else ""
            before = at
    if run.ended_at is not None:
        yield "in all", "", _lasted(run.ended_at - run.created_at)


def _lasted(time: timedelta) -> str:
    seconds = max(0.0, time.total_seconds())
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
