"""Keeping to the announced rate budget, against a clock that only moves when somebody waits."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
import requests

from shared.errors import PrismError
from shared.http import Deadline, Limits
from shared.model.nutanix import ReadStatus, VmUuid
from shared.prism.central_v4 import CentralV4
from shared.prism.pace import MARGIN, TELLING, Budget, OutOfTime, Pace, Paces
from shared.prism.reading import read_cluster
from tests.unit.answers import Reply
from tests.unit.prism_v4_answers import BASE, CREDENTIAL, SINCE, TITLE, VMS, CentralInMemory, error, uid, vm
from tests.unit.test_prism_recovery_jobs import job_v4

SPACING = 0.5 * MARGIN


class Clock:
    """Seconds that pass by waiting. ``latency`` is what each answer takes."""

    def __init__(self, latency: float = 0.0) -> None:
        self.now = 1000.0
        self.latency = latency
        self.pauses: list[float] = []

    def __call__(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds

    def limits(self, seconds: float = 300.0, attempts: int = 4) -> Limits:
        deadline = Deadline.after(seconds, self)
        return Limits(deadline, attempts=attempts, pause=self.pause, jitter=lambda: 0.0)


def headers(limit: object = 2, remaining: object = 1, period: object = 1) -> dict[str, str]:
    return {
        "X-Api-Ratelimit-Limit": str(limit),
        "X-Api-Ratelimit-Remaining": str(remaining),
        "X-Api-Ratelimit-Refresh-Period-Seconds": str(period),
        "X-Api-Ratelimit-Reset": "128",
    }


class Budgeted(CentralInMemory):
    """Refuses what would be more than ``limit`` lists of VMs in any second, other readers' included."""

    def __init__(self, clock: Clock, vms: list[dict[str, Any]], *, limit: int = 2) -> None:
        super().__init__(vms)
        self.clock, self.limit = clock, limit
        self.calls: list[float] = []
        self.refused = 0
        self.before_each: Callable[[], None] = lambda: None
        self.override[VMS.format(2)] = self._budgeted

    def _budgeted(self, request: requests.PreparedRequest) -> Reply:
        self.before_each()
        self.clock.now += self.clock.latency
        recent = [call for call in self.calls if call > self.clock.now - 1]
        if len(recent) >= self.limit:
            self.refused += 1
            answer = error("RATE_LIMIT_EXCEEDED", "Too many requests.", status=429)
            answer.headers = headers(self.limit, 0)
            return answer
        self.calls.append(self.clock.now)
        page = self._serve("ahv/config/vms", 2, self.asked[-1][2])
        page.headers = headers(self.limit, self.limit - len(recent) - 1)
        return page

    def central(self) -> CentralV4:
        return CentralV4(self.session, BASE, CREDENTIAL, cluster="amsterdam", paces=Paces(self.clock))


@pytest.mark.parametrize("latency", [0.0, 0.02, 0.3])
def test_20_000_vms_are_read_at_the_budget_without_one_refusal(latency: float) -> None:
    clock = Clock(latency)
    central = Budgeted(clock, [vm(number) for number in range(20_000)])
    client = central.central()
    clusters = client.clusters(clock.limits()).items
    began = clock.now
    assert len(client.vms(clusters, clock.limits()).items) == 20_000
    assert (len(central.calls), central.refused) == (200, 0)
    assert clock.now - began <= 100 * 1.1


def test_a_budget_that_others_use_is_left_to_them_for_a_whole_period() -> None:
    clock = Clock()
    central = Budgeted(clock, [vm(number) for number in range(500)])

    def another_reader() -> None:
        central.calls.append(clock.now - 0.3)

    central.before_each = another_reader
    client = central.central()
    assert len(client.vms(client.clusters(clock.limits()).items, clock.limits()).items) == 500
    assert central.refused == 0
    assert [pytest.approx(MARGIN)] * 4 == clock.pauses


