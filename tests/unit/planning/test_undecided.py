"""What a plan leaves open: which VMs to ask about once more, and how many machines time may still bring."""

from __future__ import annotations

import pytest

from shared.model.citrix import Machine
from shared.model.nutanix import ClusterReading, ReadStatus
from shared.planning.undecided import FEW, MOST_ASKED, doubtful_vms, unsettled
from tests.unit.planning.builders import (
    OFF,
    central,
    connection,
    domain,
    element,
    machine,
    plan_of,
    silent,
    site,
    uid,
    vm,
)

BARE = element("paris")


def asked(*readings: ClusterReading, record: Machine | None = None, target: str | None = None) -> dict[str, set[str]]:
    """The labels of the VMs to ask about, by cluster."""
    made = plan_of(record or machine(), *readings, target=target)
    labels = {uid(label): label for label in ("u1", "new", "twin", "plain")}
    return {name: {labels[one] for one in vms} for name, vms in doubtful_vms(made.findings, readings).items()}


METRO = (
    central("paris", {"C1": [vm(by_rule=True)]}),
    central("amsterdam", {"C2": [vm("new", by_rule=True)]}),
)

ASKED = [
    pytest.param(
        METRO, None, {"paris": {"u1"}, "amsterdam": {"new"}}, id="both of an ambiguous machine, each at its Central"
    ),
    pytest.param(
        (central("paris", {"C1": [vm(by_rule=True)], "C2": [vm("new", by_rule=True)]}),),
        None,
        {"paris": {"u1", "new"}},
        id="both clusters of one Central",
    ),
    pytest.param(
        (central("paris", {"C1": [vm(by_rule=True), vm("plain")]}),),
        None,
        {"paris": {"u1"}},
        id="not a VM that no protection policy protects",
    ),
    pytest.param(
        (central("paris", {"C1": [vm(power=OFF, by_rule=True)]}), element("amsterdam", vm("new"))),
        None,
        {"paris": {"u1"}},
        id="those of a weak remap between several",
    ),
    pytest.param(
        (element("paris", vm(), cluster="C1"), central("amsterdam", {"C1": [vm(by_rule=True)], "C2": [vm("new")]})),
        None,
        {"amsterdam": {"u1"}},
        id="a VM that an Element lists, at the Central that can tell",
    ),
    pytest.param(
        (silent("paris"), central("amsterdam", {"C2": [vm("new", by_rule=True), vm("twin", by_rule=True)]})),
        "amsterdam",
        {"amsterdam": {"new", "twin"}},
        id="several at the target",
    ),
    pytest.param(
        (METRO[0], central("amsterdam", {"C2": [vm("new", by_rule=True)]}, api="central-v3")),
        None,
        {"paris": {"u1"}},
        id="not at a Central whose API cannot tell",
    ),
    pytest.param((BARE, METRO[1]), None, {"amsterdam": {"new"}}, id="the one that a remap leads to by name alone"),
    pytest.param(
        (BARE, central("amsterdam", {"C2": [vm("new", power=OFF, by_rule=True)]})),
        None,
        {"amsterdam": {"new"}},
        id="the one of a weak remap",
    ),
    pytest.param(
        (
            central("paris", {"C1": [vm(by_rule=True)]}),
            central("amsterdam", {"C2": [vm("new", power=OFF, by_rule=True)]}),
        ),
        None,
        {},
        id="none for a machine that is aligned",
    ),
    pytest.param(
        (BARE, central("amsterdam", {"C2": [vm(by_rule=True), vm("new", power=OFF, by_rule=True)]})),
        None,
        {},
        id="none for a remap that is sure",
    ),
]


@pytest.mark.parametrize(("readings", "target", "expected"), ASKED)
def test_which_vms_are_asked_about(
    readings: tuple[ClusterReading, ...], target: str | None, expected: dict[str, set[str]]
) -> None:
    assert asked(*readings, target=target) == expected


def test_the_answer_decides_between_the_copies_of_a_metro_failover() -> None:
    left = (central("paris", {"C1": [vm(by_rule=True, decoupled=True)]}), METRO[1])
    (finding,) = plan_of(machine(), *left).findings
    assert [one.uuid for one in finding.candidates] == [uid("new")]
    assert (finding.kind, finding.confidence) == ("remap", "weak")
    (other,) = doubtful_vms([finding], left).values()
    assert other == (uid("new"),), "the other copy may be a leftover, too"


def test_those_that_remaps_lead_to_by_name_alone_are_asked_about_only_where_they_are_few() -> None:
    def asked_after(remaps: int) -> int:
        records = [machine(f"W11-{n}", holds=f"gone {n}") for n in range(remaps)]
        there = central("amsterdam", {"C2": [vm(f"new {n}", f"W11-{n}", by_rule=True) for n in range(remaps)]})
        findings = plan_of(records, BARE, there).findings
        assert {finding.kind for finding in findings} == {"remap"}
        return sum(map(len, doubtful_vms(findings, (BARE, there)).values()))

    assert [asked_after(number) for number in (1, FEW, FEW + 1, 50)] == [1, FEW, 0, 0]


