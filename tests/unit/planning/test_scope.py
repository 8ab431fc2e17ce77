"""Which machines a run looks at (design, sections 3 and 4, "Scope")."""

from __future__ import annotations

import pytest

from shared.errors import NotActiveYet, PlanImpossible
from shared.model.finding import Plan
from shared.model.nutanix import ClusterReading, ReadStatus
from shared.profile.scope import PrismCategory, Scope
from tests.unit.planning.builders import (
    OFF,
    central,
    connection_name,
    domain,
    element,
    finding_of,
    folder,
    job,
    landing,
    machine,
    plan_of,
    silent,
    site,
    to,
    vm,
)

DESK = machine("W11-001", holds="u1")
LAB = machine("W11-LAB-1", holds="u2", catalog="Lab", group="Kiosks")
FAR = machine("SRV-7", holds="u3", at="amsterdam", domain="EMEA")
EVERYONE = (DESK, LAB, FAR)
PARIS = element("paris", vm("u1", "W11-001"), vm("u2", "W11-LAB-1"))
AMSTERDAM = element("amsterdam", vm("u3", "SRV-7"))


def plan(*scopes: Scope, target: str | None = None) -> Plan:
    return plan_of(EVERYONE, PARIS, AMSTERDAM, scopes=scopes, target=target)


def names(plan: Plan) -> set[str]:
    return {finding.machine.name for finding in plan.findings}


