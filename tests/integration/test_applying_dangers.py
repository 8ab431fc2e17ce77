"""Applying and rolling back at the moments at which a machine could end on a wrong VM, or a write could go unseen."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from sandbox.azurite import Azurite
from sandbox.citrix_jobs import BATCH
from sandbox.citrix_site import SiteJob
from shared.azure.work_queue import WorkItem, WorkStep
from shared.citrix.writer import SiteWriter
from shared.errors import CitrixError, LockLost
from shared.http import Deadline, Limits
from shared.model.citrix import MachineId
from shared.model.remap import Change
from shared.model.run import RunStatus
from shared.runs import apply, finish
from shared.runs.clients.connect import citrix_writer
from shared.runs.clients.keyring import Keyring, site_secret_names
from shared.runs.draft import kept_profile
from shared.runs.work import give_up
from shared.runs.writing import sending
from tests.integration.workplace import ALL, AMSTERDAM, SWAP, W11, Workplace, workplace

# TAKER gets the VM that HOLDER leaves.
CHAIN = """
name: chain
connections: [{name: Nutanix AHV Paris, zone: Paris}, {name: Nutanix AHV Amsterdam, zone: Amsterdam}]
clusters:
  - {name: paris, api: element-v2, hostingConnection: Nutanix AHV Paris, registered: [{name: PAR-CL01}]}
  - {name: amsterdam, api: element-v2, hostingConnection: Nutanix AHV Amsterdam, registered: [{name: AMS-CL01}]}
catalogs: [{name: Desktops, zone: Paris}]
machines:
  - names: TAKER
    catalog: Desktops
    record: {connection: Nutanix AHV Paris, id: gone}
    vms: [{at: PAR-CL01, id: "@taker"}]
    expect: {finding: remap, reason: vm-replaced}
  - names: HOLDER
    catalog: Desktops
    record: {connection: Nutanix AHV Paris, id: "@taker"}
    vms: [{at: AMS-CL01, id: "@holder"}]
    expect: {finding: remap, reason: vm-moved}
