"""What is decided about one machine alone: reading and rules 1 to 7 of the design's section 4."""

from __future__ import annotations

import pytest

from shared.errors import PlanImpossible
from shared.model.citrix import Machine
from shared.model.nutanix import ClusterReading, ReadStatus
from shared.planning.plan import parse_target
from tests.unit.planning.builders import (
    ALIGNED,
    DEAD,
    IN_FLUX,
    INCOMPLETE,
    MOVED,
    NO_VM,
    NOT_THERE,
    OFF,
    ON,
    OTHER,
    REPLACED,
    SEVERAL,
    SPLIT,
    UNREACHABLE,
    central,
    cluster_uuid,
    domain,
    element,
    finding_of,
    landing,
    machine,
    plan_of,
    silent,
    to,
    uid,
    verdict,
    vm,
)

PART = ReadStatus.INCOMPLETE
BARE = element("paris")  # the cluster of the machine's present connection answers whole, and has nothing


def case(name: str, expected: tuple[str, str], *readings: ClusterReading, record: Machine | None = None) -> object:
    return pytest.param(record or machine(), readings, expected, id=name)


LISTS = [
    case("own VM where the record says", ALIGNED, element("paris", vm())),
    case("own VM where the record says, off and alone", ALIGNED, element("paris", vm(power=OFF))),
    case("own VM suspended and alone", ALIGNED, element("paris", vm(power=OTHER))),
    case("own VM under a name that is nobody's", ALIGNED, element("paris", vm(name="renamed"))),
    case("nobody has it", NO_VM, BARE, element("amsterdam", vm("x", "W11-002"))),
    case("an incomplete list: what it saw exists", ALIGNED, element("paris", vm(), status=PART)),
    case("an incomplete list: what it did not see proves nothing", INCOMPLETE, element("paris", status=PART)),
    case("another cluster's list is incomplete and nobody shows the VM", INCOMPLETE, BARE,
         element("amsterdam", status=PART)),
    case("the Central lists it on a cluster that it reports as unavailable", UNREACHABLE,
         central("paris", {"CL1": [vm()]}, down=["CL1"])),
    case("the Central's other cluster is unavailable and could hold it", UNREACHABLE,
         central("paris", {"CL1": [], "CL2": []}, down=["CL2"])),
    case("the Central's other cluster is unavailable, and the own VM runs on the first", ALIGNED,
         central("paris", {"CL1": [vm()], "CL2": []}, down=["CL2"])),
    case("a namesake on an unavailable cluster does not count", ALIGNED,
         element("paris", vm()), central("amsterdam", {"CL1": [vm("n")]}, down=["CL1"])),
    case("one VM seen through Element and Central is one VM", ALIGNED,
         element("paris", vm(), cluster="CL1"), central("amsterdam", {"CL1": [vm()]})),
    case("the same UUID on two clusters is two copies, both on", SEVERAL,
         element("paris", vm()), element("amsterdam", vm())),
    case("an Element's word that it is off goes before a Central's that it is on", REPLACED,
         central("amsterdam", {"CL1": [vm("u1", power=ON)]}, connection="paris"),
         element("paris", vm("u1", power=OFF), vm("n"), cluster="CL1")),
    case("an Element's word that it is on goes before a Central's that it is off", ALIGNED,
         central("amsterdam", {"CL1": [vm("u1", power=OFF)]}, connection="paris"),
         element("paris", vm("u1", power=ON), vm("n", power=OFF), cluster="CL1")),
    case("a Central that calls a cluster unavailable, and its Element answers", ALIGNED,
         central("amsterdam", {"CL1": [vm(power=OFF)]}, down=["CL1"]), element("paris", vm(), cluster="CL1")),
]  # fmt: skip


@pytest.mark.parametrize(("record", "readings", "expected"), LISTS)
def test_reading(record: Machine, readings: tuple[ClusterReading, ...], expected: tuple[str, str]) -> None:
    assert verdict(record, *readings) == expected