INSIDE = [
    pytest.param(Scope(), {"W11-001", "W11-LAB-1", "SRV-7"}, id="nothing narrows"),
    pytest.param(Scope(machines=("w11-001",)), {"W11-001"}, id="a host name in any case"),
    pytest.param(Scope(machines=("corp\\W11-001",)), {"W11-001"}, id="DOMAIN-host in any case"),
    pytest.param(Scope(machines=("W11-001.CORP.example",)), {"W11-001"}, id="a DNS name in any case"),
    pytest.param(Scope(machines=("EMEA\\W11-001",)), set(), id="not the same host in another domain"),
    pytest.param(Scope(machines=("W11-00",)), set(), id="never a part of a name"),
    pytest.param(Scope(machines=("W11-*",)), set(), id="a glob is a name among machines"),
    pytest.param(Scope(catalogs=("PERSISTENT",)), {"W11-001", "SRV-7"}, id="a catalog in any case"),
    pytest.param(Scope(catalogs=("Persistent", "Lab")), {"W11-001", "W11-LAB-1", "SRV-7"}, id="two catalogs add up"),
    pytest.param(Scope(delivery_groups=("kiosks",)), {"W11-LAB-1"}, id="a delivery group in any case"),
    pytest.param(Scope(hosting_connections=("nutanix ahv AMSTERDAM",)), {"SRV-7"}, id="a connection in any case"),
    pytest.param(
        Scope(catalogs=("Persistent",), hosting_connections=(connection_name("paris"),)), {"W11-001"},
        id="every key narrows",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("scope", "expected"), INSIDE)
def test_a_finding_for_every_machine_inside_and_a_count_of_the_others(scope: Scope, expected: set[str]) -> None:
    made = plan(scope)
    assert {name.rsplit("\\", 1)[-1] for name in names(made)} == expected
    assert (made.machines_in_scope, made.out_of_scope) == (len(expected), 3 - len(expected))


def test_a_runs_own_scope_only_narrows_the_profiles() -> None:
    made = plan(Scope(catalogs=("Persistent",)), Scope(machines=("W11-001", "W11-LAB-1")))
    assert names(made) == {"CORP\\W11-001"}


EXCLUDED = [
    pytest.param("W11-LAB-1", id="a host name"),
    pytest.param("w11-lab-*", id="a glob in another case"),
    pytest.param("CORP\\W11-LAB-?", id="a glob over DOMAIN-host"),
    pytest.param("*-lab-1.corp.EXAMPLE", id="a glob over the DNS name"),
]


@pytest.mark.parametrize("pattern", EXCLUDED)
def test_what_exclude_hits_is_a_finding(pattern: str) -> None:
    made = plan(Scope(exclude=(pattern,)))
    kinds = {finding.machine.id: (finding.kind, finding.reason) for finding in made.findings}
    assert kinds[LAB.id] == ("excluded", "excluded-by-scope")
    assert kinds[DESK.id][0] == kinds[FAR.id][0] == "aligned"
    assert (made.machines_in_scope, made.out_of_scope) == (3, 0)


def test_the_profiles_exclusion_holds_although_the_run_names_the_machine() -> None:
    made = plan(Scope(exclude=("W11-LAB-*",)), Scope(machines=("W11-LAB-1",)))
    assert [finding.reason for finding in made.findings] == ["excluded-by-scope"]


def test_a_runs_exclusion_holds_beside_the_profiles() -> None:
    made = plan(Scope(exclude=("W11-LAB-*",)), Scope(exclude=("srv-7",)))
    assert [finding_of(made, m).kind for m in EVERYONE] == ["aligned", "excluded", "excluded"]


def test_an_excluded_machine_outside_another_key_is_only_counted() -> None:
    made = plan(Scope(catalogs=("Persistent",), exclude=("W11-LAB-*",)))
    assert LAB.id not in {finding.machine.id for finding in made.findings}
    assert made.out_of_scope == 1


@pytest.mark.parametrize("scope", [Scope(exclude=("W11-PARIS-VDI-0",)), Scope(exclude=("w11-paris-vdi-0001",))])
def test_a_machine_whose_name_netbios_cut_is_excluded_by_either_form(scope: Scope) -> None:
    cut = machine("W11-PARIS-VDI-0", dns="w11-paris-vdi-0001.corp.example")
    made = plan_of(cut, element("paris", vm("new", "W11-PARIS-VDI-0001")), scopes=[scope])
    assert finding_of(made, cut).reason == "excluded-by-scope"


def test_a_machine_is_chosen_by_the_name_that_citrix_shows_although_netbios_cut_it() -> None:
    cut = machine("W11-PARIS-VDI-0", dns="w11-paris-vdi-0001.corp.example")
    made = plan_of(cut, PARIS, scopes=[Scope(machines=("W11-PARIS-VDI-0",))])
    assert made.machines_in_scope == 1
    assert made.unmatched == {}


UNMATCHED = [
    pytest.param(Scope(machines=("W11-001", "NOBODY", "Nor-me")), "machines", ("NOBODY", "Nor-me"), id="machines"),
    pytest.param(Scope(catalogs=("Lab", "Gone")), "catalogs", ("Gone",), id="catalogs"),
    pytest.param(Scope(delivery_groups=("Gone",)), "deliveryGroups", ("Gone",), id="delivery groups"),
    pytest.param(Scope(hosting_connections=("Gone",)), "hostingConnections", ("Gone",), id="hosting connections"),
    pytest.param(Scope(exclude=("W11-LAB-*", "OLD-*")), "exclude", ("OLD-*",), id="exclusions"),
]


@pytest.mark.parametrize(("scope", "key", "expected"), UNMATCHED)
def test_names_that_match_nothing_are_listed(scope: Scope, key: str, expected: tuple[str, ...]) -> None:
    assert plan(scope).unmatched == {key: expected}


def test_a_catalog_name_that_stands_in_several_folders_ends_the_run_with_the_paths() -> None:
    twice = site(
        DESK, catalogs=[folder("Persistent", "Paris\\Persistent", id_="1"), folder("Persistent", "Lyon\\Persistent")]
    )
    with pytest.raises(PlanImpossible) as failure:
        plan_of(twice, PARIS, scopes=[Scope(catalogs=("persistent",))])
    assert "Paris\\Persistent" in str(failure.value)
    assert "Lyon\\Persistent" in str(failure.value)


def test_a_name_in_several_folders_that_the_scope_does_not_use_is_no_harm() -> None:
    twice = site(DESK, catalogs=[folder("Persistent"), folder("Lab", "A\\Lab", id_="1"), folder("Lab", "B\\Lab")])
    assert plan_of(twice, PARIS, scopes=[Scope(catalogs=("Persistent",))]).machines_in_scope == 1


class TestProtectionDomain:
    SCOPE = Scope(protection_domain="pd-desks")

    def test_the_vms_that_the_active_side_lists_are_in_scope(self) -> None:
        paris = element("paris", vm("u1"), domains=[domain("PD-Desks", ("u1", "W11-001"))])
        assert names(plan_of(EVERYONE, paris, AMSTERDAM, scopes=[self.SCOPE])) == {"CORP\\W11-001"}

    def test_a_machine_that_still_holds_the_id_from_before_the_activation_is_in_scope(self) -> None:
        renamed = domain("PD-Desks", ("new", "DR-W11-001"), snapshots=[("u1", "DR-W11-001")])
        amsterdam = element("amsterdam", vm("new", "DR-W11-001"), domains=[renamed])
        made = plan_of(EVERYONE, element("paris"), amsterdam, scopes=[self.SCOPE])
        assert names(made) == {"CORP\\W11-001"}

    def test_a_machine_of_the_vms_name_is_in_scope(self) -> None:
        amsterdam = element("amsterdam", vm("new"), domains=[domain("PD-Desks", ("new", "W11-001"))])
        assert names(plan_of(EVERYONE, element("paris"), amsterdam, scopes=[self.SCOPE])) == {"CORP\\W11-001"}

    @pytest.mark.parametrize(
        "readings",
        [
            pytest.param((PARIS, AMSTERDAM), id="it is known nowhere"),
            pytest.param(
                (element("paris", domains=[domain("PD-Desks", ("u1", "W11-001"), active=False)]), AMSTERDAM),
                id="it is passive everywhere",
            ),
            pytest.param((silent("paris"), AMSTERDAM), id="the cluster that has it is dead"),
        ],
    )
    def test_it_must_be_active_somewhere(self, readings: tuple[object, ...]) -> None:
        with pytest.raises(PlanImpossible, match="(?i)pd-desks"):
            plan_of(EVERYONE, *readings, scopes=[self.SCOPE])  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        ("readings", "later"),
        [
            pytest.param((PARIS, AMSTERDAM), False, id="no cluster knows it"),
            pytest.param((PARIS, silent("berlin", api="central-v4"), AMSTERDAM), False, id="nor can a silent Central"),
            pytest.param((PARIS, element("amsterdam", domains=[domain("PD-Desks", active=False)])), True, id="known"),
            pytest.param((PARIS, silent("amsterdam")), True, id="the one that did not answer may know it"),
        ],
    )
    def test_time_may_bring_only_what_some_cluster_may_know(self, readings: tuple[object, ...], later: bool) -> None:
        with pytest.raises(PlanImpossible) as raised:
            plan_of(EVERYONE, *readings, scopes=[self.SCOPE])  # type: ignore[arg-type]
        assert isinstance(raised.value, NotActiveYet) is later

    TARGETS = [
        pytest.param("amsterdam", {"CORP\\W11-001"}, id="an Element on which it is active"),
        pytest.param("berlin", {"CORP\\W11-001"}, id="a Central, which has no protection domains"),
    ]

    @pytest.mark.parametrize(("target", "expected"), TARGETS)
    def test_with_a_target_it_counts_where_it_is_active(self, target: str, expected: set[str]) -> None:
        amsterdam = element("amsterdam", vm("u1"), domains=[domain("PD-Desks", ("u1", "W11-001"))])
        readings = (element("paris"), amsterdam, central("berlin", {"C": []}))
        assert names(plan_of(EVERYONE, *readings, scopes=[self.SCOPE], target=target)) == expected

    def test_a_target_on_which_it_is_not_active_ends_the_run_with_where_it_is_known(self) -> None:
        paris = element("paris", vm("u1"), domains=[domain("PD-Desks", ("u1", "W11-001"))])
        amsterdam = element("amsterdam", domains=[domain("PD-Desks", active=False)])
        with pytest.raises(PlanImpossible, match="not active on the target amsterdam .known on: paris, amsterdam"):
            plan_of(EVERYONE, paris, amsterdam, scopes=[self.SCOPE], target="amsterdam")


