"""Reads machines back from Citrix: by pages, or one by one where that costs fewer calls."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor

from shared.citrix.site import PAGE
from shared.citrix.writer import SiteWriter
from shared.model.citrix import Hosting, Machine, MachineId
from shared.model.remap import Remap
from shared.model.run import RemapState
from shared.planning.standing import described, same
from shared.runs.sending import Outcome, Told

_READERS = 4


def read_back(writer: SiteWriter, wanted: Collection[MachineId], in_site: int) -> Mapping[MachineId, Machine]:
    """The machines as they are now, without those that are gone; ``in_site``: how many the site has, about.

    Raises ``CitrixError``.
    """
    if len(wanted) > -(-in_site // PAGE):
        ids = frozenset(wanted)
        return {machine.id: machine for machine in writer.site.machines() if machine.id in ids}
    with ThreadPoolExecutor(_READERS, thread_name_prefix="read-back") as pool:
        found = pool.map(writer.machine, wanted)
        return {machine.id: machine for machine in found if machine is not None}


def judge(remap: Remap, now: Hosting | None, outcome: Outcome | None) -> tuple[RemapState, str | None] | None:
    """What a remap has come to whose change was sent; None: Citrix still has the old values, and nothing is under way.

    ``now`` is what Citrix has, None for a machine that is gone.
    """
    if now is None:
        return RemapState.FAILED, "The machine is no longer in the site."
    if same(now, remap.after):
        return RemapState.VERIFIED, None
    if not same(now, remap.before):
        text = f"After the write Citrix has {described(now)}: somebody else changed it at the same time. Look at it."
        return RemapState.FAILED, text
    if outcome is not None and outcome.told is Told.STUCK:
        return RemapState.FAILED, f"{outcome.sentence} It was not sent again, since the job may still change it."
    return None
