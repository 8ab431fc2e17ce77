"""How much planning costs beside reading: CPU against ``json.loads`` over the same answers, memory, and growth.

    python -m tests.bench.planning [--machines 100000] [--vms 200000]

Every measurement runs in a process of its own, so that the peak of its memory is its own: it makes the answers page
by page as Citrix and Prism Element send them (contracts ``citrix.md``, section 4, and ``prism.md``, section 3.3), and
keeps of each page what a run keeps. The exit code is 1 where a target is missed.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from shared.model.citrix import Hosting, HostingConnection, Machine, MachineId, Provisioning, Site
from shared.model.finding import Plan
from shared.model.nutanix import ClusterReading, PowerState, ReadStatus, RegisteredCluster, Vm, VmUuid
from shared.model.run import Limits
from shared.planning.plan import fingerprint, make_plan
from shared.profile.policy import Policy

CITRIX_PAGE = 1_000
PRISM_PAGE = 500
CPU_TARGET = 2.0  # plan CPU over json.loads CPU
RSS_TARGET_MB = 1_024.0
GROWTH_TARGET = 2.6  # of CPU when everything doubles: 2 is linear, the rest is the measurement's noise
CLUSTERS = ("paris", "amsterdam")
JsonObject = dict[str, object]


def _uuid(kind: int, number: int) -> str:
    """Spread over the whole range, as real ones are, and the same in every run."""
    return str(UUID(int=(kind << 64 | number) * 0x9E3779B97F4A7C15F39CC0605CEDC835 % (1 << 128)))


def _connection_name(cluster: str) -> str:
    return f"Nutanix AHV {cluster.title()}"


@dataclass(frozen=True)
class Estate:
    """So many machines and VMs: of 100 machines 70 are aligned, 25 to be remapped and 5 something else."""

    machines: int
    vms: int

    def citrix_items(self) -> Iterator[JsonObject]:
        for number in range(self.machines):
            share = number % 100
            name = f"W11-{number:07d}"
            yield {
                "Id": _uuid(1, number),
                "Name": f"CORP\\{name}",
                "DnsName": f"{name.lower()}.corp.example",
                "ProvisioningType": "MCS" if share == 99 else "Manual",
                "Hosting": {
                    "HostedMachineId": _uuid(2, number),
                    "HostedMachineName": name,
                    "HostingServerName": "NTNX-A",
                    "FormattedLastHostingUpdateTime": "2026-07-20T10:15:00Z",
                    "HypervisorConnection": {"Id": _uuid(3, 0), "Uid": 3, "Name": _connection_name("paris")},
                },
                "MachineCatalog": {"Id": _uuid(4, share), "Uid": share, "Name": f"Catalog {share}"},
                "DeliveryGroup": {"Id": _uuid(5, share), "Uid": share, "Name": f"Group {share}"},
            }

    def prism_entities(self, cluster: str) -> Iterator[JsonObject]:
        """The VMs that stand for the machines, then strangers up to the number wanted, half on each cluster."""
        made = 0
        for number in range(self.machines):
            for where, kind, power in _vms_of(number % 100):
                made += 1
                if where == cluster:
                    yield _entity(_uuid(kind, number), f"W11-{number:07d}", power, made)
        for number in range(made, self.vms):
            if CLUSTERS[number % 2] == cluster:
                yield _entity(_uuid(9, number), f"SRV-{number:07d}", "on", number)


def _vms_of(share: int) -> tuple[tuple[str, int, str], ...]:
    """Where a machine's VMs are: cluster, kind of UUID (2 is the hosted machine id), power state."""
    if share < 60:
        return (("paris", 2, "on"),)
    if share < 70:
        return (("paris", 2, "on"), ("amsterdam", 6, "off"))  # aligned, beside a stopped namesake
    if share < 80:
        return (("amsterdam", 6, "on"),)  # a failover gave it a new UUID
    if share < 90:
        return (("amsterdam", 2, "on"),)  # a migration kept it
    if share < 95:
        return (("paris", 2, "off"), ("amsterdam", 6, "on"))  # the original is still there
    if share < 97:
        return (("paris", 6, "on"), ("amsterdam", 7, "on"))  # ambiguous
    return ()  # missing, and the last of a hundred excluded


def _entity(uuid: str, name: str, power: str, number: int) -> JsonObject:
    last = f"{number >> 8 & 255}.{number & 255}"
    return {
        "allow_live_migrate": True,
        "gpus_assigned": False,
        "ha_priority": 0,
        "host_uuid": _uuid(7, number % 32) if power == "on" else None,
        "memory_mb": 8192,
        "name": name,
        "num_cores_per_vcpu": 1,
        "num_vcpus": 4,
        "power_state": power,
        "timezone": "UTC",
        "uuid": uuid,
        "vm_features": {"AGENT_VM": False, "VGA_CONSOLE": True},
        "vm_logical_timestamp": 3,
        "vm_nics": [
            {
                "mac_address": f"50:6b:8d:{number >> 16 & 255:02x}:{number >> 8 & 255:02x}:{number & 255:02x}",
                "network_uuid": _uuid(8, 0),
                "nic_uuid": _uuid(8, number),
                "model": "",
                "ip_address": f"10.{number >> 16 & 255}.{last}",
                "ip_addresses": [f"10.{number >> 16 & 255}.{last}"],
                "vlan_mode": "Access",
                "is_connected": True,
            }
        ],
    }


def _pages(items: Iterable[JsonObject], key: str, size: int) -> Iterator[str]:
    page: list[JsonObject] = []
    for item in items:
        page.append(item)
        if len(page) == size:
            yield json.dumps({key: page})
            page = []
    yield json.dumps({key: page})


