"""Random estates with collisions on purpose: few names, few UUIDs, few clusters, everything that can go wrong."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from hypothesis import strategies as st

from shared.model.citrix import HostingConnection, Machine, Provisioning, Site
from shared.model.finding import Confidence, Plan
from shared.model.nutanix import ClusterReading, ProtectionDomain, ReadStatus, RecoveryJob, Vm, VmUuid
from shared.model.remap import DepartedVm, Remap
from shared.profile.scope import Scope
from tests.unit.planning.builders import (
    CLUSTERS,
    DEAD,
    OFF,
    ON,
    OTHER,
    central,
    connection,
    domain,
    element,
    job,
    machine,
    plan_of,
    remap,
    silent,
    site,
    vm,
)

NAMES = ("W11-1", "W11-2", "W11-3", "w11-1.corp.example")
LABELS = tuple(f"u{number}" for number in range(6))
ENDPOINTS = CLUSTERS[:4]
NUTANIX_CLUSTERS = ("CL1", "CL2", "CL3")

# Weights by repetition: mostly healthy, so that remaps are not drowned in exclusions.
powers = st.sampled_from((ON, ON, ON, OFF, OFF, OTHER))
statuses = st.sampled_from((ReadStatus.ANSWERED,) * 12 + (ReadStatus.INCOMPLETE, *DEAD[:2]))
rarely = st.sampled_from((False,) * 11 + (True,))
maybe_label = st.sampled_from((None, None, *LABELS))


@dataclass(frozen=True)
class Estate:
    """All that a plan is made from. ``target`` is as a caller would write it."""

    machines: tuple[Machine, ...]
    readings: tuple[ClusterReading, ...]
    connections: tuple[HostingConnection, ...] = ()
    scopes: tuple[Scope, ...] = ()
    target: str | None = None
    left: frozenset[DepartedVm] = frozenset()

    def site(self) -> Site:
        return site(*self.machines, connections=self.connections)

    def plan(self) -> Plan:
        return plan_of(self.site(), *self.readings, scopes=self.scopes, target=self.target, left=self.left)


@st.composite
def vms(draw: st.DrawFn) -> tuple[Vm, ...]:
    """What lives on one Nutanix cluster: no UUID twice, any name as often as it comes."""
    labels = draw(st.lists(st.sampled_from(LABELS), min_size=1, max_size=4, unique=True))
    return tuple(
        vm(
            label,
            draw(st.sampled_from(NAMES)),
            draw(powers),
            bios=draw(maybe_label),
            parent=draw(maybe_label),
            agent=draw(rarely),
            in_flux=draw(rarely),
            by_rule=draw(st.booleans()),
            decoupled=draw(rarely),
        )
        for label in labels
    )


@st.composite
def domains(draw: st.DrawFn, there: tuple[Vm, ...]) -> tuple[ProtectionDomain, ...]:
    found: list[ProtectionDomain] = []
    for name in draw(st.sampled_from(((), (), ("PD1",), ("PD1", "PD2")))):
        label_of = {vm(label).uuid: label for label in LABELS}
        inside = [(label_of[one.uuid], one.name) for one in there if draw(st.booleans())]
        entries = draw(st.lists(st.tuples(st.sampled_from(LABELS), st.sampled_from(NAMES)), max_size=2))
        found.append(domain(name, *inside, active=draw(st.booleans()), snapshots=entries))
    return tuple(found)


@st.composite
def _job_list(draw: st.DrawFn, labels: tuple[str, ...]) -> tuple[RecoveryJob, ...]:
    """Few hours and few UUIDs: chains, forks, cycles, failbacks, moves that keep the UUID, jobs that end together."""
    found: list[RecoveryJob] = []
    for number in range(draw(st.sampled_from((0, 0, 1, 2, 3, 4)))):
        sources = draw(st.lists(st.sampled_from(labels), min_size=1, max_size=3, unique=True))
        # what a job makes is no source of the same job, unless it keeps its UUID
        ends = [label for label in labels if label not in sources]
        moves = [(one, draw(st.sampled_from((one, *ends)))) for one in sources]
        hour, action = draw(st.integers(0, 2)), draw(st.sampled_from(("FAILOVER", "MIGRATE", "UNPLANNED_FAILOVER")))
        test = draw(st.sampled_from((False, False, False, True)))
        found.append(job(*moves, hour=hour, action=action, test=test, id_=f"job {number}"))
    return tuple(found)


job_lists = _job_list(("a", "b", "c", "d"))


def ends_of(held: VmUuid, jobs: Iterable[RecoveryJob]) -> set[VmUuid]:
    """Where the jobs lead from a UUID, worked out way by way; nothing where no job knows it."""
    ordered = sorted((one for one in jobs if not one.test), key=lambda one: (one.at, one.id))

    def onward(uuid: VmUuid, later: list[RecoveryJob]) -> set[VmUuid]:
        found: set[VmUuid] = set()
        for number, one in enumerate(later):
            for moved in one.recovered:
                if moved.source == uuid:
                    found |= onward(moved.recovered, later[number + 1 :]) or {moved.recovered}
        return found

    return onward(held, ordered)


@st.composite
def readings(draw: st.DrawFn) -> tuple[ClusterReading, ...]:
    lives = {cluster: draw(vms()) for cluster in NUTANIX_CLUSTERS}
    protected = {cluster: draw(domains(lives[cluster])) for cluster in NUTANIX_CLUSTERS}
    happened = draw(_job_list(LABELS))
    found: list[ClusterReading] = []
    for name in ENDPOINTS[: draw(st.sampled_from((1, 2, 3, 3, 4)))]:
        status = draw(statuses)
        behind = draw(st.sampled_from((name, name, name, ENDPOINTS[0])))
        if status in DEAD:
            found.append(silent(name, status, connection=behind))
            continue

        def listed(cluster: str, status: ReadStatus = status) -> tuple[Vm, ...]:
            whole = status is ReadStatus.ANSWERED
            return tuple(one for one in lives[cluster] if whole or draw(st.booleans()))

        if draw(st.booleans()):
            cluster = draw(st.sampled_from(NUTANIX_CLUSTERS))
            plain = tuple(
                replace(one, bios_uuid=None, parent_uuid=None, in_flux=False, by_rule=False, decoupled=False)
                for one in listed(cluster)
            )
            pds = protected[cluster]
            found.append(element(name, *plain, status=status, domains=pds, connection=behind, cluster=cluster))
        else:
            registered = draw(st.lists(st.sampled_from(NUTANIX_CLUSTERS), min_size=1, max_size=2, unique=True))
            down = [cluster for cluster in registered if draw(rarely)]
            contents = {cluster: listed(cluster) for cluster in registered}
            told = tuple(one for one in happened if draw(st.booleans()))
            found.append(central(name, contents, down=down, status=status, connection=behind, jobs=told))
    return tuple(found)


@st.composite
def machines(draw: st.DrawFn, there: tuple[str, ...]) -> tuple[Machine, ...]:
    who = st.tuples(st.sampled_from(("W11-1", "W11-2", "W11-3")), st.sampled_from(("CORP", "CORP", "EMEA")))
    return tuple(
        machine(
            name,
            domain=called,
            at=draw(st.sampled_from(there * 8 + ("outside", None))),
            holds=draw(st.sampled_from((*LABELS, *LABELS, *LABELS, "gone", None))),
            dns=draw(st.sampled_from(("", "", "", None))),
            hosted_name=draw(st.sampled_from((None, None, None, *NAMES))),
            provisioning=draw(st.sampled_from((Provisioning.MANUAL,) * 9 + (Provisioning.MCS,))),
        )
        for name, called in draw(st.lists(who, min_size=1, max_size=5, unique=True))
    )


def targets(there: tuple[ClusterReading, ...]) -> st.SearchStrategy[str]:
    whole = [reading.name for reading in there]
    parts = [f"{reading.name}/{cluster.name}" for reading in there for cluster in reading.registered]
    return st.sampled_from(whole + parts)


@st.composite
def estates(draw: st.DrawFn, *, targeted: bool | None = None) -> Estate:
    """``targeted`` says whether the run has a target; left out, either."""
    there = draw(readings())
    with_target = draw(st.booleans()) if targeted is None else targeted
    special: tuple[HostingConnection, ...] = (connection("amsterdam", in_maintenance=draw(rarely)),)
    special += (connection("london", plugin="VmwareFactory"),) if draw(rarely) else ()
    scopes = draw(
        st.sampled_from(((), (), (), (Scope(exclude=("w11-1*",)),), (Scope(machines=("W11-1", "CORP\\W11-2")),)))
    )
    known = tuple(reading.name for reading in there)
    return Estate(draw(machines(known)), there, special, scopes, draw(targets(there)) if with_target else None)


@st.composite
def crowds(draw: st.DrawFn) -> tuple[list[Remap], Estate]:
    """Machines of which each could have any of a few VMs, and a person chose one for most: chains, swaps, rings."""
    held = draw(st.lists(st.sampled_from(LABELS), min_size=2, max_size=5))
    machines = [machine(f"M{number}", holds=label, hosted_name="gold") for number, label in enumerate(held)]
    chosen: list[Remap] = []
    for record, holds in zip(machines, held, strict=True):
        if draw(st.sampled_from((True, True, True, False))):
            label = draw(st.sampled_from([each for each in LABELS if each != holds]))
            chosen.append(remap(record, "paris", label, confidence=Confidence.CHOSEN))
    return chosen, Estate(tuple(machines), (element("paris", *(vm(label, "gold") for label in LABELS)),))
