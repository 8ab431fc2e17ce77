"""Starts a run: checks what is asked, stores it, and puts it in the queue (design, sections 5 and 6).

The order of the writes makes every crash harmless: inputs and event, then the run, then the message. The sweeper
queues again a run whose message was never sent; a repeated request with the same ``Idempotency-Key`` finishes what the
first began.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from shared.azure.runs import new_run_id
from shared.azure.work_queue import WorkStep
from shared.errors import InvalidRequest, NotFound, ProfileBusy, StorageError, TooManyRequests
from shared.model.run import Event, Limits, Mode, Run, RunId, RunStatus
from shared.profile.policy import Policy
from shared.profile.profile import PROFILE_NAME, Profile
from shared.runs.access import Caller, Role
from shared.runs.deciding.busy import check_idle
from shared.runs.deciding.precedence import clear_the_way
from shared.runs.machines_csv import names_from_csv
from shared.runs.request import RunRequest
from shared.runs.resources import Resources
from shared.telemetry.subject import turned_to

STARTS_A_MINUTE = 60
LONGEST_KEY = 255
CLOCKS_DIFFER = timedelta(minutes=5)
EARLIEST_INCIDENT = datetime(2000, 1, 1, tzinfo=UTC)  # callers without a time send the first one they know
WAITS_FOR_RUN, WAIT_SECONDS = 15, 0.2

log = logging.getLogger(__name__)

_LOOSENESS = {Mode.REPORT: 0, Mode.REVIEW: 1, Mode.AUTO: 2}


@dataclass(frozen=True, slots=True)
class Started:
    """``replayed``: the ``Idempotency-Key`` had made this run before."""

    run: Run
    replayed: bool


def start_run(
    resources: Resources,
    profile_name: str,
    request: RunRequest,
    caller: Caller,
    *,
    trigger: str,
    idempotency_key: str | None = None,
    profile: Profile | None = None,
) -> Started:
    """Queue a run of a profile. ``trigger`` is ``http``, ``hook`` or ``schedule``; ``profile`` is that profile, from
    who has read it already: a schedule that let each of many profiles be looked up would read all of them for each.

    Raises ``NotFound``, ``ProfileInvalid``, ``InvalidRequest``, ``NotAllowed``, ``ProfileBusy``,
    ``TooManyRequests``, ``IdempotencyMismatch`` and ``StorageError``; then nothing was started.
    """
    earlier = _earlier(resources, profile_name, request, caller, idempotency_key)
    if earlier is not None:
        return Started(earlier, replayed=True)
    profile = profile or resources.profile(profile_name)
    _check_target(profile, request)
    _check_times(request, resources.now())
    csv_names = names_from_csv(request.machines_csv) if request.machines_csv is not None else None
    mode, limits = _allowed(profile.policy, request, caller)
    now = resources.now()
    run_id = new_run_id(now, resources.random_bytes(5))
    try:
        _check_rate(resources, profile.name)
        check_idle(resources, profile.name, run_id, request.if_busy)
    except (TooManyRequests, ProfileBusy):
        # it may be this very request, come twice at once, that took the place
        earlier = _earlier(resources, profile_name, request, caller, idempotency_key)
        if earlier is None:
            raise
        return Started(earlier, replayed=True)
    run_id, replayed = _claimed(resources, profile.name, request, caller, idempotency_key, run_id)
    stored = _wait_for_run(resources, run_id) if replayed else None
    if stored is not None:
        return Started(stored, replayed=True)
    run = Run(
        id=run_id,
        profile=profile.name,
        mode=mode,
        status=RunStatus.QUEUED,
        trigger=trigger,
        requested_by=caller.name,
        created_at=now,
        updated_at=now,
        limits=limits,
        reason=request.reason,
        target=request.target,
        settle_seconds=request.settle_seconds or 0,
        incident_start=request.incident_start,
    )
    _store_inputs(resources, run.id, profile, request, csv_names)
    queued = _queued(resources, run)
    clear_the_way(resources, queued)
    return Started(queued, replayed=replayed)


def _queued(resources: Resources, run: Run) -> Run:
    """The run with its first event, stored and sent on its way."""
    asked = f"Mode {run.mode.value}" + (f", target {run.target}" if run.target else "") + "."
    resources.events.append(run.id, Event(run.created_at, run.requested_by, "run-requested", asked))
    created = resources.runs.create(run).value
    turned_to(created)
    try:
        resources.queue.send(run.id, WorkStep.PLAN)
    except StorageError as error:
        # the run is stored, so it was started: the sweeper sends the message within a minute
        log.warning("message not sent, left to the sweeper run=%s: %s", run.id, error)
    log.info("run queued run=%s profile=%s mode=%s trigger=%s", run.id, run.profile, run.mode.value, run.trigger)
    return created


def _check_target(profile: Profile, request: RunRequest) -> None:
    if request.target is None:
        return
    name, slash, registered = request.target.partition("/")
    cluster = profile.cluster(name)
    if cluster is None:
        names = ", ".join(known.name for known in profile.clusters)
        raise InvalidRequest(f"target: the profile has no cluster '{name}'. There are: {names}.", field="target")
    if slash and (cluster.api == "element-v2" or not registered):
        raise InvalidRequest(
            f"target: write '{cluster.name}', or 'cluster/registeredCluster' for one cluster of a Prism Central.",
            field="target",
        )


def _check_times(request: RunRequest, now: datetime) -> None:
    if request.settle_seconds and request.target is None:
        raise InvalidRequest(
            "settleSeconds: only a DR run settles. Name its target too, or leave it out.", field="settleSeconds"
        )
    if request.incident_start is not None and request.incident_start > now + CLOCKS_DIFFER:
        raise InvalidRequest(
            f"incidentStart: {request.incident_start.isoformat()} has not come yet; it is {now:%Y-%m-%dT%H:%M:%SZ}. "
            "Name the time at which the incident began.",
            field="incidentStart",
        )
    if request.incident_start is not None and request.incident_start < EARLIEST_INCIDENT:
        raise InvalidRequest(
            f"incidentStart: {request.incident_start.isoformat()} is before the year {EARLIEST_INCIDENT.year}. "
            "Name the time at which the incident began, or leave it out.",
            field="incidentStart",
        )


def _allowed(policy: Policy, request: RunRequest, caller: Caller) -> tuple[Mode, Limits]:
    """The run's mode and limits. What is looser than the policy allows needs an approver."""
    dr = request.target is not None
    policy_mode = policy.mode_for(dr=dr)
    mode = Mode(request.mode) if request.mode else policy_mode
    allowed = Limits(policy.max_changes_for(dr=dr), policy.max_change_percent_for(dr=dr))
    asked = request.limits
    limits = Limits(
        asked.max_changes if asked and asked.max_changes is not None else allowed.max_changes,
        asked.max_change_percent if asked and asked.max_change_percent is not None else allowed.max_change_percent,
    )
    if _LOOSENESS[mode] > _LOOSENESS[policy_mode]:
        caller.require(Role.APPROVER, f"start a run in mode {mode.value}, looser than the policy's {policy_mode.value}")
    if limits.max_changes > allowed.max_changes or limits.max_change_percent > allowed.max_change_percent:
        caller.require(Role.APPROVER, "raise the limits above the policy's")
    return mode, limits


