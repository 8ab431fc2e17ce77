"""Tells where two machines hold one VM after a pass: half of a swap or chain went through, the other half did not."""

from __future__ import annotations

from dataclasses import replace

from shared.model.citrix import Site
from shared.model.remap import Remap
from shared.model.run import Event, RemapState, Run
from shared.planning.holders import also_held
from shared.planning.names import fold
from shared.runs.access import SERVICE
from shared.runs.resources import Resources
from shared.runs.rows.remap_rows import RemapRows


def tell_shared_vms(resources: Resources, run: Run, rows: RemapRows, site: Site) -> None:
    """A sentence on each verified remap whose VM another machine holds too. ``site`` was read before the pass wrote.

    What was told of a remap before, and is settled now, is taken back. Raises ``StorageError``.
    """
    verified = rows.of({RemapState.VERIFIED})
    places = {machine.id: fold(machine.hosting.machine_id) for machine in site.machines if machine.hosting.machine_id}
    places |= {remap.machine: fold(remap.after.machine_id) for remap in verified if remap.after.machine_id}
    names = {machine.id: machine.name for machine in site.machines}
    sharing = also_held(places, [remap.machine for remap in verified])
    changed = [
        replace(remap, error=_sentence([names.get(other, other) for other in sharing.get(remap.machine, ())]))
        for remap in verified
    ]
    changed = [new for old, new in zip(verified, changed, strict=True) if new.error != old.error]
    rows.move(changed)
    now = resources.now()
    told = [Event(now, SERVICE.name, "shared-vm", r.error, r.machine) for r in changed if r.error is not None]
    resources.events.append_all(run.id, told)


def shares_vm(remap: Remap) -> bool:
    """True for a verified remap of which that was told."""
    return remap.state is RemapState.VERIFIED and remap.error is not None


def _sentence(others: list[str]) -> str | None:
    if not others:
        return None
    who = ", ".join(sorted(others)[:3]) + (f" and {len(others) - 3} more" if len(others) > 3 else "")
    return (
        f"Its VM is held by {who} too, whose own change did not go through: Citrix would power one VM for both. "
        "Run again for that machine, or roll this one back."
    )
