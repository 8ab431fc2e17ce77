"""Two people decide on one run at the same moment: what was refused has left nothing behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sandbox.azurite import Azurite
from shared.errors import NotWaiting
from tests.integration.workplace import ALL, W11, Workplace, workplace


@pytest.fixture(scope="module")
def module_place(azurite: Azurite) -> Iterator[Workplace]:
    with workplace(azurite) as made:
        yield made


@pytest.fixture
def place(module_place: Workplace) -> Iterator[Workplace]:
    yield module_place
    module_place.put_back()


def at_the_event(place: Workplace, monkeypatch: pytest.MonkeyPatch, method: str, act: Callable[[], object]) -> None:
    """``act`` happens once, when the next event is about to be told: after all checks, before the run changes."""
    tell = getattr(place.resources.events, method)

    def told(*args: Any) -> None:
        monkeypatch.undo()
        act()
        tell(*args)

    monkeypatch.setattr(place.resources.events, method, told)


def test_an_order_that_is_refused_does_not_widen_the_one_that_was_accepted(
    place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = place.applied()
    at_the_event(place, monkeypatch, "append", lambda: place.order_roll_back(run_id, W11[:1]))
    with pytest.raises(NotWaiting):
        place.order_roll_back(run_id)
    place.work()
    states = place.states(run_id)
    assert {host for host, state in states.items() if state == "rolled-back"} == {W11[0]}
    assert {state for host, state in states.items() if host != W11[0]} == {"verified"}


def test_an_approval_that_comes_too_late_is_taken_back(place: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = place.planned()
    at_the_event(place, monkeypatch, "append_all", lambda: place.approve(run_id, W11[:2]))
    with pytest.raises(NotWaiting):
        place.approve(run_id, W11[2:4])
    assert {host for host, state in place.states(run_id).items() if state == "approved"} == set(W11[:2])
    assert "approval-too-late" in [event.action for event in place.events(run_id)]
    place.work()
    assert {host for host, state in place.states(run_id).items() if state == "verified"} == set(W11[:2])
    place.approve(run_id)
    place.work()
    assert place.states(run_id) == dict.fromkeys(ALL, "verified")


def test_an_order_to_apply_some_leaves_the_other_approved_remaps_for_later(place: Workplace) -> None:
    run_id = place.planned()
    place.approve(run_id, apply=False)
    place.apply(run_id, W11[:3])
    assert place.run(run_id).status.value == "awaiting-review"
    assert {host for host, state in place.states(run_id).items() if state == "verified"} == set(W11[:3])
    place.apply(run_id)
    assert place.states(run_id) == dict.fromkeys(ALL, "verified")
