"""Recovery plans and their jobs of a simulated Prism Central, v3 (contract ``prism.md``, section 4.3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sandbox import fiql
from sandbox.front import Answer, Call, Handler
from sandbox.prism_v3_entities import metadata_of
from sandbox.prism_v3_envelope import API_VERSION, missing, refuse_what_is_not_served, refused, v3_page
from sandbox.recovery_steps import (
    OPERATION,
    PHASES,
    PREPROCESSING,
    Step,
    cleanup_steps_of,
    places_of,
    plan_uuid,
    plans_of,
    steps_of,
)
from sandbox.world import NutanixCluster, Prism, SimJob, SimRecovered, stable_uuid

Json = Any
JOB, PLAN = "recovery_plan_job", "recovery_plan"
START = "start_time_secs"
NOT_RECOVERED = "The entity could not be recovered: no recovery point is available at the recovery location."


class RecoveryV3:
    """Shows ``prism.jobs`` and the plans that they ran."""

    def __init__(self, prism: Prism) -> None:
        self._prism = prism
        self.handlers: Mapping[str, Handler] = {
            "v3ListRecoveryPlans": self._plans,
            "v3GetRecoveryPlan": self._plan,
            "v3ListRecoveryPlanJobs": self._jobs,
            "v3GetRecoveryPlanJob": self._job,
            "v3GetRecoveryPlanJobStatus": self._status,
        }

    def _jobs(self, call: Call) -> Answer:
        jobs = list(self._prism.jobs)
        try:
            refuse_what_is_not_served(call.body, JOB, START)
            if "filter" in call.body:
                holds = fiql.parse(call.body["filter"], ("recovery_plan_uuid",))
                jobs = [each for each in jobs if holds({"recovery_plan_uuid": plan_uuid(each.plan)})]
        except ValueError as error:
            return refused(400, [str(error)])
        if "sort_attribute" in call.body:
            jobs.sort(key=lambda each: each.started, reverse=call.body.get("sort_order") == "DESCENDING")
        return v3_page(JOB, call.body, [self._job_entity(each) for each in jobs])

    def _job(self, call: Call) -> Answer:
        job = self._find(call)
        if job is None:
            return missing(JOB, call.path["uuid"])
        return Answer(body={"api_version": API_VERSION, **self._job_entity(job)})

    def _status(self, call: Call) -> Answer:
        job = self._find(call)
        if job is None:
            return missing(JOB, call.path["uuid"])
        steps = steps_of(job) if call.path["status"] == "execution_status" else cleanup_steps_of(job)
        phases = {}
        for phase in PHASES:
            inside = [each for each in steps if each.phase == phase]
            phases[f"{phase}_status"] = {
                **_summary(job, phase),
                "step_execution_status_list": [_step_entity(each, job) for each in inside],
            }
        return Answer(body=phases)

    def _find(self, call: Call) -> SimJob | None:
        wanted = call.path["uuid"].lower()
        return next((each for each in self._prism.jobs if each.uuid.lower() == wanted), None)

    def _plans(self, call: Call) -> Answer:
        try:
            refuse_what_is_not_served(call.body, PLAN)
            if "filter" in call.body:
                fiql.parse(call.body["filter"], ())
        except ValueError as error:
            return refused(400, [str(error)])
        plans = plans_of(self._prism)
        if call.body.get("sort_order") == "DESCENDING":
            plans.reverse()
        return v3_page(PLAN, call.body, [self._plan_entity(each) for each in plans])

    def _plan(self, call: Call) -> Answer:
        for plan in plans_of(self._prism):
            if plan_uuid(plan) == call.path["uuid"].lower():
                return Answer(body={"api_version": API_VERSION, **self._plan_entity(plan)})
        return missing(PLAN, call.path["uuid"])

    def _plan_entity(self, plan: str) -> Json:
        zone = _zone_url(self._prism)
        locations = [_location(zone, cluster) for cluster in self._prism.clusters[:2]]
        parameters = {"primary_location_index": 0, "availability_zone_list": locations, "network_mapping_list": []}
        status = {
            "name": plan,
            "description": None,
            "state": "COMPLETE",
            "latest_test_time": "",
            "latest_validation_time": "",
            "resources": {"parameters": parameters, "stage_list": [], "volume_group_recovery_info_list": []},
        }
        metadata = metadata_of(PLAN, plan_uuid(plan), "2024-02-05T21:15:17Z") | {"name": plan}
        return {"metadata": metadata, "status": status, "spec": {"name": plan}}

    def _job_entity(self, job: SimJob) -> Json:
        source, target = places_of(job, self._prism)
        zone = _zone_url(self._prism)
        parameters = {
            "action_type": job.action,
            "failed_availability_zone_list": [_location(zone, source)],
            "recovery_availability_zone_list": [_location(zone, target)],
        }
        resources = {
            "recovery_plan_reference": {"kind": PLAN, "uuid": plan_uuid(job.plan), "name": job.plan},
            "execution_parameters": parameters,
        }
        execution = _summary(job) | {f"{phase}_status": _summary(job, phase) for phase in PHASES}
        status: Json = {
            "name": job.name,
            "start_time": job.started,
            "execution_status": execution,
            "resources": resources,
            "validation_information": {"errors_list": [], "warnings_list": _warnings(job)},
        }
        if job.ended is not None:
            status["end_time"] = job.ended
        metadata = metadata_of(JOB, job.uuid, job.started) | {"name": job.name}
        return {"metadata": metadata, "status": status, "spec": {"name": job.name, "resources": resources}}


def _summary(job: SimJob, phase: str | None = None) -> Json:
    if job.ended is not None:
        # A warning or a failure is the operation's; what stands before and after it went well.
        status = job.status if phase in (None, OPERATION) else "COMPLETED"
        return {"status": status, "percentage_complete": 100}
    if job.status == "QUEUED":
        return {"status": "QUEUED", "percentage_complete": 0}
    if phase == PREPROCESSING:
        return {"status": "COMPLETED", "percentage_complete": 100}
    return {
        "status": job.status if phase in (None, OPERATION) else "QUEUED",
        "percentage_complete": 50 if phase else 60,
    }


def _warnings(job: SimJob) -> list[Json]:
    if "WARNING" not in job.status:
        return []
    message = "Duplicate instances exist for one or more of the entities in the Recovery Plan."
    return [{"message": message, "validation_type": "DUPLICATE_INSTANCES", "affected_any_reference_list": []}]


def _step_entity(step: Step, job: SimJob) -> Json:
    entity: Json = {
        "step_uuid": step.uuid,
        "operation_type": step.kind,
        "status": step.status,
        "percentage_complete": 50 if step.status == "RUNNING" else 100,
        "start_time": job.started,
    }
    if step.parent is not None:
        entity["parent_step_uuid"] = step.parent
    if job.ended is not None:
        entity["end_time"] = job.ended
    if step.status == "FAILED" and step.maps:
        entity |= {"error_code": "ENTITY_RECOVERY_FAILED", "error_detail": NOT_RECOVERED}
    if step.entities:
        entity["any_entity_reference_list"] = _references(step.entities)
    if step.maps:
        entity["recovered_entity_info_list"] = [_recovered(each) for each in step.entities]
    return entity


def _references(entities: Sequence[SimRecovered]) -> list[Json]:
    return [{"kind": "vm", "uuid": each.source, "name": each.name} for each in entities]


def _recovered(entity: SimRecovered) -> Json:
    source = {"kind": "vm", "uuid": entity.source, "name": entity.name}
    if entity.failed:
        return {"source_entity_reference": source, "error_detail": NOT_RECOVERED}
    recovered = {"entity_uuid": entity.recovered, "entity_name": entity.name}
    return {"source_entity_reference": source, "recovered_entity_info": recovered}


def _zone_url(prism: Prism) -> str:
    return stable_uuid("availability-zone", prism.name)


def _location(zone: str, cluster: NutanixCluster | None) -> Json:
    # Both locations of one Prism Central have one URL; the clusters tell them apart. Their name may be empty.
    if cluster is None:
        return {"availability_zone_url": zone}
    reference = {"kind": "cluster", "uuid": cluster.uuid, "name": ""}
    return {"availability_zone_url": zone, "cluster_reference_list": [reference]}
