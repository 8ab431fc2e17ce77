"""Scenarios: an estate, what Citrix believes of it, the run that is asked for, and the findings that are right.

A scenario is data (``scenarios/*.yaml``). The same scenario gives the same world in every run: each UUID is made of the
scenario's name, the machine's and a key. ``expected`` is what the rules of the design's section 4 say about it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from sandbox.world import (
    AHV_PLUGIN_ELEMENT,
    CitrixSite,
    DomainEntry,
    NutanixCluster,
    Prism,
    SimCatalog,
    SimConnection,
    SimDomain,
    SimGroup,
    SimMachine,
    SimVm,
    World,
    cluster_uuid,
    stable_uuid,
)

FOLDER = Path(__file__).parent / "scenarios"
DEFAULT = "activation-old-cluster-dead"
CA_SECRET = "corp-root-ca"
DOMAIN = "CORP"
DNS_SUFFIX = "corp.example"

Json = Any


class ScenarioError(ValueError):
    """The scenario's file says something that cannot be built; the message names the scenario and the part."""


@dataclass(frozen=True, slots=True)
class Expected:
    """The right finding for one machine. ``to_connection`` and ``to_uuid`` are set for a remap alone."""

    finding: str
    reason: str
    confidence: str | None = None
    to_cluster: str | None = None
    to_connection: str | None = None
    to_uuid: str | None = None


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where a running sandbox answers: the Citrix origin, and host and port of the relay to each Prism."""

    citrix: str
    prism: Mapping[str, tuple[str, int]]


@dataclass(slots=True)
class Scenario:
    """``run`` is the body of a run request, ``profile_parts`` the profile without its hosts."""

    name: str
    describes: str
    world: World
    profile_parts: Json
    run: Json
    expected: dict[str, Expected] = field(default_factory=dict)
    guards: tuple[str, ...] = ()
    unmatched: dict[str, tuple[str, ...]] = field(default_factory=dict)
    out_of_scope: int = 0

    @property
    def profile_name(self) -> str:
        return str(self.profile_parts.get("name", "emea-vdi"))

    def profile_document(self, endpoints: Endpoints) -> Json:
        """The profile file (design, section 3) for a sandbox that answers at ``endpoints``."""
        clusters = []
        for prism in self.world.prisms.values():
            host, port = endpoints.prism[prism.name]
            cluster = {"name": prism.name, "api": prism.api, "host": host, "port": port}
            cluster |= {"credential": f"prism-{prism.name}", "ca": CA_SECRET}
            clusters.append(cluster | {"hostingConnection": prism.hosting_connection})
        site = {
            "kind": "daas",
            "baseUrl": endpoints.citrix,
            "customerId": self.world.site.customer_id,
            "credential": f"citrix-{self.profile_name}",
        }
        document = {"name": self.profile_name, "site": site, "clusters": clusters}
        return document | {key: value for key, value in self.profile_parts.items() if key != "name"}

    def secrets(self, ca_pem: str) -> dict[str, str]:
        """What the Key Vault must hold for the profile. ``ca_pem`` is the authority that signs for the Prisms."""
        site = self.world.site
        secrets = {
            f"citrix-{self.profile_name}": json.dumps({"clientId": site.client_id, "clientSecret": site.client_secret}),
            CA_SECRET: ca_pem,
        }
        for prism in self.world.prisms.values():
            credential = {"apiKey": prism.api_key} if prism.api_key else _basic(prism)
            secrets[f"prism-{prism.name}"] = json.dumps(credential)
        return secrets


def _basic(prism: Prism) -> dict[str, str]:
    return {"username": prism.username, "password": prism.password}


def names() -> list[str]:
    """Every scenario there is."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def load(name: str) -> Scenario:
    """Builds a scenario. Raises ``ScenarioError``."""
    path = FOLDER / f"{name}.yaml"
    if not path.is_file():
        raise ScenarioError(f"There is no scenario {name}. Choose one of: {', '.join(names())}.")
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    return _Builder(data).build()


def empty_site(scenario: str) -> CitrixSite:
    """A site without content; its customer and credential are made up from the scenario's name."""
    return CitrixSite(
        id=stable_uuid(scenario, "site"),
        name="cloudxdsite",
        customer_id="acme" + stable_uuid(scenario, "customer")[:8],
        client_id=stable_uuid(scenario, "client"),
        client_secret=stable_uuid(scenario, "client secret"),
    )


