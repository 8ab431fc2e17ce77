"""Builds the world of a scenario from its file: clusters, VMs, protection domains and the Citrix site.

Each UUID is made of the scenario's name, the machine's and a key, so that a scenario is the same in every run. Only
the times of recovery plan jobs follow the clock.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from sandbox.citrix_site import CitrixSite, SimCatalog, SimConnection, SimGroup, SimMachine, SimZone
from sandbox.job_builder import JobBuilder
from sandbox.relayed import Relayed
from sandbox.world import (
    AHV_PLUGIN_ELEMENT,
    MINORS,
    DomainEntry,
    NutanixCluster,
    Prism,
    SimDomain,
    SimVm,
    World,
    cluster_uuid,
    stable_uuid,
)

DOMAIN = "CORP"
DNS_SUFFIX = "corp.example"

Json = Any


class ScenarioError(ValueError):
    """The scenario's file says something that cannot be built; the message names the scenario and the part."""


def empty_site(scenario: str) -> CitrixSite:
    """A site without content; its customer and credential are made up from the scenario's name."""
    return CitrixSite(
        id=stable_uuid(scenario, "site"),
        name="cloudxdsite",
        customer_id="acme" + stable_uuid(scenario, "customer")[:8],
        client_id=stable_uuid(scenario, "client"),
        client_secret=stable_uuid(scenario, "client secret"),
        password=stable_uuid(scenario, "site password"),
    )


