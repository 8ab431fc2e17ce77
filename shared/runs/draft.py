"""From a run to its plan, in memory: read what it needs, plan, and ask for what the plan leaves undecided."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from shared.errors import RealignError
from shared.model import ClusterReading, Plan, Run, RunId
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

    plan: Plan
    gathered: Gathered


def draft(resources: Resources, run: Run, progress: Progress) -> Draft:
    """The plan of a run as of now. ``progress`` hears how many of how many reads are done.

    Raises ``CitrixError`` or ``VaultError`` where the site cannot be read, ``PlanImpossible`` where scope or target do
    not fit what was read, and ``StorageError``.
    """
    profile = _kept_profile(resources, run.id)
    return _made(resources, profile, run, _gathered(resources, profile, run, progress))


def _gathered(resources: Resources, profile: Profile, run: Run, progress: Progress) -> Gathered:
    since = run.incident_start or run.created_at - LINEAGE_REACHES
    wanted = Wanted(since, run.target, shared=run.trigger == "schedule")
    before = resources.settling.take(run.id)
    if before is not None:
        return gather_target(resources, profile, wanted, before)
    return gather(resources, profile, wanted, progress)


def _made(resources: Resources, profile: Profile, run: Run, gathered: Gathered) -> Draft:
    """What a first plan leaves undecided is asked for, then the plan is made again."""
    asked = _asked_scopes(resources, run.id)

    def plan(readings: Sequence[ClusterReading]) -> Plan:
        return make_plan(
            gathered.site,
            readings,
            scopes=(profile.scope, *asked),
            policy=profile.policy,
            limits=run.limits,
            target=parse_target(run.target, readings) if run.target is not None else None,
        )

    first = plan(gathered.readings)
    doubtful = doubtful_vms(first.findings, gathered.readings)
    if not doubtful:
        return Draft(first, gathered)
    readings = with_leftovers(resources, profile, gathered.readings, doubtful)
    return Draft(plan(readings), replace(gathered, readings=readings))


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