class Reader:
    """Parses pages and adds up the CPU that ``json.loads`` alone took."""

    def __init__(self) -> None:
        self.cpu = 0.0
        self.bytes = 0

    def items(self, pages: Iterable[str], key: str) -> Iterator[dict[str, object]]:
        for text in pages:
            begin = time.process_time()
            body = json.loads(text)
            self.cpu += time.process_time() - begin
            self.bytes += len(text)
            yield from body[key]


def _machine(item: dict) -> Machine:  # type: ignore[type-arg]
    hosting = item["Hosting"]
    connection = hosting["HypervisorConnection"]
    return Machine(
        id=MachineId(item["Id"]),
        name=item["Name"],
        dns_name=item["DnsName"],
        hosting=Hosting(connection["Name"], VmUuid(hosting["HostedMachineId"].lower()), connection["Id"]),
        provisioning=Provisioning(item["ProvisioningType"]),
        hosted_name=hosting["HostedMachineName"],
        catalog=item["MachineCatalog"]["Name"],
        catalog_id=item["MachineCatalog"]["Id"],
        delivery_group=item["DeliveryGroup"]["Name"],
        delivery_group_id=item["DeliveryGroup"]["Id"],
    )


def _vm(entity: dict, cluster: str, cluster_uuid: str) -> Vm:  # type: ignore[type-arg]
    return Vm(
        uuid=VmUuid(entity["uuid"].lower()),
        name=entity["name"],
        cluster=cluster,
        cluster_uuid=cluster_uuid,
        power=PowerState(entity["power_state"]),
        addresses=tuple(address for nic in entity["vm_nics"] for address in nic["ip_addresses"]),
        macs=tuple(nic["mac_address"] for nic in entity["vm_nics"]),
        agent=entity["vm_features"]["AGENT_VM"],
    )


def _read(estate: Estate, reader: Reader) -> tuple[Site, tuple[ClusterReading, ...]]:
    items = reader.items(_pages(estate.citrix_items(), "Items", CITRIX_PAGE), "Items")
    machines = tuple(_machine(item) for item in items)
    readings = []
    connections = []
    for number, cluster in enumerate(CLUSTERS):
        uuid = _uuid(10, number)
        entities = reader.items(_pages(estate.prism_entities(cluster), "entities", PRISM_PAGE), "entities")
        readings.append(
            ClusterReading(
                cluster,
                "element-v2",
                _connection_name(cluster),
                ReadStatus.ANSWERED,
                vms=tuple(_vm(entity, cluster, uuid) for entity in entities),
                registered=(RegisteredCluster(uuid, cluster),),
            )
        )
        connections.append(HostingConnection(_uuid(3, number), _connection_name(cluster), "AcropolisFactory"))
    return Site("site", "Site", machines, tuple(connections)), tuple(readings)


def _peak_mb() -> float:
    unit = 1 if sys.platform == "darwin" else 1_024  # ru_maxrss is bytes there, KiB on Linux
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / (1 << 20)


def measure(estate: Estate) -> JsonObject:
    """CPU in seconds of parsing and of planning, peak memory in MiB before and after planning, and what was found."""
    reader = Reader()
    site, readings = _read(estate, reader)
    before = _peak_mb()
    begin = time.process_time()
    plan = make_plan(site, readings, scopes=(), policy=Policy(), limits=Limits(1_000_000, 100))
    planned = time.process_time() - begin
    fingerprint(plan.findings)
    return {
        "machines": len(site.machines),
        "vms": sum(len(reading.vms) for reading in readings),
        "rawMb": round(reader.bytes / (1 << 20), 1),
        "loadsCpu": round(reader.cpu, 3),
        "planCpu": round(planned, 3),
        "rssReadMb": round(before, 1),
        "rssMb": round(_peak_mb(), 1),
        "findings": _counts(plan),
    }


def _counts(plan: Plan) -> dict[str, int]:
    return dict(sorted(Counter(finding.kind.value for finding in plan.findings).items()))


def _in_child(estate: Estate) -> dict[str, float]:
    command = (sys.executable, "-m", "tests.bench.planning", "--child")
    sizes = ("--machines", str(estate.machines), "--vms", str(estate.vms))
    root = Path(__file__).parents[2]
    done = subprocess.run((*command, *sizes), cwd=root, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _table(rows: Iterable[dict[str, float]]) -> str:
    head = f"{'machines':>9} {'VMs':>8} {'raw MiB':>8} {'loads s':>8} {'plan s':>7} {'ratio':>6} {'peak MiB':>9}"
    lines = [head]
    for row in rows:
        ratio = row["planCpu"] / row["loadsCpu"]
        lines.append(
            f"{row['machines']:>9} {row['vms']:>8} {row['rawMb']:>8} {row['loadsCpu']:>8.2f} {row['planCpu']:>7.2f} "
            f"{ratio:>6.2f} {row['rssMb']:>9.0f}"
        )
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.planning", description=__doc__)
    parser.add_argument("--machines", type=int, default=100_000)
    parser.add_argument("--vms", type=int, default=200_000)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        sys.stdout.write(json.dumps(measure(Estate(asked.machines, asked.vms))))
        return 0
    half, whole = (_in_child(Estate(asked.machines // part, asked.vms // part)) for part in (2, 1))
    ratio, growth = whole["planCpu"] / whole["loadsCpu"], whole["planCpu"] / half["planCpu"]
    met = ratio < CPU_TARGET and whole["rssMb"] < RSS_TARGET_MB and growth < GROWTH_TARGET
    figures = {**whole, "ratio": round(ratio, 2), "growth": round(growth, 2), "met": met}
    sys.stdout.write(f"{_table((half, whole))}\n{json.dumps(figures)}\n")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
