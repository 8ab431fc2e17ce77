"""Counts what the simulators were asked, so that a test can say what something cost."""

from __future__ import annotations

import threading
from collections import Counter


class Calls:
    """Calls by system (``citrix``, ``prism/<name>``, ``vault``, ``identity``), method and route template."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, str, str]] = Counter()
        self._throttled: Counter[tuple[str, str, str]] = Counter()

    def add(self, system: str, method: str, route: str) -> None:
        with self._lock:
            self._counts[system, method.upper(), route] += 1

    def count(self, system: str | None = None, method: str | None = None, route: str | None = None) -> int:
        """How many calls match every part that is given; ``route`` is a template such as ``/Machines/{nameOrId}``."""
        with self._lock:
            return sum(
                number
                for (of_system, of_method, of_route), number in self._counts.items()
                if system in (None, of_system) and method in (None, of_method) and route in (None, of_route)
            )

    def add_throttled(self, system: str, method: str, route: str) -> None:
        with self._lock:
            self._throttled[system, method.upper(), route] += 1

    def throttled(self, system: str | None = None) -> int:
        """How many calls were answered 429, by any system or by one."""
        with self._lock:
            return sum(number for (of_system, _, _), number in self._throttled.items() if system in (None, of_system))

    def clear(self) -> None:
        with self._lock:
            self._counts.clear()
            self._throttled.clear()

    def as_json(self) -> list[dict[str, object]]:
        with self._lock:
            rows = sorted(self._counts.items())
        return [{"system": s, "method": m, "route": r, "count": number} for (s, m, r), number in rows]
