"""Who asks, and what they may do (design, section 6)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from shared.errors import NotAllowed


class Role(IntEnum):
    """The app roles; a higher one includes the lower ones."""

    NONE = 0
    READER = 1
    OPERATOR = 2
    APPROVER = 3


@dataclass(frozen=True, slots=True)
class Caller:
    """A signed-in principal, a holder of a function key, or the service itself."""

    name: str
    role: Role

    def require(self, role: Role, what: str) -> None:
        """Raise ``NotAllowed`` unless the caller has the role; ``what`` completes "to ..."."""
        if self.role < role:
            raise NotAllowed(
                f"{self.name} may not {what}: it needs the app role Realign.{role.name.capitalize()}. "
                "Ask an administrator of the Realign application in Entra ID for it."
            )


SCHEDULE = Caller("schedule", Role.OPERATOR)
FUNCTION_KEY = Caller("function-key", Role.OPERATOR)
SERVICE = Caller("realign", Role.OPERATOR)
OWN_NAMES = frozenset({SCHEDULE.name, FUNCTION_KEY.name, SERVICE.name})
