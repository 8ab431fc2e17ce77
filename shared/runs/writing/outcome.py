"""What Citrix told of a change. It is never taken for the truth: whoever needs to know reads the machine back."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Told(StrEnum):
    """``KEPT``: it was not sent. ``STUCK``: its job does not end, and may still do it."""

    DONE = "done"
    REFUSED = "refused"
    UNKNOWN = "unknown"
    STUCK = "stuck"
    KEPT = "kept"


@dataclass(frozen=True, slots=True)
class Outcome:
    """``sentence`` tells why a change was refused or is not known; ``code`` is the HTTP status behind it."""

    told: Told
    sentence: str | None = None
    code: int | None = None
