"""``$batch`` of the simulated Citrix does what its contract says, at the pace and with the surprises it promises."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable

import pytest
import requests

from sandbox.citrix_site import Via
from sandbox.large_world import large_world
from sandbox.sandbox import Sandbox
from tests.integration.batches import (
    TARGET,
    by_reference,
    item,
    job_until,
    manual,
    patch,
    patches,
    results,
    started,
    submit,
    until,
)
from tests.integration.callers import CitrixCaller

Start = Callable[..., Sandbox]
CitrixOf = Callable[[Sandbox], CitrixCaller]
LONG = 600.0


@pytest.fixture
def sandbox(sandbox_for: Start) -> Sandbox:
    return sandbox_for(large_world(120))


@pytest.fixture
def citrix(sandbox: Sandbox, citrix_of: CitrixOf) -> CitrixCaller:
    return citrix_of(sandbox)


def test_a_batch_changes_every_machine_and_each_write_is_recorded(sandbox: Sandbox, citrix: CitrixCaller) -> None:
    machines = manual(citrix, 20)
    before = {each.id: each.hosting for each in machines}
    wanted = {each.id: str(uuid.uuid4()) for each in machines}
    job = started(citrix, [patch(citrix, each, wanted[each.id]) for each in machines])
    answered = results(citrix, job)
    assert {(each["Code"], each["Body"]) for each in answered} == {(204, None)}
    target = citrix.site.connection(TARGET)
    assert target is not None
    for machine in machines:
        assert (machine.hosted_machine_id, machine.connection_id) == (wanted[machine.id], target.id)
        assert machine.power_state == "Unknown"
    history = sandbox.world.history
    assert [each.sequence for each in history] == list(range(1, 21))
    assert {each.machine_id: each.before for each in history} == before
    assert all(each.after.hosted_machine_id == wanted[each.machine_id] for each in history)
    assert {each.via for each in history} == {Via.BATCH}
    assert set(sandbox.world.writes.values()) == {1}


def test_results_come_in_another_order_than_the_items_and_the_seed_draws_it(
    sandbox: Sandbox, citrix: CitrixCaller
) -> None:
    machines = manual(citrix, 12)
    for count in (2, 12):
        answered = results(citrix, started(citrix, patches(citrix, machines[:count])))
        references = [each["Reference"] for each in answered]
        assert sorted(references) == sorted(each.id for each in machines[:count])
        assert references != [each.id for each in machines[:count]]


def test_a_batch_that_is_waited_for_answers_its_results(citrix: CitrixCaller) -> None:
    machines = manual(citrix, 3)
    answer = citrix.call("POST", "/$batch", json={"Items": patches(citrix, machines)})
    assert answer.status_code == 200
    assert {each["Code"] for each in answer.json()["Items"]} == {204}
    assert citrix.get("/Jobs").json()["Items"] == []


@pytest.mark.parametrize("path", ["/Machines/{}", "Machines/{}", "Machines/{}?fields=Id,Hosting"])
def test_an_item_may_read_and_is_a_get_without_a_method(citrix: CitrixCaller, path: str) -> None:
    (machine,) = manual(citrix, 1)
    wanted = item(citrix, "read", path.format(machine.id))
    del wanted["Method"]
    (answer,) = citrix.call("POST", "/$batch", json={"Items": [wanted]}).json()["Items"]
    assert (answer["Code"], json.loads(answer["Body"])["Id"]) == (200, machine.id)


def test_items_fail_apart_from_each_other_and_the_job_is_complete_all_the_same(
    sandbox: Sandbox, citrix: CitrixCaller
) -> None:
    good, locked, unknown, nowhere, bad = manual(citrix, 5)
    sandbox.world.site.locked.add(locked.id)
    items = patches(citrix, [good, locked])
    items.append(item(citrix, "gone", f"/Machines/{uuid.uuid4()}", "PATCH", Body=json.dumps({})))
    elsewhere = json.dumps({"HypervisorConnection": "No Such Connection"})
    items.append(item(citrix, unknown.id, f"/Machines/{unknown.id}", "PATCH", Body=elsewhere))
    items.append(item(citrix, "nowhere", "/NoSuchThing"))
    items.append(item(citrix, nowhere.id, f"/Machines/{nowhere.id}", "PATCH", Body="no JSON"))
    items.append(item(citrix, bad.id, f"/Machines/{bad.id}", "PATCH", Body=json.dumps({"HostedMachineId": 7})))
    job = started(citrix, items)
    answered = by_reference(results(citrix, job))
    assert {name: each["Code"] for name, each in answered.items()} == {
        good.id: 204, locked.id: 403, "gone": 404, unknown.id: 404, "nowhere": 404, nowhere.id: 400, bad.id: 400,
    }  # fmt: skip
    refused = json.loads(answered[locked.id]["Body"])
    assert (refused["ErrorType"], bool(refused["SdkErrorId"])) == ("PermissionDenied", True)
    assert job_until(citrix, job, "Complete")["OverallProgressPercent"] == 100
    assert [each.machine_id for each in sandbox.world.history] == [good.id]


@pytest.mark.parametrize(
    "authorization",
    [
        pytest.param(None, id="missing"),
        pytest.param("Bearer no-token", id="invalid"),
        pytest.param("CWSAuth bearer={token}", id="the-form-of-the-outer-call"),
    ],
)
def test_an_item_needs_a_credential_of_its_own(citrix: CitrixCaller, authorization: str | None) -> None:
    (machine,) = manual(citrix, 1)
    sent = patch(citrix, machine)
    token = str(citrix.session.headers["Authorization"]).partition("=")[2]
    value = authorization and authorization.format(token=token)
    sent["Headers"] = [{"Name": "Authorization", "Value": value}] if value else []
    (answer,) = results(citrix, started(citrix, [sent]))
    assert (answer["Code"], machine.connection_id != TARGET) == (401, True)


def test_a_batch_that_breaks_the_contract_is_refused_as_a_whole(sandbox: Sandbox, citrix: CitrixCaller) -> None:
    first, second = manual(citrix, 2)
    for bad in (
        [patch(citrix, first), patch(citrix, second) | {"Reference": first.id}],
        [patch(citrix, first) | {"Reference": first.name}],
        [patch(citrix, first), patch(citrix, first) | {"Reference": "again"}],
        [
            patch(citrix, first),
            patch(citrix, first) | {"Reference": "b", "RelativeUrl": f"Machines/{first.id.upper()}"},
        ],
        [item(citrix, "read", f"/Machines/{first.id}", Body="{}")],
        [patch(citrix, first) | {"Body": {"HostedMachineId": "x"}}],
        [patch(citrix, first) | {"Method": "PAINT"}],
        [{"Reference": "no-url"}],
    ):
        answer = submit(citrix, bad)
        assert (answer.status_code, bool(answer.json()["SdkErrorId"])) == (400, True), bad
    assert (sandbox.world.history, sandbox.world.site.jobs) == ([], {})


def test_a_batch_inside_of_a_batch_is_refused(citrix: CitrixCaller) -> None:
    inner = item(citrix, "inner", "/$batch", "POST", Body=json.dumps({"Items": []}))
    (answer,) = results(citrix, started(citrix, [inner]))
    assert answer["Code"] == 400


def test_eight_items_are_under_way_at_a_time_each_as_long_as_a_call(sandbox: Sandbox, citrix: CitrixCaller) -> None:
    machines = manual(citrix, 24)
    sandbox.set_latency(0.1)
    began = time.perf_counter()
    answer = citrix.call("POST", "/$batch", json={"Items": patches(citrix, machines)})
    took = time.perf_counter() - began
    assert {each["Code"] for each in answer.json()["Items"]} == {204}
    # one call for the batch, then three rounds of eight
    assert 0.4 <= took < 2.4


def test_a_slow_citrix_is_slow_for_items_too(sandbox: Sandbox, citrix: CitrixCaller) -> None:
    machines = manual(citrix, 9)
    sandbox.faults.set("citrix-slow", "updateMachine:150")
    began = time.perf_counter()
    citrix.call("POST", "/$batch", json={"Items": patches(citrix, machines)})
    assert time.perf_counter() - began >= 0.3


def test_a_caller_has_four_batches_under_way_and_the_fifth_is_one_too_many(
    sandbox: Sandbox, citrix: CitrixCaller
) -> None:
    machines = manual(citrix, 6)
    sandbox.world.job_start_seconds = LONG
    jobs = [started(citrix, patches(citrix, [each])) for each in machines[:4]]
    refused = submit(citrix, patches(citrix, machines[4:5]))
    assert (refused.status_code, "Retry-After" in refused.headers) == (429, False)
    assert refused.json()["SdkErrorId"]
    assert citrix.call("POST", "/$batch", json={"Items": patches(citrix, machines[4:5])}).status_code == 429
    assert sandbox.calls.throttled("citrix") == 2
    assert citrix.call("POST", f"/Jobs/{jobs[0]}/$cancel").status_code == 200
    sandbox.world.job_start_seconds = 0
    assert results(citrix, started(citrix, patches(citrix, machines[4:5])))[0]["Code"] == 204


def test_every_nth_patch_only_starts_a_job_of_its_own(sandbox: Sandbox, citrix: CitrixCaller) -> None:
    machines = manual(citrix, 9)
    sandbox.world.nested_items = 3
    answered = results(citrix, started(citrix, patches(citrix, machines)))
    nested = [each for each in answered if each["Code"] == 202]
    assert (len(nested), len(answered)) == (3, 9)
    for each in nested:
        (header,) = each["Headers"]
        assert header["Name"] == "Location"
        job = job_until(citrix, header["Value"].rpartition("/")[2], "Complete", "Failed")
        assert (job["Type"], job["Status"]) == ("UpdateMachineCatalogMachine", "Complete")
        assert {"Name": "Id", "Value": each["Reference"]} in job["Parameters"]
    assert {each.machine_id for each in sandbox.world.history} == {each.id for each in machines}


def test_a_nested_job_fails_with_what_citrix_says(sandbox: Sandbox, citrix: CitrixCaller) -> None:
    (machine,) = manual(citrix, 1)
    sandbox.world.nested_items = 1
    sandbox.world.site.locked.add(machine.id)
    (answer,) = results(citrix, started(citrix, patches(citrix, [machine])))
    job = job_until(citrix, answer["Headers"][0]["Value"].rpartition("/")[2], "Complete", "Failed")
    assert (job["Status"], job["ErrorCode"]) == ("Failed", "PermissionDenied")
    assert machine.name in job["ErrorString"]
    assert sandbox.world.history == []


def test_items_fail_on_demand_without_being_executed(sandbox: Sandbox, citrix: CitrixCaller) -> None:
    machines = manual(citrix, 6)
    sandbox.faults.set("batch-item-fail", 2)
    answered = results(citrix, started(citrix, patches(citrix, machines)))
    failed = [each for each in answered if each["Code"] == 500]
    assert len(failed) == 2
    assert all(json.loads(each["Body"])["SdkErrorId"] for each in failed)
    written = {each.machine_id for each in sandbox.world.history}
    assert written == {each["Reference"] for each in answered if each["Code"] == 204}
    assert (len(written), sandbox.faults.fired("batch-item-fail")) == (4, 2)


def test_items_lie_on_demand(sandbox: Sandbox, citrix: CitrixCaller) -> None:
    machines = manual(citrix, 5)
    sandbox.faults.set("batch-item-fail", "lie:2")
    answered = results(citrix, started(citrix, patches(citrix, machines)))
    assert {each["Code"] for each in answered} == {204}
    assert len(sandbox.world.history) == 3


def test_only_items_that_write_fail_on_demand(sandbox: Sandbox, citrix: CitrixCaller) -> None:
    (machine,) = manual(citrix, 1)
    sandbox.faults.set("batch-item-fail", 1)
    (read,) = results(citrix, started(citrix, [item(citrix, "read", f"/Machines/{machine.id}")]))
    assert (read["Code"], sandbox.faults.fired("batch-item-fail")) == (200, 0)


def test_a_token_expires_for_the_items_of_a_batch(sandbox: Sandbox, citrix: CitrixCaller) -> None:
    machines = manual(citrix, 3)
    sandbox.faults.set("token-expiry", "item:1")
    job = started(citrix, patches(citrix, machines))
    until(lambda: sandbox.faults.fired("token-expiry"))
    citrix.sign_in()
    answered = results(citrix, job)
    assert [each["Code"] for each in answered] == [401, 401, 401], "the token is gone for all that come after"
    assert sandbox.world.history == []


def test_a_batch_whose_answer_is_lost_is_executed_and_found_among_the_jobs(
    sandbox: Sandbox, citrix: CitrixCaller
) -> None:
    machines = manual(citrix, 3)
    sandbox.faults.set("citrix-drop", "submitBatch:1")
    assert citrix.get("/Jobs").json()["Items"] == []
    with pytest.raises(requests.ConnectionError):
        submit(citrix, patches(citrix, machines))
    (job,) = citrix.get("/Jobs").json()["Items"]
    assert job["Type"] == "Batch"
    assert {each["Code"] for each in results(citrix, job["Id"])} == {204}


def test_a_connection_in_maintenance_takes_no_machine(sandbox: Sandbox, citrix: CitrixCaller) -> None:
    (machine,) = manual(citrix, 1)
    target = citrix.site.connection(TARGET)
    assert target is not None
    target.in_maintenance = True
    (answer,) = results(citrix, started(citrix, patches(citrix, [machine])))
    assert (answer["Code"], json.loads(answer["Body"])["ErrorType"]) == (400, "HypervisorInMaintenanceMode")
    assert sandbox.world.history == []


def test_who_lacks_the_right_gets_a_403_for_the_call_and_for_an_item(sandbox: Sandbox, citrix: CitrixCaller) -> None:
    (machine,) = manual(citrix, 1)
    sandbox.world.site.forbidden.add("updateMachine")
    (answer,) = results(citrix, started(citrix, patches(citrix, [machine])))
    assert answer["Code"] == 403
    sandbox.world.site.forbidden.add("submitBatch")
    assert submit(citrix, patches(citrix, [machine])).status_code == 403
