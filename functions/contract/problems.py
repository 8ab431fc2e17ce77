"""The refusals of the OpenAPI document: for each status the codes that an operation answers, each with an example."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from functions.respond import problem_shape
from shared import errors
from shared.errors import RealignError

MEDIA_TYPE = "application/problem+json"
SHARED_CODES = 2
_TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
_RUN = "18f5d4b3c2a10e7f6d5c4b3"

_EXAMPLES: tuple[RealignError, ...] = (
    errors.InvalidRequest("limit: has to be a whole number from 1 to 1000.", field="limit"),
    errors.NotAuthenticated("Sign in first: this address needs a Realign role."),
    errors.NotAllowed(
        "ann@corp.example may not approve remaps: it needs the app role Realign.Approver. Ask an administrator of the "
        "Realign application in Entra ID for it."
    ),
    errors.NotFound(f"There is no run {_RUN}. Check the id; old runs are removed after a while."),
    errors.MethodNotAllowed("This address does not know PUT. Use GET.", allowed=("GET",)),
    errors.ProfileInvalid(
        "Profile emea-vdi has errors and cannot run: emea-vdi.json: policy.mode: is not one of 'report', 'review' or "
        "'auto'. Use one of them.",
        errors=("emea-vdi.json: policy.mode: is not one of 'report', 'review' or 'auto'. Use one of them.",),
    ),
    errors.ProfileBusy(
        f"Run {_RUN} of profile emea-vdi is applying. Wait for it, or ask with ifBusy 'queue'.", run_id=_RUN
    ),
    errors.EditedElsewhere(f"Run {_RUN} is changed by others at the same time. Look at it again."),
    errors.IllegalMove("A remap that is verified cannot become rejected. Look at the run again."),
    errors.NotWaiting(f"Run {_RUN} is applying, so this is not possible now. Wait until it rests."),
    errors.PlanOutdated(f"Run 18f5d4b3c2a10 of profile emea-vdi has a newer plan than run {_RUN}. Decide on that one."),
    errors.PlanChanged(
        f"The plan of run {_RUN} has the fingerprint 61007a7c61c8a7d9 now, and the request names 3fa9c1d277b0e4aa. "
        "Look at the run again and decide on what it says now.",
        fingerprint="61007a7c61c8a7d9",
    ),
    errors.RemapNotOpen(
        "Not possible for: 5a1f0d2c (verified). Nothing was changed; leave them out.", machines=("5a1f0d2c",)
    ),
    errors.BodyTooLarge("The body has 20,971,520 bytes; 16,777,216 is the most. Split what it asks for."),
    errors.UnsupportedMediaType("The body is text/plain, and only JSON is read. Send Content-Type: application/json."),
    errors.IdempotencyMismatch("This Idempotency-Key came before with another body. Use a new key."),
    errors.TooManyRequests(
        "Profile emea-vdi had 60 run starts in the last minute, which is the most. Wait a minute.", retry_after=60
    ),
    errors.RealignError("Realign met an error that it did not expect. The app's log has the details."),
    errors.SettingsInvalid(("KEY_VAULT_URL is not set: give the vault's URL.",)),
    errors.StorageError(
        "Storage account realign.table.core.windows.net did not answer. Try again.", kind="timeout", retryable=True
    ),
)
_BY_KIND = {type(error): error for error in _EXAMPLES}


class Refusals:
    """Collects the responses: those of one or two codes are written once, as ``components``, and referred to."""

    def __init__(self) -> None:
        self.components: dict[str, Any] = {"MethodNotAllowed": _method_not_allowed()}

    def of(self, kinds: Iterable[type[RealignError]]) -> dict[str, Any]:
        """The responses of an operation that raises ``kinds``, by status.

        Raises ``KeyError`` for a kind without an example.
        """
        by_status: dict[int, list[RealignError]] = {}
        for kind in dict.fromkeys(kinds):
            by_status.setdefault(kind.status, []).append(_BY_KIND[kind])
        return {str(status): self._shared(several) for status, several in sorted(by_status.items())}

    def _shared(self, several: list[RealignError]) -> dict[str, Any]:
        if len(several) > SHARED_CODES:
            return _refusal(several)
        name = "Or".join(type(error).__name__ for error in several)
        self.components.setdefault(name, _refusal(several))
        return {"$ref": f"#/components/responses/{name}"}


def _refusal(several: list[RealignError]) -> dict[str, Any]:
    """One response; all of ``several`` have its status."""
    codes = [error.code for error in several]
    of_these = {"properties": {"code": {"enum": codes}}}
    response: dict[str, Any] = {
        "description": "; ".join(f"{error.title} (`{error.code}`)" for error in several) + ".",
        "content": {
            MEDIA_TYPE: {
                "schema": {"allOf": [{"$ref": "#/components/schemas/Problem"}, of_these]},
                "examples": {error.code: {"value": problem_shape(error, _TRACE)} for error in several},
            }
        },
    }
    if any(isinstance(error, errors.TooManyRequests) for error in several):
        response["headers"] = {"Retry-After": {"$ref": "#/components/headers/Retry-After"}}
    return response


def _method_not_allowed() -> dict[str, Any]:
    """What every address answers to the methods that it does not have."""
    response = _refusal([_BY_KIND[errors.MethodNotAllowed]])
    response["headers"] = {"Allow": {"description": "The methods that it has.", "schema": {"type": "string"}}}
    return response
