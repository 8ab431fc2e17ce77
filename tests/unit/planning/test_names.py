"""Which VM names are a machine's (design, section 4, rule 2)."""

from __future__ import annotations

import pytest

from shared.model.citrix import Machine
from tests.unit.planning.builders import element, finding_of, landing, machine, plan_of, to, vm

LONG = machine("W11-PARIS-VDI-0", dns="w11-paris-vdi-0001.corp.example")

THE_SAME = [
    pytest.param(machine(), "W11-001", id="the host part of the Citrix name"),
    pytest.param(machine(), "w11-001", id="ignoring the VM's case"),
    pytest.param(machine("w11-001"), "W11-001", id="ignoring the machine's case"),
    pytest.param(machine(), "W11-001.corp.example", id="with the suffix of the machine's DNS name"),
    pytest.param(machine(), "w11-001.CORP.Example", id="with that suffix in another case"),
    pytest.param(machine(dns=None), "W11-001", id="without any DNS name"),
    pytest.param(machine(dns="desk-9.corp.example"), "desk-9", id="the host part of the DNS name where it differs"),
    pytest.param(machine(dns="desk-9.corp.example"), "W11-001", id="the Citrix name where the DNS name differs"),
    pytest.param(LONG, "W11-PARIS-VDI-0001", id="the whole name that NetBIOS cut at 15 characters"),
    pytest.param(machine(hosted_name="Finance desktop 7"), "finance DESKTOP 7", id="the hosted machine name"),
    pytest.param(machine(hosted_name="gold-7.corp.example"), "gold-7", id="the hosted name less its own suffix"),
    pytest.param(machine(hosted_name="gold-7"), "gold-7.corp.example", id="the hosted name with its own suffix"),
    pytest.param(machine(hosted_name="Renamed"), "W11-001", id="the host name although the hosted name differs"),
    pytest.param(machine("W11.001"), "w11.001", id="a name with a regular expression's dot in it"),
    pytest.param(machine("W11+(001)", dns=None), "w11+(001)", id="a name that would break a regular expression"),
    pytest.param(machine("ÜBUNG-1", dns=None), "übung-1", id="a name with letters beyond ASCII"),
]

ANOTHER = [
    pytest.param(machine("VM1"), "VM10", id="a longer name that begins with it"),
    pytest.param(machine("VM1"), "VM1-OLD", id="a name with something behind it"),
    pytest.param(machine("VM1"), "OLD-VM1", id="a name with something before it"),
    pytest.param(machine("VM10"), "VM1", id="a shorter name that it begins with"),
    pytest.param(machine("W11.001", dns=None), "W11x001", id="a name that only a regular expression would match"),
    pytest.param(machine("W11-*", dns=None), "W11-001", id="a name that only a glob would match"),
    pytest.param(machine(), "W11-001.other.example", id="the suffix of another DNS domain"),
    pytest.param(machine(dns=None), "W11-001.corp.example", id="a suffix where the machine has no DNS name"),
    pytest.param(machine(), "W11-001.corp", id="a part of the suffix"),
    pytest.param(machine(), "W11-001.sub.corp.example", id="more than the suffix"),
    pytest.param(LONG, "W11-PARIS-VDI-0002", id="a whole name that is cut to the same 15 characters"),
    pytest.param(machine("W11-PARIS-VDI-1", dns="w11-paris-vdi-1.corp.example"), "W11-PARIS-VDI-10",
                 id="a longer name where 15 characters are the whole name"),
    pytest.param(machine("W11-PARIS-VDI-0", dns=None), "W11-PARIS-VDI-0001", id="a cut name without a DNS name"),
    pytest.param(machine(), "", id="no name at all"),
]  # fmt: skip


@pytest.mark.parametrize(("record", "name"), THE_SAME)
def test_a_vm_of_the_machines_name_is_its_vm(record: Machine, name: str) -> None:
    plan = plan_of(record, element("paris", vm("new", name)))
    assert landing(finding_of(plan, record)) == to("paris", "new")


@pytest.mark.parametrize(("record", "name"), ANOTHER)
def test_a_vm_of_another_name_is_not(record: Machine, name: str) -> None:
    finding = finding_of(plan_of(record, element("paris", vm("new", name))), record)
    assert (finding.kind, finding.reason, finding.candidates) == ("missing", "no-vm", ())


def test_two_machines_that_netbios_cuts_to_one_name_each_find_their_own_vm() -> None:
    one = machine("W11-PARIS-VDI-0", domain="CORP", dns="w11-paris-vdi-0001.corp.example", holds="gone1")
    two = machine("W11-PARIS-VDI-0", domain="EMEA", dns="w11-paris-vdi-0002.emea.example", holds="gone2")
    plan = plan_of((one, two), element("paris", vm("n2", "W11-PARIS-VDI-0002"), vm("n1", "W11-PARIS-VDI-0001")))
    assert [landing(finding_of(plan, m)) for m in (one, two)] == [to("paris", "n1"), to("paris", "n2")]


def test_a_hosted_name_that_is_another_machines_host_name_does_not_take_that_machines_vm() -> None:
    mislabelled = machine("W11-001", holds="gone", hosted_name="W11-002")
    rightful = machine("W11-002", holds="u2")
    plan = plan_of((mislabelled, rightful), element("paris", vm("u2", "W11-002")))
    assert [finding_of(plan, m).kind for m in (mislabelled, rightful)] == ["missing", "aligned"]


def test_two_host_names_that_differ_in_the_dns_suffix_alone_are_told_apart_by_it() -> None:
    corp = machine("W11-001", domain="CORP", holds="gone1")
    emea = machine("W11-001", domain="EMEA", holds="gone2")
    reading = element("paris", vm("c", "w11-001.corp.example"), vm("e", "w11-001.emea.example"))
    plan = plan_of((corp, emea), reading)
    assert [landing(finding_of(plan, m)) for m in (corp, emea)] == [to("paris", "c"), to("paris", "e")]


def test_the_15_characters_that_netbios_left_are_not_the_name_of_a_machine_whose_whole_name_is_known() -> None:
    short = machine("W11-PARIS-VDI-0", domain="EMEA", holds="s")
    plan = plan_of((LONG, short), element("paris", vm("s", "W11-PARIS-VDI-0")))
    assert [finding_of(plan, m).kind for m in (LONG, short)] == ["missing", "aligned"]