class TestPrismCategory:
    SCOPE = Scope(prism_category=PrismCategory(key="Env", value="Prod"))
    HAS = ("Tier:1", "Env:Prod")

    def chosen(self, *readings: ClusterReading, scope: Scope | None = None) -> set[str]:
        return names(plan_of(EVERYONE, *readings, scopes=[scope or self.SCOPE]))

    def test_the_machine_whose_own_vm_has_it_is_in_scope(self) -> None:
        paris = central("paris", {"C": [vm("u1", "renamed", categories=self.HAS), vm("u2", "W11-LAB-1")]})
        assert self.chosen(paris, AMSTERDAM) == {"CORP\\W11-001"}

    def test_a_machine_of_the_name_of_a_vm_that_has_it_is_in_scope(self) -> None:
        amsterdam = central("amsterdam", {"C": [vm("new", "w11-001", categories=self.HAS)]})
        assert self.chosen(PARIS, amsterdam) == {"CORP\\W11-001"}

    def test_a_machine_whose_record_holds_the_uuid_of_before_a_failover_is_in_scope(self) -> None:
        moves = [job(("u1", "mid")), job(("mid", "new"), hour=1)]
        there = central("amsterdam", {"C": [vm("new", "restored", categories=self.HAS)]}, jobs=moves)
        assert self.chosen(PARIS, there) == {"CORP\\W11-001"}

    def test_key_and_value_are_compared_whole_and_ignore_case(self) -> None:
        near = [vm("u2", "W11-LAB-1", categories=("Env:Production",)), vm("u3", "SRV-7", categories=("MyEnv:Prod",))]
        paris = central("paris", {"C": [vm("u1", categories=("env:PROD",)), *near]})
        assert self.chosen(paris) == {"CORP\\W11-001"}

    def test_a_value_with_a_colon_is_no_other_key(self) -> None:
        paris = central("paris", {"C": [vm("u1", categories=("Env:Prod:EU",))]})
        assert self.chosen(paris) == set()
        scope = Scope(prism_category=PrismCategory(key="Env", value="Prod:EU"))
        assert self.chosen(paris, scope=scope) == {"CORP\\W11-001"}

    def test_a_category_counts_for_a_vm_that_an_element_lists_too(self) -> None:
        pc = central("london", {"paris": [vm("u1", categories=self.HAS)]})
        assert self.chosen(PARIS, AMSTERDAM, pc) == {"CORP\\W11-001"}

    def test_every_central_is_asked(self) -> None:
        one = central("paris", {"C": [vm("u1", categories=self.HAS)]}, api="central-v3")
        two = central("amsterdam", {"D": [vm("u3", "SRV-7", categories=self.HAS)]})
        assert self.chosen(one, two) == {"CORP\\W11-001", "EMEA\\SRV-7"}

    def test_a_vm_on_a_cluster_that_is_down_still_says_whose_machine_is_meant(self) -> None:
        paris = central("paris", {"C": [vm("u1", categories=self.HAS)]}, down=["C"])
        made = plan_of(EVERYONE, paris, AMSTERDAM, scopes=[self.SCOPE])
        assert [(finding.machine.id, finding.kind) for finding in made.findings] == [(DESK.id, "unknown")]

    def test_it_narrows_together_with_the_other_keys(self) -> None:
        both = [vm("u1", categories=self.HAS), vm("u2", "W11-LAB-1", categories=self.HAS)]
        scope = Scope(catalogs=("Lab",), prism_category=PrismCategory(key="Env", value="Prod"))
        assert self.chosen(central("paris", {"C": both}), scope=scope) == {"CORP\\W11-LAB-1"}

    def test_the_profiles_and_the_runs_category_both_hold(self) -> None:
        both = [vm("u1", categories=self.HAS), vm("u2", "W11-LAB-1", categories=("Env:Prod",))]
        tier = Scope(prism_category=PrismCategory(key="Tier", value="1"))
        made = plan_of(EVERYONE, central("paris", {"C": both}), scopes=[self.SCOPE, tier])
        assert names(made) == {"CORP\\W11-001"}

    def test_one_that_no_vm_has_is_listed_and_chooses_nobody(self) -> None:
        made = plan_of(EVERYONE, central("paris", {"C": [vm("u1")]}), scopes=[self.SCOPE])
        assert made.unmatched == {"prismCategory": ("Env:Prod",)}
        assert (made.machines_in_scope, made.out_of_scope) == (0, 3)

    def test_a_central_that_does_not_say_its_categories_ends_the_run_and_is_named(self) -> None:
        mute = central("amsterdam", {"D": [vm("u3", "SRV-7", categories=None)]})
        with pytest.raises(PlanImpossible, match=r"scope.prismCategory: amsterdam did not say .*Env:Prod"):
            self.chosen(central("paris", {"C": [vm("u1", categories=self.HAS)]}), mute)

    DEAF = [
        pytest.param((PARIS, AMSTERDAM), "none in the profile", id="no Central in the profile"),
        pytest.param((PARIS, silent("pc-one", api="central-v4")), "pc-one", id="it is dead"),
        pytest.param(
            (PARIS, silent("pc-one", ReadStatus.REFUSED, api="central-v3")), "pc-one", id="it refused the credential"
        ),
    ]

    @pytest.mark.parametrize(("readings", "says"), DEAF)
    def test_where_no_central_can_tell_the_run_ends(self, readings: tuple[ClusterReading, ...], says: str) -> None:
        with pytest.raises(PlanImpossible, match=f"(?s)scope.prismCategory.*Env:Prod.*{says}"):
            plan_of(EVERYONE, *readings, scopes=[self.SCOPE])


