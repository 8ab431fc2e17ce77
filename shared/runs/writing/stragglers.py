"""What a batch did not change goes once more: after a read-back, and never a third time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from shared.model.citrix import MachineId
from shared.model.remap import Change
from shared.runs.writing.outcome import Outcome, Told
from shared.runs.writing.sending import FORBIDDEN, Sending, send

FEW = 4  # more whose batch was lost go in a batch again

ReadBack = Callable[[Sequence[MachineId], Mapping[MachineId, Outcome]], list[MachineId]]


def send_again(
    sending: Sending, changes: Sequence[Change], before: Mapping[MachineId, Outcome], read_back: ReadBack
) -> dict[MachineId, Outcome]:
    """What was told at last of changes that were not done; ``KEPT`` for what could not be sent again by now.

    ``before`` is what was told of them first. Batches of which nothing is known go in batches again, and ``read_back``
    settles what it can and returns the others; what was refused, or told as done and was not, goes alone. Raises what
    ``send`` and ``read_back`` raise.
    """
    by_machine = {change.machine: change for change in changes}
    told = dict(before)
    left = list(by_machine)
    lost = [machine for machine in left if _is_lost(before.get(machine))]
    if len(lost) > FEW:
        told |= send(sending, [[by_machine[machine]] for machine in lost])
        kept = [machine for machine in lost if told[machine].told is Told.KEPT]
        left = read_back([machine for machine in left if machine not in kept], told)
    # a right that is missing ends its own round, and must keep nothing else from going
    forbidden = [machine for machine in left if _code(told.get(machine)) == FORBIDDEN]
    others = [machine for machine in left if _code(told.get(machine)) != FORBIDDEN]
    for group in (others, forbidden):
        told |= send(sending, [[by_machine[machine]] for machine in group], alone=True)
    return told


def _code(outcome: Outcome | None) -> int | None:
    return outcome.code if outcome is not None else None


def _is_lost(outcome: Outcome | None) -> bool:
    return outcome is None or outcome.told is Told.UNKNOWN
