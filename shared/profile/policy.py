"""What a run may do without a person."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field

from shared.model.finding import Confidence
from shared.model.run import Mode
from shared.profile.parts import Part

ModeName = Literal["report", "review", "auto"]
MaxChanges = Annotated[int, Field(ge=0, le=1_000_000)]
Percent = Annotated[int, Field(ge=0, le=100)]
OLDEST_PLAN = timedelta(hours=720)  # that any profile lets people decide on


class DrPolicy(Part):
    """What a DR run may do without a person. What is left out is as in the policy itself."""

    mode: ModeName | None = Field(None, description="How far a DR run goes alone.")
    max_changes: MaxChanges | None = Field(None, description="Most remaps of a DR run without a person.")
    max_change_percent: Percent | None = Field(
        None, description="Most remaps of a DR run without a person, as a share of the machines in scope."
    )


class Policy(Part):
    """What a run may do without a person, and how."""

    mode: ModeName = Field(
        "review", description="How far a run goes alone: report only, wait for review, or apply what is safe (auto)."
    )
    max_changes: MaxChanges = Field(200, description="Most remaps of a run without a person.")
    max_change_percent: Percent = Field(
        25, description="Most remaps without a person, as a share of the machines in scope; counts from 20 machines up."
    )
    auto_confidence: Literal["proven", "strong", "weak"] = Field(
        "strong", description="Mode auto applies remaps of at least this confidence."
    )
    plan_max_age_hours: Annotated[int, Field(ge=1, le=OLDEST_PLAN // timedelta(hours=1))] = Field(
        24, description="A plan older than this cannot be approved. Hours."
    )
    dr: DrPolicy = Field(DrPolicy(), description="What a DR run (one with a target) may do without a person.")
    hold_hours: Annotated[int, Field(ge=0, le=720)] = Field(
        24, description="How long a DR run puts the profile's schedule on hold. Hours; 0: not at all."
    )
    four_eyes: bool = Field(False, description="Whoever started a run may not approve or resolve in it.")
    reset_hosting_connection: bool = Field(
        True, description="Reset the hosting connections that machines moved to, so that Citrix sees power states."
    )
    reset_again_after_seconds: Annotated[int, Field(ge=0, le=3_600)] = Field(
        30, description="Reset them a second time after this many seconds; 0: only once."
    )
    switch_catalog_zone: bool = Field(
        False, description="Move a catalog to the new connection's zone once all its machines are there."
    )
    bypass_hypervisor_type_check: bool = Field(
        False, description="Accept hosting connections whose plug-in is not one of Nutanix's."
    )

    def mode_for(self, *, dr: bool) -> Mode:
        """The mode of a run that names none."""
        return Mode(self.dr.mode or self.mode) if dr else Mode(self.mode)

    def max_changes_for(self, *, dr: bool) -> int:
        return self.dr.max_changes if dr and self.dr.max_changes is not None else self.max_changes

    def max_change_percent_for(self, *, dr: bool) -> int:
        return self.dr.max_change_percent if dr and self.dr.max_change_percent is not None else self.max_change_percent

    @property
    def least_confidence(self) -> Confidence:
        """What mode ``auto`` applies alone."""
        return Confidence(self.auto_confidence)