def _earlier(resources: Resources, profile: str, request: RunRequest, caller: Caller, key: str | None) -> Run | None:
    """The run that this key made before. It is answered whatever has become of the profile since."""
    if key is None:
        return None
    if not 0 < len(key) <= LONGEST_KEY:
        raise InvalidRequest(f"Idempotency-Key: has to have 1 to {LONGEST_KEY} characters.", field="Idempotency-Key")
    if not PROFILE_NAME.fullmatch(profile):
        return None
    run_id = resources.idempotency.find(profile, caller.name, key, request.digest(), resources.now())
    return _wait_for_run(resources, run_id) if run_id is not None else None


def _claimed(
    resources: Resources, profile: str, request: RunRequest, caller: Caller, key: str | None, run_id: RunId
) -> tuple[RunId, bool]:
    """The id of the run that ``key`` stands for from now on, and whether an earlier request chose it.

    Claimed once nothing refuses the request any more: who was refused may ask otherwise under the same key.
    """
    if key is None:
        return run_id, False
    claim = resources.idempotency.claim(profile, caller.name, key, request.digest(), run_id, resources.now())
    return claim.run_id, claim.replayed


def _wait_for_run(resources: Resources, run_id: RunId) -> Run | None:
    """A run whose key was claimed, once its request has stored it; None if that request seems to have broken off.

    Then the present request finishes it, under the same id.
    """
    for _ in range(WAITS_FOR_RUN):
        try:
            return resources.runs.get(run_id).value
        except NotFound:
            resources.pause(WAIT_SECONDS)
    return None


def _check_rate(resources: Resources, profile: str) -> None:
    since = resources.now() - timedelta(minutes=1)
    if resources.runs.count_since(profile, since, STARTS_A_MINUTE) >= STARTS_A_MINUTE:
        raise TooManyRequests(
            f"Profile {profile} had {STARTS_A_MINUTE} run starts in the last minute, which is the most. Wait a minute.",
            retry_after=60,
        )


def _store_inputs(
    resources: Resources, run_id: RunId, profile: Profile, request: RunRequest, csv_names: tuple[str, ...] | None
) -> None:
    """A run keeps the profile and the scope that it was started with, whatever becomes of the file."""
    resources.inputs.put_text(run_id, "profile", profile.model_dump_json(by_alias=True, exclude_none=True))
    if request.scope is not None:
        without_names = request.scope.model_copy(update={"machines": None})
        resources.inputs.put_text(run_id, "scope", without_names.model_dump_json(by_alias=True, exclude_none=True))
        if request.scope.machines is not None:
            resources.inputs.put_names(run_id, "machines", request.scope.machines)
    if csv_names is not None:
        resources.inputs.put_names(run_id, "csv", csv_names)
