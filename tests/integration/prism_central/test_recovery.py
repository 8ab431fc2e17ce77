"""Recovery plans, their jobs and replication roles of the simulated Prism Central, in v3 and in v4."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.recovery_steps import plan_uuid
from sandbox.world import SimJob, SimRecovered, SimVm, stable_uuid
from tests.integration.callers import V3, PrismCaller
from tests.integration.prism_central.central import (
    GONE,
    JOBS,
    PLANS,
    PROTECTED,
    app_message,
    listed,
    vms_of,
)


def job(central: PrismCaller, action: str = "FAILOVER", number: int = 1, **more: Any) -> SimJob:
    """A job that moved 25 VMs from the first cluster to the second, and failed to move a 26th."""
    came = [
        SimRecovered(stable_uuid("old", number, each), stable_uuid("new", number, each), f"V-{each}")
        for each in range(25)
    ]
    stayed = [SimRecovered(stable_uuid("old", number, "lost"), "", "V-LOST", failed=True)]
    source, target = central.prism.clusters
    source.add(SimVm(came[0].source, "V-0", power="off"))
    target.add(SimVm(came[0].recovered, "V-0"))
    made = SimJob(
        stable_uuid("job", number),
        f"run-{number}",
        action,
        f"2026-01-0{number}T00:00:00Z",
        None,
        recovered=came + stayed,
    )
    made.ended = f"2026-01-0{number}T00:20:00Z"
    for name, value in more.items():
        setattr(made, name, value)
    central.prism.jobs.append(made)
    return made


def moved_by_v3(central: PrismCaller, made: SimJob, status: str = "execution_status") -> dict[str, str]:
    phases = central.get(f"{V3}/recovery_plan_jobs/{made.uuid}/{status}").json()
    return {
        each["source_entity_reference"]["uuid"]: each["recovered_entity_info"]["entity_uuid"]
        for phase in phases.values()
        for step in phase["step_execution_status_list"]
        if step["status"] == "COMPLETED"
        for each in step.get("recovered_entity_info_list", ())
    }


def moved_by_v4(central: PrismCaller, made: SimJob) -> dict[str, str]:
    return {
        each["result"]["sourceEntityExtId"]: each["result"]["recoveredEntityExtId"]
        for step in listed(central, f"{JOBS}/{made.uuid}/execution-steps", **{"$limit": 2})
        if step["status"] == "SUCCEEDED"
        for each in step.get("executionStepResults", ())
    }


@pytest.mark.parametrize("action", ["FAILOVER", "TEST_FAILOVER", "MIGRATE", "LIVE_MIGRATE"])
def test_both_apis_tell_the_same_uuids_before_and_after(central: PrismCaller, action: str) -> None:
    made = job(central, action)
    expected = {each.source: each.recovered for each in made.recovered if not each.failed}
    assert len(expected) == 25
    assert moved_by_v3(central, made) == moved_by_v4(central, made) == expected


def test_an_entity_that_did_not_come_over_has_a_failed_step_and_no_new_uuid(central: PrismCaller) -> None:
    made = job(central)
    phases = central.get(f"{V3}/recovery_plan_jobs/{made.uuid}/execution_status").json()
    (old,) = [
        each
        for step in phases["operation_status"]["step_execution_status_list"]
        if step["status"] == "FAILED"
        for each in step.get("recovered_entity_info_list", ())
    ]
    assert (old["source_entity_reference"]["name"], "recovered_entity_info" in old) == ("V-LOST", False)
    assert old["error_detail"]
    steps = listed(central, f"{JOBS}/{made.uuid}/execution-steps")
    (new,) = [
        each["result"] for step in steps if step["status"] == "FAILED" for each in step.get("executionStepResults", ())
    ]
    assert (new["name"], "recoveredEntityExtId" in new) == ("V-LOST", False)


@pytest.mark.parametrize(
    ("action", "status", "word", "said", "step"),
    [
        ("FAILOVER", "COMPLETED", "UNPLANNED_FAILOVER", "SUCCEEDED", "ENTITY_RECOVERY"),
        (
            "TEST_FAILOVER",
            "COMPLETED_WITH_WARNING",
            "TEST_FAILOVER",
            "SUCCEEDED_WITH_VALIDATION_WARNING",
            "ENTITY_RECOVERY",
        ),
        ("MIGRATE", "FAILED_WITH_WARNING", "PLANNED_FAILOVER", "FAILED", "ENTITY_MIGRATION"),
        ("LIVE_MIGRATE", "ABORTED", "PLANNED_FAILOVER", "ABORTED", "ENTITY_LIVE_MIGRATION"),
        ("VALIDATE", "FAILED", "VALIDATE", "FAILED", None),
    ],
)
def test_v4_has_words_of_its_own_for_a_job(
    central: PrismCaller, action: str, status: str, word: str, said: str, step: str | None
) -> None:
    made = job(central, action, status=status)
    old = central.get(f"{V3}/recovery_plan_jobs/{made.uuid}").json()["status"]
    assert old["resources"]["execution_parameters"]["action_type"] == action
    assert old["execution_status"]["status"] == status
    new = central.get(f"{JOBS}/{made.uuid}").json()["data"]
    assert (new["actionType"], new["status"], new["startTime"]) == (word, said, made.started)
    assert new.get("isLiveMigrateVMs") == (action == "LIVE_MIGRATE" if word == "PLANNED_FAILOVER" else None)
    kinds = {each["operationType"] for each in listed(central, f"{JOBS}/{made.uuid}/execution-steps")}
    assert kinds == {"AUDIT", "STAGE_RECOVERY", "VM_POWER_ON", step} if step else kinds == {"AUDIT"}
    assert central.get(f"{JOBS}/{made.uuid}/validation-errors").status_code == 200


def test_a_job_tells_from_where_to_where(central: PrismCaller) -> None:
    made = job(central)
    source, target = central.prism.clusters
    (direction,) = central.get(f"{JOBS}/{made.uuid}").json()["data"]["failoverDirections"]
    assert (direction["sourceCluster"]["extId"], direction["targetCluster"]["extId"]) == (source.uuid, target.uuid)
    parameters = central.get(f"{V3}/recovery_plan_jobs/{made.uuid}").json()["status"]["resources"][
        "execution_parameters"
    ]
    for name, cluster in (("failed", source), ("recovery", target)):
        (zone,) = parameters[f"{name}_availability_zone_list"]
        assert [each["uuid"] for each in zone["cluster_reference_list"]] == [cluster.uuid]


def test_a_running_job_has_no_end_and_a_queued_one_no_steps(central: PrismCaller) -> None:
    running, queued = job(central, ended=None, status="RUNNING"), job(central, number=2, ended=None, status="QUEUED")
    for made in (running, queued):
        assert "end_time" not in central.get(f"{V3}/recovery_plan_jobs/{made.uuid}").json()["status"]
        new = central.get(f"{JOBS}/{made.uuid}").json()["data"]
        assert ("endTime" in new, new["status"]) == (False, made.status)
    assert moved_by_v4(central, running)
    assert listed(central, f"{JOBS}/{queued.uuid}/execution-steps") == []


def test_only_a_test_failover_is_cleaned_up(central: PrismCaller) -> None:
    test, real = job(central, "TEST_FAILOVER"), job(central, number=2)
    seen = {}
    for made in (test, real):
        phases = central.get(f"{V3}/recovery_plan_jobs/{made.uuid}/cleanup_status").json()
        seen[made.action] = [
            each["operation_type"] for each in phases["operation_status"]["step_execution_status_list"]
        ]
    assert seen == {"TEST_FAILOVER": ["ENTITIES_CLEANUP"], "FAILOVER": []}


def test_jobs_are_listed_newest_first_filtered_by_plan_and_paged(central: PrismCaller) -> None:
    made = [job(central, number=number, plan=plan) for number, plan in ((2, "VDI"), (1, "VDI"), (3, "SAP"))]
    body = {"kind": "recovery_plan_job", "sort_attribute": "start_time_secs", "sort_order": "DESCENDING"}
    old = central.post(f"{V3}/recovery_plan_jobs/list", body).json()
    assert [each["metadata"]["uuid"] for each in old["entities"]] == [made[index].uuid for index in (2, 0, 1)]
    second = central.post(f"{V3}/recovery_plan_jobs/list", {**body, "offset": 1, "length": 1}).json()
    assert [each["metadata"]["uuid"] for each in second["entities"]] == [made[0].uuid]
    assert second["metadata"]["total_matches"] == 3
    of_plan = central.post(
        f"{V3}/recovery_plan_jobs/list", {**body, "filter": f"recovery_plan_uuid=={plan_uuid('SAP')}"}
    ).json()
    assert [each["metadata"]["uuid"] for each in of_plan["entities"]] == [made[2].uuid]
    new = listed(central, JOBS, **{"$orderby": "startTime desc", "$limit": 2})
    assert [each["extId"] for each in new] == [made[index].uuid for index in (2, 0, 1)]
    of_plan = listed(central, JOBS, **{"$filter": f"recoveryPlanExtId eq '{plan_uuid('SAP')}'"})
    assert [each["extId"] for each in of_plan] == [made[2].uuid]


def test_recovery_plans_are_those_that_ran(central: PrismCaller) -> None:
    job(central, plan="VDI")
    body = {"kind": "recovery_plan"}
    (old,) = central.post(f"{V3}/recovery_plans/list", body).json()["entities"]
    assert central.get(f"{V3}/recovery_plans/{old['metadata']['uuid']}").json()["status"]["name"] == "VDI"
    (new,) = listed(central, PLANS)
    assert (new["name"], new["extId"]) == ("VDI", old["metadata"]["uuid"])
    assert central.get(f"{PLANS}/{new['extId']}").json()["data"]["name"] == "VDI"


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(f"{JOBS}/{GONE}", id="job"),
        pytest.param(f"{JOBS}/{GONE}/execution-steps", id="steps"),
        pytest.param(f"{JOBS}/{GONE}/validation-errors", id="validation-errors"),
        pytest.param(f"{PLANS}/{GONE}", id="plan"),
        pytest.param(f"{PROTECTED}/{GONE}", id="protected-resource"),
    ],
)
def test_what_is_not_there_has_a_group_that_says_so(central: PrismCaller, path: str) -> None:
    answer = central.get(path)
    assert (answer.status_code, app_message(answer)["errorGroup"]) == (404, "ENTITY_NOT_FOUND")


@pytest.mark.parametrize(
    "path", [f"recovery_plan_jobs/{GONE}", f"recovery_plan_jobs/{GONE}/execution_status", f"recovery_plans/{GONE}"]
)
def test_v3_says_so_in_its_own_words(central: PrismCaller, path: str) -> None:
    answer = central.get(f"{V3}/{path}")
    assert (answer.status_code, answer.json()["message_list"][0]["reason"]) == (404, "ENTITY_NOT_FOUND")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        pytest.param("recovery_plan_jobs/list", {"kind": "vm"}, id="another-kind"),
        pytest.param("recovery_plan_jobs/list", {"sort_attribute": "name"}, id="another-order"),
        pytest.param("recovery_plan_jobs/list", {"filter": "status==RUNNING"}, id="another-filter"),
        pytest.param("recovery_plans/list", {"filter": "name==VDI"}, id="plans-have-no-filter"),
    ],
)
def test_v3_refuses_what_its_lists_do_not_take(central: PrismCaller, path: str, body: dict[str, str]) -> None:
    assert central.post(f"{V3}/{path}", body).status_code == 422


@pytest.mark.parametrize("query", ["$select=name", "$orderby=status", "$filter=status eq 'RUNNING'"])
def test_jobs_take_few_options(central: PrismCaller, query: str) -> None:
    assert central.get(f"{JOBS}?{query}").status_code == 400


def test_a_vm_tells_its_replication_role_or_that_it_is_not_protected(central: PrismCaller) -> None:
    source, target = central.prism.clusters
    left, promoted, plain = (
        SimVm(GONE, "LEFT", role="DECOUPLED"),
        SimVm(GONE, "LEFT", role="PRIMARY"),
        vms_of(central)[0],
    )
    source.add(left)
    target.add(promoted)
    found = central.get(f"{PROTECTED}/{GONE}").json()["data"]
    roles = {
        each["locationReference"]["clusterExtId"]: each["synchronousReplicationRole"]
        for each in found["siteProtectionInfo"]
    }
    assert roles == {source.uuid: "DECOUPLED", target.uuid: "PRIMARY"}
    assert found["sourceSiteReference"]["clusterExtId"] == target.uuid
    assert "not protected" in app_message(central.get(f"{PROTECTED}/{plain.uuid}"))["message"]
    old = central.get(f"{PROTECTED.replace('v4.2', 'v4.0')}/{GONE}").json()["data"]["sourceSiteReference"]
    assert ("mgmtClusterExtId" in old, "domainManagerExtId" in old) == (True, False)
