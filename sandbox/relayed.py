"""What stands behind a simulated Azure Relay instead of a TCP relay, and what listens there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["hcm", "azbridge"]


@dataclass(frozen=True, slots=True)
class Relayed:
    """``kind`` is the profile's word for the listener; ``listeners`` is how many serve the connection."""

    kind: Kind
    listeners: int = 1
