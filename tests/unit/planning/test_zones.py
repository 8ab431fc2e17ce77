"""Which catalogs follow their machines to another zone (design, section 5)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from shared.model.citrix import Folder, Machine, Provisioning, Site
from shared.model.remap import ZoneMove, ZoneMoveState
from shared.planning.zones import ZoneDecision, zone_moves
from tests.unit.planning.builders import connection, folder, machine, site

CATALOG = folder("Persistent", "EMEA\\Persistent", zone="North")
ZONES = (connection("paris", zone="North"), connection("amsterdam", zone="South"), connection("london", zone="South"))
HERE, THERE = machine("W11-001", at="paris"), machine("W11-002", at="amsterdam", holds="u2")


def where(*machines: Machine, catalogs: Iterable[Folder] = (CATALOG,)) -> Site:
    return site(*machines, connections=ZONES, catalogs=catalogs)


def decide(changed: Iterable[Machine], *machines: Machine, catalog: Folder = CATALOG) -> ZoneDecision | None:
    """About the one catalog; ``machines`` are the rest of the site."""
    changed = tuple(changed)
    found = zone_moves({each.id for each in changed}, where(*changed, *machines, catalogs=[catalog]))
    assert len(found) <= 1
    return found[0] if found else None


def why_not(decision: ZoneDecision | None) -> str:
    assert decision is not None
    assert decision.move is None
    assert decision.why_not.startswith("The catalog EMEA\\Persistent was not moved to another zone. ")
    return decision.why_not


def test_a_catalog_follows_when_all_its_machines_stand_in_the_other_zone() -> None:
    assert decide([THERE], machine("W11-003", at="london", holds="u3")) == ZoneDecision(
        CATALOG,
        ZoneMove(
            "Persistent", "id of Persistent", "North", "id of North", "South", "id of South", ZoneMoveState.MOVING
        ),
    )


def test_a_catalog_that_is_there_already_needs_nothing() -> None:
    assert decide([HERE]) is None
    assert decide([HERE], THERE) is None


def test_ids_of_zones_are_compared_ignoring_case() -> None:
    assert decide([HERE], catalog=replace(CATALOG, zone_id="ID OF NORTH")) is None


def test_no_catalog_moves_where_nothing_changed() -> None:
    assert zone_moves((), where(THERE)) == []


@pytest.mark.parametrize(
    ("others", "text"),
    [
        (1, "1 of its 2 power-managed machines stands on connections outside the zone South."),
        (3, "3 of its 4 power-managed machines stand on connections outside the zone South."),
    ],
)
def test_it_stays_while_others_of_it_stand_elsewhere_whoever_looked_at_them(others: int, text: str) -> None:
    rest = [machine(f"OLD-{n}", at="paris", holds=f"old{n}") for n in range(others)]
    assert text in why_not(decide([THERE], *rest))


def test_a_machine_that_is_not_power_managed_keeps_no_catalog_back() -> None:
    decision = decide([THERE], machine("W11-003", at=None, holds=None))
    assert decision is not None
    assert decision.move is not None


def test_a_machine_of_another_catalog_keeps_no_catalog_back() -> None:
    decision = decide([THERE], machine("W11-003", at="paris", catalog="Lab"))
    assert decision is not None
    assert decision.move is not None


def test_a_machine_on_a_connection_without_a_zone_keeps_it_back() -> None:
    assert "1 of its 2" in why_not(decide([THERE], machine("W11-003", at="berlin", holds="u3")))


@pytest.mark.parametrize("kind", [kind for kind in Provisioning if kind is not Provisioning.MANUAL])
def test_only_a_manual_catalog_moves(kind: Provisioning) -> None:
    assert f"Its provisioning type is {kind}" in why_not(decide([THERE], catalog=replace(CATALOG, provisioning=kind)))


def test_changed_machines_that_disagree_keep_it_where_it_is() -> None:
    assert "connections of several zones: North, South." in why_not(decide([HERE, THERE]))


def test_a_connection_whose_zone_is_not_told_decides_nothing() -> None:
    assert "Citrix does not tell the zone of a hosting connection" in why_not(decide([machine(at="berlin")]))
    assert "Citrix does not tell the zone of a hosting connection" in why_not(decide([THERE, machine(at="berlin")]))


def test_a_catalog_whose_zone_is_not_told_stays_since_the_way_back_is_unknown() -> None:
    bare = replace(CATALOG, zone_id=None)
    assert "could not be taken back" in why_not(decide([THERE], catalog=bare))


def test_each_catalog_is_decided_on_its_own_in_the_order_of_their_paths() -> None:
    catalogs = [CATALOG, folder("Lab", zone="North"), folder("Other", zone="North")]
    lab = machine("LAB-1", at="london", holds="lab", catalog="Lab")
    other = machine("OTHER-1", at="london", holds="other", catalog="Other")
    stays = machine("OTHER-2", at="paris", holds="stays", catalog="Other")
    found = zone_moves({THERE.id, lab.id, other.id}, where(THERE, lab, other, stays, catalogs=catalogs))
    assert [(each.catalog.name, each.move is not None) for each in found] == [
        ("Persistent", True),
        ("Lab", True),
        ("Other", False),
    ]


def test_a_changed_machine_that_is_gone_or_bare_by_now_decides_nothing() -> None:
    bare = machine("W11-003", at=None, holds=None)
    assert zone_moves({HERE.id, bare.id}, where(bare)) == []
