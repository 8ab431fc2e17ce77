"""The states of runs and remaps, and every move between them: the one table that all writes go through (design, 5)."""

from __future__ import annotations

from collections.abc import Mapping

from shared.errors import IllegalMove
from shared.model.run import RemapState, RunStatus

RUN_MOVES: Mapping[RunStatus, frozenset[RunStatus]] = {
    RunStatus.QUEUED: frozenset({RunStatus.PLANNING, RunStatus.FAILED, RunStatus.CANCELLED}),
    RunStatus.PLANNING: frozenset(
        {
            RunStatus.PLANNED,
            RunStatus.AWAITING_REVIEW,
            RunStatus.APPLYING,
            RunStatus.COMPLETED,
            RunStatus.FAILED,
            RunStatus.CANCELLED,
        }
    ),
    RunStatus.PLANNED: frozenset(),
    # completed: all rejected
    RunStatus.AWAITING_REVIEW: frozenset(
        {
            RunStatus.APPLYING,
            RunStatus.COMPLETED,
            RunStatus.COMPLETED_WITH_ERRORS,
            RunStatus.CANCELLED,
            RunStatus.ROLLING_BACK,
        }
    ),
    RunStatus.APPLYING: frozenset(
        {
            RunStatus.COMPLETED,
            RunStatus.COMPLETED_WITH_ERRORS,
            RunStatus.AWAITING_REVIEW,
            RunStatus.FAILED,
            RunStatus.CANCELLED,
        }
    ),
    # applying: what was still proposed is approved later; awaiting-review: a person resolved an ambiguous machine
    RunStatus.COMPLETED: frozenset({RunStatus.APPLYING, RunStatus.AWAITING_REVIEW, RunStatus.ROLLING_BACK}),
    RunStatus.COMPLETED_WITH_ERRORS: frozenset({RunStatus.APPLYING, RunStatus.AWAITING_REVIEW, RunStatus.ROLLING_BACK}),
    RunStatus.FAILED: frozenset({RunStatus.ROLLING_BACK}),
    RunStatus.CANCELLED: frozenset({RunStatus.ROLLING_BACK}),
    RunStatus.ROLLING_BACK: frozenset({RunStatus.ROLLED_BACK, RunStatus.FAILED}),
    RunStatus.ROLLED_BACK: frozenset({RunStatus.ROLLING_BACK}),
}

# None: the finding is no remap, until a person resolves it.
REMAP_MOVES: Mapping[RemapState | None, frozenset[RemapState]] = {
    None: frozenset({RemapState.PROPOSED}),
    RemapState.PROPOSED: frozenset({RemapState.APPROVED, RemapState.REJECTED, RemapState.SUPERSEDED}),
    # proposed: a rule approved it, and right before the write it no longer would; applied: Citrix has its "to" already
    RemapState.APPROVED: frozenset(
        {
            RemapState.APPLYING,
            RemapState.APPLIED,
            RemapState.PROPOSED,
            RemapState.REJECTED,
            RemapState.SUPERSEDED,
            RemapState.FAILED,
        }
    ),
    RemapState.REJECTED: frozenset(),
    # verified: a worker that took over finds it done; approved: it finds it surely not begun
    RemapState.APPLYING: frozenset(
        {
            RemapState.APPLIED,
            RemapState.VERIFIED,
            RemapState.APPROVED,
            RemapState.FAILED,
            RemapState.ROLLED_BACK,
            RemapState.ROLLBACK_FAILED,
        }
    ),
    RemapState.APPLIED: frozenset(
        {RemapState.VERIFIED, RemapState.FAILED, RemapState.ROLLED_BACK, RemapState.ROLLBACK_FAILED}
    ),
    RemapState.VERIFIED: frozenset({RemapState.ROLLED_BACK, RemapState.ROLLBACK_FAILED}),
    # a write that failed may have reached Citrix all the same
    RemapState.FAILED: frozenset({RemapState.ROLLED_BACK, RemapState.ROLLBACK_FAILED}),
    RemapState.SUPERSEDED: frozenset(),
    RemapState.ROLLED_BACK: frozenset(),
    RemapState.ROLLBACK_FAILED: frozenset({RemapState.ROLLED_BACK}),
}


def check_run_move(before: RunStatus, after: RunStatus) -> None:
    """Raise ``IllegalMove`` for a move that is not in the table. Staying is always allowed."""
    if after is not before and after not in RUN_MOVES[before]:
        raise IllegalMove(f"A run that is {before.value} cannot become {after.value}. Look at the run again.")


def check_remap_move(before: RemapState | None, after: RemapState) -> None:
    """Raise ``IllegalMove`` for a move that is not in the table. Staying is always allowed."""
    if after is not before and after not in REMAP_MOVES[before]:
        was = before.value if before is not None else "no remap"
        raise IllegalMove(f"A remap that is {was} cannot become {after.value}. Look at the run again.")
