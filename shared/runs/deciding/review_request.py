"""What a caller may ask of a run that is there: the bodies of the review actions (design, section 6)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints, model_validator

from shared.profile.parts import Part
from shared.runs.request import IfBusy

MachineName = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Machines = Annotated[tuple[MachineName, ...], Field(min_length=1, max_length=200_000)]
Comment = Annotated[str, StringConstraints(max_length=1_000)]


class ReviewRequest(Part):
    """Approve or reject: ``machines`` by id, or ``all`` that are proposed, of the plan with ``fingerprint``."""

    machines: Machines | None = Field(None, description="Ids of machines; either these, or all.")
    all: bool = Field(False, description="All remaps that are proposed; either this, or machines.")
    fingerprint: Annotated[str, StringConstraints(min_length=1, max_length=100)] = Field(
        description="Of the plan as it was seen, from the run."
    )
    comment: Comment | None = Field(None, description="Stands in the events.")

    @model_validator(mode="after")
    def _one_choice(self) -> ReviewRequest:
        if (self.machines is not None) == self.all:
            raise ValueError('say which remaps: either "machines" with their ids, or "all": true')
        return self


class ApproveRequest(ReviewRequest):
    """``apply`` false: the remaps are approved and nothing is written yet.

    ``if_busy``: where another run of the profile is at work, applying waits for it, or nothing is approved.
    """

    apply: bool = Field(True, description="Apply at once; false: approve and write nothing yet.")
    if_busy: IfBusy = Field("queue", description="Wait for another run of the profile, or approve nothing.")


class Candidate(Part):
    """One of the finding's candidates."""

    cluster: Annotated[str, StringConstraints(min_length=1, max_length=200)] = Field(description="Its cluster's name.")
    uuid: Annotated[str, StringConstraints(min_length=1, max_length=200)] = Field(description="The VM's UUID.")


class ResolveRequest(Part):
    """Which candidate of an ambiguous or conflicting machine is its VM."""

    machine: MachineName = Field(description="Id of the machine.")
    candidate: Candidate = Field(description="Which VM it is.")
    comment: Annotated[str, StringConstraints(min_length=1, max_length=1_000)] = Field(
        description="Why; stands in the explanation of the finding."
    )


class MachinesRequest(Part):
    """Apply or roll back: some machines by id, or all that it concerns; and whether to wait for another run."""

    machines: Machines | None = Field(None, description="Ids of machines; all that it concerns if left out.")
    comment: Comment | None = Field(None, description="Stands in the events.")
    if_busy: IfBusy = Field("queue", description="Wait for another run of the profile, or be refused.")


class CancelRequest(Part):
    """Stop a run; what is applied stays."""

    comment: Comment | None = Field(None, description="Stands in the events.")


class HoldRequest(Part):
    """How long the schedule is on hold; without ``hours`` as long as the policy says for a DR run."""

    hours: Annotated[int, Field(ge=1, le=720)] | None = Field(
        None, description="As long as the policy's holdHours if left out."
    )
    reason: Comment | None = Field(None, description="Is shown with the profile.")
