from __future__ import annotations

import pytest

from shared.errors import NotAllowed
from shared.runs.access import FUNCTION_KEY, SCHEDULE, SERVICE, Caller, Role


@pytest.mark.parametrize("needed", list(Role))
@pytest.mark.parametrize("has", list(Role))
def test_a_higher_role_includes_the_lower_ones(has: Role, needed: Role) -> None:
    caller = Caller("ann", has)
    if has >= needed:
        caller.require(needed, "start runs")
    else:
        with pytest.raises(NotAllowed, match=f"ann may not start runs: it needs .* Realign.{needed.name.capitalize()}"):
            caller.require(needed, "start runs")


def test_the_order_of_the_roles() -> None:
    assert sorted(Role) == [Role.NONE, Role.READER, Role.OPERATOR, Role.APPROVER]


@pytest.mark.parametrize("caller", [FUNCTION_KEY, SCHEDULE, SERVICE], ids=lambda caller: caller.name)
def test_nobody_without_a_name_of_their_own_approves_anything(caller: Caller) -> None:
    caller.require(Role.OPERATOR, "start runs")
    with pytest.raises(NotAllowed):
        caller.require(Role.APPROVER, "approve")