class _Builder:
    def __init__(self, data: Json) -> None:
        self._data = data
        self._name: str = data["name"]
        self._site = empty_site(self._name)
        self._prisms: dict[str, Prism] = {}
        self._clusters: dict[str, NutanixCluster] = {}
        self._expected: dict[str, Expected] = {}
        self._out_of_scope = 0

    def build(self) -> Scenario:
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
        expect = self._data.get("expect", {})
        return Scenario(
            name=self._name,
            describes=" ".join(self._data["describes"].split()),
            world=world,
            profile_parts=self._data.get("profile", {}),
            run=self._data.get("run", {}),
            expected=self._expected,
            guards=tuple(expect.get("guards", ())),
            unmatched={key: tuple(value) for key, value in expect.get("unmatched", {}).items()},
            out_of_scope=self._out_of_scope,
        )

    def _connection(self, entry: Json) -> None:
        zone = entry.get("zone", "Primary")
        connection = SimConnection(
            id=stable_uuid(self._name, "connection", entry["name"]),
            uid=len(self._site.connections) + 1,
            name=entry["name"],
            plugin_id=entry.get("plugin", AHV_PLUGIN_ELEMENT),
            zone_id=stable_uuid(self._name, "zone", zone),
            zone=zone,
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
        )

    def _domain(self, entry: Json) -> None:
        places = [(name, True) for name in entry.get("active", [])] + [(n, False) for n in entry.get("inactive", [])]
        for name, active in places:
            others = [other for other, _ in places if other != name]
            self._clusters[name].domains[entry["name"]] = SimDomain(entry["name"], active, remote_sites=others)

    def _catalog(self, entry: Json) -> None:
        zone = entry.get("zone", "Primary")
        catalog = SimCatalog(
            id=stable_uuid(self._name, "catalog", entry.get("folder", ""), entry["name"]),
            uid=len(self._site.catalogs) + 1,
            name=entry["name"],
            folder=entry.get("folder", ""),
            zone_id=stable_uuid(self._name, "zone", zone),
            zone=zone,
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
        hosted = self._uuid(machine.name, record["id"]) if record.get("id") else None
        made = SimMachine(
            id=stable_uuid(self._name, "machine", machine.name),
            uid=len(self._site.machines) + 1,
            name=machine.name,
            dns_name=machine.dns_name,
            catalog_id=catalog.id,
            group_id=group.id if group else None,
            provisioning=entry.get("provisioning", catalog.provisioning),
            connection_id=connection.id if connection else None,
            # Citrix keeps a UUID as it was written; compare without case.
            hosted_machine_id=hosted.upper() if hosted and record.get("upperCase") else hosted,
            hosted_name=machine.host if hosted else None,
        )
        self._site.machines[made.id] = made
        for vm in entry.get("vms", []):
            self._vm(machine, vm)
        self._expect(made, machine)

    def _vm(self, machine: _Machine, entry: Json) -> None:
        cluster = self._clusters[entry["at"]]
        power = entry.get("power", "on")
        if power not in ("on", "off", "paused"):
            raise ScenarioError(f"Scenario {self._name}: the power of a VM of {machine.name} must be in quotes.")
        vm = SimVm(
            uuid=self._uuid(machine.name, entry["id"]),
            name=entry.get("name", machine.host).format(machine.number),
            power=power,
            bios_uuid=self._uuid(machine.name, entry["bios"]) if "bios" in entry else None,
            parent_uuid=self._uuid(machine.name, entry["parent"]) if "parent" in entry else None,
            agent=entry.get("agent", False),
            state=entry.get("state", "COMPLETE"),
        )
        cluster.add(vm)
        if "domain" in entry:
            domain = cluster.domains[entry["domain"]]
            domain.vms.append(DomainEntry(vm.uuid, vm.name))
            if "snapshotOf" in entry:
                self._snapshot(domain, DomainEntry(self._uuid(machine.name, entry["snapshotOf"]), vm.name))

    @staticmethod
    def _snapshot(domain: SimDomain, entry: DomainEntry) -> None:
        if not domain.snapshots:
            domain.snapshots += [[], []]
        for snapshot in domain.snapshots:
            snapshot.append(entry)

    def _expect(self, made: SimMachine, machine: _Machine) -> None:
        expect = machine.entry["expect"]
        if expect == "out-of-scope":
            self._out_of_scope += 1
            return
        to = expect.get("to")
        self._expected[made.id] = Expected(
            finding=expect["finding"],
            reason=expect["reason"],
            confidence=expect.get("confidence"),
            to_cluster=to["cluster"] if to else None,
            to_connection=self._prisms[to["cluster"]].hosting_connection if to else None,
            to_uuid=self._uuid(machine.name, to["vm"]) if to else None,
        )

    def _strangers(self, number: int) -> None:
        """VMs that are no Citrix machines: every cluster has some."""
        for cluster in self._clusters.values():
            for index in range(1, number + 1):
                name = f"{cluster.name}-SRV-{index:02d}"
                cluster.add(SimVm(stable_uuid(self._name, name), name))

    def _uuid(self, machine: str, key: str) -> str:
        """A key that begins with ``@`` names the same VM for every machine."""
        return (
            stable_uuid(self._name, "vm", key) if key.startswith("@") else stable_uuid(self._name, "vm", machine, key)
        )

    def _named(self, things: Mapping[str, Any], name: str) -> Any:
        for thing in things.values():
            if name in (thing.name, getattr(thing, "full_name", None)):
                return thing
        raise ScenarioError(f"Scenario {self._name}: {name} is used, but not declared.")


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
        return str(given) if given else f"{self.host.lower()}.{DNS_SUFFIX}"


@dataclass(frozen=True)
class _Machines:
    """A group of machines that differ in their number alone."""

    entry: Json

    def each(self) -> Iterator[_Machine]:
        first = self.entry.get("first", 1)
        domain = self.entry.get("domain", DOMAIN)
        for number in range(first, first + self.entry.get("count", 1)):
            yield _Machine(f"{domain}\\{self.entry['names'].format(number)}", number, self.entry)