def test_readers_of_one_host_share_its_pace_and_other_hosts_do_not() -> None:
    paces = Paces()
    budget = Budget(2)
    assert paces.of("PC:9440", "vms", budget) is paces.of("pc:9440", "vms", budget)
    assert paces.of("pc:9440", "vms", budget) is not paces.of("pc:9440", "clusters", budget)
    assert paces.of("pc:9440", "vms", budget) is not paces.of("pc:9441", "vms", budget)


def test_the_calls_of_many_threads_start_as_far_apart_as_those_of_one() -> None:
    clock, guard = Clock(), threading.Lock()
    pace = Pace(Budget(2), clock)
    starts: list[float] = []

    def read() -> None:
        for _ in range(5):
            start = pace.await_turn(clock.limits())
            with guard:
                starts.append(start)

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ordered = sorted(starts)
    gaps = [later - earlier for earlier, later in zip(ordered, ordered[1:], strict=False)]
    assert len(ordered) == 40
    assert min(gaps) >= SPACING - 1e-9


def test_the_first_calls_keep_to_the_default_budget() -> None:
    clock = Clock()
    pace = Pace(Budget(1), clock)
    for _ in range(3):
        pace.learn(pace.await_turn(clock.limits()), {})
    assert clock.pauses == [pytest.approx(MARGIN), pytest.approx(MARGIN)]


@pytest.mark.parametrize("usual", [0.0, 0.2])
@pytest.mark.parametrize("late", [0.0, 0.3])
def test_a_call_whose_answer_took_longer_than_usual_counts_as_much_later(usual: float, late: float) -> None:
    clock = Clock()
    pace = Pace(Budget(2), clock)

    def call(took: float) -> float:
        started = pace.await_turn(clock.limits())
        clock.now += took
        pace.learn(started, {})
        return started

    for _ in range(TELLING):
        call(usual)
    first = call(usual + late)
    call(usual)
    assert pace.await_turn(clock.limits()) - first == pytest.approx(MARGIN + late)


def test_the_first_calls_count_from_their_answers_on() -> None:
    clock = Clock()
    pace = Pace(Budget(1), clock)
    first = pace.await_turn(clock.limits())
    clock.now += 0.3
    pace.learn(first, {})
    assert pace.await_turn(clock.limits()) - first == pytest.approx(MARGIN + 0.3)


@pytest.mark.parametrize(
    ("announced", "spacing"),
    [
        pytest.param(headers(10, 9), 0.1, id="another-limit"),
        pytest.param(headers(30, 29, 60), 2.0, id="another-period"),
        pytest.param({"x-api-ratelimit-limit": "ten"}, 0.5, id="no-number"),
        pytest.param(headers(0, 1), 0.5, id="a-limit-of-nothing"),
        pytest.param(headers(-2, 1, -1), 0.5, id="negative"),
        pytest.param(headers("nan", "inf", "1e9"), 0.5, id="absurd"),
        pytest.param({}, 0.5, id="nothing-announced"),
    ],
)
def test_what_an_answer_announces_holds_from_then_on(announced: dict[str, str], spacing: float) -> None:
    clock = Clock()
    pace = Pace(Budget(2), clock)
    pace.learn(pace.await_turn(clock.limits()), announced)
    pace.await_turn(clock.limits())
    assert clock.pauses == [pytest.approx(spacing * MARGIN)]


def test_a_budget_that_our_own_calls_use_up_is_no_reason_to_wait_longer() -> None:
    clock = Clock()
    pace = Pace(Budget(2), clock)
    for remaining in (1, 0, 0):
        pace.learn(pace.await_turn(clock.limits()), headers(2, remaining))
    assert clock.pauses == [pytest.approx(SPACING)] * 2


def test_a_start_beyond_the_deadline_is_not_waited_for() -> None:
    clock = Clock()
    pace = Pace(Budget(1, 60), clock)
    pace.await_turn(clock.limits())
    with pytest.raises(OutOfTime):
        pace.await_turn(clock.limits(30))
    assert clock.pauses == []


