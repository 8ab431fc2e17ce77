"""Who still holds the VM that a machine is to be put on, when a whole set of machines moves at once."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence

from shared.model.citrix import Machine, MachineId
from shared.planning.names import fold

MOST_NAMED = 3


def still_held(
    moves: Mapping[MachineId, str],
    machines: Iterable[Machine],
    together: Collection[tuple[MachineId, str]] = frozenset(),
) -> dict[MachineId, list[Machine]]:
    """The moves that cannot go ahead, each with the machines that hold its VM and do not leave it, by name.

    ``moves`` gives the UUID (folded) that each machine is to hold; ``machines`` are all of the site's, and a UUID
    counts whatever its connection. A move that cannot go ahead leaves its machine where it is, which can be in the way
    of the next, so this goes on until nothing changes. ``together``: holders, and the UUID (folded) which they hold in
    nobody's way.
    """
    holders: dict[str, list[Machine]] = defaultdict(list)
    held_by: dict[MachineId, str] = {}
    for machine in machines:
        uuid = fold(machine.hosting.machine_id or "")
        if uuid and (machine.id, uuid) not in together:
            holders[uuid].append(machine)
            held_by[machine.id] = uuid
    wanted_by: dict[str, list[MachineId]] = defaultdict(list)
    for mover, uuid in moves.items():
        wanted_by[uuid].append(mover)
    going = dict(moves)
    staying = Counter({uuid: len(_staying(uuid, holders, going)) for uuid in wanted_by})
    waiting = list(moves)
    while waiting:
        mover = waiting.pop()
        if mover not in going:
            continue
        uuid, held = going[mover], held_by.get(mover)
        if staying[uuid] <= (held == uuid):
            continue
        del going[mover]
        if held is not None and held != uuid:
            staying[held] += 1
            waiting.extend(wanted_by.get(held, ()))
    return {
        mover: [machine for machine in _staying(uuid, holders, going) if machine.id != mover]
        for mover, uuid in moves.items()
        if mover not in going
    }


def together(moves: Mapping[MachineId, str], machines: Iterable[Machine]) -> list[list[MachineId]]:
    """The movers that have to move together: one of them is to hold a VM that another still holds.

    ``moves`` as in ``still_held``. Each such set once, its machines by id; who moves by itself is in none.
    """
    held_by: dict[str, list[MachineId]] = defaultdict(list)
    for machine in machines:
        if machine.id in moves and machine.hosting.machine_id is not None:
            held_by[fold(machine.hosting.machine_id)].append(machine.id)
    set_of: dict[MachineId, set[MachineId]] = {}
    for mover, uuid in moves.items():
        for holder in held_by.get(uuid, ()):
            if holder != mover:
                joined = set_of.get(mover, {mover}) | set_of.get(holder, {holder})
                set_of.update(dict.fromkeys(joined, joined))
    return [list(group) for group in sorted({tuple(sorted(each)) for each in set_of.values()})]


def also_held(places: Mapping[MachineId, str], of: Collection[MachineId]) -> dict[MachineId, list[MachineId]]:
    """The machines ``of`` a set that share their VM, and with whom. ``places``: every machine's UUID (folded)."""
    holders: dict[str, list[MachineId]] = defaultdict(list)
    for machine, uuid in places.items():
        holders[uuid].append(machine)
    return {
        machine: [other for other in holders[places[machine]] if other != machine]
        for machine in of
        if len(holders[places[machine]]) > 1
    }


def _staying(uuid: str, holders: Mapping[str, Sequence[Machine]], going: Mapping[MachineId, str]) -> list[Machine]:
    stay = [machine for machine in holders.get(uuid, ()) if going.get(machine.id) in (None, uuid)]
    return sorted(stay, key=lambda machine: (fold(machine.name), machine.id))


def named(machines: Collection[Machine]) -> str:
    """Their names in a sentence, the first few of many."""
    names = ", ".join(machine.name for machine in list(machines)[:MOST_NAMED])
    more = len(machines) - MOST_NAMED
    return f"{names} and {more} more" if more > 0 else names
