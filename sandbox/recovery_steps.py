"""The steps of a recovery plan job, before an API version puts them into its own words.

The steps of a stage carry the VMs in groups. What did not come over stands in a failed step of its own, without a new
UUID. No recording of either API's answer exists (contract ``prism.md``, 4.3 and 5.6).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sandbox.world import NutanixCluster, Prism, SimJob, SimRecovered, stable_uuid

GROUP = 20
PREPROCESSING, OPERATION, POSTPROCESSING = "preprocessing", "operation", "postprocessing"
PHASES = (PREPROCESSING, OPERATION, POSTPROCESSING)
ENTITY_STEPS = {
    "FAILOVER": "ENTITY_RECOVERY",
    "TEST_FAILOVER": "ENTITY_RECOVERY",
    "MIGRATE": "ENTITY_MIGRATION",
    "LIVE_MIGRATE": "ENTITY_MIGRATION",
}


@dataclass(frozen=True, slots=True)
class Step:
    """``kind`` and ``status`` in v3's words. ``maps``: it tells the UUIDs before and after."""

    uuid: str
    kind: str
    phase: str
    status: str
    parent: str | None = None
    entities: tuple[SimRecovered, ...] = ()
    maps: bool = False


def steps_of(job: SimJob) -> list[Step]:
    """In the order in which they ran. A job that is queued has none."""
    return [] if job.status == "QUEUED" else list(_steps(job))


def _steps(job: SimJob) -> Iterator[Step]:
    yield Step(_uuid(job, "audit"), "AUDIT", PREPROCESSING, "COMPLETED")
    kind = ENTITY_STEPS.get(job.action)
    if kind is None:
        return
    stage = _uuid(job, "stage")
    came = [each for each in job.recovered if not each.failed]
    stayed = [each for each in job.recovered if each.failed]
    running = job.ended is None
    yield Step(stage, "STAGE_RECOVERY", OPERATION, "RUNNING" if running else "FAILED" if stayed else "COMPLETED")
    for number, group in enumerate(_groups(came)):
        yield Step(_uuid(job, "entities", number), kind, OPERATION, "COMPLETED", stage, group, maps=True)
        yield Step(_uuid(job, "power-on", number), "VM_POWER_ON", OPERATION, "COMPLETED", stage, group)
    for number, group in enumerate(_groups(stayed)):
        yield Step(_uuid(job, "failed", number), kind, OPERATION, "FAILED", stage, group, maps=True)
    if not running:
        yield Step(_uuid(job, "report"), "AUDIT", POSTPROCESSING, "COMPLETED")


def cleanup_steps_of(job: SimJob) -> list[Step]:
    """What removed the copies of a test failover once its job had ended."""
    if job.action != "TEST_FAILOVER" or job.ended is None:
        return []
    return [Step(_uuid(job, "cleanup"), "ENTITIES_CLEANUP", OPERATION, "COMPLETED", None, tuple(job.recovered))]


def places_of(job: SimJob, prism: Prism) -> tuple[NutanixCluster | None, NutanixCluster | None]:
    """From where and to where, as far as the clusters still show it."""
    came = [each for each in job.recovered if not each.failed]
    target = next((found[0] for each in came if (found := prism.find(each.recovered))), None)
    others = [cluster for cluster in prism.clusters if cluster is not target]
    sources = [cluster for cluster in others if any(each.source.lower() in cluster.vms for each in job.recovered)]
    return next(iter(sources or others), None), target


def plan_uuid(plan: str) -> str:
    return stable_uuid("recovery-plan", plan)


def plans_of(prism: Prism) -> list[str]:
    return sorted({job.plan for job in prism.jobs})


def _groups(entities: Sequence[SimRecovered]) -> Iterator[tuple[SimRecovered, ...]]:
    for start in range(0, len(entities), GROUP):
        yield tuple(entities[start : start + GROUP])


def _uuid(job: SimJob, *parts: object) -> str:
    return stable_uuid("step", job.uuid, *parts)
