"""Which VMs could be a machine's, and on what grounds (design, section 4, rules 1 to 3)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from enum import StrEnum

from shared.model.citrix import Machine, MachineId
from shared.model.finding import Evidence
from shared.model.nutanix import PowerState, Vm, VmUuid
from shared.planning.estate import Copy, Estate
from shared.planning.lineage import NOTHING_KNOWN, Lineage, Link
from shared.planning.names import fold, host_names, vm_names


class Ground(StrEnum):
    """Why a VM is a candidate. All but ``NAME`` are lineage."""

    OWN = "own-vm"
    JOB = "recovery-plan-job"
    SNAPSHOT = "snapshot"
    BIOS = "bios-uuid"
    NAME = "name"


@dataclass(slots=True)
class Candidate:
    """``links`` are what recovery plan jobs say of it, where ``JOB`` is among its grounds."""

    copy: Copy
    grounds: tuple[Ground, ...]
    links: tuple[Link, ...] = ()

    @property
    def own(self) -> bool:
        return Ground.OWN in self.grounds

    @property
    def by_name_only(self) -> bool:
        return self.grounds == (Ground.NAME,)


@dataclass(frozen=True, slots=True)
class Roster:
    """Who is called what, and who holds which VM, over all machines of the site whatever the scope."""

    bearers: Mapping[str, Set[MachineId]]
    holders: Mapping[VmUuid, Set[MachineId]]


def build_roster(machines: Iterable[Machine]) -> Roster:
    """Index the site's machines by host name and by hosted machine id."""
    bearers: dict[str, set[MachineId]] = {}
    holders: dict[VmUuid, set[MachineId]] = {}
    for machine in machines:
        for name in host_names(machine):
            bearers.setdefault(name, set()).add(machine.id)
        held = machine.hosting.machine_id
        if held is not None:
            holders.setdefault(held, set()).add(machine.id)
    return Roster(bearers, holders)


def candidates_of(machine: Machine, estate: Estate, roster: Roster) -> list[Candidate]:
    """The VMs that could be this machine's, in a stable order (by UUID, then cluster), each with its grounds.

    Left out is what bears another machine's name: the record was wrong before, or Citrix shows the name of the wrong
    VM. Where the machine's own VM is a candidate, a namesake that is another machine's own VM is that machine's alone.
    """
    grounds: dict[Copy, list[Ground]] = {}
    for ground, copies in _grounds(machine, estate, roster):
        for copy in copies:
            reasons = grounds.setdefault(copy, [])
            if ground not in reasons:
                reasons.append(ground)
    links = lineage_of(machine, estate, roster).links
    found = [
        Candidate(copy, tuple(reasons), links if Ground.JOB in reasons else ())
        for copy, reasons in grounds.items()
        if machine.id in roster.bearers.get(copy.name, (machine.id,))
    ]
    if len(found) < 2:
        return found
    if any(candidate.own for candidate in found):
        found = [candidate for candidate in found if not _is_anothers(candidate, machine, roster)]
    return sorted(found, key=lambda candidate: (candidate.copy.vm.uuid, candidate.copy.vm.cluster_uuid))


def lineage_of(machine: Machine, estate: Estate, roster: Roster) -> Lineage:
    """Where the jobs lead from the VM that Citrix holds for the machine.

    Nowhere if a job calls that VM by another machine's name: the record was wrong before.
    """
    held = machine.hosting.machine_id
    lineage = estate.lineages.of(held) if held is not None else NOTHING_KNOWN
    names = {fold(link.name) for link in lineage.links}
    anothers = any(machine.id not in roster.bearers.get(name, (machine.id,)) for name in names)
    return NOTHING_KNOWN if anothers else lineage


def _grounds(machine: Machine, estate: Estate, roster: Roster) -> Iterator[tuple[Ground, Iterable[Copy]]]:
    held = machine.hosting.machine_id
    if held is not None:
        yield Ground.OWN, estate.by_uuid.get(held, ())
        for end in sorted(lineage_of(machine, estate, roster).ends):
            yield Ground.JOB, estate.by_uuid.get(end, ())
        yield Ground.SNAPSHOT, _from_snapshots(held, estate)
        yield Ground.BIOS, _from_bios(held, estate)
    for name in vm_names(machine):
        yield Ground.NAME, estate.by_name.get(name, ())


