"""What an earlier worker left under way comes to its end before anything is written."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from shared.citrix.writer import WRITE_SILENCE
from shared.errors import CitrixError, LockLost
from shared.model.citrix import MachineId
from shared.model.job import JobStatus
from shared.model.remap import Batch, SendingStep
from shared.model.run import RunId
from shared.runs.writing.following import MOST_LOOKS
from shared.runs.writing.takeover import UnderWay, settle_batches
from tests.unit.writable_site import (
    NOON,
    RUN,
    Heard,
    MemoryBatches,
    MemoryJob,
    WritableSite,
    changes,
    machines,
    trouble,
)

ONE, TWO = tuple(machines(2)), tuple(machines(4)[2:])


def batch(number: int = 1, job: str | None = None, of: tuple[MachineId, ...] = ONE, *, ended: bool = False) -> Batch:
    return Batch(number, SendingStep.APPLY, of, NOON, job, ended)


def settled(
    site: WritableSite, batches: MemoryBatches, heard: Heard | None = None, at_site: str | None = None
) -> frozenset[MachineId]:
    """The machines whose job does not end."""
    heard = heard or Heard()
    check = heard.sending(site, batches).check
    at = UnderWay(site.as_writer(), batches.as_batches(), lambda: NOON, heard.pauses.append, check)
    return frozenset(settle_batches(at, RUN, at_site))


def open_numbers(batches: MemoryBatches) -> list[int]:
    return [each.number for each in batches.of(RUN) if not each.ended]


def site_with(**looks: int | None) -> WritableSite:
    """A site with batch jobs of these names that take so many looks."""
    site = WritableSite()
    site.jobs = {name: MemoryJob(name, (), number) for name, number in looks.items()}
    return site


def test_a_run_that_sent_nothing_asks_citrix_nothing() -> None:
    site, heard = site_with(other=None), Heard()
    assert settled(site, MemoryBatches(batch(job="done", ended=True)), heard) == frozenset()
    assert (site.looked_at, heard.pauses) == ([], [])


def test_a_batch_with_a_job_is_waited_for() -> None:
    site, batches = site_with(ours=3), MemoryBatches(batch(job="ours"))
    assert settled(site, batches) == frozenset()
    assert site.looked_at == ["ours"] * 3
    assert open_numbers(batches) == []


def test_a_job_that_citrix_no_longer_knows_is_at_rest() -> None:
    batches = MemoryBatches(batch(job="purged"))
    assert settled(WritableSite(), batches) == frozenset()
    assert open_numbers(batches) == []


def test_a_batch_without_a_job_waits_for_every_job_of_ours_that_no_batch_has() -> None:
    site = site_with(lost=2, known=5)
    batches = MemoryBatches(batch(1), batch(2, "known", TWO, ended=True))
    assert settled(site, batches) == frozenset()
    assert site.looked_at == ["lost", "lost"], "a job that a batch has is that batch's"
    assert open_numbers(batches) == []


def test_a_batch_without_a_job_that_never_reached_citrix_is_at_rest() -> None:
    site, batches, heard = WritableSite(), MemoryBatches(batch()), Heard()
    assert settled(site, batches, heard) == frozenset()
    assert heard.pauses == [1.0], "it may only now become a job"
    assert open_numbers(batches) == []


def test_only_jobs_since_the_first_nameless_batch_count_and_clocks_may_differ_by_minutes() -> None:
    site = site_with(before=None, skewed=1)
    site.jobs["before"].created_at = NOON - timedelta(minutes=6)
    site.jobs["skewed"].created_at = NOON - timedelta(minutes=4)
    later = replace(batch(2, of=TWO), began_at=NOON + timedelta(hours=1))
    batches = MemoryBatches(batch(1), later)
    assert settled(site, batches) == frozenset()
    assert site.looked_at == ["skewed"]


def test_a_job_that_does_not_end_is_cancelled_and_then_at_rest() -> None:
    site, batches = site_with(ours=None), MemoryBatches(batch(job="ours"))
    assert settled(site, batches) == frozenset()
    assert site.cancelled == ["ours"]
    assert len(site.looked_at) == MOST_LOOKS + 1
    assert open_numbers(batches) == []


def test_the_machines_of_a_job_that_cannot_be_cancelled_are_stuck_and_its_batch_stays_open() -> None:
    site, batches = site_with(ours=None, other=1), MemoryBatches(batch(1, "ours"), batch(2, "other", TWO))
    site.cancellable = False
    assert settled(site, batches) == frozenset(ONE)
    assert open_numbers(batches) == [1]


def test_nameless_batches_are_all_stuck_where_a_job_that_may_be_theirs_does_not_end() -> None:
    site = site_with(one=1, two=None)
    site.cancellable = False
    batches = MemoryBatches(batch(1), batch(2, of=TWO))
    assert settled(site, batches) == frozenset(ONE + TWO)
    assert open_numbers(batches) == [1, 2]


def test_a_job_that_has_ended_costs_one_list_and_no_look() -> None:
    site, batches = site_with(lost=1), MemoryBatches(batch())
    site.jobs["lost"].status = JobStatus.FAILED
    assert settled(site, batches) == frozenset()
    assert site.looked_at == []


def test_where_citrix_cannot_be_asked_nothing_is_called_ended() -> None:
    class Silent(WritableSite):
        def job(self, job_id: str) -> None:  # type: ignore[override]
            raise trouble("unreachable", None)

    batches = MemoryBatches(batch(job="ours"))
    with pytest.raises(CitrixError):
        settled(Silent(), batches)
    assert open_numbers(batches) == [1]


def test_a_worker_that_lost_its_lock_stops_waiting() -> None:
    heard, batches, site = Heard(), MemoryBatches(batch(job="ours")), site_with(ours=9)

    def lost() -> None:
        if heard.checks > 3:
            raise LockLost("another worker has it")

    heard.check = lost
    with pytest.raises(LockLost):
        settled(site, batches, heard)
    assert open_numbers(batches) == [1]
    assert len(site.looked_at) == 3


def test_jobs_that_items_began_are_waited_for_as_well() -> None:
    site, nested = site_with(ours=1, inner=3), replace(batch(job="ours"), nested=((ONE[0], "inner"),))
    batches = MemoryBatches(nested)
    assert settled(site, batches) == frozenset()
    assert site.looked_at.count("inner") == 3
    assert open_numbers(batches) == []


def test_jobs_that_items_began_and_nobody_noted_are_found_in_the_results() -> None:
    site = site_with(ours=1, **{f"ours-{ONE[1]}": 2})
    site.jobs["ours"].changes = changes(2)
    site.nested = {ONE[1]: 2}
    batches = MemoryBatches(batch(job="ours"))
    assert settled(site, batches) == frozenset()
    assert site.looked_at.count(f"ours-{ONE[1]}") == 2
    assert any(kept.nested == ((ONE[1], f"ours-{ONE[1]}"),) and not kept.ended for kept in batches.kept)
    assert open_numbers(batches) == []


def test_only_the_machine_of_an_item_whose_own_job_does_not_end_is_stuck() -> None:
    site = site_with(ours=1, inner=None)
    site.cancellable = False
    batches = MemoryBatches(replace(batch(job="ours"), nested=((ONE[0], "inner"),)))
    assert settled(site, batches) == {ONE[0]}
    assert open_numbers(batches) == [1]


def test_single_changes_that_an_earlier_worker_made_get_the_time_that_a_call_may_take() -> None:
    heard, batches = Heard(), MemoryBatches(replace(batch(), began_at=NOON - timedelta(seconds=30), alone=True))
    assert settled(WritableSite(), batches, heard) == frozenset()
    assert heard.pauses == [WRITE_SILENCE - 30]
    assert open_numbers(batches) == []


def test_single_changes_of_long_ago_are_not_waited_for() -> None:
    heard, batches = Heard(), MemoryBatches(replace(batch(), began_at=NOON - timedelta(hours=1), alone=True))
    assert settled(WritableSite(), batches, heard) == frozenset()
    assert sum(heard.pauses) == 0


def test_what_other_runs_left_under_way_at_the_site_is_waited_for_and_then_forgotten() -> None:
    other = RunId("0b")
    site, batches = site_with(theirs=2), MemoryBatches(others={other: [batch(1, "theirs", TWO)]})
    assert settled(site, batches, at_site="site") == frozenset()
    assert site.looked_at == ["theirs"] * 2
    assert other not in batches.begun("site")


def test_a_job_of_another_run_that_does_not_end_keeps_its_machines_from_being_written() -> None:
    other = RunId("0b")
    site, batches = site_with(theirs=None), MemoryBatches(others={other: [batch(1, "theirs", TWO)]})
    site.cancellable = False
    assert settled(site, batches, at_site="site") == frozenset(TWO)
    assert other in batches.begun("site"), "the next run has to wait for it as well"
