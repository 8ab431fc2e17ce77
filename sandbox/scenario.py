"""Scenarios: an estate, what Citrix believes of it, the run that is asked for, and the findings that are right.

A scenario is data (``scenarios/*.yaml``). The same scenario gives the same world in every run: each UUID is made of the
scenario's name, the machine's and a key. ``expected`` is what the rules of the design's section 4 say about it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

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
    builder = WorldBuilder(data)
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
