"""Every operation of the API as a table: who may call it, what it takes and what it answers.

The OpenAPI document is made of it. What stands here beside the code that does it is compared with it by tests: routes
and parameters with those that are registered and read, answers and refusals with what the app answers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from functions.contract import answers, examples
from functions.contract.inputs import (
    CURSOR,
    HOOK_RUN,
    IDEMPOTENCY_KEY,
    IF_NONE_MATCH,
    LIMIT,
    OF_FINDING,
    OF_PROFILE,
    OF_STATE,
    OF_STATUS,
    PREFER,
    PROFILE,
    RUN,
    SEARCH,
    Parameter,
)
from shared import errors
from shared.errors import RealignError
from shared.profile.parts import Part
from shared.runs.access import Role
from shared.runs.deciding import review_request
from shared.runs.request import HookRequest, RunRequest

Kinds = tuple[type[RealignError], ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """``shape`` is a type of ``answers``; None for a text, or for no body at all where there is no media type."""

    description: str
    shape: Any = None
    example: Any = None
    media_type: str | None = "application/json"
    headers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Body:
    model: type[Part]
    example: Any
    required: bool = False


@dataclass(frozen=True, slots=True)
class Operation:
    """``role`` None: whoever holds the function key; ``Role.NONE``: everybody."""

    name: str
    method: str
    route: str
    tag: str
    summary: str
    role: Role | None
    answers: dict[int, Answer]
    parameters: tuple[Parameter, ...] = ()
    body: Body | None = None
    refusals: Kinds = field(default=())


_ANYWHERE: Kinds = (errors.RealignError, errors.SettingsInvalid, errors.StorageError)
_SIGNED_IN: Kinds = (errors.NotAuthenticated, errors.NotAllowed, *_ANYWHERE)
_LISTS: Kinds = (errors.InvalidRequest, *_SIGNED_IN)
_READS: Kinds = (*_LISTS, errors.NotFound)
_BODIES: Kinds = (errors.InvalidRequest, errors.BodyTooLarge, errors.UnsupportedMediaType, errors.NotFound)
_STARTS: Kinds = (
    *_BODIES,
    errors.ProfileInvalid,
    errors.ProfileBusy,
    errors.EditedElsewhere,
    errors.IdempotencyMismatch,
    errors.TooManyRequests,
)
_ACTS: Kinds = (*_BODIES, *_SIGNED_IN, errors.NotWaiting, errors.EditedElsewhere)
_DECIDES: Kinds = (*_ACTS, errors.PlanOutdated, errors.RemapNotOpen, errors.IllegalMove)

_UNCHANGED = Answer("It is still what the caller has.", media_type=None, headers=("ETag",))
_AT_WORK = ("Location", "Retry-After", "Preference-Applied")
_RESTS = ("Location", "Preference-Applied")
_STARTED = ("Idempotency-Replayed",)


def _reads(description: str, shape: Any, example: Any) -> dict[int, Answer]:
    return {200: Answer(description, shape, example, headers=("ETag",)), 304: _UNCHANGED}


def _does(*, order: bool) -> dict[int, Answer]:
    at_work = Answer("Accepted: the run is at work.", answers.Run, examples.run_applying, headers=_AT_WORK)
    done = "It rests, within the time to wait." if order else "It rests: there is nothing to wait for, or not any more."
    return {200: Answer(done, answers.Run, examples.run_waiting, headers=_RESTS), 202: at_work}


def _action(name: str, summary: str, role: Role, body: Body, refusals: Kinds, *, order: bool = False) -> Operation:
    return Operation(
        f"runs_{name}", "POST", f"runs/{{id}}/{name}", "Review", summary, role, _does(order=order), (RUN, PREFER),
        body, refusals,
    )  # fmt: skip


def _of_run(below: str, summary: str, found: dict[int, Answer], *parameters: Parameter) -> Operation:
    name = f"runs_{below.replace('.', '_')}"
    return Operation(
        name, "GET", f"runs/{{id}}/{below}", "Runs", summary, Role.READER, found, (RUN, *parameters), refusals=_READS
    )


HEALTH = (
    Operation(
        "health_live", "GET", "health/live", "Health", "Does the process answer?", Role.NONE,
        {200: Answer("It does.", answers.Live, examples.live)}, refusals=(errors.RealignError,),
    ),
    Operation(
        "health_ready", "GET", "health/ready", "Health", "Everything that Realign depends on, with what to do",
        Role.READER,
        {
            200: Answer("Ready, or degraded: some site or cluster is not.", answers.Health, examples.health),
            503: Answer("Storage or the vault fails.", answers.Health, examples.health),
        },
        refusals=_SIGNED_IN,
    ),
    Operation(
        "me", "GET", "me", "Health", "Who asks, and which roles count", Role.READER,
        {200: Answer("The caller.", answers.Me, examples.me)}, refusals=_LISTS,
    ),
    Operation(
        "openapi", "GET", "openapi.json", "Health", "This document", Role.READER,
        {200: Answer("OpenAPI 3.1.", dict[str, Any], {"openapi": "3.1.0"}, headers=("ETag",)), 304: _UNCHANGED},
        (IF_NONE_MATCH,), refusals=_LISTS,
    ),
)  # fmt: skip

PROFILES = (
    Operation(
        "profiles_list", "GET", "profiles", "Profiles", "All profiles, broken ones with their errors", Role.READER,
        _reads("All of them.", answers.ProfileFiles, examples.profiles), (IF_NONE_MATCH,), refusals=_LISTS,
    ),
    Operation(
        "profiles_one", "GET", "profiles/{name}", "Profiles", "One profile", Role.READER,
        _reads("The profile.", answers.ProfileFile, examples.profile), (PROFILE, IF_NONE_MATCH), refusals=_READS,
    ),
    Operation(
        "profiles_hold", "POST", "profiles/{name}/hold", "Profiles", "Put the schedule on hold", Role.OPERATOR,
        {200: Answer("The hold that stands now.", answers.HeldProfile, examples.held)}, (PROFILE,),
        Body(review_request.HoldRequest, examples.hold),
        (*_BODIES, *_SIGNED_IN, errors.ProfileInvalid, errors.EditedElsewhere),
    ),
    Operation(
        "profiles_end_hold", "DELETE", "profiles/{name}/hold", "Profiles", "End the hold", Role.OPERATOR,
        {200: Answer("There is none now.", answers.HeldProfile, examples.released)}, (PROFILE,), refusals=_READS,
    ),
)  # fmt: skip

_START = {
    200: Answer("It rests already.", answers.Run, examples.run_waiting, headers=(*_RESTS, *_STARTED)),
    202: Answer("Started.", answers.Run, examples.run_queued, headers=(*_AT_WORK, *_STARTED)),
}
RUNS = (
    Operation(
        "profiles_start_run", "POST", "profiles/{name}/runs", "Runs", "Start a run", Role.OPERATOR, _START,
        (PROFILE, PREFER, IDEMPOTENCY_KEY), Body(RunRequest, examples.start), (*_STARTS, *_SIGNED_IN),
    ),
    Operation(
        "runs_list", "GET", "runs", "Runs", "Runs, newest first", Role.READER,
        _reads("A page.", answers.Runs, examples.runs), (OF_PROFILE, OF_STATUS, LIMIT, CURSOR, IF_NONE_MATCH),
        refusals=_LISTS,
    ),
    Operation(
        "runs_one", "GET", "runs/{id}", "Runs", "One run: how far it is, and what it found", Role.READER,
        _reads("The run.", answers.Run, examples.run_waiting), (RUN, IF_NONE_MATCH), refusals=_READS,
    ),
    _of_run(
        "remaps", "Its findings, with their evidence", _reads("A page.", answers.Findings, examples.findings),
        OF_FINDING, OF_STATE, SEARCH, LIMIT, CURSOR, IF_NONE_MATCH,
    ),
    _of_run(
        "remaps.csv", "The same as CSV, safe to open in a spreadsheet",
        {200: Answer("All of them.", str, examples.csv, "text/csv", ("Content-Disposition",))},
        OF_FINDING, OF_STATE, SEARCH,
    ),
    _of_run(
        "report", "The run as one HTML file, for the change ticket",
        {200: Answer("The file.", str, "<!doctype html>...", "text/html", ("Content-Disposition",))},
    ),
    _of_run(
        "events", "Who did what, when", _reads("A page.", answers.Events, examples.events), LIMIT, CURSOR,
        IF_NONE_MATCH,
    ),
)  # fmt: skip

REVIEW = (
    _action(
        "approve", "Approve remaps, and apply what is approved", Role.APPROVER,
        Body(review_request.ApproveRequest, examples.approve, required=True),
        (*_DECIDES, errors.PlanChanged, errors.ProfileBusy),
    ),
    _action(
        "reject", "Reject remaps, for good", Role.APPROVER,
        Body(review_request.ReviewRequest, examples.reject, required=True), (*_DECIDES, errors.PlanChanged),
    ),
    _action(
        "resolve", "Say which VM an ambiguous or conflicting machine has", Role.APPROVER,
        Body(review_request.ResolveRequest, examples.resolve, required=True), _DECIDES,
    ),
    _action(
        "apply", "Apply what is approved", Role.APPROVER, Body(review_request.MachinesRequest, examples.machines),
        (*_DECIDES, errors.ProfileBusy), order=True,
    ),
    _action(
        "rollback", "Take back what the run wrote", Role.APPROVER,
        Body(review_request.MachinesRequest, examples.machines),
        (*_ACTS, errors.RemapNotOpen, errors.ProfileBusy), order=True,
    ),
    _action(
        "cancel", "Stop a run; what is applied stays", Role.OPERATOR,
        Body(review_request.CancelRequest, examples.cancel), _ACTS, order=True,
    ),
)  # fmt: skip

HOOKS = (
    Operation(
        "hooks_start_run", "POST", "hooks/runs", "Orchestrators", "Start a run", None, _START,
        (PREFER, IDEMPOTENCY_KEY), Body(HookRequest, examples.hook, required=True),
        (*_STARTS, errors.NotAllowed, *_ANYWHERE),
    ),
    Operation(
        "hooks_run", "GET", "hooks/runs", "Orchestrators", "One run: how far it is, and what it found", None,
        _reads("The run.", answers.Run, examples.run_for_key), (HOOK_RUN, IF_NONE_MATCH),
        refusals=(errors.InvalidRequest, errors.NotFound, *_ANYWHERE),
    ),
)  # fmt: skip

OPERATIONS: tuple[Operation, ...] = (*HEALTH, *PROFILES, *RUNS, *REVIEW, *HOOKS)
