"""Draws what happens next. Evenly: hypothesis likes small and repeated values, which show little here."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from tests.stateful.acts import (
    Act,
    Approve,
    Ask,
    Deliver,
    GiveUp,
    Meddle,
    Mishaps,
    Redeliver,
    RollBack,
    Start,
    Sweep,
    Wish,
)
from tests.stateful.estate import Meddling
from tests.stateful.mishaps import Among, Kind, Mishap

KINDS_OF_RUN = ("review", "review", "auto", "auto", "auto", "dr", "dr", "schedule", "report")
OF_STORAGE = (Kind.CRASH_BEFORE, Kind.CRASH_BEFORE, Kind.LOCK_STOLEN, Kind.LOCK_DELETED, Kind.DOWN)


def act(drawn: Random) -> Act:
    """The next thing that happens, with what goes wrong meanwhile."""
    kinds: dict[Callable[[Random], Act], int] = {
        _approve: 4, _roll_back: 3, _deliver: 4, _start: 2, _meddle: 1, _ask: 2, _redeliver: 1, _sweep: 1, _give_up: 1
    }  # fmt: skip
    return drawn.choices(list(kinds), list(kinds.values()))[0](drawn)


def _mishap(drawn: Random) -> Mishap:
    among = drawn.choices((Among.WRITES, Among.CALLS, Among.STORAGE), (3, 2, 1))[0]
    kind = drawn.choice(OF_STORAGE if among is Among.STORAGE else list(Kind))
    return Mishap(kind, among, drawn.randint(1, 45), drawn.choice(list(Meddling)), drawn.randrange(10))


def _mishaps(drawn: Random, least: int = 0) -> Mishaps:
    return tuple(_mishap(drawn) for _ in range(drawn.randint(least, 3)))


def _some(drawn: Random) -> tuple[int, ...]:
    """Machines; none: all of them."""
    return tuple(drawn.sample(range(7), drawn.choice((0, 0, 1, 2, 4))))


def _number(drawn: Random) -> int:
    return drawn.randrange(30)


def _approve(drawn: Random) -> Act:
    at_once = drawn.random() < 0.8
    return Approve(_number(drawn), _some(drawn), at_once, _mishaps(drawn, 1) if at_once else ())


def _roll_back(drawn: Random) -> Act:
    at_once = drawn.random() < 0.8
    return RollBack(_number(drawn), _some(drawn), at_once, _mishaps(drawn, 1) if at_once else ())


def _deliver(drawn: Random) -> Act:
    return Deliver(_mishaps(drawn))


def _start(drawn: Random) -> Act:
    planned = drawn.random() < 0.7
    drifted = tuple(drawn.sample(range(9), drawn.randint(1, 6)))
    return Start(drawn.choice(KINDS_OF_RUN), drifted, planned, _mishaps(drawn) if planned else ())


def _meddle(drawn: Random) -> Act:
    return Meddle(drawn.choice(list(Meddling)), drawn.randrange(10))


def _ask(drawn: Random) -> Act:
    return Ask(drawn.choice(list(Wish)), _number(drawn), _some(drawn))


def _redeliver(drawn: Random) -> Act:
    return Redeliver(_number(drawn), _mishaps(drawn))


def _sweep(drawn: Random) -> Act:
    return Sweep(drawn.choice((1.0, 20.0, 61.0, 300.0)), drawn.random() < 0.5)


def _give_up(drawn: Random) -> Act:
    return GiveUp(_number(drawn))