def test_at_most_so_many_are_asked_of_one_central_and_ambiguous_machines_go_first() -> None:
    weak = [machine(f"A-{n:03}", holds=f"old {n}") for n in range(MOST_ASKED)]
    torn = [machine(f"Z-{n}", holds=f"gone {n}", at="amsterdam") for n in range(3)]
    paris = central("paris", {"C1": [vm(f"old {n}", f"A-{n:03}", OFF, by_rule=True) for n in range(MOST_ASKED)]})
    living = [vm(f"new {n}", f"A-{n:03}") for n in range(MOST_ASKED)]
    twins = [vm(f"{side} {n}", f"Z-{n}", by_rule=True) for n in range(3) for side in ("one", "two")]
    readings = (paris, element("amsterdam", *living), central("london", {"C3": twins}))
    whole = central("berlin", {"C1": paris.vms, "C3": twins})
    made = plan_of((*weak, *torn), *readings, whole)
    found = doubtful_vms(made.findings, (*readings, whole))
    assert {len(found["paris"]), len(found["berlin"])} == {MOST_ASKED}
    assert set(found["london"]) == {one.uuid for one in twins} == set(found["berlin"][:6])


DARK = silent("amsterdam")
WAITING = [
    pytest.param((BARE, element("amsterdam")), 1, id="it is nowhere"),
    pytest.param((element("paris", vm(power=OFF)), element("amsterdam")), 1, id="its own VM is off"),
    pytest.param((silent("paris"), element("amsterdam")), 1, id="its cluster is dead"),
    pytest.param((BARE, element("amsterdam"), element("london", vm("n"))), 1, id="a namesake runs elsewhere"),
    pytest.param((silent("paris"), DARK), 1, id="the target is dead"),
    pytest.param(
        (silent("paris"), element("amsterdam", status=ReadStatus.INCOMPLETE)), 1, id="the target is incomplete"
    ),
    pytest.param((element("paris", vm()), element("amsterdam")), 0, id="its own VM runs where it was"),
    pytest.param((element("paris", vm()), DARK), 0, id="its own VM runs, and the target is dead"),
    pytest.param((BARE, element("amsterdam"), element("london", vm())), 0, id="its own VM runs elsewhere"),
    pytest.param((element("paris", vm(power=OFF, in_flux=True)), element("amsterdam")), 1, id="it is on its way"),
    pytest.param((element("paris", vm(in_flux=True)), element("amsterdam")), 0, id="it is on its way, still running"),
    pytest.param((silent("paris"), element("amsterdam", vm("new", in_flux=True))), 0, id="it is arriving"),
    pytest.param((silent("paris"), element("amsterdam", vm("new"))), 0, id="the target has it"),
    pytest.param((silent("paris"), element("amsterdam", vm("new", power=OFF))), 0, id="the target has it, off"),
    pytest.param((silent("paris"), element("amsterdam", vm("new"), vm("twin"))), 0, id="the target has several"),
]


@pytest.mark.parametrize(("readings", "expected"), WAITING)
def test_a_machine_that_is_neither_seen_on_nor_found_at_the_target_is_waited_for(
    readings: tuple[ClusterReading, ...], expected: int
) -> None:
    assert unsettled(plan_of(machine(), *readings, target="amsterdam").findings, "amsterdam") == expected


def test_a_machine_that_is_found_and_may_not_be_moved_is_not_waited_for() -> None:
    asleep = site(machine(), connections=[connection("amsterdam", in_maintenance=True)])
    found = plan_of(asleep, silent("paris"), element("amsterdam", vm("new")), target="amsterdam").findings
    assert [finding.reason for finding in found] == ["connection-in-maintenance"]
    assert unsettled(found, "amsterdam") == 0


def test_two_machines_on_one_vm_that_is_gone_are_waited_for() -> None:
    records = [machine(), machine("W11-002")]
    found = plan_of(records, BARE, element("amsterdam"), target="amsterdam").findings
    assert [finding.kind for finding in found] == ["conflict", "conflict"]
    assert unsettled(found, "Amsterdam") == 2


def test_every_machine_counts_and_those_out_of_reach_do_not() -> None:
    records = [machine(f"W11-{n}", holds=f"gone {n}") for n in range(3)] + [machine("DISK", at=None, holds=None)]
    assert unsettled(plan_of(records, BARE, element("amsterdam"), target="amsterdam").findings, "amsterdam") == 3


def test_a_split_domain_asks_too() -> None:
    sides = (
        element("paris", vm(), domains=[domain("PD1", ("u1", "W11-001"))], cluster="C1"),
        element("london", vm("new"), domains=[domain("PD1", ("new", "W11-001"))], cluster="C2"),
        central("amsterdam", {"C1": [vm(by_rule=True)], "C2": [vm("new", by_rule=True)]}),
    )
    assert asked(*sides) == {"amsterdam": {"u1", "new"}}