ACTIVATED = domain("PD1", ("new", "DR-W11-001"), snapshots=[("u1", "DR-W11-001")])
LINEAGE = [
    case("a PD migrate kept the UUID and moved the cluster", MOVED, BARE, element("amsterdam", vm())),
    case("the own VM elsewhere under a name that is nobody's", MOVED, BARE, element("amsterdam", vm(name="renamed"))),
    case("a stale original that still carries the UUID is no disagreement", MOVED,
         element("paris", vm(power=OFF)), element("amsterdam", vm())),
    case("a snapshot entry names the VM that its domain lists", MOVED, BARE,
         element("amsterdam", vm("new", "DR-W11-001"), domains=[ACTIVATED])),
    case("the entry stands on the passive side, the VM on the active one", MOVED,
         element("paris", domains=[domain("PD1", active=False, snapshots=[("u1", "DR-W11-001")])]),
         element("amsterdam", vm("new", "DR-W11-001"), domains=[domain("PD1", ("new", "DR-W11-001"))])),
    case("a snapshot entry of another old UUID", NO_VM, BARE,
         element("amsterdam", vm("new", "DR-X"), domains=[domain("PD1", ("new", "DR-X"), snapshots=[("u9", "DR-X")])])),
    case("a snapshot entry under another name than the VM's", NO_VM, BARE,
         element("amsterdam", vm("new", "DR-X"), domains=[domain("PD1", ("new", "DR-X"), snapshots=[("u1", "DR-Y")])])),
    case("a snapshot entry of a domain that does not list the VM", NO_VM, BARE,
         element("amsterdam", vm("new", "DR-X"), domains=[domain("PD1", snapshots=[("u1", "DR-X")])])),
    case("a snapshot entry of a domain that is passive where the VM is", NO_VM, BARE,
         element("amsterdam", vm("new", "DR-X"),
                 domains=[domain("PD1", ("new", "DR-X"), active=False, snapshots=[("u1", "DR-X")])])),
    case("a powered-on VM whose BIOS UUID is the hosted machine id", MOVED, BARE,
         central("amsterdam", {"CL1": [vm("new", "other", bios="u1")]})),
    case("a powered-off VM with that BIOS UUID", NO_VM, BARE,
         central("amsterdam", {"CL1": [vm("new", "other", OFF, bios="u1")]})),
    case("a VM with another BIOS UUID", NO_VM, BARE, central("amsterdam", {"CL1": [vm("new", "other", bios="u2")]})),
    case("several carry it and the leaf of the source chain is one", MOVED, BARE,
         central("amsterdam", {"CL1": [vm("a", "x", bios="u1"), vm("b", "y", bios="u1", parent="a")]})),
    case("several carry it and several are leaves", SEVERAL, BARE,
         central("amsterdam", {"CL1": [vm("a", "x", bios="u1"), vm("b", "y", bios="u1")]})),
    case("the leaf was cloned since, under a new BIOS UUID", MOVED, BARE,
         central("amsterdam", {"CL1": [vm("a", "x", bios="u1"), vm("b", "y", bios="u1", parent="a"),
                                       vm("c", "z", bios="c", parent="b")]})),
    case("lineage and name say different running VMs", SEVERAL, BARE,
         central("amsterdam", {"CL1": [vm("a", "x", bios="u1"), vm("b", "W11-001")]})),
    case("a BIOS UUID that only the Central knows counts for a VM that the Element lists too", MOVED,
         BARE, element("amsterdam", vm("new", "other"), cluster="CL1"),
         central("london", {"CL1": [vm("new", "other", bios="u1")]})),
    case("and so where the Central comes first", MOVED,
         BARE, central("london", {"CL1": [vm("new", "other", bios="u1")]}),
         element("amsterdam", vm("new", "other"), cluster="CL1")),
]  # fmt: skip


@pytest.mark.parametrize(("record", "readings", "expected"), LINEAGE)
def test_rule_1_lineage(record: Machine, readings: tuple[ClusterReading, ...], expected: tuple[str, str]) -> None:
    assert verdict(record, *readings) == expected


def test_rule_1_the_leaf_of_the_source_chain_is_the_live_vm() -> None:
    record = machine()
    chain = [vm("a", "x", bios="u1"), vm("b", "y", bios="u1", parent="a"), vm("c", "z", bios="u1", parent="b")]
    made = plan_of(record, BARE, central("amsterdam", {"CL1": chain}))
    assert landing(finding_of(made, record)) == to("amsterdam", "c")


