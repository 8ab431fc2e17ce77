"""What becomes of each remap that is to be rolled back, from what Citrix says now (design, section 5).

Only what still is as the run left it is taken back: what someone changed since is reported, never overwritten. Whether
the former VM still exists does not matter here, since a roll back restores what Citrix held, be it right or wrong.
"""

from __future__ import annotations

from collections.abc import Sequence

from shared.model.citrix import Hosting, Machine, MachineId, Site
from shared.model.remap import Remap
from shared.planning.holders import named, still_held
from shared.planning.names import fold
from shared.planning.recheck import Action, Verdict
from shared.planning.standing import Connections, described, same


def restore(remaps: Sequence[Remap], site: Site) -> dict[MachineId, Verdict]:
    """A verdict for every remap to be rolled back (``GO``, ``DONE`` or ``FAILED``); ``site`` was read just now.

    ``hosting`` is the former place, under the name that its connection has now. Machines that shared a VM before the
    run and are both in ``remaps`` may share it again: that is what was.
    """
    machines = {machine.id: machine for machine in site.machines}
    connections = Connections(site.connections)
    verdicts = {remap.machine: _alone(remap, machines.get(remap.machine), connections) for remap in remaps}
    moves = {
        machine: fold(verdict.hosting.machine_id or "")
        for machine, verdict in verdicts.items()
        if verdict.hosting is not None
    }
    before = {(remap.machine, fold(remap.before.machine_id or "")) for remap in remaps}
    for mover, holders in still_held(moves, site.machines, before).items():
        text = f"The VM {moves[mover]} that it had before is held by {named(holders)} now; it was not taken away. "
        if any(holder.id in verdicts for holder in holders):
            text += "That machine could not be rolled back either: settle it first, then roll back again."
        else:
            text += "Roll that machine back too, or correct it in Citrix, then roll back again."
        verdicts[mover] = Verdict(Action.FAILED, text)
    return verdicts


def _alone(remap: Remap, machine: Machine | None, connections: Connections) -> Verdict:
    """The verdict as far as the other machines do not matter."""
    if machine is None:
        return Verdict(Action.FAILED, f"{remap.machine_name} is no machine of the site any more.")
    if same(machine.hosting, remap.before):
        return Verdict(Action.DONE)
    if not same(machine.hosting, remap.after):
        text = f"It was changed since by someone else: Citrix has {described(machine.hosting)}; it was not overwritten."
        return Verdict(Action.FAILED, text)
    there = connections.of(remap.before)
    if there is None:
        text = (
            f"The hosting connection {remap.before.connection} that it had before was deleted in Citrix, "
            "so it stays where it is. Correct the machine in Citrix if need be."
        )
        return Verdict(Action.FAILED, text)
    if there.in_maintenance:
        text = (
            f"The hosting connection {there.name} that it had before is in maintenance mode. "
            "End that in Citrix and roll back again."
        )
        return Verdict(Action.FAILED, text)
    return Verdict(Action.GO, hosting=Hosting(there.name, remap.before.machine_id, there.id))
