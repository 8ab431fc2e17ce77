"""Moves catalogs to the zone of their machines' new connections, where that was asked for, and back again."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from dataclasses import replace

from shared.azure.zone_moves import ZoneMoves
from shared.citrix.jobs import wait_for_job
from shared.citrix.site import read_site
from shared.citrix.writer import SiteWriter
from shared.errors import CitrixError
from shared.model.citrix import MachineId, Site
from shared.model.job import JobStatus
from shared.model.remap import ZoneMove, ZoneMoveState
from shared.model.run import RunId
from shared.planning.names import fold
from shared.planning.zones import zone_moves

MOST_LOOKS = 33  # about five minutes, the limit of Citrix's own Terraform provider

log = logging.getLogger(__name__)

Pause = Callable[[float], None]
Check = Callable[[], None]


def move_zones(
    writer: SiteWriter, moves: ZoneMoves, run_id: RunId, changed: Collection[MachineId], pause: Pause, check: Check
) -> tuple[str, bool]:
    """Move the catalogs of the ``changed`` machines; a sentence on what came of it, and whether all went well.

    Each move is durable, with the zone that it leaves, before it is asked for. Raises ``CitrixError`` where the site
    cannot be read.
    """
    known = {move.catalog_id: move for move in moves.of(run_id)}
    if known:
        _wait_for_moves(writer, pause, check)
    site = read_site(writer.site)
    said, well = _noted_as_moved(site, moves, run_id, known.values()), True
    for decision in zone_moves(changed, site):
        if decision.move is None:
            said.append(decision.why_not)
            well = False
            continue
        # a move that an earlier attempt began has the zone that the catalog had before it
        move = known.get(decision.move.catalog_id, decision.move)
        moves.put(run_id, replace(move, state=ZoneMoveState.MOVING))
        failure = _moved(writer, move, move.to_zone_id, pause, check)
        moves.put(run_id, replace(move, state=ZoneMoveState.FAILED if failure else ZoneMoveState.MOVED))
        said.append(failure or _told(move))
        well = well and failure is None
    return " ".join(said) or "No catalog had to move.", well


def move_zones_back(
    writer: SiteWriter, moves: ZoneMoves, run_id: RunId, staying: Collection[str], pause: Pause, check: Check
) -> tuple[str, bool] | None:
    """Move back the catalogs that the run moved and that still are where it put them; None where it moved none.

    ``staying``: names of catalogs with machines that stay where the run put them; so do these catalogs. Raises
    ``CitrixError`` where the site cannot be read.
    """
    moved = [move for move in moves.of(run_id) if move.state is not ZoneMoveState.MOVED_BACK]
    if not moved:
        return None
    _wait_for_moves(writer, pause, check)
    catalogs = {catalog.id: catalog for catalog in writer.site.catalogs()}
    said, well = [], True
    for move in moved:
        if move.catalog in staying:
            said.append(f"{move.catalog} stays in {move.to_zone}, as some of its machines do.")
            continue
        catalog = catalogs.get(move.catalog_id)
        zone = fold(catalog.zone_id or "") if catalog is not None else None
        if zone == fold(move.from_zone_id):
            moves.put(run_id, replace(move, state=ZoneMoveState.MOVED_BACK))
            continue
        if zone != fold(move.to_zone_id):
            said.append(f"{move.catalog} was moved by someone else since; it was left where it is.")
            well = False
            continue
        failure = _moved(writer, move, move.from_zone_id, pause, check)
        if failure is None:
            moves.put(run_id, replace(move, state=ZoneMoveState.MOVED_BACK))
        said.append(failure or f"{move.catalog}: {move.to_zone} to {move.from_zone}.")
        well = well and failure is None
    return " ".join(said) or "No catalog had to move back.", well


def _wait_for_moves(writer: SiteWriter, pause: Pause, check: Check) -> None:
    """What a worker that died had asked for may still be under way: it is not asked for twice."""
    for job in writer.moves_under_way():
        try:
            wait_for_job(writer, job.id, pause, check, MOST_LOOKS)
        except CitrixError as error:
            if error.kind != "missing":
                raise


def _noted_as_moved(site: Site, moves: ZoneMoves, run_id: RunId, known: Collection[ZoneMove]) -> list[str]:
    """A sentence for each move that a worker began, did not live to see, and that was done."""
    zones = {catalog.id: fold(catalog.zone_id or "") for catalog in site.catalogs}
    said = []
    for move in known:
        if move.state is ZoneMoveState.MOVING and zones.get(move.catalog_id) == fold(move.to_zone_id):
            moves.put(run_id, replace(move, state=ZoneMoveState.MOVED))
            said.append(_told(move))
    return said


def _told(move: ZoneMove) -> str:
    return f"{move.catalog}: {move.from_zone} to {move.to_zone}."


def _moved(writer: SiteWriter, move: ZoneMove, zone_id: str, pause: Pause, check: Check) -> str | None:
    """Why the catalog was not moved, None where it was: what Citrix shows afterwards counts."""
    check()
    said = "Citrix said that it was done."
    try:
        job_id = writer.move_catalog(move.catalog_id, move.catalog, zone_id)
        if job_id is not None:
            job = wait_for_job(writer, job_id, pause, check, MOST_LOOKS)
            status = job.status if job is not None else JobStatus.IN_PROGRESS
            said = (job.error if job is not None else None) or f"Citrix's job {job_id} is {status.value}."
    except CitrixError as error:
        said = str(error)
        log.warning("catalog not moved catalog=%s: %s", move.catalog_id, error)
    try:
        now = next((each.zone_id for each in writer.site.catalogs() if each.id == move.catalog_id), None)
    except CitrixError as error:
        return f"{move.catalog}: it is not known whether it moved. {error}"
    return None if fold(now or "") == fold(zone_id) else f"{move.catalog} was not moved. {said}"
