"""Small values for the tests of planning: a site, its machines, and what the clusters of a profile say.

VMs are named by short labels (``"u1"``) that stand for UUIDs, and clusters by a short name that also gives the name of
their hosting connection, so that a case reads like the sentence of the design that it proves.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import NAMESPACE_DNS, uuid5

from shared.model.citrix import Folder, Hosting, HostingConnection, Machine, MachineId, Provisioning, Site
from shared.model.finding import Confidence, Finding, Plan
from shared.model.nutanix import (
    ClusterReading,
    PowerState,
    ProtectedVm,
    ProtectionDomain,
    ReadStatus,
    RecoveredVm,
    RecoveryJob,
    RegisteredCluster,
    Vm,
    VmUuid,
)
from shared.model.remap import DepartedVm, Remap
from shared.model.run import Limits, RemapState
from shared.planning.plan import make_plan, parse_target
from shared.profile.policy import Policy
from shared.profile.scope import Scope

CLUSTERS = ("paris", "amsterdam", "london", "berlin", "outside")
ON, OFF, OTHER = PowerState.ON, PowerState.OFF, PowerState.OTHER
DEAD = (ReadStatus.UNREACHABLE, ReadStatus.REFUSED, ReadStatus.FAILED, ReadStatus.MISCONFIGURED)
NO_LIMITS = Limits(max_changes=1_000_000, max_change_percent=100)
DAY_ONE = datetime(2026, 11, 20, 3, tzinfo=UTC)


# verdicts: finding and reason
ALIGNED = ("aligned", "own-vm-live")
MOVED = ("remap", "vm-moved")
REPLACED = ("remap", "vm-replaced")
SEVERAL = ("ambiguous", "several-candidates")
SPLIT = ("ambiguous", "split-brain")
NO_VM = ("missing", "no-vm")
NOT_THERE = ("missing", "not-on-target")
UNREACHABLE = ("unknown", "cluster-unreachable")
INCOMPLETE = ("unknown", "cluster-incomplete")
IN_FLUX = ("unknown", "vm-in-flux")


def uid(label: str) -> VmUuid:
    return VmUuid(str(uuid5(NAMESPACE_DNS, label)))


def cluster_uuid(cluster: str) -> str:
    return str(uuid5(NAMESPACE_DNS, f"cluster {cluster}"))


def connection_name(cluster: str) -> str:
    return f"Nutanix AHV {cluster.title()}"


def connection_id(cluster: str) -> str:
    return str(uuid5(NAMESPACE_DNS, f"connection {cluster}"))


def connection(
    cluster: str,
    *,
    plugin: str = "AcropolisFactory",
    in_maintenance: bool = False,
    name: str | None = None,
    zone: str | None = None,
) -> HostingConnection:
    """``name`` is what it is called by now, where it was renamed."""
    return HostingConnection(
        connection_id(cluster),
        name or connection_name(cluster),
        plugin,
        zone=zone,
        zone_id=None if zone is None else f"id of {zone}",
        in_maintenance=in_maintenance,
    )


def machine(
    name: str = "W11-001",
    *,
    at: str | None = "paris",
    holds: str | None = "u1",
    domain: str = "CORP",
    dns: str | None = "",
    hosted_name: str | None = None,
    provisioning: Provisioning = Provisioning.MANUAL,
    catalog: str | None = "Persistent",
    group: str | None = "Desktops",
) -> Machine:
    """``at`` is the cluster whose hosting connection Citrix names, ``holds`` the label of the VM that it names."""
    full = f"{domain}\\{name}"
    return Machine(
        id=MachineId(str(uuid5(NAMESPACE_DNS, full))),
        name=full,
        dns_name=f"{name}.{domain}.example".lower() if dns == "" else dns,
        hosting=Hosting(
            None if at is None else connection_name(at),
            None if holds is None else uid(holds),
            None if at is None else connection_id(at),
        ),
        provisioning=provisioning,
        hosted_name=hosted_name,
        catalog=catalog,
        catalog_id=None if catalog is None else f"id of {catalog}",
        delivery_group=group,
        delivery_group_id=None if group is None else f"id of {group}",
    )


def vm(
    uuid: str = "u1",
    name: str = "W11-001",
    power: PowerState = ON,
    *,
    bios: str | None = None,
    parent: str | None = None,
    agent: bool = False,
    in_flux: bool = False,
    addresses: tuple[str, ...] = (),
    macs: tuple[str, ...] = (),
    categories: tuple[str, ...] | None = (),
    by_rule: bool = False,
    decoupled: bool = False,
) -> Vm:
    """A VM that no cluster has listed yet: ``element`` and ``central`` say where it is."""
    return Vm(
        uuid=uid(uuid),
        name=name,
        cluster="",
        cluster_uuid="",
        power=power,
        bios_uuid=None if bios is None else uid(bios),
        parent_uuid=None if parent is None else uid(parent),
        addresses=addresses,
        macs=macs,
        agent=agent,
        in_flux=in_flux,
        categories=categories,
        by_rule=by_rule,
        decoupled=decoupled,
    )


def domain(
    name: str = "PD1",
    *vms: tuple[str, str],
    active: bool = True,
    snapshots: Iterable[tuple[str, str]] = (),
) -> ProtectionDomain:
    """``vms`` and ``snapshots`` are pairs of a VM's label and its name."""
    return ProtectionDomain(
        name,
        active,
        tuple(ProtectedVm(uid(label), called) for label, called in vms),
        tuple(ProtectedVm(uid(label), called) for label, called in snapshots),
    )