def test_a_list_that_the_budget_makes_too_long_is_a_timeout_that_says_why() -> None:
    clock = Clock()
    central = Budgeted(clock, [vm(number) for number in range(2000)])
    client = central.central()
    clusters = client.clusters(clock.limits()).items
    with pytest.raises(PrismError) as caught:
        client.vms(clusters, clock.limits(5))
    assert caught.value.kind == "timeout"
    assert str(caught.value).startswith(f"{TITLE} allows 2 such calls in 1 s, and the time for reading it was up")
    assert clock.now <= 1000 + 6
    reading = read_cluster(client, name="a", hosting_connection="c", since=SINCE, limits=clock.limits(5))
    assert reading.status is ReadStatus.UNREACHABLE


@pytest.mark.parametrize("retry_after", [None, "3"])
def test_a_429_is_asked_again_after_a_whole_period_or_what_it_says(retry_after: str | None) -> None:
    clock = Clock()
    central = Budgeted(clock, [vm(1)])
    started: list[float] = []

    def busy(request: requests.PreparedRequest) -> Reply:
        started.append(clock.now)
        if len(started) > 2:
            return central._budgeted(request)
        return Reply(status=429, headers={"Retry-After": retry_after} if retry_after else {})

    central.override[VMS.format(2)] = busy
    client = central.central()
    assert len(client.vms(client.clusters(clock.limits()).items, clock.limits()).items) == 1
    gaps = [later - earlier for earlier, later in zip(started, started[1:], strict=False)]
    assert gaps == [pytest.approx(float(retry_after or MARGIN))] * 2


@pytest.mark.parametrize("group", ["RATE_LIMIT_EXCEEDED", "RATE_LIMIT_ERROR"])
@pytest.mark.parametrize("status", [400, 403, 409])
def test_a_rate_error_under_another_4xx_is_asked_again_after_a_whole_period(group: str, status: int) -> None:
    clock = Clock()
    central = Budgeted(clock, [vm(1)])
    started: list[float] = []

    def busy(request: requests.PreparedRequest) -> Reply:
        started.append(clock.now)
        return error(group, "slower", status=status) if len(started) < 3 else central._budgeted(request)

    central.override[VMS.format(2)] = busy
    client = central.central()
    assert len(client.vms(client.clusters(clock.limits()).items, clock.limits()).items) == 1
    assert started == [pytest.approx(1000 + number * MARGIN) for number in range(3)]


TOO_BUSY = [Reply(status=429), error("RATE_LIMIT_ERROR", "slower.", status=400)]


@pytest.mark.parametrize("reply", TOO_BUSY)
def test_a_prism_that_stays_too_busy_is_throttling_after_a_minute(reply: Reply) -> None:
    clock = Clock()
    central = Budgeted(clock, [])
    central.override[VMS.format(2)] = reply
    client = central.central()
    clusters = client.clusters(clock.limits()).items
    with pytest.raises(PrismError, match="let fewer clients read it at the same time") as caught:
        client.vms(clusters, clock.limits(attempts=3))
    assert (caught.value.kind, caught.value.retryable) == ("throttled", True)
    assert 1060 <= clock.now <= 1070
    assert len(central.asked_for(VMS.format(2))) <= 60


@pytest.mark.parametrize("reply", TOO_BUSY)
def test_who_has_one_attempt_does_not_wait_for_a_busy_prism(reply: Reply) -> None:
    clock = Clock()
    central = Budgeted(clock, [])
    central.override[VMS.format(2)] = reply
    client = central.central()
    clusters = client.clusters(clock.limits()).items
    with pytest.raises(PrismError, match="let fewer clients read it at the same time"):
        client.vms(clusters, clock.limits(attempts=1))
    assert len(central.asked_for(VMS.format(2))) == 1


