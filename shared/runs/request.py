"""What a caller may ask of a new run: the body of ``POST profiles/{name}/runs`` (design, section 6)."""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal, TypeVar

from pydantic import AwareDatetime, Field, StringConstraints, ValidationError

from shared.errors import InvalidRequest
from shared.profile.parts import Part
from shared.profile.policy import MaxChanges, ModeName, Percent
from shared.profile.scope import Scope
from shared.validation import explain, field_of

IfBusy = Literal["queue", "reject"]


class LimitsRequest(Part):
    """Limits beyond the policy's need an approver."""

    max_changes: MaxChanges | None = Field(None, description="More remaps than this wait for a person.")
    max_change_percent: Percent | None = Field(
        None, description="A larger share of the machines in scope waits for a person; counts from 20 machines up."
    )


class RunRequest(Part):
    """Every field is optional; what is left out is as the profile's policy says."""

    mode: ModeName | None = Field(None, description="How far it goes alone; looser than the policy: an approver's.")
    target: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = Field(
        None,
        description="Makes it a DR run: the cluster of the profile that the machines now live on, or "
        "cluster/registeredCluster for one cluster of a Prism Central.",
    )
    scope: Scope | None = Field(None, description="Narrows the profile's scope.")
    machines_csv: str | None = Field(
        None, description="Narrows it too: the text of a CSV with a column Name, up to 10,485,760 characters."
    )
    limits: LimitsRequest | None = Field(None, description="As the policy says where left out.")
    settle_seconds: Annotated[int, Field(ge=0, le=1_800)] | None = Field(
        None, description="With a target: read it again until every machine has turned up, for so many seconds."
    )
    incident_start: AwareDatetime | None = Field(
        None, description="Recovery jobs that ended before it are no lineage; 72 hours before the request if left out."
    )
    if_busy: IfBusy = Field("queue", description="Wait for a run of the profile that is at work, or be refused.")
    reason: Annotated[str, StringConstraints(max_length=1_000)] | None = Field(None, description="For people.")

    def digest(self) -> str:
        """A hash of what is asked, for ``Idempotency-Key``: the order of members and white space do not count."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()


class HookRequest(RunRequest):
    """The body of ``POST hooks/runs``: the same, plus the profile."""

    profile: Annotated[str, StringConstraints(min_length=1, max_length=63)] = Field(description="Name of the profile.")


M = TypeVar("M", bound=Part)


def parse_request(body: bytes, model: type[M]) -> M:
    """The request in a body; an empty body asks for nothing special. Raises ``InvalidRequest`` that names the field."""
    try:
        return model.model_validate_json(body or b"{}")
    except ValidationError as error:
        first = error.errors()[0]
        raise InvalidRequest(" ".join(explain(error, model)), field=field_of(first["loc"]) or "body") from error