def test_a_delivery_group_that_stands_in_several_folders_is_named_by_path_or_id() -> None:
    twice = site(
        DESK,
        LAB,
        groups=[folder("Desktops", "A\\Desktops", id_="id of Desktops"), folder("Desktops", "B/Desktops", id_="2")],
    )
    with pytest.raises(PlanImpossible, match=r"scope.deliveryGroups: 'Desktops' stands in several folders"):
        plan_of(twice, PARIS, scopes=[Scope(delivery_groups=("Desktops",))])
    for way in ("a/desktops", "A\\Desktops", "ID of desktops"):
        assert names(plan_of(twice, PARIS, scopes=[Scope(delivery_groups=(way,))])) == {"CORP\\W11-001"}


def test_a_connection_outside_the_profile_that_the_scope_names_is_in_reach() -> None:
    stray = machine("W11-001", at="outside")
    scope = Scope(hosting_connections=(connection_name("outside").upper(),))
    assert landing(finding_of(plan_of(stray, PARIS, scopes=[scope]), stray)) == to("paris", "u1")


def test_a_machine_out_of_scope_still_owns_its_vm() -> None:
    thief = machine("W11-002", holds="gone", hosted_name="gold")
    owner = machine("W11-001", holds="u9")
    made = plan_of((thief, owner), element("paris", vm("u9", "gold")), scopes=[Scope(machines=("W11-002",))])
    assert [(finding.machine.name, finding.kind) for finding in made.findings] == [("CORP\\W11-002", "conflict")]


def test_a_machine_out_of_scope_still_bears_its_name() -> None:
    mistaken, bearer = machine("W11-001", holds="u9"), machine("W11-002", holds="gone")
    reading = element("paris", vm("u9", "W11-002"), vm("new", "W11-001", OFF))
    made = plan_of((mistaken, bearer), reading, scopes=[Scope(machines=("W11-001",))])
    assert landing(finding_of(made, mistaken)) == to("paris", "new")
