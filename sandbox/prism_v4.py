"""A simulated Prism Central, v4: who may call, which versions there are, and how often (``prism.md``, 5.1, 5.8, 5.9).

What is answered stands in ``prism_v4_estate`` and ``prism_v4_recovery``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from sandbox import contract
from sandbox.contract import UNKNOWN
from sandbox.faults import Faults
from sandbox.front import Answer, Call, Handler
from sandbox.prism_sign_in import Sessions, api_key_matches, basic_matches, central_headers
from sandbox.prism_v4_envelope import app_error, minor_of, namespace_of, schema_error
from sandbox.prism_v4_estate import EstateV4
from sandbox.prism_v4_recovery import RecoveryV4
from sandbox.rate_budget import Clock, RateBudgets
from sandbox.world import Prism

# Recovery plans and their jobs came with v4.2 of their namespaces.
SINCE = {
    "v4ListRecoveryPlans": 2,
    "v4GetRecoveryPlan": 2,
    "v4ListRecoveryPlanJobs": 2,
    "v4GetRecoveryPlanJob": 2,
    "v4ListExecutionSteps": 2,
    "v4ListValidationErrors": 2,
}
VERSIONS = "v4GetVersions"


class CentralV4:
    """What lasts from call to call; ``at`` is the simulator that answers one of them."""

    def __init__(self, prism: Prism, faults: Faults, sessions: Sessions, clock: Clock) -> None:
        self.prism = prism
        self.faults = faults
        self.sessions = sessions
        self.budgets = RateBudgets(prism, clock)
        self.handlers: Mapping[str, Handler] = {
            VERSIONS: self._versions,
            **EstateV4(prism, faults).handlers,
            **RecoveryV4(prism).handlers,
        }

    def at(self, raw_path: str) -> CallV4:
        return CallV4(self, raw_path)

    def serves(self, call: Call) -> bool:
        """True where the namespace exists here in the minor that the path names."""
        path = call.path
        highest = self.prism.minors.get(path.get("namespace") or namespace_of(call.operation.template))
        if highest is None:
            return False
        if call.operation.id == VERSIONS:
            return self.prism.announces
        if not path["version"].removeprefix("v4.").isdecimal():
            return False
        return SINCE.get(call.operation.id, 0) <= minor_of(call) <= highest

    def _versions(self, call: Call) -> Answer:
        return Answer(body={"data": f"v4.{self.prism.minors[call.path['namespace']]}"})


class CallV4:
    """A ``Simulator`` for one call: its errors name the path, and its namespace in their types."""

    probe = "v4ListVms"

    def __init__(self, central: CentralV4, raw_path: str) -> None:
        self.system = f"prism/{central.prism.name}"
        self.contract = contract.prism()
        self.handlers = central.handlers
        self._central = central
        self._path = raw_path

    async def trouble(self, call: Call) -> Answer | None:
        faults, name = self._central.faults, self._central.prism.name
        await asyncio.sleep(faults.delay("prism-slow", name))
        if faults.hits("prism-500", name):
            return self._error(500, "The server could not process the request.", "INTERNAL_ERROR", "VMM-10000")
        return None

    def admit(self, call: Call) -> Answer | None:
        central = self._central
        signed_in = basic_matches(central.prism, call) or api_key_matches(central.prism, call)
        if not signed_in and not central.sessions.known(call):
            # Often empty in reality: the status alone decides.
            return Answer(401, headers={"WWW-Authenticate": 'Basic realm="Prism Central"'})
        if call.operation.id == UNKNOWN:
            return None
        if not central.serves(call):
            return self.refuse(404, [f"{self._path} does not exist"])
        if call.operation.id in central.prism.forbidden:
            return Answer(403)  # often empty in reality, as a 401
        if not central.budgets.admits(call.operation.id):
            return self._error(429, "Too many requests: the rate limit is exceeded.", "RATE_LIMIT_EXCEEDED")
        return None

    def prepare(self, call: Call) -> None:
        pass

    def refuse(self, status: int, problems: list[str]) -> Answer:
        if status == 404:
            # Nobody serves the path, so nobody has a code or a group for it: unlike a 404 on an identifier.
            return schema_error(404, self._path, [])
        return schema_error(status, self._path, [(_part(problem), problem) for problem in problems])

    def finish(self, call: Call, answer: Answer) -> Answer:
        central = self._central
        answer.headers |= central_headers(central.prism) | central.budgets.headers(call.operation.id)
        if answer.status == 200 and basic_matches(central.prism, call) and not central.sessions.known(call):
            answer.cookies = central.sessions.open()
        large = call.operation.id == "v4ListVms" and answer.status == 200
        if large and central.faults.hits("prism-truncated", central.prism.name):
            answer.cut = True
        return answer

    def _error(self, status: int, message: str, group: str, code: str = "") -> Answer:
        return app_error(status, namespace_of(self._path), message, group, code)


def _part(problem: str) -> str:
    """The parameter that a problem of the contract names: ``query parameter $limit: ...``."""
    words = problem.replace(":", " ").split()
    return words[2] if words[1:2] == ["parameter"] else "body"