def test_rule_1_an_own_vm_that_bears_another_machines_name_is_no_candidate() -> None:
    record, other = machine("W11-001", holds="u2"), machine("W11-002", holds="gone")
    paris = element("paris", vm("u2", "W11-002"), vm("u1", "W11-001", OFF))
    made = plan_of((record, other), paris)
    assert landing(finding_of(made, record)) == to("paris", "u1")
    assert landing(finding_of(made, other)) == to("paris", "u2")


def test_rule_1_such_an_own_vm_leaves_a_machine_without_any_other_vm_missing() -> None:
    record, other = machine("W11-001", holds="u2"), machine("W11-002", holds="u3", at="amsterdam")
    readings = (element("paris", vm("u2", "W11-002", OFF)), element("amsterdam", vm("u3", "W11-002")))
    assert verdict(record, *readings, others=[other]) == NO_VM


NAMES = [
    case("the VM got a new UUID where it is", REPLACED, element("paris", vm("new"))),
    case("the VM got a new UUID elsewhere", MOVED, BARE, element("amsterdam", vm("new"))),
    case("an agent VM is never one", NO_VM, element("paris", vm("new", agent=True))),
    case("an own VM that is an agent VM is never one", NO_VM, element("paris", vm(agent=True))),
    case("an agent namesake takes nothing", ALIGNED, element("paris", vm(), vm("new", agent=True))),
    case("the own VM is being moved across clusters", IN_FLUX, central("paris", {"CL1": [vm(in_flux=True)]})),
    case("the only namesake is being moved across clusters", IN_FLUX, BARE,
         central("amsterdam", {"CL1": [vm("new", in_flux=True)]})),
    case("an unrelated VM is being moved", ALIGNED, element("paris", vm(), vm("x", "other", in_flux=True))),
    case("the Central's word that it is being moved is not lost where the Element lists it too", IN_FLUX,
         element("paris", vm(), cluster="CL1"), central("amsterdam", {"CL1": [vm(in_flux=True)]})),
]  # fmt: skip


@pytest.mark.parametrize(("record", "readings", "expected"), NAMES)
def test_rules_2_and_3_names_and_what_is_never_a_candidate(
    record: Machine, readings: tuple[ClusterReading, ...], expected: tuple[str, str]
) -> None:
    assert verdict(record, *readings) == expected


ACTIVE_NEW = [domain("PD1", ("new", "W11-001"))]
ACTIVE_OWN = [domain("PD1", ("u1", "W11-001"))]
PASSIVE_OWN = [domain("PD1", ("u1", "W11-001"), active=False)]
LIVE = [
    case("live beats stale: the one powered on", MOVED,
         element("paris", vm(power=OFF)), element("amsterdam", vm("new"))),
    case("a stopped namesake takes nothing from a healthy machine", ALIGNED,
         element("paris", vm()), element("amsterdam", vm("new", power=OFF))),
    case("a suspended namesake takes nothing from a healthy machine", ALIGNED,
         element("paris", vm()), element("amsterdam", vm("new", power=OTHER))),
    case("two powered on: the own VM does not outrank the other", SEVERAL,
         element("paris", vm()), element("amsterdam", vm("new"))),
    case("two powered on where neither is the own VM", SEVERAL, BARE, element("amsterdam", vm("a"), vm("b"))),
    case("two powered off", SEVERAL, element("paris", vm(power=OFF)), element("amsterdam", vm("new", power=OFF))),
    case("two powered on, the new one in the domain's only active side", MOVED,
         element("paris", vm(), domains=PASSIVE_OWN), element("amsterdam", vm("new"), domains=ACTIVE_NEW)),
    case("two powered on, the own one in the domain's only active side", ALIGNED,
         element("paris", vm(), domains=ACTIVE_OWN), element("amsterdam", vm("new"))),
    case("two powered off, one in the domain's only active side", MOVED,
         element("paris", vm(power=OFF)), element("amsterdam", vm("new", power=OFF), domains=ACTIVE_NEW)),
    case("two powered on, each in a domain of its own", SEVERAL,
         element("paris", vm(), domains=ACTIVE_OWN),
         element("amsterdam", vm("new"), domains=[domain("PD2", ("new", "W11-001"))])),
    case("one copy stands in the only active side, same UUID", MOVED,
         element("paris", vm(), domains=PASSIVE_OWN), element("amsterdam", vm(), domains=ACTIVE_OWN)),
]  # fmt: skip


