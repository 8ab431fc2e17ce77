"""Turns at something that only one may use at a time; whoever is urgent goes before those who wait already."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Turns:
    """The turns at one thing. Safe to use from several threads."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._taken = False
        self._urgent = 0

    @contextmanager
    def take(self, *, urgent: bool, patience: float) -> Iterator[bool]:
        """Hold the turn; False where it did not come within ``patience`` seconds."""
        mine = self._wait(urgent, max(0.0, patience))
        try:
            yield mine
        finally:
            if mine:
                with self._changed:
                    self._taken = False
                    self._changed.notify_all()

    def _wait(self, urgent: bool, patience: float) -> bool:
        with self._changed:
            self._urgent += urgent
            try:
                came = self._changed.wait_for(lambda: not self._taken and (urgent or not self._urgent), patience)
                self._taken = self._taken or came
                return came
            finally:
                self._urgent -= urgent
                self._changed.notify_all()
