"""A simulated Prism Central: one address on which v3 and v4 answer, as far as this one has them."""

from __future__ import annotations

import time

from sandbox.faults import Faults
from sandbox.front import Simulator
from sandbox.prism_sign_in import Sessions
from sandbox.prism_v3 import CentralV3
from sandbox.prism_v4 import CentralV4
from sandbox.rate_budget import Clock
from sandbox.world import Prism

V3_PATH = "/api/nutanix/"


class Central:
    """An ``Origin`` of both APIs: an error has the shape of the one that was called. ``clock`` drives the budgets."""

    def __init__(self, prism: Prism, faults: Faults, clock: Clock = time.monotonic) -> None:
        sessions = Sessions()
        self.v3 = CentralV3(prism, faults, sessions)
        self.v4 = CentralV4(prism, faults, sessions, clock)
        self._prism = prism

    def serving(self, raw_path: str) -> Simulator:
        if raw_path.startswith(V3_PATH) and self._prism.serves_v3:
            return self.v3
        return self.v4.at(raw_path)