@pytest.mark.parametrize(("record", "readings", "expected"), LIVE)
def test_rule_4_live_beats_stale(
    record: Machine, readings: tuple[ClusterReading, ...], expected: tuple[str, str]
) -> None:
    assert verdict(record, *readings) == expected


def test_rule_4_every_candidate_of_an_ambiguous_machine_is_listed() -> None:
    record = machine()
    finding = finding_of(
        plan_of(record, element("paris", vm()), element("amsterdam", vm("a"), vm("b", power=OFF))), record
    )
    assert {candidate.uuid for candidate in finding.candidates} == {uid("u1"), uid("a"), uid("b")}
    assert (finding.after, finding.confidence) == (None, None)


def test_rule_4_addresses_and_age_are_shown_and_never_decide() -> None:
    record = machine()
    twin = vm("a", addresses=("10.0.0.7",), macs=("50:6b:8d:97:b5:4d",))
    finding = finding_of(plan_of(record, BARE, element("amsterdam", twin, vm("b"))), record)
    assert (finding.kind, finding.reason) == SEVERAL
    assert any("10.0.0.7" in fact.detail and "50:6b:8d:97:b5:4d" in fact.detail for fact in finding.evidence)


BOTH_SIDES = (
    element("paris", vm(power=OFF), domains=ACTIVE_OWN),
    element("amsterdam", vm("new"), domains=[domain("pd1", ("new", "W11-001"))]),
)
SPLITS = [
    case("one on and one off", SPLIT, *BOTH_SIDES),
    case("although the own VM runs", SPLIT, element("paris", vm(), domains=ACTIVE_OWN),
         element("amsterdam", domains=[domain("PD1")])),
    case("one domain, seen through two endpoints of one cluster, is active once", ALIGNED,
         element("paris", vm(), domains=ACTIVE_OWN), element("amsterdam", vm(), domains=ACTIVE_OWN, cluster="paris")),
    case("a machine outside the domain is not touched", ALIGNED,
         element("paris", vm(), domains=[domain("PD1", ("x", "other"))]),
         element("amsterdam", domains=[domain("PD1")])),
    case("a domain that is passive on the other side is no split", ALIGNED,
         element("paris", vm(), domains=ACTIVE_OWN), element("amsterdam", domains=[domain("PD1", active=False)])),
]  # fmt: skip


@pytest.mark.parametrize(("record", "readings", "expected"), SPLITS)
def test_rule_5_a_domain_active_on_two_clusters(
    record: Machine, readings: tuple[ClusterReading, ...], expected: tuple[str, str]
) -> None:
    assert verdict(record, *readings) == expected


def test_rule_5_a_target_decides_a_split_brain() -> None:
    record = machine()
    assert landing(finding_of(plan_of(record, *BOTH_SIDES, target="amsterdam"), record)) == to("amsterdam", "new")


@pytest.mark.parametrize("status", DEAD)
def test_rule_6_a_machine_whose_own_cluster_is_dead_is_unknown(status: ReadStatus) -> None:
    assert verdict(machine(), silent("paris", status), element("amsterdam", vm("new"))) == UNREACHABLE


