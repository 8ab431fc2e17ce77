"""What stands in addresses and headers: parameters of the OpenAPI document, with the bounds that the code checks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from functions.parameters import DEFAULT_LIMIT, LARGEST_LIMIT, LONGEST_SEARCH, LONGEST_WAIT, cursor_for
from shared.azure.runs import RUN_ID
from shared.model.finding import FindingKind
from shared.model.run import RemapState, RunStatus
from shared.profile.profile import PROFILE_NAME
from shared.runs.start import LONGEST_KEY


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of an address, with the bounds that the code checks."""

    name: str
    place: Literal["path", "query", "header"]
    description: str
    schema: dict[str, Any]
    example: str | int
    required: bool = False

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "in": self.place,
            "required": self.required or self.place == "path",
            "description": self.description,
            "schema": self.schema,
            "example": self.example,
        }


_TEXT: dict[str, Any] = {"type": "string"}
_RUN_SCHEMA = {"type": "string", "pattern": f"^{RUN_ID.pattern}$"}
_A_RUN = "18f5d4b3c2a10e7f6d5c4b3"

RUN = Parameter("id", "path", "Id of the run.", _RUN_SCHEMA, _A_RUN)
PROFILE = Parameter(
    "name", "path", "Name of the profile.", {"type": "string", "pattern": PROFILE_NAME.pattern}, "emea-vdi"
)
HOOK_RUN = Parameter("id", "query", "Id of the run.", _RUN_SCHEMA, _A_RUN, required=True)
LIMIT = Parameter(
    "limit",
    "query",
    "The most items of a page.",
    {"type": "integer", "minimum": 1, "maximum": LARGEST_LIMIT, "default": DEFAULT_LIMIT},
    DEFAULT_LIMIT,
)
CURSOR = Parameter(
    "cursor", "query", "Of the page before, from the same list.", _TEXT, cursor_for(_A_RUN, "runs") or ""
)
OF_PROFILE = Parameter("profile", "query", "Runs of this profile alone.", _TEXT, "emea-vdi")
OF_STATUS = Parameter(
    "status",
    "query",
    "Runs in this state alone.",
    {"type": "string", "enum": [status.value for status in RunStatus]},
    RunStatus.AWAITING_REVIEW.value,
)
OF_FINDING = Parameter(
    "finding",
    "query",
    "Findings of this kind alone.",
    {"type": "string", "enum": [kind.value for kind in FindingKind]},
    FindingKind.REMAP.value,
)
OF_STATE = Parameter(
    "state",
    "query",
    "Remaps in this state alone.",
    {"type": "string", "enum": [state.value for state in RemapState]},
    RemapState.PROPOSED.value,
)
SEARCH = Parameter(
    "q", "query", "A part of the machine's name.", {"type": "string", "maxLength": LONGEST_SEARCH}, "W11-0"
)
PREFER = Parameter(
    "Prefer",
    "header",
    f"wait=N: wait up to N seconds, at most {LONGEST_WAIT}, until the run rests, and answer 200 then.",
    _TEXT,
    "wait=60",
)
IDEMPOTENCY_KEY = Parameter(
    "Idempotency-Key",
    "header",
    "The same key and body within 24 hours answer the same run.",
    {"type": "string", "minLength": 1, "maxLength": LONGEST_KEY},
    "failover-amsterdam-CHG4711",
)
IF_NONE_MATCH = Parameter(
    "If-None-Match", "header", "The ETag of what the caller has: 304 where it is still that.", _TEXT, 'W/"9f2c"'
)
