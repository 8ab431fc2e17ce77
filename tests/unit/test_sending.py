"""Sending changes: each at most once, in batches that are known before they are sent, whatever Citrix answers."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Sequence

import pytest

from shared.errors import CitrixError, LockLost
from shared.model.citrix import MachineId
from shared.model.job import Job
from shared.model.remap import Batch, SendingStep
from shared.runs.writing.outcome import Outcome, Told
from shared.runs.writing.pacing import LONGEST_PAUSE
from shared.runs.writing.sending import MOST_SUBMITS, in_groups, send
from tests.unit.writable_site import (
    NOON,
    RUN,
    TRANSACTION,
    Fate,
    Heard,
    MemoryBatches,
    WritableSite,
    changes,
    machines,
    trouble,
)

FEW = 3
MANY = 1_000


def sent(
    site: WritableSite, number: int = FEW, heard: Heard | None = None, batches: MemoryBatches | None = None
) -> dict[MachineId, Outcome]:
    return send((heard or Heard()).sending(site, batches or MemoryBatches()), in_groups(changes(number), []))


def assert_set(event: threading.Event) -> None:
    assert event.wait(10)


def told(outcomes: dict[MachineId, Outcome]) -> Counter[Told]:
    return Counter(outcome.told for outcome in outcomes.values())


def each_sent_once(site: WritableSite, number: int) -> bool:
    counted = Counter(machine for batch in site.submitted for machine in batch)
    return counted == Counter(machines(number)) and not site.sent_alone


def test_nothing_to_send_asks_nobody_anything() -> None:
    heard = Heard()
    assert send(heard.sending(WritableSite(), MemoryBatches()), []) == {}
    assert heard.checks == 0


@pytest.mark.parametrize("number", [1, 50, 51, 401, MANY])
def test_every_machine_is_sent_once_and_has_an_outcome(number: int) -> None:
    site, heard = WritableSite(), Heard()
    outcomes = sent(site, number, heard)
    assert outcomes == dict.fromkeys(machines(number), Outcome(Told.DONE))
    assert each_sent_once(site, number)
    assert Counter(heard.before) == Counter(machines(number))
    assert heard.after == outcomes
    assert heard.undone == []
    assert site.most_under_way <= 4
    assert max(len(batch) for batch in site.submitted) <= 400


def test_a_batch_is_known_before_it_is_sent_and_its_job_before_it_is_waited_for() -> None:
    site, batches, heard = WritableSite(), MemoryBatches(), Heard()
    known_when_sent: list[list[Batch]] = []
    site.on_submit = lambda: known_when_sent.append(batches.of(RUN))
    sent(site, FEW, heard, batches)
    ((before,),) = known_when_sent
    assert (before.machines, before.job, before.ended, before.began_at) == (tuple(machines(FEW)), None, False, NOON)
    assert [(batch.job, batch.ended) for batch in batches.kept] == [(None, False), ("job-1", False), ("job-1", True)]
    assert batches.of(RUN)[0].step is SendingStep.APPLY


def test_numbers_go_on_after_those_that_the_run_has_already() -> None:
    known = Batch(7, SendingStep.APPLY, tuple(machines(1)), NOON, job="old", ended=True)
    batches = MemoryBatches(known)
    sent(WritableSite(), 120, batches=batches)
    numbers = [batch.number for batch in batches.kept if batch.job is None]
    assert sorted(numbers) == list(range(8, 8 + len(numbers)))
    assert len(numbers) >= 2
    assert known in batches.of(RUN)


def test_jobs_are_looked_at_after_one_two_five_and_then_every_ten_seconds() -> None:
    site, heard = WritableSite(looks=6), Heard()
    sent(site, FEW, heard)
    first, *others = heard.pauses
    assert 0.5 < first <= 1.0, "the first pause counts from the answer to the submit"
    assert others == [2.0, 5.0, 10.0, 10.0, 10.0]


def test_the_lock_is_checked_before_each_submit_and_each_look() -> None:
    site, heard = WritableSite(looks=3), Heard()
    sent(site, FEW, heard)
    assert heard.checks == 1 + 1 + 3


def test_a_lock_that_is_lost_sends_nothing_more() -> None:
    site, heard = WritableSite(), Heard()

    def lost() -> None:
        raise LockLost("another worker has it")

    heard.check = lost
    with pytest.raises(LockLost):
        sent(site, MANY, heard)
    assert site.submitted == []


def test_a_lock_that_is_lost_on_the_way_ends_all_lanes() -> None:
    site, heard = WritableSite(), Heard()

    def lost_after_two() -> None:
        if len(site.submitted) >= 2:
            raise LockLost("another worker has it")

    heard.check = lost_after_two
    with pytest.raises(LockLost):
        sent(site, MANY, heard)
    assert 2 <= len(site.submitted) <= 5, "what was past its last check goes out, and no more"


def test_a_429_at_a_submit_is_waited_out_and_each_machine_still_goes_once() -> None:
    site, heard = WritableSite(submits=deque([Fate.THROTTLED] * 3)), Heard()
    assert told(sent(site, FEW, heard)) == {Told.DONE: FEW}
    assert each_sent_once(site, FEW)
    backoff = heard.pauses[:3]
    assert all(low <= pause <= 2 * low for low, pause in zip((0.5, 1.0, 2.0), backoff, strict=True))


def test_a_429_that_says_how_long_is_obeyed() -> None:
    site, heard = WritableSite(submits=deque([Fate.THROTTLED]), retry_after=9.0), Heard()
    sent(site, FEW, heard)
    assert 9.0 <= heard.pauses[0] <= 10.0


def test_429s_among_many_batches_lose_and_double_nothing() -> None:
    fates = [Fate.FINE, Fate.THROTTLED, Fate.THROTTLED, Fate.FINE, Fate.FINE, Fate.THROTTLED] * 2
    site = WritableSite(submits=deque(fates))
    assert told(sent(site, MANY)) == {Told.DONE: MANY}
    assert each_sent_once(site, MANY)
    assert site.most_under_way <= 4


def test_a_429_that_does_not_end_is_a_refusal_of_that_batch_and_nothing_of_it_was_done() -> None:
    site, batches, heard = WritableSite(submits=deque([Fate.THROTTLED] * MOST_SUBMITS)), MemoryBatches(), Heard()
    outcomes = sent(site, FEW, heard, batches)
    assert told(outcomes) == {Told.REFUSED: FEW}
    assert {outcome.code for outcome in outcomes.values()} == {429}
    assert batches.kept[-1].ended
    assert len(heard.pauses) == MOST_SUBMITS - 1
    assert max(heard.pauses) <= LONGEST_PAUSE
    assert site.submitted == []


def test_a_batch_that_is_refused_ends_and_the_others_go_on() -> None:
    site, batches = WritableSite(submits=deque([Fate.REFUSED])), MemoryBatches()
    outcomes = sent(site, 120, batches=batches)
    counted = told(outcomes)
    assert counted[Told.DONE] + counted[Told.REFUSED] == 120
    assert counted[Told.REFUSED] >= 20
    refused = [outcome for outcome in outcomes.values() if outcome.told is Told.REFUSED]
    assert all(TRANSACTION in (outcome.sentence or "") and outcome.code == 400 for outcome in refused)
    assert all(batch.ended for batch in batches.of(RUN))


def test_a_right_that_is_missing_refuses_all_and_costs_few_calls() -> None:
    site, heard = WritableSite(submits=deque([Fate.FORBIDDEN] * MANY)), Heard()
    batches = MemoryBatches()
    outcomes = sent(site, MANY, heard, batches)
    assert told(outcomes) == {Told.REFUSED: MANY}
    assert {(outcome.code, TRANSACTION in (outcome.sentence or "")) for outcome in outcomes.values()} == {(403, True)}
    assert MANY - len(site.submits) <= 4, "as many as were under way at once"
    assert all(batch.ended for batch in batches.of(RUN))


def test_who_says_stop_at_once_keeps_everything_and_leaves_no_batch_open() -> None:
    site, batches, heard = WritableSite(), MemoryBatches(), Heard()
    heard.stop = lambda: True
    assert told(sent(site, MANY, heard, batches)) == {Told.KEPT: MANY}
    assert site.submitted == []
    assert all(batch.ended for batch in batches.of(RUN))


def test_who_says_stop_between_batches_gets_the_rest_back_and_what_is_under_way_comes_to_its_end() -> None:
    site, batches, heard = WritableSite(), MemoryBatches(), Heard()
    lanes, prepared = 8, threading.Event()

    def noted(asked: Sequence[MachineId]) -> None:
        heard.before.extend(asked)
        if len([batch for batch in batches.of(RUN) if batch.job is None]) >= lanes:
            prepared.set()

    site.on_submit = lambda: assert_set(prepared)
    heard.stop = lambda: bool(site.submitted)
    outcomes = send(heard.sending(site, batches, before=noted), in_groups(changes(MANY), []))
    gone = {machine for batch in site.submitted for machine in batch}
    assert {machine for machine, outcome in outcomes.items() if outcome.told is Told.DONE} == gone
    assert told(outcomes) == {Told.DONE: len(gone), Told.KEPT: MANY - len(gone)}
    assert 1 <= len(site.submitted) <= 4
    assert set(heard.undone) == set(heard.before) - gone, "what was made ready and not sent is taken back"
    assert heard.undone
    assert all(batch.ended for batch in batches.of(RUN))


def test_machines_that_belong_together_are_sent_together_and_nothing_is_split() -> None:
    site, ids = WritableSite(), machines(240)
    pairs = [[ids[index], ids[index + 1]] for index in range(0, 120, 2)]
    trio = ids[120:123]
    outcomes = send(Heard().sending(site, MemoryBatches()), in_groups(changes(240), [*pairs, trio]))
    assert told(outcomes) == {Told.DONE: 240}
    for group in [*pairs, trio]:
        assert sum(not set(group).isdisjoint(batch) for batch in site.submitted) == 1, group
    assert each_sent_once(site, 240)


@pytest.mark.parametrize(
    ("together", "sizes"),
    [
        pytest.param([], [1] * 5, id="each-by-itself"),
        pytest.param([["m-0002", "m-0004"]], [2, 1, 1, 1], id="a-pair-first"),
        pytest.param([["m-0002", "m-9999"]], [1, 1, 1, 1, 1], id="who-is-not-sent-is-left-out"),
    ],
)
def test_changes_are_grouped_by_who_belongs_together(together: list[list[MachineId]], sizes: list[int]) -> None:
    groups = in_groups(changes(5), together)
    assert [len(group) for group in groups] == sizes
    assert sorted(change.machine for group in groups for change in group) == machines(5)


def test_a_group_larger_than_a_batch_may_be_is_split() -> None:
    groups = in_groups(changes(900), [machines(900)])
    assert [len(group) for group in groups] == [400, 400, 100]


def test_where_nobody_can_tell_what_is_under_way_the_error_is_raised_and_the_batch_stays_open() -> None:
    class Silent(WritableSite):
        def job(self, job_id: str) -> Job:
            raise trouble("unreachable", None)

    site, batches = Silent(), MemoryBatches()
    with pytest.raises(CitrixError, match="nothing"):
        sent(site, FEW, batches=batches)
    (batch,) = batches.of(RUN)
    assert (batch.job, batch.ended) == ("job-1", False)


def test_an_error_of_one_lane_stops_the_others_before_their_next_batch() -> None:
    class Broken(WritableSite):
        def job(self, job_id: str) -> Job:
            raise trouble("unreachable", None)

    site = Broken()
    with pytest.raises(CitrixError):
        sent(site, 10_000)
    assert len(site.submitted) <= 8


def test_a_site_without_batches_gets_single_changes_each_once() -> None:
    site, batches, heard = WritableSite(batches_taken=False), MemoryBatches(), Heard()
    assert told(sent(site, 21, heard, batches)) == {Told.DONE: 21}
    assert sorted(site.sent_alone) == machines(21)
    assert Counter(heard.before) == Counter(machines(21))
    assert site.submitted == []
    assert all(batch.alone and batch.ended for batch in batches.of(RUN))


def test_a_single_change_may_be_refused_unknown_or_only_begin() -> None:
    first, second, third, fourth = machines(4)
    site = WritableSite(batches_taken=False, looks=2)
    site.alone = {
        first: [trouble("failed", 400, unsent=True)],
        second: [trouble("timeout", None)],
        third: ["alone-3"],
    }
    outcomes = sent(site, 4)
    assert [outcomes[machine].told for machine in (first, second, third, fourth)] == [
        Told.REFUSED,
        Told.UNKNOWN,
        Told.DONE,
        Told.DONE,
    ]
    assert (outcomes[first].code, TRANSACTION in (outcomes[first].sentence or "")) == (400, True)
    assert site.looked_at == ["alone-3"] * 2
    assert site.sent_alone.count(second) == 1, "what may have been done is not sent again without a read-back"


def test_single_changes_stop_between_two_of_them() -> None:
    site, heard = WritableSite(batches_taken=False), Heard()
    heard.stop = lambda: len(site.sent_alone) >= 8
    outcomes = sent(site, 400, heard)
    assert told(outcomes)[Told.DONE] == len(site.sent_alone)
    assert 8 <= len(site.sent_alone) <= 8 + 8 * 4
    assert set(heard.before) == set(site.sent_alone)
