"""Which VM became which: the maps of finished recovery plan jobs, followed in time order (design, section 4, rule 1).

A job of a test made copies for a test: it is no part of any lineage, and what it made is nobody's VM.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from shared.model.nutanix import RecoveryJob, VmUuid


@dataclass(frozen=True, slots=True)
class Link:
    """One VM in one job, and what the job calls it. ``order`` is the job's place in time."""

    order: int
    job: RecoveryJob
    source: VmUuid
    recovered: VmUuid
    name: str


@dataclass(frozen=True, slots=True)
class Lineage:
    """What the jobs say of one UUID: the links that start at it, and the UUIDs that they end at.

    Several ends: the same VM was recovered more than once, and no job says which of them holds.
    """

    links: tuple[Link, ...] = ()
    ends: frozenset[VmUuid] = frozenset()

    @property
    def uuids(self) -> frozenset[VmUuid]:
        """Every UUID on the way, the first and the last included."""
        return frozenset(uuid for link in self.links for uuid in (link.source, link.recovered))


NOTHING_KNOWN = Lineage()


class Lineages:
    """The maps of all jobs, indexed by the UUID before."""

    def __init__(self, jobs: Iterable[RecoveryJob]) -> None:
        ordered = sorted(_each_once(jobs), key=lambda job: (job.at, job.id))
        links: dict[VmUuid, list[Link]] = {}
        for order, job in enumerate(each for each in ordered if not each.test):
            for vm in job.recovered:
                links.setdefault(vm.source, []).append(Link(order, job, vm.source, vm.recovered, vm.name))
        self._links: Mapping[VmUuid, list[Link]] = links
        self.test_copies = frozenset(
            vm.recovered for job in ordered if job.test for vm in job.recovered if vm.recovered != vm.source
        )

    def of(self, uuid: VmUuid) -> Lineage:
        """Follow every link that is later than the one before it, to where none goes on."""
        if uuid not in self._links:
            return NOTHING_KNOWN
        followed: dict[Link, None] = {}
        ends: set[VmUuid] = set()
        waiting = [(uuid, -1)]
        while waiting:
            at, since = waiting.pop()
            onward = [link for link in self._links.get(at, ()) if link.order > since]
            if not onward:
                ends.add(at)
            for link in onward:
                if link not in followed:
                    followed[link] = None
                    waiting.append((link.recovered, link.order))
        return Lineage(tuple(sorted(followed, key=lambda link: (link.order, link.recovered))), frozenset(ends))

    def back_from(self, uuids: Iterable[VmUuid]) -> frozenset[VmUuid]:
        """``uuids`` and every UUID from which the jobs lead to one of them."""
        found = set(uuids)
        links = sorted((link for links in self._links.values() for link in links), key=lambda link: -link.order)
        for link in links:
            if link.recovered in found:
                found.add(link.source)
        return frozenset(found)


def _each_once(jobs: Iterable[RecoveryJob]) -> Iterable[RecoveryJob]:
    """The two Prism Centrals of a recovery plan both tell of its jobs, and one of them may know more."""
    known: dict[str, RecoveryJob] = {}
    for job in jobs:
        other = known.get(job.id)
        both = (
            job if other is None else replace(other, recovered=tuple(dict.fromkeys((*other.recovered, *job.recovered))))
        )
        known[job.id] = both
    return known.values()
