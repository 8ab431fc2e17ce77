"""Jobs of the simulated Citrix: their walk, their results, whose they are, and how they end early, late or never."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable

import pytest

from sandbox.large_world import large_world
from sandbox.sandbox import Sandbox
from tests.integration.batches import TARGET, job_until, manual, patches, results, started, submit, until
from tests.integration.callers import CitrixCaller

Start = Callable[..., Sandbox]
CitrixOf = Callable[[Sandbox], CitrixCaller]
LONG = 600.0
RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


@pytest.fixture
def sandbox(sandbox_for: Start) -> Sandbox:
    return sandbox_for(large_world(60))


@pytest.fixture
def citrix(sandbox: Sandbox, citrix_of: CitrixOf) -> CitrixCaller:
    return citrix_of(sandbox)


def test_a_batch_walks_from_not_started_to_complete_with_a_sub_job_for_each_item(
    sandbox: Sandbox, citrix: CitrixCaller
) -> None:
    machines = manual(citrix, 3)
    sandbox.world.job_start_seconds = LONG
    waiting = citrix.get(f"/Jobs/{started(citrix, patches(citrix, machines))}").json()
    assert (waiting["Status"], waiting["Type"], waiting["OverallProgressPercent"]) == ("NotStarted", "Batch", 0)
    assert (waiting["IsCancellable"], waiting["FormattedStartTime"], waiting["FormattedEndTime"]) == (True, None, None)
    sandbox.world.job_start_seconds = 0
    job = started(citrix, patches(citrix, machines))
    done = job_until(citrix, job, "Complete")
    assert (done["OverallProgressPercent"], done["IsCancellable"]) == (100, False)
    assert all(RFC3339.fullmatch(done[f"Formatted{name}Time"]) for name in ("Creation", "Start", "End"))
    assert [each["Type"] for each in done["SubJobs"]] == ["UpdateMachineCatalogMachine"] * 3
    assert {each["Parameters"][0]["Value"] for each in done["SubJobs"]} == {each.id for each in machines}
    assert done["ResultLocation"] == f"{citrix.base}/Jobs/{job}/Results"


def test_a_running_batch_is_in_progress_and_has_no_results_yet(sandbox: Sandbox, citrix: CitrixCaller) -> None:
    sandbox.faults.set("citrix-slow", "updateMachine:600000")
    job = started(citrix, patches(citrix, manual(citrix, 2)))
    job_until(citrix, job, "InProgress")
    assert citrix.get(f"/Jobs/{job}/Results").status_code == 404
    assert citrix.call("DELETE", f"/Jobs/{job}").status_code == 409


def test_an_async_patch_is_a_job_whose_results_are_the_machine(sandbox: Sandbox, citrix: CitrixCaller) -> None:
    (machine,) = manual(citrix, 1)
    body = {"HostedMachineId": str(uuid.uuid4()), "HypervisorConnection": TARGET}
    answer = citrix.call("PATCH", f"/Machines/{machine.id}?async=true", json=body)
    assert answer.status_code == 202
    job = job_until(citrix, answer.headers["Location"].rpartition("/")[2], "Complete")
    assert (job["Type"], job["ResultLocation"]) == ("UpdateMachineCatalogMachine", None)
    redirect = citrix.get(f"/Jobs/{job['Id']}/Results", allow_redirects=False)
    assert (redirect.status_code, redirect.headers["Location"]) == (303, f"{citrix.base}/Machines/{machine.id}")
    assert machine.hosted_machine_id == body["HostedMachineId"]
    assert sandbox.world.writes[machine.id] == 1
    assert citrix.call("PATCH", f"/Machines/{uuid.uuid4()}?async=true", json=body).status_code == 404


def test_an_async_patch_that_fails_ends_its_job_as_failed(sandbox: Sandbox, citrix: CitrixCaller) -> None:
    (machine,) = manual(citrix, 1)
    sandbox.world.site.locked.add(machine.id)
    answer = citrix.call("PATCH", f"/Machines/{machine.id}?async=true", json={"HypervisorConnection": TARGET})
    job = job_until(citrix, answer.headers["Location"].rpartition("/")[2], "Complete", "Failed")
    assert (job["Status"], job["ErrorCode"], bool(job["ErrorString"])) == ("Failed", "PermissionDenied", True)
    assert sandbox.world.history == []


def test_a_job_is_seen_by_who_started_it_alone(sandbox: Sandbox, citrix: CitrixCaller) -> None:
    job = started(citrix, patches(citrix, manual(citrix, 1)))
    job_until(citrix, job, "Complete")
    sandbox.world.site.accounts["another-client"] = "its-secret"
    other = CitrixCaller(sandbox)
    assert other.sign_in(client="another-client", secret="its-secret").status_code == 200
    assert other.get("/Jobs").json()["Items"] == []
    assert [other.get(f"/Jobs/{job}{end}").status_code for end in ("", "/Results")] == [404, 404]
    assert other.call("POST", f"/Jobs/{job}/$cancel").status_code == 404
    assert [each["Id"] for each in citrix.get("/Jobs").json()["Items"]] == [job]
    citrix.sign_in()
    assert citrix.get(f"/Jobs/{job}").status_code == 200, "another token of the same client"


def test_the_list_has_the_newest_job_first(citrix: CitrixCaller) -> None:
    jobs = [started(citrix, patches(citrix, [each])) for each in manual(citrix, 3)]
    assert [each["Id"] for each in citrix.get("/Jobs").json()["Items"]] == jobs[::-1]


def test_a_cancelled_batch_executes_nothing_more(sandbox: Sandbox, citrix: CitrixCaller) -> None:
    machines = manual(citrix, 20)
    sandbox.faults.set("citrix-slow", "updateMachine:800")
    job = started(citrix, patches(citrix, machines))
    assert job_until(citrix, job, "InProgress")["IsCancellable"]
    cancelled = citrix.call("POST", f"/Jobs/{job}/$cancel").json()
    assert (cancelled["Status"], cancelled["IsCancellable"]) == ("Canceled", False)
    done = len(sandbox.world.history)
    assert done < 20
    answered = citrix.get(f"/Jobs/{job}/Results").json()["Items"]
    assert {each["Reference"] for each in answered} == {each.machine_id for each in sandbox.world.history}
    # as slow as what was under way then, so that it would have come before this
    assert len(results(citrix, started(citrix, patches(citrix, machines[:1])))) == 1
    assert len(sandbox.world.history) == done + 1
    assert citrix.call("POST", f"/Jobs/{job}/$cancel").status_code == 200, "what has ended may be cancelled again"


def test_a_job_of_one_piece_cannot_be_cancelled(sandbox: Sandbox, citrix: CitrixCaller) -> None:
    (machine,) = manual(citrix, 1)
    sandbox.world.job_start_seconds = LONG
    answer = citrix.call("PATCH", f"/Machines/{machine.id}?async=true", json={"HypervisorConnection": TARGET})
    job = answer.headers["Location"].rpartition("/")[2]
    assert citrix.call("POST", f"/Jobs/{job}/$cancel").status_code == 409
    assert citrix.get(f"/Jobs/{job}").json()["Status"] == "NotStarted"


def test_jobs_that_ended_are_deleted_and_purged(sandbox: Sandbox, citrix: CitrixCaller) -> None:
    first, second = [started(citrix, patches(citrix, [each])) for each in manual(citrix, 2)]
    for job in (first, second):
        job_until(citrix, job, "Complete")
    assert citrix.call("DELETE", f"/Jobs/{first}").status_code == 204
    assert citrix.get(f"/Jobs/{first}").status_code == 404
    sandbox.world.purge_jobs()
    assert [citrix.get(f"/Jobs/{second}{end}").status_code for end in ("", "/Results")] == [404, 404]


def test_a_stuck_batch_does_half_of_its_items_and_ends_when_it_is_cancelled(
    sandbox: Sandbox, citrix: CitrixCaller
) -> None:
    machines = manual(citrix, 10)
    sandbox.faults.set("job-stuck")
    job = started(citrix, patches(citrix, machines))
    until(lambda: citrix.get(f"/Jobs/{job}").json()["OverallProgressPercent"] == 50)
    stuck = citrix.get(f"/Jobs/{job}").json()
    assert (stuck["Status"], stuck["IsCancellable"], len(sandbox.world.history)) == ("InProgress", True, 5)
    sandbox.world.purge_jobs()
    assert citrix.call("POST", f"/Jobs/{job}/$cancel").json()["Status"] == "Canceled"
    answered = citrix.get(f"/Jobs/{job}/Results").json()["Items"]
    assert {each["Reference"] for each in answered} == {each.machine_id for each in sandbox.world.history}
    assert results(citrix, started(citrix, patches(citrix, machines[:1])))[0]["Code"] == 204, "the fault is over"


def test_a_stuck_job_that_cannot_be_cancelled_keeps_its_place(sandbox: Sandbox, citrix: CitrixCaller) -> None:
    machines = manual(citrix, 8)
    sandbox.faults.set("job-stuck", "uncancellable:4")
    jobs = [started(citrix, patches(citrix, [each])) for each in machines[:4]]
    for job in jobs:
        assert job_until(citrix, job, "InProgress")["IsCancellable"] is False
        assert citrix.call("POST", f"/Jobs/{job}/$cancel").status_code == 409
    assert submit(citrix, patches(citrix, machines[4:5])).status_code == 429


def test_a_stuck_job_of_one_piece_has_done_nothing(sandbox: Sandbox, citrix: CitrixCaller) -> None:
    connection = next(iter(sandbox.world.site.connections.values()))
    sandbox.faults.set("job-stuck", "ResetBrokerHypervisorConnection:1")
    assert len(results(citrix, started(citrix, patches(citrix, manual(citrix, 1))))) == 1
    answer = citrix.call("POST", f"/hypervisors/{connection.id}/$resetConnection?async=true")
    job_until(citrix, answer.headers["Location"].rpartition("/")[2], "InProgress")
    assert (connection.resets, sandbox.faults.fired("job-stuck")) == (0, 1)


def test_a_lost_job_does_its_work_and_is_nowhere_to_be_seen(sandbox: Sandbox, citrix: CitrixCaller) -> None:
    machines = manual(citrix, 4)
    sandbox.faults.set("job-lost", "Batch:1")
    lost = started(citrix, patches(citrix, machines[:3]))
    seen = started(citrix, patches(citrix, machines[3:]))
    assert [citrix.get(f"/Jobs/{lost}{end}").status_code for end in ("", "/Results")] == [404, 404]
    assert citrix.call("POST", f"/Jobs/{lost}/$cancel").status_code == 404
    assert [each["Id"] for each in citrix.get("/Jobs").json()["Items"]] == [seen]
    job_until(citrix, seen, "Complete")
    until(lambda: len(sandbox.world.history) == 4)
    assert {each.machine_id for each in sandbox.world.history} == {each.id for each in machines}


def test_an_async_reset_is_a_job_and_a_connection_in_maintenance_is_refused_at_once(
    sandbox: Sandbox, citrix: CitrixCaller
) -> None:
    connection = citrix.site.connection(TARGET)
    assert connection is not None
    path = f"/hypervisors/{connection.id}/$resetConnection?async=true"
    job = job_until(citrix, citrix.call("POST", path).headers["Location"].rpartition("/")[2], "Complete")
    assert (job["Type"], connection.resets) == ("ResetBrokerHypervisorConnection", 1)
    redirect = citrix.get(f"/Jobs/{job['Id']}/Results", allow_redirects=False)
    assert redirect.headers["Location"] == f"{citrix.base}/hypervisors/{connection.id}"
    connection.in_maintenance = True
    assert citrix.call("POST", path).status_code == 409


def test_power_states_come_some_time_after_the_reset(sandbox: Sandbox, citrix: CitrixCaller) -> None:
    target = citrix.site.connection(TARGET)
    assert target is not None
    vm = next(iter(sandbox.world.prisms["amsterdam"].clusters[0].vms))
    there, gone = manual(citrix, 2)
    for machine, hosted in ((there, vm), (gone, str(uuid.uuid4()))):
        body = {"HostedMachineId": hosted, "HypervisorConnection": TARGET}
        assert citrix.call("PATCH", f"/Machines/{machine.id}", json=body).status_code == 204

    def states() -> list[str]:
        found = [citrix.get(f"/Machines/{each.id}", params={"fields": "PowerState"}).json() for each in (there, gone)]
        return [each["PowerState"] for each in found]

    assert states() == ["Unknown", "Unknown"]
    sandbox.world.power_lag_seconds = LONG
    assert citrix.call("POST", f"/hypervisors/{target.id}/$resetConnection").status_code == 204
    assert states() == ["Unknown", "Unknown"]
    sandbox.world.power_lag_seconds = 0.05
    assert citrix.call("POST", f"/hypervisors/{target.id}/$resetConnection").status_code == 204
    until(lambda: "Unknown" not in states())
    assert states() == ["On", "VirtualMachineNotFound"]
    assert citrix.get(f"/Machines/{gone.id}").json()["FaultState"] == "VirtualMachineNotFound"