def job(
    *moves: tuple[str, str],
    hour: int = 0,
    action: str = "FAILOVER",
    test: bool = False,
    id_: str | None = None,
    name: str = "Plan A",
    called: str = "",
) -> RecoveryJob:
    """``moves`` are pairs of a VM's label before and after, ``called`` so; ``hour`` orders jobs in time."""
    return RecoveryJob(
        id=id_ or f"job {action} {hour} {moves}",
        name=name,
        action="TEST_FAILOVER" if test else action,
        at=DAY_ONE + timedelta(hours=hour),
        test=test,
        recovered=tuple(RecoveredVm(uid(before), uid(after), called) for before, after in moves),
    )


def element(
    name: str,
    *vms: Vm,
    status: ReadStatus = ReadStatus.ANSWERED,
    domains: Iterable[ProtectionDomain] = (),
    connection: str | None = None,
    cluster: str | None = None,
) -> ClusterReading:
    """A Prism Element. ``cluster`` is the Nutanix cluster behind it where that has another name."""
    behind = cluster or name
    return ClusterReading(
        name=name,
        api="element-v2",
        hosting_connection=connection_name(connection or name),
        status=status,
        vms=tuple(replace(vm, cluster=name, cluster_uuid=cluster_uuid(behind)) for vm in vms),
        domains=tuple(domains),
        registered=(RegisteredCluster(cluster_uuid(behind), behind),),
    )


def central(
    name: str,
    clusters: Mapping[str, Iterable[Vm]],
    *,
    down: Iterable[str] = (),
    status: ReadStatus = ReadStatus.ANSWERED,
    connection: str | None = None,
    jobs: Iterable[RecoveryJob] = (),
    api: str = "central-v4",
) -> ClusterReading:
    """A Prism Central with its registered clusters; those in ``down`` it lists, but reports as unavailable."""
    unavailable = frozenset(down)
    return ClusterReading(
        name=name,
        api=api,
        hosting_connection=connection_name(connection or name),
        status=status,
        vms=tuple(
            replace(vm, cluster=name, cluster_uuid=cluster_uuid(behind))
            for behind, vms in clusters.items()
            for vm in vms
        ),
        registered=tuple(RegisteredCluster(cluster_uuid(c), c, available=c not in unavailable) for c in clusters),
        jobs=tuple(jobs),
    )


