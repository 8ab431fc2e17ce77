"""What a reading of a Prism's VM list shows: what it leaves out, and in which order the rest comes.

A reading is a client's way through all pages. What the first page leaves out stays out to the last, so that the total
holds through one reading.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sandbox.world import NutanixCluster, Prism, SimVm

Seen = tuple[NutanixCluster, SimVm]
HELD_ORDERS = 8


class VmReading:
    """Leaves out the VMs that a Prism Central learns of late, and the one that a short list lacks."""

    def __init__(self) -> None:
        self._late: frozenset[tuple[str, str]] = frozenset()
        self._short = False

    def shown(
        self, found: list[Seen], *, first: bool, whole: bool, short: Callable[[], bool]
    ) -> tuple[list[Seen], int]:
        """What is shown of ``found``, and the total that is announced: a short list lacks the last one all the same.

        ``first``: the first page. ``whole``: the reading is after all VMs, not after some by their names; each such
        reading counts the late ones down once. ``short`` is asked on a first page.
        """
        late = self._late_ones(found, first, whole)
        if late:
            found = [each for each in found if (each[0].uuid, each[1].uuid) not in late]
        if first:
            self._short = bool(found) and short()
        return (found[:-1] if self._short else found), len(found)

    def _late_ones(self, found: list[Seen], first: bool, whole: bool) -> frozenset[tuple[str, str]]:
        if whole and not first:
            return self._late
        waiting = [each for each in found if each[1].late > 0]
        late = frozenset((cluster.uuid, vm.uuid) for cluster, vm in waiting)
        if whole:
            self._late = late
            for _, vm in waiting:
                vm.late -= 1
        return late


class VmOrder:
    """Filtered and sorted VMs of a Prism, kept until one of them changes: 200 pages need not sort 20,000 VMs each."""

    def __init__(self, prism: Prism) -> None:
        self._prism = prism
        self._state: list[tuple[Any, ...]] = []
        self._held: dict[object, list[Seen]] = {}

    def listed(
        self, key: object, holds: Callable[[Seen], bool], sort: Sequence[tuple[Callable[[Seen], Any], bool]]
    ) -> list[Seen]:
        """``key`` stands for the filter and the order. The list is the order's own: not to be changed."""
        state = [
            (cluster, vm, vm.name, vm.power, vm.agent, vm.hypervisor, vm.created) for cluster, vm in self._prism.vms()
        ]
        if state != self._state:
            self._state = state
            self._held.clear()
        held = self._held.get(key)
        if held is None:
            held = [each for each in self._prism.vms() if holds(each)]
            # Sorting is stable: the last criterion goes first.
            for read, backwards in reversed(sort):
                held.sort(key=read, reverse=backwards)
            if len(self._held) >= HELD_ORDERS:
                self._held.clear()
            self._held[key] = held
        return held