class WorldBuilder:
    """``made`` are the machine records with the entries of the file that they came from, in order. ``now`` is aware."""

    def __init__(self, data: Json, now: datetime) -> None:
        self._data = data
        self._name: str = data["name"]
        self._jobs = JobBuilder(self._name, now)
        self._site = empty_site(self._name)
        self._prisms: dict[str, Prism] = {}
        self._clusters: dict[str, NutanixCluster] = {}
        self.made: list[tuple[SimMachine, Json]] = []

    def build(self) -> World:
        """Raises ``ScenarioError``."""
        self._citrix(self._data.get("site", {}))
        for entry in self._data["connections"]:
            self._connection(entry)
        for entry in self._data["clusters"]:
            self._cluster(entry)
        for entry in self._data.get("protectionDomains", []):
            self._domain(entry)
        for entry in self._data["catalogs"]:
            self._catalog(entry)
        for entry in self._data.get("deliveryGroups", []):
            self._group(entry)
        for entry in self._data["machines"]:
            for machine in _Machines(entry).each():
                self._machine(machine)
        self._strangers(self._data.get("strangers", 0))
        world = World(self._prisms, self._site)
        world.refresh_all_power()
        return world

    def vm_uuid(self, machine: str, key: str) -> str:
        """A key that begins with ``@`` names the same VM for every machine."""
        return (
            stable_uuid(self._name, "vm", key) if key.startswith("@") else stable_uuid(self._name, "vm", machine, key)
        )

    def _citrix(self, entry: Json) -> None:
        """``controllers`` is their number, or of each its state, ``up`` or ``down``, or a mapping with its relay."""
        site, controllers = self._site, entry.get("controllers", 1)
        site.batch_form = entry.get("batchForm", site.batch_form)
        site.kind, site.old = entry.get("kind", "daas"), entry.get("old", False)
        if site.kind not in ("daas", "cvad"):
            raise ScenarioError(f"Scenario {self._name}: site.kind is daas or cvad, not {site.kind}.")
        states = ["up"] * controllers if isinstance(controllers, int) else controllers
        for number, said in enumerate(states, start=1):
            each = {"state": said} if isinstance(said, str) else said
            site.controllers[f"ddc{number:02d}"] = each.get("state", "up") == "up"
            relayed = self._relayed(each)
            if relayed is not None:
                site.relayed[f"ddc{number:02d}"] = relayed

    def _relayed(self, entry: Json) -> Relayed | None:
        """``relay`` is the kind of listener, ``listeners`` their number."""
        kind = entry.get("relay")
        if kind not in (None, "hcm", "azbridge"):
            raise ScenarioError(f"Scenario {self._name}: relay is hcm or azbridge, not {kind}.")
        return None if kind is None else Relayed(kind, entry.get("listeners", 1))

    def _zone(self, entry: Json) -> SimZone:
        """The zone that a connection or a catalog names; the first that is named is the primary one."""
        name = entry.get("zone", "Primary")
        zone = SimZone(stable_uuid(self._name, "zone", name), name)
        return self._site.zones.setdefault(zone.id, zone)

    def _connection(self, entry: Json) -> None:
        zone = self._zone(entry)
        connection = SimConnection(
            id=stable_uuid(self._name, "connection", entry["name"]),
            uid=len(self._site.connections) + 1,
            name=entry["name"],
            plugin_id=entry.get("plugin", AHV_PLUGIN_ELEMENT),
            zone_id=zone.id,
            zone=zone.name,
            address=entry.get("address", "prism.corp.example"),
            in_maintenance=entry.get("maintenance", False),
            connection_type=entry.get("type", "Custom"),
        )
        self._site.connections[connection.id] = connection

    def _cluster(self, entry: Json) -> None:
        registered = []
        for each in entry.get("registered", [{"name": entry["name"].upper()}]):
            known = self._clusters.get(each["name"])
            if known is None:
                known = NutanixCluster(cluster_uuid(self._name, each["name"]), each["name"])
                self._clusters[known.name] = known
            known.available = each.get("available", True)
            registered.append(known)
        self._prisms[entry["name"]] = Prism(
            name=entry["name"],
            api=entry["api"],
            hosting_connection=entry["hostingConnection"],
            clusters=registered,
            up=entry.get("state", "up") == "up",
            password=stable_uuid(self._name, entry["name"], "password"),
            api_key=stable_uuid(self._name, entry["name"], "key") if entry.get("credential") == "apiKey" else None,
            minors=_minors(entry),
            announces=entry.get("announces", True),
            serves_v3=entry.get("v3", True),
            prism_clusters=entry.get("prismClusters"),
            jobs=[self._jobs.build(each) for each in entry.get("jobs", [])],
            relayed=self._relayed(entry),
        )

    def _domain(self, entry: Json) -> None:
        places = [(name, True) for name in entry.get("active", [])] + [(n, False) for n in entry.get("inactive", [])]
        for name, active in places:
            others = [other for other, _ in places if other != name]
            self._clusters[name].domains[entry["name"]] = SimDomain(entry["name"], active, remote_sites=others)

    def _catalog(self, entry: Json) -> None:
        zone = self._zone(entry)
        catalog = SimCatalog(
            id=stable_uuid(self._name, "catalog", entry.get("folder", ""), entry["name"]),
            uid=len(self._site.catalogs) + 1,
            name=entry["name"],
            folder=entry.get("folder", ""),
            zone_id=zone.id,
            zone=zone.name,
            provisioning=entry.get("provisioning", "Manual"),
        )
        self._site.catalogs[catalog.id] = catalog

    def _group(self, entry: Json) -> None:
        identifier = stable_uuid(self._name, "group", entry["name"])
        group = SimGroup(identifier, len(self._site.groups) + 1, entry["name"], entry.get("folder", ""))
        self._site.groups[identifier] = group

    def _machine(self, machine: _Machine) -> None:
        entry = machine.entry
        catalog = self._named(self._site.catalogs, entry["catalog"])
        group = self._named(self._site.groups, entry["deliveryGroup"]) if entry.get("deliveryGroup") else None
        record = entry.get("record") or {}
        connection = self._named(self._site.connections, record["connection"]) if record.get("connection") else None
        hosted = self.vm_uuid(machine.name, record["id"]) if record.get("id") else None
        made = SimMachine(
            # a machine whose account was made again has two records of one name
            id=stable_uuid(self._name, "machine", machine.name, *([entry["account"]] if "account" in entry else [])),
            uid=len(self._site.machines) + 1,
            name=machine.name,
            dns_name=machine.dns_name,
            catalog_id=catalog.id,
            group_id=group.id if group else None,
            provisioning=entry.get("provisioning", catalog.provisioning),
            connection_id=connection.id if connection else None,
            # Citrix keeps a UUID as it was written; compare without case.
            hosted_machine_id=hosted.upper() if hosted and record.get("upperCase") else hosted,
            hosted_name=record.get("hostedName", machine.host).format(machine.number) if hosted else None,
        )
        self._site.machines[made.id] = made
        for vm in entry.get("vms", []):
            self._vm(machine, vm)
        for snapshot in entry.get("snapshots", []):
            domain = self._clusters[snapshot["at"]].domains[snapshot["domain"]]
            self._snapshot(domain, DomainEntry(self.vm_uuid(machine.name, snapshot["of"]), machine.host))
        try:
            self._jobs.recovered(machine.host, entry.get("recovered", []), lambda key: self.vm_uuid(machine.name, key))
        except KeyError as unknown:
            raise ScenarioError(f"Scenario {self._name}: {machine.name} names {unknown}, which is not there.") from None
        self.made.append((made, entry))

    def _vm(self, machine: _Machine, entry: Json) -> None:
        cluster = self._clusters[entry["at"]]
        power = entry.get("power", "on")
        if power not in ("on", "off", "paused"):
            raise ScenarioError(f"Scenario {self._name}: the power of a VM of {machine.name} must be in quotes.")
        vm = SimVm(
            uuid=self.vm_uuid(machine.name, entry["id"]),
            name=entry.get("name", machine.host).format(machine.number),
            power=power,
            bios_uuid=self.vm_uuid(machine.name, entry["bios"]) if "bios" in entry else None,
            parent_uuid=self.vm_uuid(machine.name, entry["parent"]) if "parent" in entry else None,
            agent=entry.get("agent", False),
            state=entry.get("state", "COMPLETE"),
            categories=dict(entry.get("categories", {})),
            migrating=entry.get("migrating", False),
            role=entry.get("role"),
            late=entry.get("late", 0),
        )
        cluster.add(vm)
        if "domain" in entry:
            domain = cluster.domains[entry["domain"]]
            domain.vms.append(DomainEntry(vm.uuid, vm.name))
            if "snapshotOf" in entry:
                self._snapshot(domain, DomainEntry(self.vm_uuid(machine.name, entry["snapshotOf"]), vm.name))

    @staticmethod
    def _snapshot(domain: SimDomain, entry: DomainEntry) -> None:
        if not domain.snapshots:
            domain.snapshots += [[], []]
        for snapshot in domain.snapshots:
            snapshot.append(entry)

    def _strangers(self, number: int) -> None:
        """VMs that are no Citrix machines: every cluster has some."""
        for cluster in self._clusters.values():
            for index in range(1, number + 1):
                name = f"{cluster.name}-SRV-{index:02d}"
                cluster.add(SimVm(stable_uuid(self._name, name), name))

    def _named(self, things: Mapping[str, Any], name: str) -> Any:
        for thing in things.values():
            if name in (thing.name, getattr(thing, "full_name", None)):
                return thing
        raise ScenarioError(f"Scenario {self._name}: {name} is used, but not declared.")


def _minors(entry: Json) -> dict[str, int]:
    """``minor`` is the highest of every namespace; ``v4: false`` is a Prism Central that has no v4."""
    if not entry.get("v4", True):
        return {}
    return dict(MINORS) if "minor" not in entry else dict.fromkeys(MINORS, entry["minor"])


@dataclass(frozen=True)
class _Machine:
    name: str
    number: int
    entry: Json

    @cached_property
    def host(self) -> str:
        return self.name.rpartition("\\")[2]

    @cached_property
    def dns_name(self) -> str:
        given = self.entry.get("dnsName")
        return str(given).format(self.number) if given else f"{self.host.lower()}.{DNS_SUFFIX}"


@dataclass(frozen=True)
class _Machines:
    """A group of machines that differ in their number alone."""

    entry: Json

    def each(self) -> Iterator[_Machine]:
        first = self.entry.get("first", 1)
        domain = self.entry.get("domain", DOMAIN)
        for number in range(first, first + self.entry.get("count", 1)):
            yield _Machine(f"{domain}\\{self.entry['names'].format(number)}", number, self.entry)
