"""A batch that was sent is followed to its end, whatever becomes of its answer, its job and its items."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from datetime import timedelta

from shared.model.citrix import MachineId
from shared.model.job import ItemOutcome
from shared.model.remap import Batch, Change, SendingStep
from shared.runs.writing.following import LOOKS_AFTER_CANCEL, MOST_LOOKS, stuck_sentence
from shared.runs.writing.outcome import Outcome, Told
from tests.unit.test_sending import FEW, each_sent_once, sent, told
from tests.unit.writable_site import (
    AFTER,
    NOON,
    RUN,
    TRANSACTION,
    Fate,
    Heard,
    MemoryBatches,
    MemoryJob,
    WritableSite,
    changes,
    machines,
    refusal,
)


def test_a_batch_whose_answer_is_lost_is_waited_for_and_not_sent_again() -> None:
    site, batches, heard = WritableSite(submits=deque([Fate.ANSWER_LOST]), looks=3), MemoryBatches(), Heard()
    outcomes = sent(site, FEW, heard, batches)
    assert told(outcomes) == {Told.UNKNOWN: FEW}
    assert each_sent_once(site, FEW)
    assert all(site.hosting[machine] == AFTER for machine in machines(FEW)), "it had come to its end"
    assert site.looked_at == ["job-1"] * 3
    assert heard.pauses[0] == 1.0, "a request that was lost a moment ago may only now become a job"
    (batch,) = batches.of(RUN)
    assert (batch.job, batch.ended) == (None, True)


def test_a_batch_that_never_arrived_is_unknown_too() -> None:
    site = WritableSite(submits=deque([Fate.LOST_ON_THE_WAY]))
    assert told(sent(site, FEW)) == {Told.UNKNOWN: FEW}
    assert site.hosting == {}


def test_jobs_of_long_ago_and_of_batches_that_are_known_are_not_waited_for() -> None:
    site = WritableSite(submits=deque([Fate.LOST_ON_THE_WAY]), looks=None)
    site.jobs["yesterday"] = MemoryJob("yesterday", (), None, created_at=NOON - timedelta(hours=1))
    site.jobs["ours"] = MemoryJob("ours", (), None)
    known = Batch(1, SendingStep.APPLY, (), NOON, job="ours", ended=False)
    assert told(sent(site, FEW, batches=MemoryBatches(known))) == {Told.UNKNOWN: FEW}
    assert site.looked_at == []


def test_a_job_of_unknown_time_may_be_the_lost_one() -> None:
    site = WritableSite(submits=deque([Fate.LOST_ON_THE_WAY]))
    site.jobs["timeless"] = MemoryJob("timeless", (), 2, created_at=None)
    sent(site, FEW)
    assert site.looked_at == ["timeless"] * 2


def test_a_lost_batch_that_does_not_end_and_cannot_be_cancelled_is_stuck() -> None:
    site, batches = WritableSite(submits=deque([Fate.ANSWER_LOST]), looks=None, cancellable=False), MemoryBatches()
    outcomes = sent(site, FEW, batches=batches)
    assert outcomes == dict.fromkeys(machines(FEW), Outcome(Told.STUCK, stuck_sentence("job-1")))
    assert not batches.of(RUN)[0].ended, "a successor has to wait for it too"


def test_a_job_that_does_not_end_is_cancelled_and_its_machines_are_unknown() -> None:
    site, batches, heard = WritableSite(looks=None), MemoryBatches(), Heard()
    assert told(sent(site, FEW, heard, batches)) == {Told.UNKNOWN: FEW}
    assert site.cancelled == ["job-1"]
    assert len(site.looked_at) == MOST_LOOKS + 1
    assert 180 <= sum(heard.pauses) <= 240, "about three and a half minutes"
    assert batches.kept[-1].ended


def test_a_job_that_cannot_be_cancelled_is_stuck_and_may_still_do_it() -> None:
    site, batches = WritableSite(looks=None, cancellable=False), MemoryBatches()
    outcomes = sent(site, FEW, batches=batches)
    assert outcomes == dict.fromkeys(machines(FEW), Outcome(Told.STUCK, stuck_sentence("job-1")))
    assert not batches.kept[-1].ended
    assert each_sent_once(site, FEW)
    assert len(site.looked_at) == MOST_LOOKS, "nobody looks for an end that was not asked for"


def test_a_job_that_goes_on_after_its_cancelling_is_stuck() -> None:
    class Deaf(WritableSite):
        def cancel(self, job_id: str) -> bool:
            self.cancelled.append(job_id)
            return True

    site = Deaf(looks=None)
    assert told(sent(site, FEW)) == {Told.STUCK: FEW}
    assert len(site.looked_at) == MOST_LOOKS + LOOKS_AFTER_CANCEL


def test_one_stuck_batch_keeps_the_others_from_nothing() -> None:
    class OneStuck(WritableSite):
        def submit(self, changes: Sequence[Change]) -> str:
            job = super().submit(changes)
            if MachineId("m-0001") in self.submitted[-1]:
                self.jobs[job].looks = None
            return job

    site = OneStuck(cancellable=False)
    outcomes = sent(site, 200)
    stuck = [machine for machine, outcome in outcomes.items() if outcome.told is Told.STUCK]
    assert stuck
    assert told(outcomes)[Told.DONE] == 200 - len(stuck)
    assert each_sent_once(site, 200)


def test_a_job_that_citrix_forgot_leaves_its_machines_unknown() -> None:
    site, batches = WritableSite(vanish=True), MemoryBatches()
    outcomes = sent(site, FEW, batches=batches)
    assert told(outcomes) == {Told.UNKNOWN: FEW}
    assert {outcome.told for outcome in outcomes.values()} == {Told.UNKNOWN}
    assert batches.kept[-1].ended


def test_results_that_cannot_be_had_leave_their_machines_unknown() -> None:
    site = WritableSite(results_missing=True)
    assert told(sent(site, FEW)) == {Told.UNKNOWN: FEW}
    assert each_sent_once(site, FEW)


def test_a_machine_that_the_results_do_not_name_is_unknown_and_the_others_are_done() -> None:
    site = WritableSite(silent={MachineId("m-0002")})
    outcomes = sent(site)
    assert told(outcomes) == {Told.DONE: FEW - 1, Told.UNKNOWN: 1}
    assert outcomes[MachineId("m-0002")].told is Told.UNKNOWN


def test_an_item_that_is_refused_says_so_with_its_code_and_transaction() -> None:
    site = WritableSite(refuses={MachineId("m-0001"): refusal(403), MachineId("m-0003"): refusal(500)})
    outcomes = sent(site)
    assert {machine: (outcome.told, outcome.code) for machine, outcome in outcomes.items()} == {
        "m-0001": (Told.REFUSED, 403),
        "m-0002": (Told.DONE, None),
        "m-0003": (Told.REFUSED, 500),
    }
    assert TRANSACTION in (outcomes[MachineId("m-0001")].sentence or "")


def test_an_item_that_only_began_is_followed_to_its_end() -> None:
    site, heard = WritableSite(nested={MachineId("m-0002"): 4}), Heard()
    batches = MemoryBatches()
    outcomes = sent(site, FEW, heard, batches)
    assert told(outcomes) == {Told.DONE: FEW}
    assert site.looked_at.count("job-1-m-0002") == 4
    noted = [batch for batch in batches.kept if batch.nested == (("m-0002", "job-1-m-0002"),)]
    assert [batch.ended for batch in noted] == [False, True], "known before it is waited for"
    assert site.hosting[MachineId("m-0002")] == AFTER
    assert each_sent_once(site, FEW)


def test_an_item_whose_own_job_does_not_end_is_stuck_and_keeps_its_batch_open() -> None:
    site, batches = WritableSite(nested={MachineId("m-0002"): None}, cancellable=False), MemoryBatches()
    outcomes = sent(site, FEW, batches=batches)
    assert told(outcomes) == {Told.DONE: FEW - 1, Told.STUCK: 1}
    assert not batches.of(RUN)[0].ended


def test_an_item_whose_own_job_was_cancelled_is_unknown() -> None:
    site, batches = WritableSite(nested={MachineId("m-0002"): None}), MemoryBatches()
    outcomes = sent(site, FEW, batches=batches)
    assert outcomes[MachineId("m-0002")].told is Told.UNKNOWN
    assert site.cancelled == ["job-1-m-0002"]
    assert batches.of(RUN)[0].ended


def test_an_item_outcome_with_a_job_is_no_refusal_whatever_its_code() -> None:
    site = WritableSite(refuses={MachineId("m-0001"): ItemOutcome(202, job="job-9")})
    site.jobs["job-9"] = MemoryJob("job-9", changes(1), 1, "UpdateMachine")
    assert sent(site, 1)[MachineId("m-0001")].told is Told.DONE
