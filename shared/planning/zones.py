"""Which catalogs follow their machines to another zone (design, section 5).

A catalog's zone is that of all its machines, those included that no run looked at: it moves only where every
power-managed one of them already stands on a connection of the new zone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from shared.model.citrix import Folder, HostingConnection, Machine, MachineId, Provisioning, Site
from shared.model.remap import ZoneMove, ZoneMoveState
from shared.planning.names import fold
from shared.planning.standing import Connections


@dataclass(frozen=True, slots=True)
class ZoneDecision:
    """About one catalog that is not in the zone of its changed machines: ``move``, or a sentence why it stays."""

    catalog: Folder
    move: ZoneMove | None = None
    why_not: str = ""


def zone_moves(changed: Collection[MachineId], site: Site) -> list[ZoneDecision]:
    """The decisions about the catalogs of the ``changed`` machines, by path; ``site`` was read after the change."""
    catalogs = {catalog.id: catalog for catalog in site.catalogs}
    connections = Connections(site.connections)
    members: dict[str, list[Machine]] = defaultdict(list)
    for machine in site.machines:
        if machine.catalog_id in catalogs and machine.hosting.connection is not None:
            members[machine.catalog_id].append(machine)
    touched = frozenset(changed)
    decisions = (
        _decide(catalogs[key], [each for each in inside if each.id in touched], inside, connections)
        for key, inside in members.items()
        if any(each.id in touched for each in inside)
    )
    return sorted(
        (decision for decision in decisions if decision is not None),
        key=lambda decision: (fold(decision.catalog.path), decision.catalog.id),
    )


def _decide(
    catalog: Folder, changed: Sequence[Machine], members: Sequence[Machine], connections: Connections
) -> ZoneDecision | None:
    """None where the catalog already is where its changed machines are."""
    homes = [connections.of(machine.hosting) for machine in changed]
    zones = {fold(home.zone_id): home for home in homes if home is not None and home.zone_id}
    if any(home is None or not home.zone_id for home in homes):
        return _stays(catalog, "Citrix does not tell the zone of a hosting connection that its machines now stand on.")
    if len(zones) > 1:
        names = ", ".join(sorted(home.zone or zone for zone, home in zones.items()))
        return _stays(catalog, f"Its changed machines stand on connections of several zones: {names}.")
    ((target, home),) = zones.items()
    if catalog.zone_id is None:
        return _stays(catalog, "Citrix does not tell its present zone, so a move could not be taken back.")
    if fold(catalog.zone_id) == target:
        return None
    if catalog.provisioning is not Provisioning.MANUAL:
        return _stays(catalog, f"Its provisioning type is {catalog.provisioning}; only a Manual catalog may move.")
    elsewhere = sum(not _is_in(target, connections.of(machine.hosting)) for machine in members)
    if elsewhere:
        stand = "machines stands" if elsewhere == 1 else "machines stand"
        where = f"on connections outside the zone {home.zone or home.zone_id}"
        return _stays(catalog, f"{elsewhere} of its {len(members)} power-managed {stand} {where}.")
    return ZoneDecision(catalog, _move(catalog, catalog.zone_id, home))


def _is_in(zone: str, connection: HostingConnection | None) -> bool:
    return connection is not None and fold(connection.zone_id or "") == zone


def _move(catalog: Folder, from_id: str, home: HostingConnection) -> ZoneMove:
    to_id = home.zone_id or ""
    return ZoneMove(
        catalog=catalog.name,
        catalog_id=catalog.id,
        from_zone=catalog.zone or from_id,
        from_zone_id=from_id,
        to_zone=home.zone or to_id,
        to_zone_id=to_id,
        state=ZoneMoveState.MOVING,
    )


def _stays(catalog: Folder, why: str) -> ZoneDecision:
    return ZoneDecision(catalog, why_not=f"The catalog {catalog.path} was not moved to another zone. {why}")
