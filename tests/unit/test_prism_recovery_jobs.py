"""Recovery plan jobs of v3 and v4: which of them matter, and which VMs they moved."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from shared.errors import PrismError
from shared.model.nutanix import ReadStatus, RecoveredVm, RecoveryJob, VmUuid
from shared.prism.central_v3 import CentralV3
from shared.prism.client import PrismClient
from tests.unit.answers import Reply, body_of, quick
from tests.unit.prism_v4_answers import BASE, CREDENTIAL, JOBS, SINCE, TITLE, CentralInMemory, uid, vm

V3_LIST = "/api/nutanix/v3/recovery_plan_jobs/list"
V3_STEPS = "/api/nutanix/v3/recovery_plan_jobs/{}/execution_status"
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def written(time: datetime | None) -> str | None:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ") if time else None


def job_v3(
    number: int,
    action: str = "FAILOVER",
    status: str = "COMPLETED",
    *,
    started: datetime | None = SINCE,
    ended: datetime | None = SINCE + HOUR,
) -> dict[str, Any]:
    return {
        "metadata": {"kind": "recovery_plan_job", "uuid": uid(number).upper()},
        "status": {
            "name": f"job-{number}",
            "start_time": written(started),
            "end_time": written(ended),
            "execution_status": {"status": status, "percentage_complete": 100},
            "resources": {"execution_parameters": {"action_type": action}},
        },
    }


def job_v4(
    number: int,
    action: str = "UNPLANNED_FAILOVER",
    status: str = "SUCCEEDED",
    *,
    started: datetime | None = SINCE,
    ended: datetime | None = SINCE + HOUR,
) -> dict[str, Any]:
    entity = {
        "extId": uid(number),
        "name": f"job-{number}",
        "actionType": action,
        "status": status,
        "startTime": written(started),
        "endTime": written(ended),
    }
    return {name: value for name, value in entity.items() if value is not None}


def moved_v3(old: int, new: int | None, *, kind: str | None = "vm", error: str | None = None) -> dict[str, Any]:
    return {
        "source_entity_reference": {"kind": kind, "uuid": uid(old), "name": f"W11-{old:04}"},
        "recovered_entity_info": {"entity_uuid": uid(new), "entity_name": f"W11-{old:04}"} if new else None,
        "error_detail": error,
    }


def step_v3(*moved: dict[str, Any], kind: str = "ENTITY_RECOVERY", status: str = "COMPLETED") -> dict[str, Any]:
    return {"operation_type": kind, "status": status, "recovered_entity_info_list": list(moved)}


def step_v4(
    *pairs: tuple[int, int | None], kind: str = "ENTITY_RECOVERY", status: str = "SUCCEEDED", **members: Any
) -> dict[str, Any]:
    results = [
        {
            "result": {
                "sourceEntityExtId": uid(old),
                **({"recoveredEntityExtId": uid(new).upper()} if new else {}),
                "name": f"W11-{old:04}",
                "entityType": "VM",
                **members,
            }
        }
        for old, new in pairs
    ]
    return {"operationType": kind, "status": status, "executionStepResults": results}


class Jobs(CentralInMemory):
    """Jobs of v3 beside those of v4. v3 lists are sorted newest first, as they are asked for."""

    def __init__(self, *entities: dict[str, Any], **options: Any) -> None:
        super().__init__([vm(1)], **options)
        self.v3 = [entity for entity in entities if "metadata" in entity]
        self.lists["config/recovery-plan-jobs"] = [entity for entity in entities if "extId" in entity]
        self.v3_total: int | None = None
        self.override[V3_LIST] = self._v3_list

    def _v3_list(self, request: requests.PreparedRequest) -> Reply:
        asked = body_of(request)
        assert (asked["sort_attribute"], asked["sort_order"]) == ("start_time_secs", "DESCENDING")
        page = self.v3[asked["offset"] : asked["offset"] + asked["length"]]
        total = len(self.v3) if self.v3_total is None else self.v3_total
        return Reply({"api_version": "3.1", "metadata": {"total_matches": total}, "entities": page})

    def moving(self, number: int, *steps: dict[str, Any], phase: str = "operation_status") -> Jobs:
        self.steps[uid(number)] = list(steps)
        phases: dict[str, Any] = {"preprocessing_status": None, phase: {"step_execution_status_list": list(steps)}}
        self.override[V3_STEPS.format(uid(number))] = Reply(phases)
        return self

    def by(self, api: str) -> PrismClient:
        if api == "v4":
            return self.client()
        return CentralV3(self.session, BASE, CREDENTIAL, cluster="amsterdam")


def pairs(jobs: tuple[RecoveryJob, ...]) -> list[tuple[str, str]]:
    return [(vm.source, vm.recovered) for job in jobs for vm in job.recovered]


# --- both APIs ---------------------------------------------------------------------------------------------------


def test_a_finished_v3_job_tells_the_vm_before_and_after() -> None:
    central = Jobs(job_v3(100)).moving(100, step_v3(moved_v3(1, 2)))
    assert central.by("v3").jobs(SINCE, quick()) == (
        RecoveryJob(
            id=uid(100),
            name="job-100",
            action="FAILOVER",
            at=SINCE + HOUR,
            test=False,
            recovered=(RecoveredVm(VmUuid(uid(1)), VmUuid(uid(2)), "W11-0001"),),
        ),
    )


def test_a_finished_v4_job_tells_the_vm_before_and_after() -> None:
    central = Jobs(job_v4(100)).moving(100, step_v4((1, 2)))
    assert central.by("v4").jobs(SINCE, quick()) == (
        RecoveryJob(
            id=uid(100),
            name="job-100",
            action="UNPLANNED_FAILOVER",
            at=SINCE + HOUR,
            test=False,
            recovered=(RecoveredVm(VmUuid(uid(1)), VmUuid(uid(2)), "W11-0001"),),
        ),
    )


V3_STATES = ["COMPLETED", "FAILED", "ABORTED", "COMPLETED_WITH_WARNING", "FAILED_WITH_WARNING"]
V4_STATES = ["SUCCEEDED", "FAILED", "ABORTED", "SUCCEEDED_WITH_VALIDATION_WARNING"]


@pytest.mark.parametrize(
    ("job", "matters"),
    [
        *((job_v3(1, action), True) for action in ("MIGRATE", "FAILOVER", "LIVE_MIGRATE", "TEST_FAILOVER")),
        *((job_v4(1, action), True) for action in ("PLANNED_FAILOVER", "UNPLANNED_FAILOVER", "TEST_FAILOVER")),
        *((job_v3(1, status=status), True) for status in V3_STATES),
        *((job_v4(1, status=status), True) for status in V4_STATES),
        (job_v3(1, "VALIDATE"), False),
        (job_v4(1, "VALIDATE"), False),
        (job_v4(1, "$UNKNOWN"), False),
        (job_v3(1, status="RUNNING", ended=None), False),
        (job_v4(1, status="RUNNING", ended=None), False),
        (job_v4(1, status="QUEUED", started=None, ended=None), False),
        (job_v4(1, status="$UNKNOWN"), True),
        (job_v4(1, status="$UNKNOWN", ended=None), False),
        (job_v3(1, started=SINCE - DAY, ended=SINCE), True),
        (job_v3(1, started=SINCE - DAY, ended=SINCE - HOUR), False),
        (job_v4(1, started=SINCE - DAY, ended=SINCE - HOUR), False),
        (job_v3(1, "TEST_FAILOVER", started=SINCE - 29 * DAY, ended=SINCE - 29 * DAY), True),
        (job_v4(1, "TEST_FAILOVER", started=SINCE - 29 * DAY, ended=SINCE - 29 * DAY), True),
        (job_v3(1, "TEST_FAILOVER", started=SINCE - 31 * DAY, ended=SINCE - 31 * DAY), False),
        (job_v4(1, "TEST_FAILOVER", started=SINCE - 31 * DAY, ended=SINCE - 31 * DAY), False),
        (job_v3(1, "TEST_FAILOVER", "RUNNING", ended=None), True),
        (job_v4(1, "TEST_FAILOVER", "FAILED"), True),
        (job_v4(1, "TEST_FAILOVER", "SOMETHING_NEW", started=None, ended=None), True),
        (job_v3(1, "TEST_FAILOVER", "QUEUED", ended=None), False),
    ],
)
def test_the_jobs_that_matter_are_finished_moves_of_the_incident_and_tests_of_the_last_month(
    job: dict[str, Any], matters: bool
) -> None:
    central = Jobs(job).moving(1, step_v3(moved_v3(1, 2)), step_v4((1, 2)))
    jobs = central.by("v3" if "metadata" in job else "v4").jobs(SINCE, quick())
    assert bool(jobs) is matters
    assert not matters or pairs(jobs) == [(uid(1), uid(2))]


def test_a_test_that_still_runs_is_at_its_beginning() -> None:
    central = Jobs(job_v3(1, "TEST_FAILOVER", "RUNNING", ended=None)).moving(1, step_v3(moved_v3(1, 2)))
    (job,) = central.by("v3").jobs(SINCE, quick())
    assert (job.test, job.at) == (True, SINCE)


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        pytest.param(step_v3(moved_v3(1, 2), kind="ENTITY_MIGRATION"), [(1, 2)], id="migration"),
        pytest.param(step_v3(moved_v3(1, 1), kind="ENTITY_RESTORATION"), [(1, 1)], id="the-uuid-is-kept"),
        pytest.param(step_v3(moved_v3(1, 2), kind="ENTITIES_CLEANUP"), [], id="clean-up"),
        pytest.param(step_v3(moved_v3(1, 2), kind="VM_POWER_ON"), [], id="power-on"),
        pytest.param(step_v3(moved_v3(1, 2, kind=None)), [(1, 2)], id="without-kind"),
        pytest.param(step_v3(moved_v3(1, 2, kind="volume_group")), [], id="volume-group"),
        pytest.param(step_v3(moved_v3(1, None)), [], id="not-recovered"),
        pytest.param(step_v3(moved_v3(1, 2, error="boom")), [], id="with-an-error"),
        pytest.param(step_v3(moved_v3(1, None), moved_v3(3, 4), status="FAILED"), [(3, 4)], id="partly-failed"),
        pytest.param(step_v3(moved_v3(1, 2), moved_v3(1, 2)), [(1, 2)], id="twice"),
        pytest.param(step_v3({}, {"recovered_entity_info": None}), [], id="empty"),
        pytest.param({"operation_type": "ENTITY_RECOVERY", "recovered_entity_info_list": None}, [], id="null"),
    ],
)
@pytest.mark.parametrize("phase", ["preprocessing_status", "operation_status", "postprocessing_status"])
def test_a_v3_step_moved(step: dict[str, Any], expected: list[tuple[int, int]], phase: str) -> None:
    central = Jobs(job_v3(100)).moving(100, step, phase=phase)
    assert pairs(central.by("v3").jobs(SINCE, quick())) == [(uid(old), uid(new)) for old, new in expected]


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        pytest.param(step_v4((1, 2), kind="ENTITY_LIVE_MIGRATION"), [(1, 2)], id="live-migration"),
        pytest.param(step_v4((1, 2), (3, 4)), [(1, 2), (3, 4)], id="two"),
        pytest.param(step_v4((1, 2), kind="ENTITIES_CLEANUP"), [], id="clean-up"),
        pytest.param(step_v4((1, None)), [], id="not-recovered"),
        pytest.param(step_v4((1, 2), status="FAILED"), [], id="failed"),
        pytest.param(step_v4((1, 2), status="RUNNING"), [], id="not-done"),
        pytest.param(step_v4((1, 2), status="$UNKNOWN"), [(1, 2)], id="an-unknown-status"),
        pytest.param(step_v4((1, 2), entityType="VOLUME_GROUP"), [], id="volume-group"),
        pytest.param(step_v4((1, 2), entityType="$UNKNOWN"), [(1, 2)], id="an-unknown-type"),
        pytest.param({"operationType": "ENTITY_RECOVERY"}, [], id="without-results"),
        pytest.param({"operationType": "ENTITY_RECOVERY", "executionStepResults": [{}, None]}, [], id="empty"),
    ],
)
def test_a_v4_step_moved(step: dict[str, Any], expected: list[tuple[int, int]]) -> None:
    central = Jobs(job_v4(100)).moving(100, step)
    assert pairs(central.by("v4").jobs(SINCE, quick())) == [(uid(old), uid(new)) for old, new in expected]


@pytest.mark.parametrize("api", ["v3", "v4"])
def test_of_a_test_also_the_copies_with_an_error_are_named(api: str) -> None:
    job = job_v3(100, "TEST_FAILOVER", "FAILED") if api == "v3" else job_v4(100, "TEST_FAILOVER", "FAILED")
    steps = [step_v3(moved_v3(1, 2, error="boom"), status="FAILED"), step_v4((1, 2), status="FAILED")]
    central = Jobs(job).moving(100, *steps)
    assert pairs(central.by(api).jobs(SINCE, quick())) == [(uid(1), uid(2))]


@pytest.mark.parametrize("api", ["v3", "v4"])
def test_a_job_that_vanishes_between_list_and_read_is_left_out(api: str) -> None:
    jobs = (job_v3(1), job_v3(2)) if api == "v3" else (job_v4(1), job_v4(2))
    central = Jobs(*jobs).moving(2, step_v3(moved_v3(1, 2)), step_v4((1, 2)))
    central.override[V3_STEPS.format(uid(1))] = Reply(status=404)
    central.override[f"{JOBS.format(2)}/{uid(1)}/execution-steps"] = Reply(status=404)
    assert [job.id for job in central.by(api).jobs(SINCE, quick())] == [uid(2)]


@pytest.mark.parametrize("api", ["v3", "v4"])
@pytest.mark.parametrize("status", [500, 403])
def test_a_job_that_cannot_be_read_is_an_error(api: str, status: int) -> None:
    central = Jobs(job_v3(1) if api == "v3" else job_v4(1))
    central.override[V3_STEPS.format(uid(1))] = Reply(status=status)
    central.override[f"{JOBS.format(2)}/{uid(1)}/execution-steps"] = Reply(status=status)
    with pytest.raises(PrismError):
        central.by(api).jobs(SINCE, quick())


# --- lists -------------------------------------------------------------------------------------------------------


def test_v3_pages_go_back_to_the_first_one_that_is_too_old_whole() -> None:
    recent = [job_v3(number, "VALIDATE", started=SINCE - number * HOUR, ended=None) for number in range(150)]
    old = [job_v3(1000 + number, started=SINCE - 40 * DAY - number * HOUR) for number in range(300)]
    central = Jobs(*recent, *old)
    assert central.by("v3").jobs(SINCE, quick()) == ()
    pages = [body_of(request)["offset"] for request in central.answers.requests if V3_LIST in str(request.url)]
    assert pages == [0, 100, 200]


def test_a_v3_list_in_another_order_than_asked_for_is_read_to_its_end() -> None:
    old = [job_v3(number, started=SINCE - 90 * DAY + number * HOUR, ended=SINCE - 80 * DAY) for number in range(120)]
    central = Jobs(*old, job_v3(500)).moving(500, step_v3(moved_v3(1, 2)))
    assert pairs(central.by("v3").jobs(SINCE, quick())) == [(uid(1), uid(2))]


def test_a_v3_job_that_waits_has_no_time_and_ends_no_list() -> None:
    waiting = [job_v3(number, status="QUEUED", started=None, ended=None) for number in range(100)]
    central = Jobs(*waiting, job_v3(500)).moving(500, step_v3(moved_v3(1, 2)))
    assert len(central.by("v3").jobs(SINCE, quick())) == 1


def test_v4_jobs_and_their_steps_have_pages_and_are_neither_sorted_nor_filtered() -> None:
    central = Jobs(*(job_v4(number, "VALIDATE") for number in range(120)), job_v4(500))
    central.moving(500, *(step_v4((number, 10_000 + number)) for number in range(130)))
    (job,) = central.by("v4").jobs(SINCE, quick())
    assert len(job.recovered) == 130
    assert central.asked_for(JOBS.format(2)) == [{"$page": "0", "$limit": "100"}, {"$page": "1", "$limit": "100"}]


@pytest.mark.parametrize("api", ["v3", "v4"])
def test_a_list_of_jobs_that_stays_short_is_an_error(api: str) -> None:
    central = Jobs(job_v3(1, "VALIDATE"), job_v4(1, "VALIDATE"))
    central.v3_total = 3
    central.totals["config/recovery-plan-jobs"] = 3
    with pytest.raises(PrismError, match=r"listed 1 of 3 recovery plan jobs, twice. Run again"):
        central.by(api).jobs(SINCE, quick())


def test_a_list_of_steps_that_stays_short_is_an_error() -> None:
    central = Jobs(job_v4(1)).moving(1, step_v4((1, 2)))
    central.totals[f"config/recovery-plan-jobs/{uid(1)}/execution-steps"] = 2
    with pytest.raises(PrismError, match=f"listed 1 of 2 execution steps of recovery plan job {uid(1)}, twice"):
        central.by("v4").jobs(SINCE, quick())


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Reply({"metadata": {}, "entities": []}), "recovery_plan_jobs/list has no metadata.total_matches"),
        (Reply({"metadata": {"total_matches": 1}, "entities": [{}]}), "a job with metadata without a valid uuid"),
    ],
)
def test_a_v3_list_that_is_not_understood_names_the_field(answer: Reply, words: str) -> None:
    central = Jobs()
    central.override[V3_LIST] = answer
    with pytest.raises(PrismError, match=words):
        central.by("v3").jobs(SINCE, quick())


# --- which API ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("announces", [True, False])
@pytest.mark.parametrize("minors", [{"vmm": 2, "clustermgmt": 2, "dataprotection": 1}, {"vmm": 2, "clustermgmt": 2}])
def test_a_central_without_the_jobs_of_v4_is_asked_by_v3(minors: dict[str, int], announces: bool) -> None:
    central = Jobs(job_v3(1), minors=minors, announces=announces).moving(1, step_v3(moved_v3(1, 2)))
    reading = central.read()
    assert reading.status is ReadStatus.ANSWERED
    assert pairs(reading.jobs) == [(uid(1), uid(2))]


@pytest.mark.parametrize("api", ["v3", "v4"])
def test_a_central_without_recovery_plans_has_no_jobs(api: str) -> None:
    central = Jobs(minors={"vmm": 2, "clustermgmt": 2})
    central.override[V3_LIST] = Reply(status=404)
    assert central.by(api).jobs(SINCE, quick()) == ()


@pytest.mark.parametrize(
    "answer",
    [Reply(status=500), Reply(status=403), Reply(raw=b"<html>")],
    ids=["server-error", "forbidden", "not-json"],
)
def test_jobs_that_cannot_be_read_are_unknown_and_the_vms_stand(answer: Reply) -> None:
    central = Jobs()
    central.override[JOBS.format(2)] = answer
    reading = central.read()
    assert (reading.status, len(reading.vms), reading.jobs) == (ReadStatus.ANSWERED, 1, None)
    assert reading.whole
    assert str(reading.error).startswith(TITLE)


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (requests.exceptions.ConnectionError(), ReadStatus.UNREACHABLE),
        (requests.exceptions.ReadTimeout(), ReadStatus.UNREACHABLE),
        (Reply(status=401), ReadStatus.REFUSED),
    ],
    ids=["cut", "silent", "refused"],
)
def test_a_host_that_dies_at_the_jobs_is_dead(answer: Reply | Exception, status: ReadStatus) -> None:
    central = Jobs()
    central.override[JOBS.format(2)] = answer
    reading = central.read()
    assert (reading.status, reading.vms) == (status, ())


def test_times_are_compared_in_utc() -> None:
    late = datetime(2025, 11, 20, 1, 0, tzinfo=UTC)
    entity = job_v4(1) | {"startTime": "2025-11-20T00:30:00+02:00", "endTime": "2025-11-20T02:30:00.5+02:00"}
    assert Jobs(entity).moving(1).by("v4").jobs(late, quick()) == ()
    assert len(Jobs(entity).moving(1).by("v4").jobs(late - HOUR, quick())) == 1
