"""Sends once more, each alone, what a batch did not change: after a read-back, and never twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock

from shared.model.citrix import MachineId
from shared.model.remap import Change
from shared.runs.sending import ALONE_AT_ONCE, FORBIDDEN, Outcome, Sending, Told, send_alone

ENOUGH_REFUSALS = 5
FEW = 4  # more whose batch was lost go in a batch again


def is_lost(outcome: Outcome | None) -> bool:
    """True where nothing at all is known of a change, as when the answer to its batch was lost."""
    return outcome is None or outcome.told is Told.UNKNOWN


def send_again(
    sending: Sending, changes: Sequence[Change], before: Mapping[MachineId, Outcome]
) -> dict[MachineId, Outcome]:
    """What became of each change. ``before`` is what was told of them in their batch.

    A right that is missing is missing for all: after a few refusals what was refused for the same reason in its batch
    keeps that outcome and costs no call. Raises ``LockLost`` and ``StorageError``.
    """
    guard = Lock()
    refused_in_a_row = 0

    def one(change: Change) -> Outcome:
        nonlocal refused_in_a_row
        told = before.get(change.machine)
        with guard:
            hopeless = refused_in_a_row >= ENOUGH_REFUSALS
        if hopeless and told is not None and told.code == FORBIDDEN:
            return told
        outcome = send_alone(sending, change)
        with guard:
            refused_in_a_row = refused_in_a_row + 1 if outcome.code == FORBIDDEN else 0
        return outcome

    with ThreadPoolExecutor(ALONE_AT_ONCE, thread_name_prefix="alone") as pool:
        return dict(zip((change.machine for change in changes), pool.map(one, changes), strict=True))
