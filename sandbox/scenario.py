"""Scenarios: an estate, what Citrix believes of it, the run that is asked for, and the findings that are right.

A scenario is data (``scenarios/*.yaml``). The same scenario gives the same world in every run: each UUID is made of the
scenario's name, the machine's and a key; only the times of recovery plan jobs follow the clock. ``expected`` is what
the rules of the design's section 4 say about it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from sandbox.citrix_site import CitrixSite
from sandbox.world import Prism, World
from sandbox.world_builder import ScenarioError, WorldBuilder

FOLDER = Path(__file__).parent / "scenarios"
DEFAULT = "activation-old-cluster-dead"
CA_SECRET = "corp-root-ca"

Json = Any


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
    """Where a running sandbox answers: the Citrix origin, and host and port of the relay to each Prism.

    ``controllers`` are host and port of the relay to each Delivery Controller, in their order. ``routes`` are the relay
    parts of the profile by host, for those that stand behind the simulated Azure Relay.
    """

    citrix: str
    prism: Mapping[str, tuple[str, int]]
    controllers: tuple[tuple[str, int], ...] = ()
    routes: Mapping[str, Json] = field(default_factory=dict)

    def place(self, host: str, port: int) -> Json:
        """Host, port and relay as the profile says them."""
        route = self.routes.get(host)
        return {"host": host, "port": port} | ({} if route is None else {"relay": route})


@dataclass(slots=True)
class Scenario:
    """``run`` is the body of a run request, ``profile_parts`` the profile without its hosts.

    ``trigger`` is ``http`` or ``schedule``: then the timer starts the run, and nobody asks for anything.
    """

    name: str
    describes: str
    world: World
    profile_parts: Json
    run: Json
    expected: dict[str, Expected] = field(default_factory=dict)
    guards: tuple[str, ...] = ()
    unmatched: dict[str, tuple[str, ...]] = field(default_factory=dict)
    out_of_scope: int = 0
    trigger: str = "http"

    @property
    def profile_name(self) -> str:
        return str(self.profile_parts.get("name", "emea-vdi"))

    def profile_document(self, endpoints: Endpoints) -> Json:
        """The profile file (design, section 3) for a sandbox that answers at ``endpoints``."""
        clusters = []
        for prism in self.world.prisms.values():
            host, port = endpoints.prism[prism.name]
            cluster = {"name": prism.name, "api": prism.api, **endpoints.place(host, port)}
            cluster |= {"credential": f"prism-{prism.name}", "ca": CA_SECRET}
            cluster |= {} if prism.prism_clusters is None else {"prismClusters": prism.prism_clusters}
            clusters.append(cluster | {"hostingConnection": prism.hosting_connection})
        document = {"name": self.profile_name, "site": self._site(endpoints), "clusters": clusters}
        return document | {key: value for key, value in self.profile_parts.items() if key != "name"}

    def _site(self, endpoints: Endpoints) -> Json:
        if self.world.site.kind == "cvad":
            hosts = [endpoints.place(host, port) for host, port in endpoints.controllers]
            return {"kind": "cvad", "hosts": hosts, "credential": f"citrix-{self.profile_name}", "ca": CA_SECRET}
        return {
            "kind": "daas",
            "baseUrl": endpoints.citrix,
            "customerId": self.world.site.customer_id,
            "credential": f"citrix-{self.profile_name}",
        }

    def controllers_secret(self) -> tuple[str, str]:
        """Name and text of what signs in to the Delivery Controllers, which are there beside a DaaS customer, too."""
        return f"cvad-{self.profile_name}", json.dumps(_account(self.world.site))

    def secrets(self, ca_pem: str) -> dict[str, str]:
        """What the Key Vault must hold for the profile. ``ca_pem`` is the authority of Prisms and controllers."""
        site = self.world.site
        secrets = {
            f"citrix-{self.profile_name}": json.dumps(_account(site) if site.kind == "cvad" else _api_client(site)),
            CA_SECRET: ca_pem,
        }
        for prism in self.world.prisms.values():
            credential = {"apiKey": prism.api_key} if prism.api_key else _basic(prism)
            secrets[f"prism-{prism.name}"] = json.dumps(credential)
        return secrets


def _api_client(site: CitrixSite) -> dict[str, str]:
    return {"clientId": site.client_id, "clientSecret": site.client_secret}


def _account(site: CitrixSite) -> dict[str, str]:
    return {"username": site.username, "password": site.password}


def _basic(prism: Prism) -> dict[str, str]:
    return {"username": prism.username, "password": prism.password}


def names() -> list[str]:
    """Every scenario there is."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def answering_api(prism: Prism) -> str:
    """Which API a run ends up with: the one that the profile names, or the newest of a ``central`` that answers."""
    if prism.api != "central" or not prism.up:
        return prism.api
    return "central-v4" if prism.minors else "central-v3"


def load(name: str, now: datetime | None = None) -> Scenario:
    """Builds a scenario as of ``now`` (aware; this moment if left out). Raises ``ScenarioError``."""
    path = FOLDER / f"{name}.yaml"
    if not path.is_file():
        raise ScenarioError(f"There is no scenario {name}. Choose one of: {', '.join(names())}.")
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    builder = WorldBuilder(data, now or datetime.now(UTC))
    world = builder.build()
    expect = data.get("expect", {})
    scenario = Scenario(
        name=name,
        describes=" ".join(data["describes"].split()),
        world=world,
        profile_parts=data.get("profile", {}),
        run=data.get("run", {}),
        guards=tuple(expect.get("guards", ())),
        unmatched={key: tuple(value) for key, value in expect.get("unmatched", {}).items()},
        trigger=data.get("trigger", "http"),
    )
    for machine, entry in builder.made:
        if entry["expect"] == "out-of-scope":
            scenario.out_of_scope += 1
        else:
            scenario.expected[machine.id] = _expected(builder, machine.name, entry["expect"], world)
    return scenario


def _expected(builder: WorldBuilder, machine: str, expect: Json, world: World) -> Expected:
    to = expect.get("to")
    return Expected(
        finding=expect["finding"],
        reason=expect["reason"],
        confidence=expect.get("confidence"),
        to_cluster=to["cluster"] if to else None,
        to_connection=world.prisms[to["cluster"]].hosting_connection if to else None,
        to_uuid=builder.vm_uuid(machine, to["vm"]) if to else None,
    )