profile: {name: chain}
"""


@pytest.fixture(scope="module")
def module_place(azurite: Azurite) -> Iterator[Workplace]:
    with workplace(azurite) as made:
        yield made


@pytest.fixture
def place(module_place: Workplace) -> Iterator[Workplace]:
    yield module_place
    module_place.put_back()


def vm_of(place: Workplace, host: str) -> str:
    return (place.machine(host).hosted_machine_id or "").lower()


class SmallestBatches(sending.Sizes):
    LEAST, FIRST_MOST, MOST = 1, 1, 1


# two machines on one VM


def test_who_takes_a_vm_waits_for_the_one_that_holds_it_to_the_last_moment(azurite: Azurite) -> None:
    with workplace(azurite, CHAIN) as chain:
        run_id = chain.planned()
        chain.approve(run_id)
        with chain.working(chain.hold("getHypervisor")):
            chain.connection(AMSTERDAM).in_maintenance = True
        assert chain.states(run_id) == {"TAKER": "failed", "HOLDER": "failed"}
        assert "is still held by CORP\\HOLDER" in chain.errors(run_id)["TAKER"]
        assert chain.written() == {}


def test_a_cancel_does_not_split_a_swap(place: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "Sizes", SmallestBatches)
    run_id = place.planned()
    place.approve(run_id, SWAP)
    with place.working(place.hold("submitBatch", "after")):
        place.cancel(run_id)
    assert {place.states(run_id)[host] for host in SWAP} == {"verified"}
    assert vm_of(place, SWAP[0]) != vm_of(place, SWAP[1])


def test_half_of_a_swap_that_went_through_says_so_on_the_run_and_the_machine(place: Workplace) -> None:
    run_id = place.planned()
    place.approve(run_id, SWAP)
    place.site.locked.add(place.machine("SWAP-A").id)
    place.work()
    run = place.run(run_id)
    assert {host: place.states(run_id)[host] for host in SWAP} == {"SWAP-A": "failed", "SWAP-B": "verified"}
    assert run.status is RunStatus.COMPLETED_WITH_ERRORS
    assert "1 hold a VM that another machine holds too" in (run.error or "")
    assert "held by CORP\\SWAP-A too" in place.errors(run_id)["SWAP-B"]
    assert "shared-vm" in [event.action for event in place.events(run_id)]


# what may still be under way


def test_a_nested_job_that_does_not_end_keeps_its_machine_from_being_called_rolled_back(place: Workplace) -> None:
    place.world.nested_items = 11
    run_id = place.planned()
    place.approve(run_id)
    place.sandbox.faults.set("job-stuck", "UpdateMachineCatalogMachine:1")
    with place.working(place.hold("getJobResults")):
        (nested,) = (job for job in place.site.jobs.values() if job.type == "UpdateMachineCatalogMachine")
        nested.cancellable = False
    (stuck,) = (host for host, state in place.states(run_id).items() if state == "failed")
    (batch,) = place.resources.batches.of(run_id)
    assert (batch.ended, [job for _, job in batch.nested]) == (False, [nested.id])
    run = place.rolled_back(run_id)
    assert place.states(run_id)[stuck] == "rollback-failed"
    assert run.error is not None


def test_a_job_of_an_earlier_run_that_does_not_end_keeps_a_later_run_from_its_machines(place: Workplace) -> None:
    profile = place.profile()
    first = place.planned(profile)
    place.sandbox.faults.set("job-stuck", "uncancellable:1")
    place.approve(first)
    place.work()
    left = ALL - place.as_planned(first)
    assert left
    second = place.planned(profile)
    assert set(place.remaps(second)) == left
    place.approve(second)
    place.work()
    assert set(place.states(second).values()) == {"failed"}
    assert all("does not come to an end" in error for error in place.errors(second).values())
    assert place.as_planned(first) == ALL - left, "nothing was written by the second run"


def test_a_job_of_somebody_else_is_waited_for_and_left_alone(place: Workplace) -> None:
    run_id = place.planned()
    place.approve(run_id)
    place.sandbox.faults.set("citrix-drop", "submitBatch:1")
    with place.working(place.hold("submitBatch", "after")):
        ours = next(iter(place.site.jobs.values()))
        foreign = SiteJob(
            id="foreign", type=BATCH, owner=ours.owner, created=datetime.now(UTC), status="InProgress",
            cancellable=True, stuck=True,
        )  # fmt: skip
        place.site.jobs[foreign.id] = foreign
    assert foreign.status == "InProgress"
    assert place.states(run_id) == dict.fromkeys(ALL, "verified"), "what was done is read back whatever else goes on"


def test_a_single_change_whose_worker_died_leaves_a_record_and_can_be_rolled_back(
    place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Died(BaseException):
        pass

    def dies(self: SiteWriter, change: Change) -> str | None:
        raise Died

    run_id = place.planned()
    place.approve(run_id, ["W11-01"])
    with monkeypatch.context() as patch:
        patch.setattr(SiteWriter, "takes_batches", lambda self: False)
        patch.setattr(SiteWriter, "change", dies)
        with pytest.raises(Died):
            place.work()
        assert [batch.alone for batch in place.resources.batches.of(run_id)] == [True]
        place.cancel(run_id)
        place.queue.send(run_id, WorkStep.APPLY)
        place.pauses.clear()
        place.work()
    assert max(place.pauses) > 30, "as long as Citrix may take to do what was on its way"
    assert (place.run(run_id).status, place.states(run_id)["W11-01"]) == (RunStatus.CANCELLED, "failed")
    place.put("W11-01", run_id)  # it landed late all the same
    place.rolled_back(run_id)
    assert place.states(run_id)["W11-01"] == "rolled-back"
    assert "W11-01" not in place.as_planned(run_id)


def test_a_write_that_had_to_wait_asks_for_its_lock_again(place: Workplace) -> None:
    run_id = place.planned()
    remap = place.remaps(run_id)["W11-01"]
    profile = kept_profile(place.resources, run_id)
    lost: list[float] = []

    def check() -> None:
        if lost:
            raise LockLost("lost")

    limits = Limits(Deadline.after(180), attempts=7, silence=100, pause=lost.append)
    place.sandbox.faults.set("citrix-429", "resetHypervisorConnection:1@100")
    with citrix_writer(place.resources, profile, Keyring(place.resources.vault, site_secret_names(profile))) as opened:
        writer = SiteWriter(opened.site, limits=lambda: limits, check=check)
        with pytest.raises(LockLost):
            writer.reset(remap.after.connection_id or "")
    assert lost, "it had to wait, and its lock was gone then"
    assert place.resets() == {}


# what is looked at again


def test_a_prism_that_does_not_answer_once_costs_a_moment_and_no_approval(place: Workplace) -> None:
    run_id = place.planned()
    place.approve(run_id)
    place.sandbox.faults.set("prism-500", "amsterdam:1")
    place.work()
    assert place.fired("prism-500")
    assert place.states(run_id) == dict.fromkeys(ALL, "verified")
    assert place.queue.delays(run_id, WorkStep.APPLY)[-1] > 0, "it came back by a delayed message"


def test_a_prism_that_stays_silent_supersedes_what_it_decides(place: Workplace) -> None:
    run_id = place.planned()
    place.approve(run_id)
    place.sandbox.faults.set("prism-500", "amsterdam")
    place.work()
    states = place.states(run_id)
    assert {states[host] for host in W11} == {"superseded"}
    assert place.run(run_id).status is RunStatus.COMPLETED_WITH_ERRORS


def test_a_machine_that_had_its_new_values_is_not_written_when_somebody_puts_it_back(place: Workplace) -> None:
    run_id = place.planned()
    place.put("W11-01", run_id)
    place.approve(run_id, ["W11-01"])
    before = place.remaps(run_id)["W11-01"].before
    with place.working(place.hold("getMachine")):
        machine = place.machine("W11-01")
        machine.connection_id, machine.hosted_machine_id = before.connection_id, before.machine_id
    assert place.states(run_id)["W11-01"] == "failed"
    assert place.written() == {}


# words that come late


def test_a_cancel_in_the_last_moment_does_not_stop_a_later_approval(
    place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = place.planned()
    place.approve(run_id, W11[:2])
    end_of_story = finish._end_of_story

    def told(*args: Any, **named: Any) -> Any:
        monkeypatch.undo()
        place.cancel(run_id)
        return end_of_story(*args, **named)

    monkeypatch.setattr(finish, "_end_of_story", told)
    place.work()
    assert (place.run(run_id).status, place.run(run_id).cancelled_by) == (RunStatus.CANCELLED, "olive")
    assert place.as_planned(run_id) == set(W11[:2])


def test_a_poison_message_of_a_later_step_leaves_a_run_at_work_alone(place: Workplace) -> None:
    run_id = place.planned()
    place.approve(run_id)
    give_up(place.resources, WorkItem(run_id, WorkStep.OBSERVE).to_json().encode())
    give_up(place.resources, WorkItem(run_id, WorkStep.PLAN).to_json().encode())
    place.work()
    assert place.run(run_id).status is RunStatus.COMPLETED


def test_a_step_after_the_end_that_fails_again_and_again_is_told(place: Workplace) -> None:
    run_id = place.applied()
    give_up(place.resources, WorkItem(run_id, WorkStep.OBSERVE).to_json().encode())
    assert place.steps(run_id)["observe"][0] == "failed"
    assert place.run(run_id).status is RunStatus.COMPLETED


def test_a_run_that_fails_after_its_writes_keeps_what_it_moved_away_from(
    place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*_: object) -> None:
        raise CitrixError("Citrix says no.", kind="forbidden", system="Citrix", http_status=403)

    run_id = place.planned()
    place.approve(run_id)
    with monkeypatch.context() as patch:
        patch.setattr(apply, "finish_apply", refuses)
        place.work()
    assert place.run(run_id).status is RunStatus.FAILED
    assert place.states(run_id) == dict.fromkeys(ALL, "verified")
    assert place.resources.departed.of(place.site.id)
    place.work(WorkStep.RESET_AGAIN)
    assert place.resets()[AMSTERDAM] == 1


def test_a_result_that_writes_an_id_in_another_case_is_the_machines(
    place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = SiteWriter.results

    def shouted(self: SiteWriter, job_id: str) -> Any:
        found = results(self, job_id)
        return {MachineId(machine.upper()): dataclasses.replace(item) for machine, item in found.items()} | {
            MachineId("A-STRANGER"): next(iter(found.values()))
        }

    monkeypatch.setattr(SiteWriter, "results", shouted)
    run_id = place.applied()
    assert place.states(run_id) == dict.fromkeys(ALL, "verified")
    assert set(place.written().values()) == {1}


def test_a_catalog_that_could_not_be_moved_back_can_be_tried_again(place: Workplace) -> None:
    profile = place.profile({"switchCatalogZone": True})
    run_id = place.planned(profile, scope={"catalogs": ["Desktops"]})
    place.approve(run_id)
    place.work()
    place.site.forbidden.add("moveItemsIntoZone")
    run = place.rolled_back(run_id)
    assert "A step after the writes failed" in (run.error or "")
    place.site.forbidden.discard("moveItemsIntoZone")
    run = place.rolled_back(run_id)
    assert run.error is None
    assert place.steps(run_id)["move-zones-back"][0] == "done"
