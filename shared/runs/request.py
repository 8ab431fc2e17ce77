"""What a caller may ask of a new run: the body of ``POST profiles/{name}/runs`` (design, section 6)."""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal, TypeVar

from pydantic import AwareDatetime, Field, StringConstraints, ValidationError

from shared.errors import InvalidRequest
from shared.profile import MaxChanges, ModeName, Part, Percent, Scope
from shared.validation import explain, field_of

IfBusy = Literal["queue", "reject"]


class LimitsRequest(Part):
    max_changes: MaxChanges | None = None
    max_change_percent: Percent | None = None


class RunRequest(Part):
    """Every field is optional; what is left out is as the profile's policy says."""

    mode: ModeName | None = None
    target: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None
    scope: Scope | None = None
    machines_csv: str | None = None
    limits: LimitsRequest | None = None
    settle_seconds: Annotated[int, Field(ge=0, le=1_800)] | None = None
    incident_start: AwareDatetime | None = None
    if_busy: IfBusy = "queue"
    reason: Annotated[str, StringConstraints(max_length=1_000)] | None = None

    def digest(self) -> str:
        """A hash of what is asked, for ``Idempotency-Key``: the order of members and white space do not count."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()


class HookRequest(RunRequest):
    """The body of ``POST hooks/runs``: the same, plus the profile."""

    profile: Annotated[str, StringConstraints(min_length=1, max_length=63)]


M = TypeVar("M", bound=Part)


def parse_request(body: bytes, model: type[M]) -> M:
    """The request in a body; an empty body asks for nothing special. Raises ``InvalidRequest`` that names the field."""
    try:
        return model.model_validate_json(body or b"{}")
    except ValidationError as error:
        first = error.errors()[0]
        raise InvalidRequest(" ".join(explain(error, model)), field=field_of(first["loc"]) or "body") from error
