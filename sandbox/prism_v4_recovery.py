"""Recovery plan jobs and replication roles of a simulated Prism Central, v4 (contract ``prism.md``, section 5.6).

The words follow from v3's. No recording of the steps exists: what stands here comes from the models of the SDK.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sandbox import odata
from sandbox.front import Answer, Call, Handler
from sandbox.odata import Field, Kind
from sandbox.prism_v3_entities import cluster_uuid_of_central
from sandbox.prism_v4_envelope import (
    app_error,
    first_typed,
    listed,
    minor_of,
    not_found,
    options_judged,
    page_of,
    single,
    typed,
)
from sandbox.recovery_steps import (
    OPERATION,
    PHASES,
    POSTPROCESSING,
    PREPROCESSING,
    Step,
    places_of,
    plan_uuid,
    plans_of,
    steps_of,
)
from sandbox.world import NutanixCluster, Prism, SimJob, SimRecovered, SimVm, stable_uuid

Json = Any
PROTECTION = "dataprotection.v4.config"
POLICIES = "datapolicies.v4.config"
ACTIONS = {
    "VALIDATE": "VALIDATE",
    "MIGRATE": "PLANNED_FAILOVER",
    "LIVE_MIGRATE": "PLANNED_FAILOVER",
    "FAILOVER": "UNPLANNED_FAILOVER",
    "TEST_FAILOVER": "TEST_FAILOVER",
}
STATUSES = {
    "QUEUED": "QUEUED",
    "RUNNING": "RUNNING",
    "COMPLETED": "SUCCEEDED",
    "FAILED": "FAILED",
    "ABORTED": "ABORTED",
    "COMPLETED_WITH_WARNING": "SUCCEEDED_WITH_VALIDATION_WARNING",
    "FAILED_WITH_WARNING": "FAILED",
}
PHASE_WORDS = {PREPROCESSING: "PRE_PROCESSING", OPERATION: "ENTITY_RECOVERY", POSTPROCESSING: "POST_PROCESSING"}
JOB_FIELDS: Mapping[str, Field[SimJob]] = {
    "extId": Field(Kind.TEXT, lambda job: job.uuid),
    "name": Field(Kind.TEXT, lambda job: job.name),
    "recoveryPlanExtId": Field(Kind.TEXT, lambda job: plan_uuid(job.plan)),
    "startTime": Field(Kind.TEXT, lambda job: job.started),
    "endTime": Field(Kind.TEXT, lambda job: job.ended or ""),
}
JOB_FILTERS = {name: JOB_FIELDS[name] for name in ("extId", "name", "recoveryPlanExtId")}
PLAN_FIELDS: Mapping[str, Field[str]] = {
    "extId": Field(Kind.TEXT, plan_uuid),
    "name": Field(Kind.TEXT, lambda plan: plan),
}


class RecoveryV4:
    """Shows ``prism.jobs``, the plans that they ran, and the replication role of each VM."""

    def __init__(self, prism: Prism) -> None:
        self._prism = prism
        self.handlers: Mapping[str, Handler] = {
            "v4ListRecoveryPlans": options_judged(self._plans),
            "v4GetRecoveryPlan": self._plan,
            "v4ListRecoveryPlanJobs": options_judged(self._jobs),
            "v4GetRecoveryPlanJob": self._job,
            "v4ListExecutionSteps": options_judged(self._steps),
            "v4ListValidationErrors": self._validation_errors,
            "v4GetProtectedResource": self._protected_resource,
        }

    def _jobs(self, call: Call) -> Answer:
        wanted = odata.condition(call.query.get("$filter"), JOB_FILTERS)
        order = odata.order(call.query.get("$orderby"), ("endTime", "name", "startTime"))
        odata.selection(call.query.get("$select"), ())
        found = [each for each in self._prism.jobs if wanted.holds(each)]
        for name, back in reversed(order):
            found.sort(key=JOB_FIELDS[name].read, reverse=back)
        entities = [self._job_entity(each, minor_of(call)) for each in found]
        return _page(call, "ListRecoveryPlanJobs", f"{PROTECTION}.RecoveryPlanJob", entities)

    def _job(self, call: Call) -> Answer:
        job = self._find(call)
        if job is None:
            return not_found(call, "recovery plan job")
        return single(call, "GetRecoveryPlanJob", self._job_entity(job, minor_of(call)))

    def _steps(self, call: Call) -> Answer:
        for option in ("$filter", "$orderby", "$select"):
            _refuse_option(call, option)
        job = self._find(call)
        if job is None:
            return not_found(call, "recovery plan job")
        entities = [_step_entity(each, job, minor_of(call)) for each in steps_of(job)]
        return _page(call, "ListRecoveryPlanJobExecutionSteps", f"{PROTECTION}.RecoveryPlanJobExecutionStep", entities)

    def _validation_errors(self, call: Call) -> Answer:
        if self._find(call) is None:
            return not_found(call, "recovery plan job")
        return _page(call, "ListRecoveryPlanJobValidationErrors", f"{PROTECTION}.RecoveryPlanValidationError", [])

    def _find(self, call: Call) -> SimJob | None:
        wanted = call.path["extId"].lower()
        return next((each for each in self._prism.jobs if each.uuid.lower() == wanted), None)

    def _plans(self, call: Call) -> Answer:
        wanted = odata.condition(call.query.get("$filter"), PLAN_FIELDS)
        order = odata.order(call.query.get("$orderby"), ("name",))
        odata.selection(call.query.get("$select"), ())
        found = [each for each in plans_of(self._prism) if wanted.holds(each)]
        for _, back in order:
            found.sort(reverse=back)
        entities = [self._plan_entity(each, minor_of(call)) for each in found]
        return _page(call, "ListRecoveryPlans", f"{POLICIES}.RecoveryPlan", entities)

    def _plan(self, call: Call) -> Answer:
        for plan in plans_of(self._prism):
            if plan_uuid(plan) == call.path["extId"].lower():
                return single(call, "GetRecoveryPlan", self._plan_entity(plan, minor_of(call)))
        return not_found(call, "recovery plan")

    def _plan_entity(self, plan: str, minor: int) -> Json:
        central = cluster_uuid_of_central(self._prism)
        return {
            **typed(f"{POLICIES}.RecoveryPlan", minor),
            "extId": plan_uuid(plan),
            "name": plan,
            "primaryLocation": {"domainManagerExtId": central},
            "recoveryLocation": {"domainManagerExtId": central},
            "ownerExtId": stable_uuid("user", "admin"),
        }

    def _job_entity(self, job: SimJob, minor: int) -> Json:
        source, target = places_of(job, self._prism)
        central = cluster_uuid_of_central(self._prism)
        direction: Json = {"sourceDomainManagerExtId": central, "targetDomainManagerExtId": central}
        direction |= {} if source is None else {"sourceCluster": _reference(source)}
        direction |= {} if target is None else {"targetCluster": _reference(target)}
        phases = [{"phaseType": PHASE_WORDS[phase], **_progress(job, phase)} for phase in PHASES]
        entity = {
            **typed(f"{PROTECTION}.RecoveryPlanJob", minor),
            "extId": job.uuid,
            "name": job.name,
            "recoveryPlanExtId": plan_uuid(job.plan),
            "actionType": ACTIONS.get(job.action, "$UNKNOWN"),
            "startTime": job.started,
            **_progress(job, None),
            "isInitiatedByWitness": False,
            "ownerExtId": stable_uuid("user", "admin"),
            "failoverDirections": first_typed([direction], f"{PROTECTION}.FailoverDirection", minor),
            "executionPhases": first_typed(phases, f"{PROTECTION}.PhaseSummary", minor),
        }
        if ACTIONS.get(job.action) == "PLANNED_FAILOVER":
            entity["isLiveMigrateVMs"] = job.action == "LIVE_MIGRATE"
        if job.action == "FAILOVER":
            entity["recoveryReferenceTime"] = job.started
        if job.ended is not None:
            entity["endTime"] = job.ended
        return entity

    def _protected_resource(self, call: Call) -> Answer:
        wanted = call.path["extId"]
        copies = [(cluster, vm) for cluster, vm in self._prism.vms() if vm.uuid == wanted.lower()]
        if not copies:
            return not_found(call, "VM")
        protected = [(cluster, vm.role) for cluster, vm in copies if vm.role is not None]
        if not protected:
            message = f"The VM with UUID '{wanted}' is not protected."
            return app_error(404, "dataprotection", message, "RESOURCE_NOT_FOUND")
        return single(call, "GetProtectedResource", self._protected_entity(copies[0][1], protected, minor_of(call)))

    def _protected_entity(self, vm: SimVm, copies: Sequence[tuple[NutanixCluster, str]], minor: int) -> Json:
        """``copies`` are the clusters where the VM stands, with its role there."""

        def site(cluster: NutanixCluster) -> Json:
            manager = "domainManagerExtId" if minor else "mgmtClusterExtId"
            central = cluster_uuid_of_central(self._prism)
            reference = typed(f"{PROTECTION}.DataProtectionSiteReference", minor)
            return {**reference, manager: central, "clusterExtId": cluster.uuid}

        infos = [{"synchronousReplicationRole": role, "locationReference": site(cluster)} for cluster, role in copies]
        source = next((cluster for cluster, role in copies if role == "PRIMARY"), copies[0][0])
        state: Json = {
            "protectionPolicyExtId": stable_uuid("protection-policy", source.uuid),
            "recoveryPointObjectiveSeconds": 0,
            "replicationStatus": "OUT_OF_SYNC" if any(role == "DECOUPLED" for _, role in copies) else "IN_SYNC",
        }
        other = next((each for each in self._prism.clusters if each is not source), None)
        if other is not None:
            state["targetSiteReference"] = site(other)
        return {
            **typed(f"{PROTECTION}.ProtectedResource", minor),
            "extId": vm.uuid,
            "entityExtId": vm.uuid,
            "entityType": "VM",
            "sourceSiteReference": site(source),
            "siteProtectionInfo": first_typed(infos, f"{PROTECTION}.SiteProtectionInfo", minor),
            "replicationStates": first_typed([state], f"{PROTECTION}.ReplicationState", minor),
            "categoryFqNames": [f"{key}/{value}" for key, value in vm.categories.items()],
        }


def _page(call: Call, kind: str, item_type: str, entities: Sequence[Json]) -> Answer:
    start, end = page_of(call)
    texts = [json.dumps(each, separators=(",", ":")).encode() for each in entities[start:end]]
    return listed(call, kind, item_type, texts, len(entities))


def _refuse_option(call: Call, option: str) -> None:
    """Raises ``BadOption``: which members of a step these options take is not known."""
    if option in call.query:
        raise odata.BadOption(option, f"The query option {option} is not supported.")


def _reference(cluster: NutanixCluster) -> Json:
    return {"extId": cluster.uuid, "name": cluster.name}


def _progress(job: SimJob, phase: str | None) -> Json:
    if job.ended is not None:
        whole = phase in (None, OPERATION)
        return {"status": STATUSES.get(job.status, "$UNKNOWN") if whole else "SUCCEEDED", "percentageComplete": 100}
    if job.status == "QUEUED" or phase == POSTPROCESSING:
        return {"status": "QUEUED", "percentageComplete": 0}
    if phase == PREPROCESSING:
        return {"status": "SUCCEEDED", "percentageComplete": 100}
    return {"status": STATUSES.get(job.status, "$UNKNOWN"), "percentageComplete": 50}


def _step_entity(step: Step, job: SimJob, minor: int) -> Json:
    live = job.action == "LIVE_MIGRATE" and step.kind == "ENTITY_MIGRATION"
    entity: Json = {
        **typed(f"{PROTECTION}.RecoveryPlanJobExecutionStep", minor),
        "extId": step.uuid,
        "operationType": "ENTITY_LIVE_MIGRATION" if live else step.kind,
        "phase": PHASE_WORDS[step.phase],
        "status": STATUSES[step.status],
        "stepDescription": f"{step.kind.replace('_', ' ').capitalize()} of the recovery plan {job.plan}",
        "startTime": job.started,
        "percentageComplete": 50 if step.status == "RUNNING" else 100,
    }
    if job.ended is not None:
        entity["endTime"] = job.ended
    if step.parent is not None:
        entity["stageExtId"] = step.parent
    if step.entities:
        affected = [{"extId": each.source, "name": each.name, "entityType": "VM"} for each in step.entities]
        entity["affectedEntities"] = first_typed(affected, f"{PROTECTION}.ExecutionStepEntityReference", minor)
    if step.maps:
        results = [{"result": _result(each, minor)} for each in step.entities]
        entity["executionStepResults"] = first_typed(results, f"{PROTECTION}.ExecutionStepResult", minor)
    return entity


def _result(entity: SimRecovered, minor: int) -> Json:
    """An ``EntityRecoveryResult``; what did not come over has no recovered UUID."""
    result = {
        **typed(f"{PROTECTION}.EntityRecoveryResult", minor),
        "sourceEntityExtId": entity.source,
        "name": entity.name,
        "entityType": "VM",
    }
    return result if entity.failed else {**result, "recoveredEntityExtId": entity.recovered}