def _is_anothers(candidate: Candidate, machine: Machine, roster: Roster) -> bool:
    if not candidate.by_name_only:
        return False
    bearers = roster.bearers.get(candidate.copy.name, frozenset())
    holders = roster.holders.get(candidate.copy.vm.uuid, frozenset())
    return not (bearers & holders) <= {machine.id}


def _from_snapshots(held: VmUuid, estate: Estate) -> Iterable[Copy]:
    for entry in estate.snapshots.get(held, ()):
        for copy in estate.by_name.get(fold(entry.name), ()):
            vm = copy.vm
            inside = entry.domain in estate.domains_of.get((vm.uuid, vm.cluster_uuid), ())
            if inside and vm.uuid != held:
                yield copy


def _from_bios(held: VmUuid, estate: Estate) -> Iterable[Copy]:
    carriers = estate.by_bios.get(held, ())
    running = [copy for copy in carriers if copy.on and copy.vm.uuid != held]
    if len(running) < 2:
        return running
    # Several carry it after a failover: the live one is the leaf of the chain of sources (contract prism.md, 7.3).
    # A clone gets a BIOS UUID of its own and is no part of the chain.
    sources = {copy.vm.parent_uuid for copy in carriers}
    return [copy for copy in running if copy.vm.uuid not in sources]


def evidence_of(candidate: Candidate, estate: Estate) -> tuple[Evidence, ...]:
    """The facts that speak for a candidate, and those that are shown but never decide."""
    copy = candidate.copy
    vm = copy.vm
    source = f"Prism, cluster {vm.cluster}"
    facts = [_fact(ground, vm, source) for ground in candidate.grounds if ground is not Ground.JOB]
    facts.extend(_told(link) for link in candidate.links)
    facts.append(Evidence("power-state", source, f"{vm.name} ({vm.uuid}) is {_POWER[vm.power]}."))
    for domain in estate.domains_of.get((vm.uuid, vm.cluster_uuid), ()):
        sides = len(estate.active_on[domain])
        where = "on this cluster" if sides == 1 else f"on {sides} clusters"
        text = f"It stands in protection domain {estate.domain_names[domain]}, active {where}."
        facts.append(Evidence("protection-domain", source, text))
    if vm.categories:
        more = f" and {len(vm.categories) - 6} more" if len(vm.categories) > 6 else ""
        facts.append(Evidence("category", source, f"Categories: {', '.join(vm.categories[:6])}{more}."))
    if vm.addresses or vm.macs:
        shown = ", ".join((*vm.addresses[:4], *vm.macs[:4]))
        facts.append(Evidence("address", source, f"Addresses (they never decide): {shown}."))
    if vm.created:
        facts.append(Evidence("created", source, f"Created {vm.created:%Y-%m-%d %H:%M} UTC (age never decides)."))
    return tuple(facts)


def _told(link: Link) -> Evidence:
    became = "kept its UUID" if link.source == link.recovered else f"became {link.recovered}"
    job = link.job
    text = f"{job.action} {job.name}, ended {job.at:%Y-%m-%d %H:%M} UTC: {link.source} {became}."
    return Evidence("lineage", f"recovery-plan-job {job.id}", text)


def _fact(ground: Ground, vm: Vm, source: str) -> Evidence:
    if ground is Ground.OWN:
        text = f"{vm.name} carries the hosted machine id that Citrix holds, {vm.uuid}."
        return Evidence("lineage", source, text)
    if ground is Ground.SNAPSHOT:
        text = f"A snapshot of its protection domain holds the old UUID under the name {vm.name}."
        return Evidence("lineage", source, text)
    if ground is Ground.BIOS:
        return Evidence("lineage", source, f"The BIOS UUID of {vm.name} is the hosted machine id that Citrix holds.")
    return Evidence("name", source, f"The VM's name {vm.name} is the machine's name.")


_POWER = {PowerState.ON: "powered on", PowerState.OFF: "powered off", PowerState.OTHER: "neither on nor off"}