DIED = [
    case("present cluster dead, although the own VM is seen elsewhere", UNREACHABLE,
         silent("paris"), element("amsterdam", vm())),
    case("present cluster dead, nothing seen", UNREACHABLE, silent("paris"), element("amsterdam")),
    case("another is dead: a remap by name alone waits", UNREACHABLE,
         BARE, element("amsterdam", vm("new")), silent("london")),
    case("another is dead: a replacement by name alone waits", UNREACHABLE,
         element("paris", vm("new")), silent("london")),
    case("another is dead: the own VM found elsewhere stands", MOVED,
         BARE, element("amsterdam", vm()), silent("london")),
    case("another is dead: a BIOS UUID stands", MOVED,
         BARE, central("amsterdam", {"CL1": [vm("new", "x", bios="u1")]}), silent("london")),
    case("another is dead: a snapshot entry stands", MOVED,
         BARE, element("amsterdam", vm("new", "DR-W11-001"), domains=[ACTIVATED]), silent("london")),
    case("another is dead: nobody shows it", UNREACHABLE, BARE, silent("london")),
    case("another is incomplete: a remap by name alone waits", INCOMPLETE,
         BARE, element("amsterdam", vm("new")), element("london", status=PART)),
    case("whatever else is dead, a running own VM is aligned", ALIGNED, element("paris", vm()), silent("london")),
    case("one of two clusters behind the connection is dead, the own VM runs on the other", ALIGNED,
         element("paris", vm()), silent("london", connection="paris")),
    case("one of two clusters behind the connection is dead, the own VM is not on the other", UNREACHABLE,
         BARE, silent("london", connection="paris"), element("amsterdam", vm())),
    case("own VM off under its connection, another cluster silent", UNREACHABLE,
         element("paris", vm(power=OFF)), silent("london")),
    case("own VM off under its connection, a registered cluster of another is unavailable", UNREACHABLE,
         element("paris", vm(power=OFF)), central("london", {"CL1": []}, down=["CL1"])),
]  # fmt: skip


@pytest.mark.parametrize(("record", "readings", "expected"), DIED)
def test_rule_6_silence_proves_nothing(
    record: Machine, readings: tuple[ClusterReading, ...], expected: tuple[str, str]
) -> None:
    assert verdict(record, *readings) == expected


CENTRAL = {"CL1": [vm("one")], "CL2": [vm("two")]}
TARGETED = [
    case("the target has it by name, the old cluster is dead", MOVED,
         silent("paris"), element("amsterdam", vm("new"))),
    case("the target has it by UUID, the old cluster is dead", MOVED, silent("paris"), element("amsterdam", vm())),
    case("a third dead cluster makes nothing unknown", MOVED,
         BARE, element("amsterdam", vm("new")), silent("london")),
    case("the target's candidate goes before a running own VM", MOVED,
         element("paris", vm()), element("amsterdam", vm("new"))),
    case("a powered-off candidate at the target goes before a running one elsewhere", MOVED,
         element("paris"), element("amsterdam", vm("new", power=OFF)), element("london", vm("x"))),
    case("nothing at the target, and the own VM runs where it is", ALIGNED,
         element("paris", vm()), element("amsterdam")),
    case("nothing at the target, the own VM runs where it is, another is dead", ALIGNED,
         element("paris", vm()), element("amsterdam"), silent("london")),
    case("nothing at the target, the own VM is off", NOT_THERE, element("paris", vm(power=OFF)), element("amsterdam")),
    case("nothing at the target, the own cluster is dead", NOT_THERE, silent("paris"), element("amsterdam")),
    case("nothing at the target, the own VM runs under another connection", NOT_THERE,
         BARE, element("amsterdam"), element("london", vm())),
    case("nothing at the target, the own UUID runs under its connection and under another", ALIGNED,
         element("paris", vm()), element("amsterdam"), element("london", vm()), element("berlin", vm())),
    case("nothing at the target, a namesake runs elsewhere", NOT_THERE,
         BARE, element("amsterdam"), element("london", vm("n"))),
    case("several at the target: live beats stale", MOVED,
         silent("paris"), element("amsterdam", vm("a", power=OFF), vm("b"))),
    case("several at the target: one in the domain's only active side", MOVED,
         silent("paris"), element("amsterdam", vm("new"), vm("b"), domains=ACTIVE_NEW)),
    case("several at the target: a domain that is active on both sides decides nothing", SEVERAL,
         element("paris", domains=[domain("PD1")]), element("amsterdam", vm("new"), vm("b"), domains=ACTIVE_NEW)),
    case("several at the target: nothing decides", SEVERAL, silent("paris"), element("amsterdam", vm("a"), vm("b"))),
    case("several at the target, and the own VM elsewhere does not decide", SEVERAL,
         element("paris", vm()), element("amsterdam", vm("a"), vm("b"))),
    case("already there", ALIGNED, element("amsterdam", vm()), record=machine(at="amsterdam")),
    case("already there and powered off", ALIGNED, element("amsterdam", vm(power=OFF)), silent("paris"),
         record=machine(at="amsterdam")),
    case("an agent VM at the target", NOT_THERE, silent("paris"), element("amsterdam", vm("new", agent=True))),
    case("the VM at the target is in flux", IN_FLUX,
         silent("paris"), central("amsterdam", {"CL1": [vm("new", in_flux=True)]})),
    case("the target itself is dead", UNREACHABLE, BARE, silent("amsterdam"), element("london", vm("new"))),
    case("the target is incomplete and shows none", INCOMPLETE, BARE, element("amsterdam", status=PART)),
    case("the target is incomplete and shows one", MOVED, BARE, element("amsterdam", vm("new"), status=PART)),
    case("a part of the target is unavailable and the rest shows none", UNREACHABLE,
         BARE, central("amsterdam", {"CL1": [], "CL2": []}, down=["CL2"])),
    case("a part of the target is unavailable and the rest shows it", MOVED,
         BARE, central("amsterdam", {"CL1": [vm("new")], "CL2": []}, down=["CL2"])),
    case("a connection outside the profile is in reach", MOVED, element("amsterdam", vm()),
         record=machine(at="outside")),
]  # fmt: skip


