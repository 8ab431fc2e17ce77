"""From a run to its plan, in memory: read what it needs, plan, and ask for what the plan leaves undecided."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

from shared.azure.inputs import KeptInputs
from shared.errors import RealignError
from shared.model.citrix import Site
from shared.model.finding import Plan
from shared.model.remap import DepartedVm
from shared.model.run import Run, RunId
from shared.planning.plan import make_plan, parse_target
from shared.planning.undecided import doubtful_vms
from shared.profile.profile import Profile
from shared.profile.scope import Scope
from shared.runs.clients.keyring import Keyring, secret_names
from shared.runs.reading.cluster_reads import Wanted
from shared.runs.reading.gather import Progress, gather, gather_again
from shared.runs.reading.gathered import Gathered
from shared.runs.reading.leftovers import with_leftovers
from shared.runs.resources import Resources

LINEAGE_REACHES = timedelta(hours=72)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a run was started with. All of ``scopes`` hold."""

    profile: Profile
    scopes: tuple[Scope, ...]


@dataclass(frozen=True, slots=True)
class Basis:
    """All that the plan of a run is made from."""

    run: Run
    profile: Profile
    scopes: tuple[Scope, ...]
    keyring: Keyring
    wanted: Wanted
    gathered: Gathered
    departed: frozenset[DepartedVm]


def basis_of(
    resources: Resources,
    run: Run,
    progress: Progress,
    *,
    asked: Asked | None = None,
    keyring: Keyring | None = None,
    read_site: Callable[[], Site] | None = None,
) -> Basis:
    """Read what the run needs, or what has changed since it last looked. ``progress`` hears how many reads are done.

    ``asked``, ``keyring`` and ``read_site`` are those of a worker that has them already; then nothing that was read
    before counts. Raises ``CitrixError`` or ``VaultError`` where the site cannot be read, and ``StorageError``.
    """
    asked = asked or asked_of(resources, run.id)
    profile = asked.profile
    wanted = Wanted(
        since=run.incident_start or run.created_at - LINEAGE_REACHES,
        target=run.target,
        shared=run.trigger == "schedule" and read_site is None,
        usual_window=run.incident_start is None,
    )
    keyring = keyring or Keyring(resources.vault, secret_names(profile))
    before = resources.settling.take(run.id) if read_site is None else None
    if before is not None:
        gathered = gather_again(resources, profile, keyring, wanted, before)
    else:
        gathered = gather(resources, profile, keyring, wanted, progress, read_site)
    departed = resources.departed.of(gathered.site.id, but=run.id)
    return Basis(run, profile, asked.scopes, keyring, wanted, gathered, departed)


def plan_from(basis: Basis) -> Plan:
    """Raises ``PlanImpossible`` where scope or target do not fit what was read."""
    target = basis.run.target
    return make_plan(
        basis.gathered.site,
        basis.gathered.readings,
        scopes=basis.scopes,
        policy=basis.profile.policy,
        limits=basis.run.limits,
        target=parse_target(target, basis.gathered.readings) if target is not None else None,
        departed=basis.departed,
    )


def without_doubts(resources: Resources, basis: Basis, plan: Plan) -> Plan:
    """The plan with what one more question to Prism can decide; itself where there is nothing to ask."""
    doubtful = doubtful_vms(plan.findings, basis.gathered.readings)
    if not doubtful:
        return plan
    readings = with_leftovers(resources, basis.profile, basis.keyring, basis.wanted, basis.gathered.readings, doubtful)
    return plan_from(replace(basis, gathered=replace(basis.gathered, readings=readings)))


def asked_of(resources: Resources, run_id: RunId) -> Asked:
    """Raises ``RealignError`` where it is gone."""
    kept = resources.inputs.read(run_id, "profile", "scope", "machines", "csv")
    profile = _profile_in(kept, run_id)
    return Asked(profile, (profile.scope, *_asked_scopes(kept)))


def kept_profile(resources: Resources, run_id: RunId) -> Profile:
    """The profile that the run was started with. Raises ``RealignError`` where it is gone."""
    return _profile_in(resources.inputs.read(run_id, "profile"), run_id)


def _profile_in(kept: KeptInputs, run_id: RunId) -> Profile:
    text = kept.text("profile")
    if text is None:
        raise RealignError(f"The profile that run {run_id} was started with is gone from storage. Start a new run.")
    return Profile.model_validate_json(text)


def _asked_scopes(kept: KeptInputs) -> tuple[Scope, ...]:
    text = kept.text("scope")
    scopes = (Scope.model_validate_json(text),) if text is not None else ()
    named = (kept.names(key) for key in ("machines", "csv"))
    return (*scopes, *(Scope(machines=names) for names in named if names is not None))
