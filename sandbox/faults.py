"""Named faults of the sandbox: what goes wrong outside, on demand (design, section 9).

``NAME[=[ONLY:]NUMBER]``. The number is how many calls the fault hits, or milliseconds for the slow ones; without a
number a momentary fault hits a few calls and a lasting one holds until it is cleared. ``ONLY`` narrows a fault to one
Prism by its name (``prism-500=paris:2``, ``relay-down=paris``), to ``read`` or ``write`` calls of Citrix or one of its
operations (``citrix-drop=submitBatch``), or to one storage service. ``citrix-429=NUMBER@SECONDS`` adds a
``Retry-After``, which Citrix does not promise, to each refusal.

``token-expiry=item`` strikes the items of a batch, ``token-expiry=call`` what is none. ``batch-item-fail=lie`` lets the
items say that they were done. ``job-stuck`` and ``job-lost`` may name a job's type (``job-stuck=Batch``), and
``job-stuck=uncancellable`` makes jobs that nobody can cancel.

``relay-rogue=[ONLY:]KIND[:NUMBER]`` chooses the answer that it gives (``relay-rogue=paris:redirect:2``).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

# Momentary faults: how many calls they hit without a number. None: they last.
DEFAULT_CALLS: dict[str, int | None] = {
    "citrix-429": 3,
    "citrix-502": 2,
    "citrix-slow": None,
    "citrix-drop": 1,
    "token-expiry": 1,
    "batch-item-fail": 3,
    "job-stuck": 1,
    "job-lost": 1,
    "prism-500": None,
    "prism-truncated": 1,
    "prism-slow": None,
    "prism-short": 1,
    "relay-down": None,
    "relay-drop": 1,
    "relay-silent": 1,
    "relay-503": 2,
    "relay-rogue": 1,
    "relay-token": 1,
    "vault-denied": None,
    "storage-busy": 3,
}
MILLISECONDS = {"citrix-slow": 2_000, "prism-slow": 2_000}
WITH_RETRY_AFTER = ("citrix-429",)
# Faults that come in kinds; without one, the first.
KINDS: dict[str, tuple[str, ...]] = {
    "relay-rogue": ("redirect", "no-upgrade", "bad-accept", "subprotocol", "text", "oversized", "masked"),
}


class UnknownFault(ValueError):
    """The name or the value of a fault is not known; the message lists what there is."""


class UnavailableFault(Exception):
    """The fault exists, but this sandbox was started in a way in which it could not strike; the message says how."""


@dataclass(slots=True)
class Fault:
    """``left`` is the number of calls it still hits (None: every one), ``milliseconds`` the delay of a slow one.

    ``retry_after`` is the header's value in seconds, None for none. ``kind`` is empty where a fault has no kinds.
    """

    name: str
    only: str | None = None
    left: int | None = None
    milliseconds: int = 0
    retry_after: int | None = None
    kind: str = ""


def parse(name: str, value: str | int | None = None) -> Fault:
    """``name`` and ``value`` as a flag or the admin route gives them. Raises ``UnknownFault``."""
    if name not in DEFAULT_CALLS:
        raise UnknownFault(f"There is no fault {name}. Choose one of: {', '.join(sorted(DEFAULT_CALLS))}.")
    text, retry_after = _without_retry_after(name, None if value is None else str(value))
    text, kind = _without_kind(name, text)
    only, number = _split(name, text)
    if name in MILLISECONDS:
        return Fault(name, only, None, MILLISECONDS[name] if number is None else number)
    left = DEFAULT_CALLS[name] if number is None else number
    return Fault(name, only, left, retry_after=retry_after, kind=kind)


def _without_retry_after(name: str, value: str | None) -> tuple[str | None, int | None]:
    if name not in WITH_RETRY_AFTER or value is None or "@" not in value:
        return value, None
    text, _, seconds = value.partition("@")
    if not seconds.isdecimal():
        raise UnknownFault(f"The fault {name} takes [ONLY:]NUMBER[@SECONDS] as its value, not {value!r}.")
    return text, int(seconds)


def _without_kind(name: str, value: str | None) -> tuple[str | None, str]:
    kinds = KINDS.get(name)
    if kinds is None:
        return value, ""
    parts = [] if value is None else value.split(":")
    named = [part for part in parts if part in kinds]
    rest = [part for part in parts if part not in kinds]
    if len(named) > 1 or len(rest) > 2 or (len(rest) == 2 and not named):
        raise UnknownFault(f"The fault {name} takes [ONLY:]KIND[:NUMBER], KIND being one of: {', '.join(kinds)}.")
    return ":".join(rest) or None, named[0] if named else kinds[0]


def _split(name: str, value: str | None) -> tuple[str | None, int | None]:
    if not value:
        return None, None
    only, _, last = value.rpartition(":")
    if last.isdigit() and int(last) > 0:
        return only or None, int(last)
    if only or last.lstrip("-").isdigit():
        raise UnknownFault(f"The fault {name} takes [ONLY:]NUMBER as its value, not {value!r}.")
    return last, None


class Faults:
    """The faults that are switched on. Safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._on: dict[str, Fault] = {}
        self._fired: dict[str, int] = {}
        self._watchers: dict[str, Callable[[Fault | None], None]] = {}
        self._out_of_reach: dict[str, str] = {}

    def set(self, name: str, value: str | int | None = None) -> Fault:
        """Switches a fault on, in place of what it was before. Raises ``UnknownFault`` or ``UnavailableFault``."""
        fault = parse(name, value)
        if name in self._out_of_reach:
            raise UnavailableFault(self._out_of_reach[name])
        with self._lock:
            self._on[name] = fault
            watcher = self._watchers.get(name)
        if watcher is not None:
            watcher(fault)
        return fault

    def clear(self, name: str) -> None:
        """Switches a fault off; one that is off stays off. Raises ``UnknownFault`` for a name that does not exist."""
        parse(name)
        with self._lock:
            self._on.pop(name, None)
            watcher = self._watchers.get(name)
        if watcher is not None:
            watcher(None)

    def rule_out(self, name: str, why: str) -> None:
        """``set`` refuses the fault from now on with the sentence ``why``: better than one that never strikes."""
        self._out_of_reach[name] = why

    def watch(self, name: str, watcher: Callable[[Fault | None], None]) -> None:
        """``watcher`` is called when the fault is set, and with None when it is cleared."""
        self._watchers[name] = watcher

    def hits(self, name: str, *subjects: str) -> bool:
        """True when this call is hit; it is counted then. ``subjects`` is what ``ONLY`` may name."""
        return self.take(name, *subjects) is not None

    def take(self, name: str, *subjects: str) -> Fault | None:
        """``hits`` for who wants to know more of the fault."""
        return self._take(name, subjects)

    def delay(self, name: str, *subjects: str) -> float:
        """Seconds by which a slow fault delays this call, 0 when it does not."""
        fault = self._take(name, subjects)
        return 0.0 if fault is None else fault.milliseconds / 1_000

    def record(self, name: str) -> None:
        """Counts a fault that struck outside of a call, as a cut relay does."""
        with self._lock:
            self._fired[name] = self._fired.get(name, 0) + 1

    def fired(self, name: str) -> int:
        with self._lock:
            return self._fired.get(name, 0)

    def is_on(self, name: str) -> bool:
        with self._lock:
            return name in self._on

    def as_json(self) -> list[dict[str, object]]:
        with self._lock:
            names = sorted({*self._on, *self._fired})
            return [self._row(name) for name in names]

    def _row(self, name: str) -> dict[str, object]:
        fault = self._on.get(name)
        row: dict[str, object] = {"name": name, "on": fault is not None, "fired": self._fired.get(name, 0)}
        if fault is not None:
            row |= {"only": fault.only, "left": fault.left, "milliseconds": fault.milliseconds or None}
            row |= {} if fault.retry_after is None else {"retryAfter": fault.retry_after}
            row |= {"kind": fault.kind} if fault.kind else {}
        return row

    def _take(self, name: str, subjects: tuple[str, ...]) -> Fault | None:
        with self._lock:
            fault = self._on.get(name)
            if fault is None or (fault.only is not None and fault.only not in subjects):
                return None
            if fault.left is not None:
                fault.left -= 1
                if fault.left <= 0:
                    del self._on[name]
            self._fired[name] = self._fired.get(name, 0) + 1
            return fault
