"""Recovery plan jobs as lineage: their maps in time order, and what a plan makes of them (design, section 4)."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.model.citrix import Machine
from shared.model.finding import Finding
from shared.model.nutanix import ClusterReading, ReadStatus, RecoveryJob
from shared.planning.lineage import Lineages
from tests.unit.planning.builders import (
    ALIGNED,
    MOVED,
    NO_VM,
    NOT_THERE,
    OFF,
    REPLACED,
    SEVERAL,
    UNREACHABLE,
    central,
    domain,
    element,
    finding_of,
    job,
    landing,
    machine,
    plan_of,
    silent,
    to,
    uid,
    verdict,
    vm,
)
from tests.unit.planning.estates import ends_of, job_lists


def ends(jobs: Iterable[RecoveryJob], held: str = "a") -> set[str]:
    found = Lineages(jobs).of(uid(held)).ends
    return {label for label in "abcdefx" if uid(label) in found}


CHAINS = [
    pytest.param([], "", id="no job knows it"),
    pytest.param([job(("x", "b"))], "", id="a job about another VM"),
    pytest.param([job(("a", "b"))], "b", id="one job"),
    pytest.param([job(("a", "a"), action="MIGRATE")], "a", id="a job that kept the UUID"),
    pytest.param([job(("a", "b"), hour=0), job(("b", "c"), hour=1)], "c", id="two jobs, one after the other"),
    pytest.param([job(("b", "c"), hour=1), job(("a", "b"), hour=0)], "c", id="in whatever order they were read"),
    pytest.param([job(("b", "c"), hour=0), job(("a", "b"), hour=1)], "b", id="what b became before it was made"),
    pytest.param([job(("a", "b"), hour=0), job(("b", "a"), hour=1)], "a", id="failover and failback"),
    pytest.param([job(("b", "a"), hour=0), job(("a", "b"), hour=1)], "b", id="failback and failover again"),
    pytest.param([job(("a", "b")), job(("b", "a"), hour=1), job(("a", "c"), hour=2)], "c", id="there, back, elsewhere"),
    pytest.param([job(("a", "b")), job(("b", "b"), hour=1)], "b", id="a move that kept the new UUID"),
    pytest.param([job(("a", "b")), job(("a", "c"), hour=1)], "bc", id="recovered twice from one original"),
    pytest.param([job(("a", "b"), ("a", "c"))], "bc", id="recovered twice in one job"),
    pytest.param([job(("a", "b")), job(("a", "c")), job(("c", "d"), hour=1)], "bd", id="one of two ends goes on"),
    pytest.param([job(("a", "b"), ("b", "c"))], "b", id="the moves of one job are no chain"),
    pytest.param([job(("a", "b"), test=True)], "", id="a test is no lineage"),
    pytest.param([job(("a", "b")), job(("b", "x"), hour=1, test=True)], "b", id="nor is one of the new VM"),
    pytest.param([job(("a", "x"), test=True), job(("a", "b"), hour=1)], "b", id="a test before the failover"),
]


@pytest.mark.parametrize(("jobs", "expected"), CHAINS)
def test_the_ends_of_what_a_became(jobs: list[RecoveryJob], expected: str) -> None:
    assert ends(jobs) == set(expected)


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(job_lists, st.sampled_from("abcd"), st.integers(0, 2**32))
def test_every_way_through_the_jobs_is_followed_in_time_order_and_none_other(
    jobs: tuple[RecoveryJob, ...], held: str, seed: int
) -> None:
    shuffled = Random(seed).sample(jobs, len(jobs))
    assert Lineages(shuffled).of(uid(held)) == Lineages(jobs).of(uid(held))
    assert Lineages(jobs).of(uid(held)).ends == ends_of(uid(held), jobs)


def test_a_test_names_its_copies_and_not_the_vms_that_it_copied() -> None:
    jobs = [job(("a", "x"), ("b", "b"), test=True), job(("c", "d"))]
    assert Lineages(jobs).test_copies == {uid("x")}


def test_the_links_are_told_in_time_order() -> None:
    jobs = [job(("b", "c"), hour=5), job(("a", "b"), hour=1)]
    assert [(link.source, link.recovered) for link in Lineages(jobs).of(uid("a")).links] == [
        (uid("a"), uid("b")),
        (uid("b"), uid("c")),
    ]


def test_a_long_history_with_many_forks_is_followed_once() -> None:
    """Every UUID leads to both of the next level: 2^200 ways, 400 links."""
    jobs = [
        job(*((f"{level}{one}", f"{level + 1}{two}") for one in "ab" for two in "ab"), hour=level, id_=f"{level:03}")
        for level in range(200)
    ]
    found = Lineages(jobs).of(uid("0a"))
    assert found.ends == {uid("200a"), uid("200b")}
    assert len(found.links) == 2 + 199 * 4


MOVE = job(("u1", "new"))
TEST_COPY = job(("u1", "copy"), test=True)


def case(
    name: str,
    expected: tuple[str, str],
    *readings: ClusterReading,
    target: str | None = None,
    record: Machine | None = None,
) -> object:
    return pytest.param(record or machine(), readings, target, expected, id=name)


PLANS = [
    case("the map finds a VM under another name", MOVED,
         element("paris"), central("amsterdam", {"C": [vm("new", "DR-1")]}, jobs=[MOVE])),
    case("the job is told by another Central than the one that lists the VM", MOVED,
         element("paris"), element("amsterdam", vm("new", "DR-1")), central("london", {"C": []}, jobs=[MOVE])),
    case("the map leads to a VM on the same cluster", REPLACED,
         central("paris", {"C": [vm("new", "DR-1")]}, jobs=[MOVE])),
    case("the map's end is nowhere, nor is a namesake", NO_VM,
         element("paris"), central("amsterdam", {"C": []}, jobs=[MOVE])),
    case("the original is off: the recovered VM is the live one", MOVED,
         element("paris", vm(power=OFF)), central("amsterdam", {"C": [vm("new")]}, jobs=[MOVE])),
    case("a map does not outrank power: both run", SEVERAL,
         element("paris", vm()), central("amsterdam", {"C": [vm("new")]}, jobs=[MOVE])),
    case("a map does not outrank power: only the original runs", ALIGNED,
         element("paris", vm()), central("amsterdam", {"C": [vm("new", power=OFF)]}, jobs=[MOVE])),
    case("a map does not outrank power: neither runs", SEVERAL,
         element("paris", vm(power=OFF)), central("amsterdam", {"C": [vm("new", power=OFF)]}, jobs=[MOVE])),
    case("a running namesake that no job knows, beside the map's end", SEVERAL,
         element("paris", vm("n")), central("amsterdam", {"C": [vm("new", "DR-1")]}, jobs=[MOVE])),
    case("with a target both may run", MOVED, element("paris", vm()),
         central("amsterdam", {"C": [vm("new", "DR-1")]}, jobs=[MOVE]), target="amsterdam"),
    case("the map's end is not at the target", NOT_THERE, element("paris"), element("amsterdam"),
         central("london", {"C": [vm("new", "DR-1")]}, jobs=[MOVE]), target="amsterdam"),
    case("a live migration kept the UUID and left nothing behind", MOVED, element("paris"),
         central("amsterdam", {"C": [vm()]}, jobs=[job(("u1", "u1"), action="LIVE_MIGRATE")])),
    case("failover and failback: the record is right again", ALIGNED,
         element("paris", vm()), central("amsterdam", {"C": [vm("new", power=OFF)]},
                                         jobs=[MOVE, job(("new", "u1"), hour=1)])),
    case("failback into a third UUID", REPLACED,
         central("paris", {"C": [vm("back", "DR-1")]}, jobs=[MOVE, job(("new", "back"), hour=1)])),
    case("a job of a dead Central is not known", UNREACHABLE,
         element("paris"), silent("amsterdam"), element("london", vm("new", "DR-1"))),
    case("another cluster is dead: a remap by a map stands", MOVED,
         element("paris"), central("amsterdam", {"C": [vm("new", "DR-1")]}, jobs=[MOVE]), silent("london")),
    case("the present cluster is dead: a map does not say that it is gone there", UNREACHABLE,
         silent("paris"), central("amsterdam", {"C": [vm("new", "DR-1")]}, jobs=[MOVE])),
    case("the map's end stands on a registered cluster that is down", UNREACHABLE,
         element("paris"), central("amsterdam", {"C": [vm("new", "DR-1")]}, jobs=[MOVE], down=["C"])),
    case("the map's end is an agent VM", NO_VM,
         element("paris"), central("amsterdam", {"C": [vm("new", "DR-1", agent=True)]}, jobs=[MOVE])),
    case("the map's end is still on its way", ("unknown", "vm-in-flux"),
         element("paris"), central("amsterdam", {"C": [vm("new", "DR-1", in_flux=True)]}, jobs=[MOVE])),
    case("a running copy for a test takes nothing from a healthy machine", ALIGNED,
         element("paris", vm()), central("amsterdam", {"C": [vm("copy")]}, jobs=[TEST_COPY])),
    case("a copy for a test is nobody's VM, whatever else is gone", NO_VM,
         element("paris"), central("amsterdam", {"C": [vm("copy")]}, jobs=[TEST_COPY])),
    case("nor with a target", NOT_THERE, silent("paris"),
         central("amsterdam", {"C": [vm("copy")]}, jobs=[TEST_COPY]), target="amsterdam"),
    case("nor as an Element sees it", NO_VM, element("paris"), element("amsterdam", vm("copy"), cluster="C"),
         central("london", {"C": [vm("copy")]}, jobs=[TEST_COPY])),
    case("nor by its BIOS UUID", NO_VM,
         element("paris"), central("amsterdam", {"C": [vm("copy", "x", bios="u1")]}, jobs=[TEST_COPY])),
    case("nor by a snapshot of a protection domain", NO_VM, element("paris"),
         element("amsterdam", vm("copy", "DR-1"), cluster="C",
                 domains=[domain("PD1", ("copy", "DR-1"), snapshots=[("u1", "DR-1")])]),
         central("london", {"C": []}, jobs=[TEST_COPY])),
    case("nor where the record names it", NO_VM,
         central("paris", {"C": [vm("copy")]}, jobs=[TEST_COPY]), record=machine(holds="copy")),
    case("beside it the recovered VM is found", MOVED, element("paris"),
         central("amsterdam", {"C": [vm("copy"), vm("new")]}, jobs=[TEST_COPY, job(("u1", "new"), hour=1)])),
    case("the original of a test that kept its UUID is no copy", ALIGNED,
         central("paris", {"C": [vm()]}, jobs=[job(("u1", "u1"), test=True)])),
    case("a decoupled leftover is no candidate", MOVED,
         central("paris", {"C": [vm(decoupled=True)]}), element("amsterdam", vm("new"))),
    case("a decoupled leftover alone is no VM", NO_VM, central("paris", {"C": [vm(decoupled=True)]})),
    case("a decoupled leftover at the target is none", NOT_THERE,
         silent("paris"), central("amsterdam", {"C": [vm("new", decoupled=True)]}), target="amsterdam"),
    case("nor as an Element sees it that has no word for it", NO_VM,
         element("paris", vm(), cluster="C"), central("amsterdam", {"C": [vm(decoupled=True)]})),
    case("the same UUID on the other cluster is another copy", MOVED,
         central("paris", {"C": [vm(decoupled=True)]}), element("amsterdam", vm())),
]  # fmt: skip


@pytest.mark.parametrize(("record", "readings", "target", "expected"), PLANS)
def test_what_a_plan_makes_of_jobs(
    record: Machine, readings: tuple[ClusterReading, ...], target: str | None, expected: tuple[str, str]
) -> None:
    assert verdict(record, *readings, target=target) == expected


def found(*readings: ClusterReading, target: str | None = None) -> Finding:
    record = machine()
    return finding_of(plan_of(record, *readings, target=target), record)


def test_a_remap_by_a_map_leads_to_its_end() -> None:
    jobs = [MOVE, job(("new", "next"), hour=1)]
    away = central("amsterdam", {"C": [vm("new", "DR-1"), vm("next", "DR-2")]}, jobs=jobs)
    assert landing(found(element("paris"), away)) == to("amsterdam", "next")


def test_the_map_that_counts_is_shown_with_its_job_and_when_that_ended() -> None:
    last = job(("new", "next"), hour=5, action="UNPLANNED_FAILOVER", id_="job-7", name="Paris to Amsterdam")
    finding = found(element("paris"), central("amsterdam", {"C": [vm("next", "DR-1")]}, jobs=[last, MOVE]))
    told = [fact for fact in finding.evidence if fact.source.startswith("recovery-plan-job")]
    assert [fact.kind for fact in told] == ["lineage", "lineage"]
    assert told[1].source == "recovery-plan-job job-7"
    for part in ("UNPLANNED_FAILOVER", "Paris to Amsterdam", "2026-11-20 08:00 UTC", uid("new"), uid("next")):
        assert part in told[1].detail


def test_a_move_that_kept_the_uuid_says_so() -> None:
    finding = found(element("paris"), central("amsterdam", {"C": [vm()]}, jobs=[job(("u1", "u1"), action="MIGRATE")]))
    assert any("MIGRATE" in fact.detail and "kept its UUID" in fact.detail for fact in finding.evidence)


def test_two_ends_are_both_shown_and_power_decides() -> None:
    jobs = [MOVE, job(("u1", "again"), hour=1)]
    both = central("amsterdam", {"C": [vm("new", "DR-1"), vm("again", "DR-2")]}, jobs=jobs)
    finding = found(element("paris"), both)
    assert (finding.kind, finding.reason) == SEVERAL
    assert {one.uuid for one in finding.candidates} == {uid("new"), uid("again")}
    one = central("amsterdam", {"C": [vm("new", "DR-1", OFF), vm("again", "DR-2")]}, jobs=jobs)
    assert landing(found(element("paris"), one)) == to("amsterdam", "again")


def test_a_maps_end_that_bears_another_machines_name_is_that_machines() -> None:
    record, other = machine("W11-001"), machine("W11-002", holds="new", at="amsterdam")
    away = central("amsterdam", {"C": [vm("new", "W11-002")]}, jobs=[MOVE])
    assert verdict(record, element("paris"), away, others=[other]) == NO_VM
    assert verdict(other, element("paris"), away, others=[record]) == ALIGNED


def test_a_job_of_an_incomplete_read_counts_for_what_it_says() -> None:
    part = central("amsterdam", {"C": [vm("new", "DR-1")]}, jobs=[MOVE], status=ReadStatus.INCOMPLETE)
    made = plan_of(machine(), element("paris"), part)
    assert [guard.name for guard in made.guards] == ["incomplete-read"]
    assert made.findings[0].confidence == "proven"


def test_a_map_of_a_vm_that_a_job_calls_by_another_machines_name_is_that_machines() -> None:
    """The record was wrong before: it held the VM of W11-002, which has been renamed since."""
    moved = job(("u1", "new"), called="W11-002")
    there = central("amsterdam", {"C": [vm("new", name="restored")]}, jobs=[moved])
    wrong, owner = machine(), machine("W11-002", holds="u2")
    plan = plan_of((wrong, owner), element("paris"), there)
    assert finding_of(plan, wrong).kind == "missing"
    alone = finding_of(plan_of(wrong, element("paris"), there), wrong)
    assert (alone.kind, alone.confidence) == ("remap", "proven")


def test_such_a_map_does_not_speak_against_the_machines_own_name() -> None:
    moved = job(("u1", "new"), called="W11-002")
    there = central("amsterdam", {"C": [vm("new", name="restored"), vm("mine")]}, jobs=[moved])
    wrong, owner = machine(), machine("W11-002", holds="u2")
    finding = finding_of(plan_of((wrong, owner), element("paris"), there), wrong)
    assert (finding.confidence, landing(finding)) == ("strong", to("amsterdam", "mine"))


def test_a_job_that_both_prism_centrals_tell_of_is_shown_once_with_what_either_knows() -> None:
    half, whole = job(("x", "y"), id_="one"), job(("u1", "new"), id_="one")
    record = machine()
    source = central("paris", {"P": []}, jobs=[half, whole])
    there = central("amsterdam", {"A": [vm("new")]}, jobs=[whole])
    finding = finding_of(plan_of(record, source, there), record)
    assert finding.confidence == "proven"
    assert [fact.source for fact in finding.evidence].count("recovery-plan-job one") == 1
