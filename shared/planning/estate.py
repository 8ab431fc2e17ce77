"""What the clusters of a profile said, indexed for planning: copies of VMs, protection domains, silence.

A *copy* is one VM on one Nutanix cluster, through however many endpoints it is seen. The same UUID on two clusters is
two copies. What stands on a registered cluster that its Prism Central reports as unavailable is not seen at all: a
Central goes on listing the VMs of a dead cluster (design, section 4, "Reading"). Nor is what can never be a machine's
VM: an agent, a copy that a test failover made, a leftover of a Metro failover, what a machine has left (rule 3).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from shared.model.nutanix import ClusterReading, ReadStatus, Vm, VmUuid
from shared.planning.lineage import Lineages
from shared.planning.names import fold

CopyKey = tuple[VmUuid, str]


@dataclass(slots=True, eq=False)
class Copy:
    """One VM on one cluster. ``vm`` is the Element's word where an Element sees it; ``seen_by`` keeps profile order,
    ``name`` is folded.

    What Element's API has no word for (contract ``prism.md``, section 3.3) is in it as a Central says it.
    """

    vm: Vm
    name: str
    seen_by: tuple[str, ...]

    @property
    def on(self) -> bool:
        return self.vm.power == "on"


@dataclass(frozen=True, slots=True)
class SnapshotEntry:
    """A VM in a snapshot of a protection domain, whichever side told of it: what it was called then."""

    domain: str
    name: str


@dataclass(slots=True)
class Estate:
    """The index. Built once a plan by ``build_estate``; nothing changes it afterwards.

    ``left_out`` are VMs that exist, but can be nobody's. ``departed`` are those among them that machines have left, by
    UUID and by folded name: they are told of.
    """

    readings: dict[str, ClusterReading]
    by_uuid: dict[VmUuid, list[Copy]] = field(default_factory=dict)
    by_name: dict[str, list[Copy]] = field(default_factory=dict)
    by_bios: dict[VmUuid, list[Copy]] = field(default_factory=dict)
    snapshots: dict[VmUuid, list[SnapshotEntry]] = field(default_factory=dict)
    domains_of: dict[CopyKey, list[str]] = field(default_factory=dict)
    active_on: dict[str, set[str]] = field(default_factory=dict)
    domain_names: dict[str, str] = field(default_factory=dict)
    clusters_of: dict[str, tuple[ClusterReading, ...]] = field(default_factory=dict)
    tells_domains: set[str] = field(default_factory=set)
    unavailable: dict[str, tuple[str, ...]] = field(default_factory=dict)
    lineages: Lineages = field(default_factory=lambda: Lineages(()))
    left_out: set[VmUuid] = field(default_factory=set)
    departed: dict[str, list[Copy]] = field(default_factory=dict)

    def one_sided(self, copy: Copy, among: Iterable[Copy]) -> str | None:
        """The protection domain that holds the copy and is active on its cluster alone, if there is one.

        Alone among the clusters of the copies in ``among``, that is, and known to be: where one of them did not tell
        its domains, or has an API that knows none, the other side may be active too.
        """
        here = copy.vm.cluster_uuid
        for domain in self.domains_of.get((copy.vm.uuid, here), ()):
            if len(self.active_on[domain]) == 1:
                sides = {other.vm.cluster_uuid for other in among} - {here}
                return self.domain_names[domain] if sides <= self.tells_domains else None
        return None

    def split(self, copy: Copy) -> str | None:
        """The protection domain that holds the copy and is active on several clusters, if there is one."""
        for domain in self.domains_of.get((copy.vm.uuid, copy.vm.cluster_uuid), ()):
            if len(self.active_on[domain]) > 1:
                return self.domain_names[domain]
        return None

    def of_connection(self, connection: str | None) -> tuple[ClusterReading, ...]:
        """The clusters of the profile behind a hosting connection."""
        return self.clusters_of.get(fold(connection), ()) if connection is not None else ()

    def silent(self) -> tuple[ClusterReading, ...]:
        """The clusters from which absence proves nothing: no answer, half an answer, or a part of them down."""
        return tuple(reading for reading in self.readings.values() if not reading.whole)


def build_estate(readings: Iterable[ClusterReading], left_behind: Callable[[Copy], bool] | None = None) -> Estate:
    """Index what was read. ``readings`` come in the order of the profile's clusters, one a cluster.

    ``left_behind`` tells a copy that no machine may move to (``departed``); it is asked once everything was read.
    """
    ordered = tuple(readings)
    lineages = Lineages(job for reading in ordered if not reading.dead for job in reading.jobs or ())
    estate = Estate({reading.name: reading for reading in ordered}, lineages=lineages)
    for reading in ordered:
        key = fold(reading.hosting_connection)
        estate.clusters_of[key] = (*estate.clusters_of.get(key, ()), reading)
    copies: dict[CopyKey, Copy] = {}
    leftovers = frozenset((vm.uuid, vm.cluster_uuid) for reading in ordered for vm in reading.vms if vm.decoupled)
    for reading in ordered:
        if not reading.dead:
            _add_vms(estate, copies, reading, leftovers)
            _add_domains(estate, reading)
    _index(estate, copies if left_behind is None else _without(left_behind, copies, estate))
    return estate


def _add_vms(
    estate: Estate, copies: dict[CopyKey, Copy], reading: ClusterReading, leftovers: frozenset[CopyKey]
) -> None:
    down = frozenset(cluster.uuid for cluster in reading.registered if not cluster.available)
    if down:
        estate.unavailable[reading.name] = tuple(c.name for c in reading.registered if not c.available)
    element = reading.api == "element-v2"
    name = (reading.name,)
    test_copies = estate.lineages.test_copies
    for vm in reading.vms:
        key = (vm.uuid, vm.cluster_uuid)
        if vm.cluster_uuid in down:
            continue
        if vm.agent or vm.uuid in test_copies or key in leftovers:
            estate.left_out.add(vm.uuid)
            continue
        known = copies.get(key)
        if known is None:
            copies[key] = Copy(vm, fold(vm.name), name)
        elif reading.name not in known.seen_by:
            first = element and estate.readings[known.vm.cluster].api != "element-v2"
            known.vm = _joined(vm, known.vm) if first else _joined(known.vm, vm)
            known.name = fold(known.vm.name)
            known.seen_by = known.seen_by + name


def _joined(first: Vm, second: Vm) -> Vm:
    return replace(
        first,
        bios_uuid=first.bios_uuid or second.bios_uuid,
        parent_uuid=first.parent_uuid or second.parent_uuid,
        created=first.created or second.created,
        addresses=first.addresses or second.addresses,
        macs=first.macs or second.macs,
        in_flux=first.in_flux or second.in_flux,
        categories=first.categories or second.categories,
        by_rule=first.by_rule or second.by_rule,
    )


def _add_domains(estate: Estate, reading: ClusterReading) -> None:
    if not reading.registered:
        return
    cluster_uuid = reading.registered[0].uuid
    if reading.api == "element-v2" and reading.status is ReadStatus.ANSWERED:
        estate.tells_domains.add(cluster_uuid)
    for domain in reading.domains:
        key = fold(domain.name)
        for entry in domain.snapshots:
            estate.snapshots.setdefault(entry.uuid, []).append(SnapshotEntry(key, entry.name))
        if not domain.active:
            continue
        estate.domain_names.setdefault(key, domain.name)
        estate.active_on.setdefault(key, set()).add(cluster_uuid)
        for protected in domain.vms:
            held = estate.domains_of.setdefault((protected.uuid, cluster_uuid), [])
            if key not in held:
                held.append(key)


def _without(left_behind: Callable[[Copy], bool], copies: dict[CopyKey, Copy], estate: Estate) -> dict[CopyKey, Copy]:
    gone = {key: copy for key, copy in copies.items() if left_behind(copy)}
    for copy in gone.values():
        estate.left_out.add(copy.vm.uuid)
        for key in (copy.vm.uuid, copy.name):
            estate.departed.setdefault(key, []).append(copy)
    return {key: copy for key, copy in copies.items() if key not in gone}


def _index(estate: Estate, copies: dict[CopyKey, Copy]) -> None:
    for copy in copies.values():
        vm = copy.vm
        estate.by_uuid.setdefault(vm.uuid, []).append(copy)
        if copy.name:
            estate.by_name.setdefault(copy.name, []).append(copy)
        if vm.bios_uuid is not None and vm.bios_uuid != vm.uuid:
            estate.by_bios.setdefault(vm.bios_uuid, []).append(copy)
