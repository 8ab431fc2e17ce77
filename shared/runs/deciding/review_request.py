"""What a caller may ask of a run that is there: the bodies of the review actions (design, section 6)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints, model_validator

from shared.profile import Part
from shared.runs.request import IfBusy

MachineName = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Machines = Annotated[tuple[MachineName, ...], Field(min_length=1, max_length=200_000)]
Comment = Annotated[str, StringConstraints(max_length=1_000)]


class ReviewRequest(Part):
    """Approve or reject: ``machines`` by id, or ``all`` that are proposed, of the plan with ``fingerprint``."""

    machines: Machines | None = None
    all: bool = False
    fingerprint: Annotated[str, StringConstraints(min_length=1, max_length=100)]
    comment: Comment | None = None

    @model_validator(mode="after")
    def _one_choice(self) -> ReviewRequest:
        if (self.machines is not None) == self.all:
            raise ValueError('say which remaps: either "machines" with their ids, or "all": true')
        return self


class ApproveRequest(ReviewRequest):
    """``apply`` false: the remaps are approved and nothing is written yet.

    ``if_busy``: where another run of the profile is at work, applying waits for it, or nothing is approved.
    """

    apply: bool = True
    if_busy: IfBusy = "queue"


class Candidate(Part):
    cluster: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    uuid: Annotated[str, StringConstraints(min_length=1, max_length=200)]


class ResolveRequest(Part):
    """Which candidate of an ambiguous or conflicting machine is its VM."""

    machine: MachineName
    candidate: Candidate
    comment: Annotated[str, StringConstraints(min_length=1, max_length=1_000)]


class MachinesRequest(Part):
    """Apply or roll back: some machines by id, or all that it concerns; and whether to wait for another run."""

    machines: Machines | None = None
    comment: Comment | None = None
    if_busy: IfBusy = "queue"


class CancelRequest(Part):
    comment: Comment | None = None


class HoldRequest(Part):
    """How long the schedule is on hold; without ``hours`` as long as the policy says for a DR run."""

    hours: Annotated[int, Field(ge=1, le=720)] | None = None
    reason: Comment | None = None
