"""How much Prism Central v4 answers in a second, and the headers that say so (contract ``prism.md``, section 5.9).

Two budgets bound a call: the one of the whole Prism Central and the one of its endpoint. Both are enforced over a
sliding second: harder than the fixed seconds that a real one may count in, so that who passes here passes there.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable

from sandbox.world import Prism

PERIOD_SECONDS = 1
WHOLE = "whole"
WHOLE_RATE = 30
USUAL_RATE = 10
# Calls a second by operation; ``Prism.rates`` overrides them, and under ``WHOLE`` the whole Prism Central's.
RATES = {
    "v4ListVms": 2,
    "v4GetVm": 10,
    "v4ListClusters": 10,
    "v4GetCluster": 10,
    "v4ListCategories": 10,
    "v4ListRecoveryPlanJobs": 1,
    "v4GetRecoveryPlanJob": 1,
    "v4ListExecutionSteps": 1,
    "v4ListValidationErrors": 1,
    "v4GetProtectedResource": 1,
}

Clock = Callable[[], float]


class SlidingBudget:
    """The calls that were let through in the last second. ``clock`` is in seconds and never goes back."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._taken: deque[float] = deque()

    def remaining(self, limit: int) -> int:
        oldest = self._clock() - PERIOD_SECONDS
        while self._taken and self._taken[0] <= oldest:
            self._taken.popleft()
        return max(0, limit - len(self._taken))

    def take(self) -> None:
        self._taken.append(self._clock())

    def reset(self) -> float:
        """Seconds until the oldest call leaves the window and makes room; 0 where none is in it."""
        return max(0.0, self._taken[0] + PERIOD_SECONDS - self._clock()) if self._taken else 0.0


class RateBudgets:
    """The budgets of one Prism Central. A call that is refused uses nothing up."""

    def __init__(self, prism: Prism, clock: Clock = time.monotonic) -> None:
        self._prism = prism
        self._clock = clock
        self._budgets: dict[str, SlidingBudget] = {}

    def admits(self, operation: str) -> bool:
        """True where both budgets have room; the call is counted then."""
        if min(self._remaining(WHOLE), self._remaining(operation)) <= 0:
            return False
        self._of(WHOLE).take()
        self._of(operation).take()
        return True

    def headers(self, operation: str) -> dict[str, str]:
        """Both families of headers, as the budgets stand now."""
        return {
            "X-Ratelimit-Limit": str(self._limit(WHOLE)),
            "X-Ratelimit-Remaining": str(self._remaining(WHOLE)),
            # In recordings this one is 0 beside a period of a second: whole seconds fit, milliseconds do not.
            "X-Ratelimit-Reset": str(int(self._of(WHOLE).reset())),
            "X-Api-Ratelimit-Limit": str(self._limit(operation)),
            "X-Api-Ratelimit-Remaining": str(self._remaining(operation)),
            "X-Api-Ratelimit-Reset": str(math.ceil(self._of(operation).reset() * 1_000)),
            "X-Api-Ratelimit-Refresh-Period-Seconds": str(PERIOD_SECONDS),
        }

    def _limit(self, name: str) -> int:
        usual = WHOLE_RATE if name == WHOLE else RATES.get(name, USUAL_RATE)
        return self._prism.rates.get(name, usual)

    def _remaining(self, name: str) -> int:
        return self._of(name).remaining(self._limit(name))

    def _of(self, name: str) -> SlidingBudget:
        return self._budgets.setdefault(name, SlidingBudget(self._clock))
