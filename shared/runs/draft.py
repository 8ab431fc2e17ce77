"""From a run to its plan, in memory: read what it needs, plan, and ask for what the plan leaves undecided."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

from shared.errors import RealignError
from shared.model import Plan, Run, RunId
from shared.planning.plan import make_plan, parse_target
from shared.planning.undecided import doubtful_vms
from shared.profile import Profile, Scope
from shared.runs.gather import Wanted, gather, gather_target
from shared.runs.gathered import Gathered
from shared.runs.leftovers import with_leftovers
from shared.runs.resources import Resources

LINEAGE_REACHES = timedelta(hours=72)

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Draft:
    """A plan and what it was made from."""

    profile: Profile
    wanted: Wanted
    scopes: tuple[Scope, ...]
    gathered: Gathered
    plan: Plan


def draft(resources: Resources, run: Run, progress: Progress) -> Draft:
    """The plan of a run as of now. ``progress`` hears how many of how many reads are done.

    Raises ``CitrixError`` or ``VaultError`` where the site cannot be read, ``PlanImpossible`` where scope or target do
    not fit what was read, and ``StorageError``.
    """
    profile = _kept_profile(resources, run.id)
    scopes = (profile.scope, *_asked_scopes(resources, run.id))
    wanted = Wanted(
        since=run.incident_start or run.created_at - LINEAGE_REACHES,
        target=run.target,
        shared=run.trigger == "schedule",
        usual_window=run.incident_start is None,
    )
    before = resources.settling.take(run.id)
    if before is not None:
        gathered = gather_target(resources, profile, wanted, before)
    else:
        gathered = gather(resources, profile, wanted, progress)
    return Draft(profile, wanted, scopes, gathered, _plan(run, profile, scopes, gathered))


def without_doubts(resources: Resources, run: Run, made: Draft) -> Draft:
    """The draft with what one more question to Prism can decide; itself where there is nothing to ask."""
    doubtful = doubtful_vms(made.plan.findings, made.gathered.readings)
    if not doubtful:
        return made
    readings = with_leftovers(resources, made.profile, made.gathered.readings, doubtful, main=made.wanted.main)
    gathered = replace(made.gathered, readings=readings)
    return replace(made, gathered=gathered, plan=_plan(run, made.profile, made.scopes, gathered))


def _plan(run: Run, profile: Profile, scopes: tuple[Scope, ...], gathered: Gathered) -> Plan:
    return make_plan(
        gathered.site,
        gathered.readings,
        scopes=scopes,
        policy=profile.policy,
        limits=run.limits,
        target=parse_target(run.target, gathered.readings) if run.target is not None else None,
    )


def _kept_profile(resources: Resources, run_id: RunId) -> Profile:
    text = resources.inputs.text(run_id, "profile")
    if text is None:
        raise RealignError(f"The profile that run {run_id} was started with is gone from storage. Start a new run.")
    return Profile.model_validate_json(text)


def _asked_scopes(resources: Resources, run_id: RunId) -> tuple[Scope, ...]:
    text = resources.inputs.text(run_id, "scope")
    scopes = (Scope.model_validate_json(text),) if text is not None else ()
    named = (resources.inputs.names(run_id, key) for key in ("machines", "csv"))
    return (*scopes, *(Scope(machines=names) for names in named if names is not None))