def silent(
    name: str,
    status: ReadStatus = ReadStatus.UNREACHABLE,
    *,
    connection: str | None = None,
    api: str = "element-v2",
) -> ClusterReading:
    """A cluster of the profile that said nothing."""
    return ClusterReading(name, api, connection_name(connection or name), status, error=f"{name} did not answer.")


def site(
    *machines: Machine,
    connections: Iterable[HostingConnection] = (),
    catalogs: Iterable[Folder] = (),
    groups: Iterable[Folder] = (),
) -> Site:
    """A site with a Nutanix connection for every cluster, but for those that ``connections`` describes otherwise."""
    special = {known.id: known for known in connections}
    usual = {known.id: known for known in (connection(cluster) for cluster in CLUSTERS)}
    return Site(
        id="site",
        name="Site",
        machines=machines,
        connections=tuple({**usual, **special}.values()),
        catalogs=tuple(catalogs) or (folder("Persistent"), folder("Lab")),
        delivery_groups=tuple(groups) or (folder("Desktops"), folder("Kiosks")),
    )


def folder(
    name: str,
    path: str | None = None,
    *,
    id_: str | None = None,
    provisioning: Provisioning = Provisioning.MANUAL,
    zone: str | None = None,
) -> Folder:
    zone_id = None if zone is None else f"id of {zone}"
    return Folder(id_ or f"id of {name}", name, path or name, zone, provisioning, zone_id)


def at(cluster: str, label: str) -> Hosting:
    """A VM under the hosting connection of a cluster."""
    return Hosting(connection_name(cluster), uid(label), connection_id(cluster))


def remap(
    record: Machine,
    cluster: str,
    label: str,
    *,
    confidence: Confidence = Confidence.STRONG,
    state: RemapState = RemapState.APPROVED,
) -> Remap:
    """From where the record stands to a VM under the hosting connection of a cluster."""
    return Remap(record.id, record.name, record.hosting, at(cluster, label), confidence, state)


def departed(*vms: tuple[str, str]) -> frozenset[DepartedVm]:
    """Pairs of a cluster, which stands for its hosting connection, and a VM's label."""
    return frozenset(DepartedVm(connection_name(cluster), uid(label)) for cluster, label in vms)


def plan_of(
    where: Site | Machine | Iterable[Machine],
    *readings: ClusterReading,
    scopes: Iterable[Scope] = (),
    target: str | None = None,
    policy: Policy | None = None,
    limits: Limits = NO_LIMITS,
    left: Iterable[DepartedVm] = (),
) -> Plan:
    if isinstance(where, Machine):
        where = (where,)
    return make_plan(
        where if isinstance(where, Site) else site(*where),
        readings,
        scopes=tuple(scopes),
        policy=policy or Policy(),
        limits=limits,
        target=None if target is None else parse_target(target, readings),
        departed=frozenset(left),
    )


def finding_of(plan: Plan, machine: Machine) -> Finding:
    (found,) = (finding for finding in plan.findings if finding.machine.id == machine.id)
    return found


def verdict(
    where: Machine, *readings: ClusterReading, others: Iterable[Machine] = (), target: str | None = None
) -> tuple[str, str]:
    """Finding and reason of one machine, ``others`` being the rest of its site."""
    found = finding_of(plan_of((where, *others), *readings, target=target), where)
    return found.kind.value, found.reason


def landing(finding: Finding) -> tuple[str | None, VmUuid | None]:
    """Where a remap leads: the name of the hosting connection and the VM."""
    assert finding.after is not None, f"{finding.kind}/{finding.reason}: {finding.explanation}"
    return finding.after.connection, finding.after.machine_id


def to(cluster: str, label: str) -> tuple[str, VmUuid]:
    """The landing that a test expects."""
    return connection_name(cluster), uid(label)
