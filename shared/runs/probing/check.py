"""What a probe found out about one dependency: how far the way to it is open, and what to do where it is not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic

Note = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Stage:
    """One part of the way: name, tcp, tls, proxy, hop, sign-in, rights, or a word of the dependency's own.

    ``detail`` is what was seen there, such as addresses or a certificate's end; empty where nothing is worth a word.
    """

    name: str
    passed: bool
    latency_ms: int
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """One dependency. ``kind`` is host, storage, vault, profiles, profile, site, cluster, relay or webhook.

    ``remedy`` is None where it is ready. ``stages`` end with the one that failed; what was never tried has none.
    """

    name: str
    kind: str
    ready: bool
    latency_ms: int
    remedy: str | None = None
    stages: tuple[Stage, ...] = ()


@dataclass(frozen=True, slots=True)
class Health:
    """``usable`` is False only where storage or the vault fails: then Realign itself can do nothing."""

    checks: tuple[Check, ...]

    @property
    def usable(self) -> bool:
        return all(check.ready for check in self.checks if check.kind in ("storage", "vault"))

    @property
    def status(self) -> str:
        if not self.usable:
            return "unavailable"
        return "ready" if all(check.ready for check in self.checks) else "degraded"


class Walk:
    """The way of one probe, noted stage by stage."""

    def __init__(self) -> None:
        self._began = monotonic()
        self._stages: list[Stage] = []

    @property
    def stages(self) -> tuple[Stage, ...]:
        return tuple(self._stages)

    @property
    def latency_ms(self) -> int:
        return _since(self._began)

    @contextmanager
    def stage(self, name: str) -> Iterator[Note]:
        """Whatever raises inside leaves the stage as failed. The note that is handed in takes what was seen."""
        seen: list[str] = []
        began, passed = monotonic(), False
        try:
            yield seen.append
            passed = True
        finally:
            self._stages.append(Stage(name, passed, _since(began), ", ".join(seen)))


def _since(began: float) -> int:
    return round((monotonic() - began) * 1000)
