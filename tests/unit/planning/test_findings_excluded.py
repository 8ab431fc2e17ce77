"""What is out of reach by rule (design, section 4, the table of findings)."""

from __future__ import annotations

import pytest

from shared.model.citrix import Machine, Provisioning
from shared.profile.policy import Policy
from shared.profile.scope import Scope
from tests.unit.planning.builders import (
    connection,
    element,
    finding_of,
    landing,
    machine,
    plan_of,
    silent,
    site,
    to,
    vm,
)

NEW_VM = element("paris", vm("new"))

OUT_OF_REACH = [
    pytest.param(machine(provisioning=Provisioning.MCS), "not-manual", id="MCS"),
    pytest.param(machine(provisioning=Provisioning.MCS_IMPORT), "not-manual", id="imported into MCS"),
    pytest.param(machine(provisioning=Provisioning.PVS), "not-manual", id="PVS"),
    pytest.param(machine(provisioning=Provisioning.PVS_STREAMING), "not-manual", id="PVS streaming"),
    pytest.param(machine(provisioning=Provisioning.UNKNOWN), "not-manual", id="unknown provisioning"),
    pytest.param(machine(at=None, holds=None), "not-power-managed", id="neither connection nor id"),
    pytest.param(machine(at=None), "not-power-managed", id="no connection"),
    pytest.param(machine(holds=None), "not-power-managed", id="no id"),
    pytest.param(machine(at="outside"), "connection-not-in-profile", id="a connection outside the profile"),
]


@pytest.mark.parametrize(("record", "reason"), OUT_OF_REACH)
def test_a_machine_out_of_reach_is_excluded_although_its_vm_is_there(record: Machine, reason: str) -> None:
    finding = finding_of(plan_of(record, NEW_VM), record)
    assert (finding.kind, finding.reason, finding.after) == ("excluded", reason, None)


@pytest.mark.parametrize(("record", "reason"), OUT_OF_REACH[:-1])
def test_a_target_does_not_bring_it_in_reach(record: Machine, reason: str) -> None:
    assert finding_of(plan_of(record, NEW_VM, target="paris"), record).reason == reason


def test_an_excluded_machine_whose_cluster_is_dead_is_excluded_and_not_unknown() -> None:
    record = machine(provisioning=Provisioning.MCS)
    assert finding_of(plan_of(record, silent("paris")), record).reason == "not-manual"


def test_the_scopes_exclusion_is_named_before_any_other_reason() -> None:
    record = machine(provisioning=Provisioning.MCS)
    made = plan_of(record, NEW_VM, scopes=[Scope(exclude=("W11-*",))])
    assert finding_of(made, record).reason == "excluded-by-scope"


BARE, MOVED = element("paris"), element("amsterdam", vm())
IN_MAINTENANCE = connection("amsterdam", in_maintenance=True)
VMWARE = connection("amsterdam", plugin="VmwareFactory")


def test_a_connection_in_maintenance_is_not_moved_to() -> None:
    record = machine()
    finding = finding_of(plan_of(site(record, connections=[IN_MAINTENANCE]), BARE, MOVED), record)
    assert (finding.kind, finding.reason, finding.after) == ("excluded", "connection-in-maintenance", None)


def test_a_machine_may_leave_a_connection_in_maintenance() -> None:
    record = machine()
    leaving = site(record, connections=[connection("paris", in_maintenance=True)])
    assert landing(finding_of(plan_of(leaving, BARE, MOVED), record)) == to("amsterdam", "u1")


def test_an_aligned_machine_on_a_connection_in_maintenance_is_aligned() -> None:
    record = machine(at="amsterdam")
    assert finding_of(plan_of(site(record, connections=[IN_MAINTENANCE]), BARE, MOVED), record).kind == "aligned"


def test_a_replacement_on_a_connection_in_maintenance_waits_too() -> None:
    record = machine(at="amsterdam", holds="gone")
    finding = finding_of(plan_of(site(record, connections=[IN_MAINTENANCE]), MOVED), record)
    assert finding.reason == "connection-in-maintenance"


def test_a_connection_of_another_hypervisor_is_not_moved_to() -> None:
    record = machine()
    finding = finding_of(plan_of(site(record, connections=[VMWARE]), BARE, MOVED), record)
    assert (finding.kind, finding.reason) == ("excluded", "hypervisor-type")


def test_the_policy_may_bypass_the_check_of_the_hypervisor() -> None:
    record = machine()
    policy = Policy(bypass_hypervisor_type_check=True)
    made = plan_of(site(record, connections=[VMWARE]), BARE, MOVED, policy=policy)
    assert landing(finding_of(made, record)) == to("amsterdam", "u1")


@pytest.mark.parametrize(
    "plugin",
    [
        "AcropolisFactory",
        "AcropolisPCFactory",
        "AcropolisXIFactory",
        "AcropolisHypervisorPCFactory",
        "ACROPOLISFACTORY",
    ],
)
def test_every_plug_in_that_talks_to_nutanix_is_in_reach(plugin: str) -> None:
    record = machine()
    nutanix = site(record, connections=[connection("amsterdam", plugin=plugin)])
    assert landing(finding_of(plan_of(nutanix, BARE, MOVED), record)) == to("amsterdam", "u1")


def test_an_excluded_machine_counts_among_the_machines_in_scope() -> None:
    made = plan_of(
        (machine("A", provisioning=Provisioning.MCS), machine("B", holds="b")), element("paris", vm("b", "B"))
    )
    assert (made.machines_in_scope, made.out_of_scope, len(made.findings)) == (2, 0, 2)