def test_a_reader_that_another_process_leaves_no_room_for_a_while_goes_on_afterwards() -> None:
    clock = Clock()
    central = Budgeted(clock, [vm(1)])

    def another_process() -> None:
        if clock.now < 1030:
            central.calls.extend((clock.now - 0.7, clock.now - 0.2))

    central.before_each = another_process
    client = central.central()
    assert len(client.vms(client.clusters(clock.limits()).items, clock.limits()).items) == 1
    assert central.refused > 4


def test_vms_stay_when_the_budget_does_not_suffice_for_the_jobs_too() -> None:
    clock = Clock()
    central = Budgeted(clock, [vm(1)])
    central.lists["config/recovery-plan-jobs"] = [job_v4(1)]
    central.steps[uid(1)] = [{"extId": uid(100 + number), "operationType": "VM_POWER_ON"} for number in range(2_000)]
    client = central.central()
    reading = read_cluster(client, name="a", hosting_connection="c", since=SINCE, limits=clock.limits(10))
    assert (reading.status, len(reading.vms), reading.jobs) == (ReadStatus.ANSWERED, 1, None)
    assert "allows 1 such calls in 1 s, and the time for reading it was up" in str(reading.error)


def test_vms_stay_when_the_budget_does_not_suffice_for_the_names_of_their_categories() -> None:
    clock = Clock()
    central = Budgeted(clock, [vm(1, categories=[{"extId": uid(7)}])])
    central.lists["config/categories"] = [{"extId": uid(n), "key": "Tier", "value": str(n)} for n in range(8, 5_000)]
    client = central.central()
    reading = read_cluster(client, name="a", hosting_connection="c", since=SINCE, limits=clock.limits(3))
    assert [each.categories for each in reading.vms] == [None]


def test_a_list_that_there_is_no_time_to_read_twice_is_incomplete_and_not_dead() -> None:
    clock = Clock()
    central = Budgeted(clock, [vm(number) for number in range(2_000)])
    central.totals["ahv/config/vms"] = 2_001
    client = central.central()
    reading = read_cluster(client, name="a", hosting_connection="c", since=SINCE, limits=clock.limits(15))
    assert (reading.status, len(reading.vms)) == (ReadStatus.INCOMPLETE, 2_000)
    assert "listed 2000 of 2001 VMs" in str(reading.error)


def test_the_leftovers_that_there_was_time_to_ask_for_are_known() -> None:
    clock = Clock()
    central = Budgeted(clock, [])
    decoupled = Reply({"data": {"siteProtectionInfo": [{"synchronousReplicationRole": "DECOUPLED"}]}})
    vms = [VmUuid(uid(number)) for number in range(100)]
    for each in vms:
        central.override[f"/api/dataprotection/v4.2/config/protected-resources/{each}"] = decoupled
    found = central.central().decoupled(vms, clock.limits(10))
    assert found == set(vms[: len(found)])
    assert 5 <= len(found) <= 10


def test_a_rate_error_never_hides_a_refused_password() -> None:
    clock = Clock()
    central = Budgeted(clock, [])
    central.override[VMS.format(2)] = error("RATE_LIMIT_ERROR", status=401)
    client = central.central()
    clusters = client.clusters(clock.limits()).items
    with pytest.raises(PrismError, match="refused the user name or password") as caught:
        client.vms(clusters, clock.limits())
    assert caught.value.kind == "sign-in"
    assert len(central.asked_for(VMS.format(2))) == 1


def test_signing_in_again_takes_its_turn_like_any_call() -> None:
    clock = Clock()
    central = Budgeted(clock, [vm(1)])
    client = central.central()
    clusters = client.clusters(clock.limits()).items
    central.session.cookies.set("NTNX_IAM_SESSION", "old")
    started: list[float] = []

    def expired(request: requests.PreparedRequest) -> Reply:
        started.append(clock.now)
        return Reply(status=401) if request.headers.get("Cookie") else central._budgeted(request)

    central.override[VMS.format(2)] = expired
    assert len(client.vms(clusters, clock.limits()).items) == 1
    assert started[1] - started[0] == pytest.approx(SPACING)
