"""Reads machines back from Citrix, and says what a change has come to by what Citrix has then."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from shared.citrix.site import PAGE
from shared.citrix.writer import SiteWriter
from shared.model.citrix import Hosting, Machine, MachineId
from shared.model.remap import Remap
from shared.model.run import RemapState
from shared.planning.standing import described, same
from shared.runs.writing.outcome import Outcome, Told
from shared.telemetry.threads import Threads

_READERS = 4


@dataclass(frozen=True, slots=True)
class Goal:
    """What a pass is to make of its remaps: the states for what was done and for what was not.

    ``unchanged`` is what Citrix has of a remap that nothing was done for.
    """

    done: RemapState
    failed: RemapState
    unchanged: Callable[[Remap], Hosting]


APPLY = Goal(RemapState.VERIFIED, RemapState.FAILED, lambda remap: remap.before)
ROLL_BACK = Goal(RemapState.ROLLED_BACK, RemapState.ROLLBACK_FAILED, lambda remap: remap.after)


def read_back(writer: SiteWriter, wanted: Collection[MachineId], in_site: int) -> Mapping[MachineId, Machine]:
    """The machines as they are now, without those that are gone; ``in_site``: how many the site has, about.

    By pages, or one by one where that costs fewer calls. Raises ``CitrixError``.
    """
    found: dict[MachineId, Machine] = {}
    if len(wanted) > -(-in_site // PAGE):
        ids = frozenset(wanted)
        found = {machine.id: machine for machine in writer.site.machines() if machine.id in ids}
    # a list may pass over a machine between two of its pages: only its own address tells that it is gone
    missing = [machine for machine in wanted if machine not in found]
    with Threads(_READERS, thread_name_prefix="read-back") as pool:
        single = pool.map(writer.machine, missing)
        return found | {machine.id: machine for machine in single if machine is not None}


def judge(
    goal: Goal, remap: Remap, wanted: Hosting, now: Hosting | None, outcome: Outcome | None
) -> tuple[RemapState, str | None] | None:
    """What a remap has come to that was to be ``wanted``; None: nothing was done for it, and nothing is under way.

    ``now`` is what Citrix has, None for a machine that is gone.
    """
    if now is None:
        return goal.failed, "The machine is no longer in the site."
    if same(now, wanted):
        return goal.done, None
    if not same(now, goal.unchanged(remap)):
        text = f"After the write Citrix has {described(now)}: somebody else changed it at the same time. Look at it."
        return goal.failed, text
    if outcome is not None and outcome.told is Told.STUCK:
        return goal.failed, f"{outcome.sentence} It was not sent again."
    return None