@pytest.mark.parametrize(("record", "readings", "expected"), TARGETED)
def test_rule_7_with_the_target_amsterdam(
    record: Machine, readings: tuple[ClusterReading, ...], expected: tuple[str, str]
) -> None:
    assert verdict(record, *readings, target="amsterdam") == expected


REGISTERED = [
    pytest.param("amsterdam/CL1", "one", id="by name"),
    pytest.param("AMSTERDAM/cl2", "two", id="by name in another case"),
    pytest.param(f"amsterdam/{cluster_uuid('CL2').upper()}", "two", id="by UUID in capitals"),
]


@pytest.mark.parametrize(("target", "expected"), REGISTERED)
def test_rule_7_one_registered_cluster_of_a_central_can_be_the_target(target: str, expected: str) -> None:
    record = machine()
    made = plan_of(record, BARE, central("amsterdam", CENTRAL), target=target)
    assert landing(finding_of(made, record)) == to("amsterdam", expected)


def test_rule_7_an_unavailable_registered_cluster_as_target_is_unknown() -> None:
    readings = (BARE, central("amsterdam", CENTRAL, down=["CL1"]))
    assert verdict(machine(), *readings, target="amsterdam/CL1") == UNREACHABLE


def test_rule_7_an_unavailable_neighbour_of_the_registered_target_makes_nothing_unknown() -> None:
    readings = (BARE, central("amsterdam", {"CL1": [], "CL2": []}, down=["CL2"]))
    assert verdict(machine(), *readings, target="amsterdam/CL1") == NOT_THERE


def test_rule_7_a_registered_cluster_that_is_not_there_ends_the_run_with_those_that_are() -> None:
    with pytest.raises(PlanImpossible, match="CL1, CL2"):
        parse_target("amsterdam/CL9", [central("amsterdam", CENTRAL)])


def test_rule_7_a_registered_cluster_of_a_dead_central_is_unknown() -> None:
    assert verdict(machine(), BARE, silent("amsterdam"), target="amsterdam/CL1") == UNREACHABLE


def test_rule_5_a_domain_is_not_one_sided_where_the_other_side_may_be_active_too() -> None:
    """The own VM runs at home, its domain is active elsewhere with a running copy: both sides may be."""
    active = element("amsterdam", vm("new"), domains=[domain("PD1", ("new", "W11-001"), snapshots=[("u1", "W11-001")])])
    assert verdict(machine(), central("paris", {"C": [vm()]}), active) == SEVERAL
    assert verdict(machine(), element("paris", vm(), status=PART), active) == SEVERAL
    assert verdict(machine(), element("paris", vm()), active) == MOVED


def test_rule_6_a_dead_cluster_of_the_present_connection_may_be_where_the_vm_runs() -> None:
    stopped, dead = element("paris", vm(power=OFF)), silent("paris-2", connection="paris")
    assert verdict(machine(), stopped, dead, element("amsterdam", vm())) == UNREACHABLE
    assert verdict(machine(), element("paris", vm()), dead) == ALIGNED
