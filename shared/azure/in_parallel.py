"""Transactions of one write, several at a time: a service takes many, and each costs a round trip."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from itertools import islice
from typing import TypeVar

from shared.telemetry.threads import Threads

WRITERS = 8

T = TypeVar("T")


def in_parallel(work: Callable[[T], object], groups: Iterable[T], writers: int = WRITERS) -> None:
    """Do ``work`` on each group, at most ``writers`` at a time; the first failure ends it and is raised.

    Groups are taken only as fast as they are done: a plan of 50,000 machines is never in memory as rows.
    """
    waiting = iter(groups)
    with Threads(writers) as threads:
        running: set[Future[object]] = set()
        while True:
            running |= {threads.submit(work, group) for group in islice(waiting, writers - len(running))}
            if not running:
                return
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                future.result()
