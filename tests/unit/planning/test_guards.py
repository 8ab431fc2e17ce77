"""The limits that stop a run from changing too much without a person (design, section 4, "Guards")."""

from __future__ import annotations

import pytest

from shared.model.citrix import Folder, Machine, Provisioning
from shared.model.finding import Plan
from shared.model.nutanix import ReadStatus
from shared.model.run import Limits
from shared.profile.policy import Policy
from tests.unit.planning.builders import NO_LIMITS, domain, element, folder, machine, plan_of, silent, site, vm


def estate(remaps: int, aligned: int, limits: Limits) -> Plan:
    """A plan with so many remaps and so many aligned machines."""
    wrong = [machine(f"WRONG-{n}", holds=f"old{n}") for n in range(remaps)]
    right = [machine(f"RIGHT-{n}", holds=f"right{n}") for n in range(aligned)]
    vms = [vm(f"new{n}", f"WRONG-{n}") for n in range(remaps)] + [vm(f"right{n}", f"RIGHT-{n}") for n in range(aligned)]
    return plan_of((*wrong, *right), element("paris", *vms), limits=limits)


def names(plan: Plan) -> list[str]:
    return [guard.name for guard in plan.guards]


COUNT = [
    pytest.param(0, 0, [], id="no remap passes no limit, not even zero"),
    pytest.param(1, 0, ["max-changes"], id="one remap passes zero"),
    pytest.param(5, 5, [], id="as many as allowed"),
    pytest.param(6, 5, ["max-changes"], id="one more than allowed"),
]


@pytest.mark.parametrize(("remaps", "limit", "expected"), COUNT)
def test_more_remaps_than_max_changes(remaps: int, limit: int, expected: list[str]) -> None:
    assert names(estate(remaps, 10, Limits(limit, 100))) == expected


SHARE = [
    pytest.param(5, 15, 25, [], id="exactly the share of 20 machines"),
    pytest.param(6, 14, 25, ["max-change-percent"], id="one more than the share of 20 machines"),
    pytest.param(19, 0, 25, [], id="it does not count below 20 machines"),
    pytest.param(20, 0, 100, [], id="all of them where all are allowed"),
    pytest.param(1, 19, 0, ["max-change-percent"], id="one where none is allowed"),
    pytest.param(10, 31, 25, [], id="a share between two machines, below"),
    pytest.param(11, 30, 25, ["max-change-percent"], id="a share between two machines, above"),
]


@pytest.mark.parametrize(("remaps", "aligned", "percent", "expected"), SHARE)
def test_more_remaps_than_the_share_of_the_machines_in_scope(
    remaps: int, aligned: int, percent: int, expected: list[str]
) -> None:
    assert names(estate(remaps, aligned, Limits(1_000, percent))) == expected


def test_a_guard_says_what_was_counted_and_what_is_allowed() -> None:
    (guard,) = estate(6, 10, Limits(5, 100)).guards
    assert "6" in guard.explanation
    assert "5" in guard.explanation


SPLIT = (
    element("paris", vm(), domains=[domain("PD1", ("u1", "W11-001"))]),
    element("amsterdam", vm("new"), domains=[domain("PD1", ("new", "W11-001"))]),
)


def test_a_domain_active_on_two_clusters_is_a_guard_that_names_it() -> None:
    (guard,) = plan_of(machine(), *SPLIT).guards
    assert guard.name == "split-brain"
    assert "PD1" in guard.explanation


def test_it_is_one_with_a_target_too() -> None:
    assert names(plan_of(machine(), *SPLIT, target="amsterdam")) == ["split-brain"]


PART = ReadStatus.INCOMPLETE


def guards_of(*readings: object, record: Machine | None = None, target: str | None = None) -> list[str]:
    return names(plan_of(record or machine(), *readings, target=target, limits=NO_LIMITS))  # type: ignore[arg-type]


def test_an_incomplete_read_of_where_a_remap_leads_is_a_guard() -> None:
    readings = (element("paris"), element("amsterdam", vm("u1"), status=PART))
    assert guards_of(*readings) == ["incomplete-read"]


def test_an_incomplete_read_of_the_target_is_a_guard() -> None:
    readings = (silent("paris"), element("amsterdam", vm("new"), status=PART))
    assert guards_of(*readings, target="amsterdam") == ["incomplete-read"]


def test_an_incomplete_read_of_where_a_remap_comes_from_is_a_guard() -> None:
    readings = (element("paris", vm(power="off"), status=PART), element("amsterdam", vm()))  # type: ignore[arg-type]
    assert guards_of(*readings) == ["incomplete-read"]


def test_an_incomplete_read_behind_no_remap_is_none() -> None:
    assert guards_of(element("paris", vm(), status=PART)) == []


def test_whole_reads_and_few_changes_pass_no_guard() -> None:
    assert guards_of(element("paris", vm("new"))) == []


MCS = folder("Persistent", "Paris\\Persistent", provisioning=Provisioning.MCS)
ZONES = Policy(switch_catalog_zone=True)


def with_catalogs(*catalogs: Folder, policy: Policy = ZONES, remapped: bool = True) -> Plan:
    reading = element("paris", vm("new" if remapped else "u1"))
    return plan_of(site(machine(), catalogs=catalogs), reading, policy=policy)


def test_the_zone_of_a_catalog_that_is_not_manual_is_a_guard_that_names_path_and_type() -> None:
    (guard,) = with_catalogs(MCS).guards
    assert guard.name == "catalog-provisioning"
    assert "Paris\\Persistent" in guard.explanation
    assert "MCS" in guard.explanation


@pytest.mark.parametrize("provisioning", [each for each in Provisioning if each is not Provisioning.MANUAL])
def test_it_is_one_for_every_type_but_manual(provisioning: Provisioning) -> None:
    assert names(with_catalogs(folder("Persistent", provisioning=provisioning))) == ["catalog-provisioning"]


NO_ZONE_GUARD = [
    pytest.param({"policy": Policy()}, (MCS,), id="no zone is asked to move"),
    pytest.param({"remapped": False}, (MCS,), id="none of its machines is remapped"),
    pytest.param({}, (folder("Persistent"),), id="the catalog is Manual"),
    pytest.param({}, (folder("Persistent"), folder("Lab", provisioning=Provisioning.MCS)), id="it is another catalog"),
]


@pytest.mark.parametrize(("options", "catalogs"), NO_ZONE_GUARD)
def test_where_no_zone_is_in_question_there_is_no_such_guard(
    options: dict[str, object], catalogs: tuple[Folder, ...]
) -> None:
    assert names(with_catalogs(*catalogs, **options)) == []  # type: ignore[arg-type]


def test_the_guards_come_in_a_fixed_order() -> None:
    moved = [machine(f"M-{n}", holds=f"u{n}") for n in range(20)]
    split = machine("SPLIT", holds="s")
    readings = (
        element("paris", vm("s", "SPLIT"), domains=[domain("PD1", ("s", "SPLIT"))]),
        element("amsterdam", *(vm(f"u{n}", f"M-{n}") for n in range(20)), status=PART, domains=[domain("PD1")]),
    )
    made = plan_of(site(*moved, split, catalogs=[MCS]), *readings, limits=Limits(1, 1), policy=ZONES)
    limits = ["max-changes", "max-change-percent"]
    assert names(made) == [*limits, "split-brain", "incomplete-read", "catalog-provisioning"]
