"""Estates that a test module writes down itself, where no scenario of the sandbox has what it needs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import yaml

from sandbox.scenario import Scenario
from sandbox.world import NutanixCluster, SimMachine, SimVm, stable_uuid
from sandbox.world_builder import WorldBuilder
from tests.e2e.client import Json
from tests.e2e.conftest import App


def estate(text: str) -> Scenario:
    """The estate that ``text`` describes in the words of a scenario's file; it expects nothing."""
    data = yaml.safe_load(text)
    world = WorldBuilder(data, datetime.now(UTC)).build()
    return Scenario(data["name"], data["name"], world, profile_parts=data.get("profile", {}), run={})


def add_strangers(cluster: NutanixCluster, number: int) -> None:
    """VMs that are no machine's."""
    for index in range(1, number + 1):
        name = f"{cluster.name}-SRV-{index:04d}"
        cluster.add(SimVm(stable_uuid(name), name))


def clusters(app: App, *names: str, **changes: Json) -> list[Json]:
    """The named clusters of the scenario's profile in that order; ``changes`` by a cluster's name."""
    known = {entry["name"]: entry for entry in app.document()["clusters"]}
    return [{**known[name], **changes.get(name, {})} for name in names]


@contextmanager
def profile(app: App, name: str, **changes: Any) -> Iterator[str]:
    """A profile for as long as it is needed: the health check asks the clusters of all there are."""
    yield app.add_profile(name, **changes)
    app.remove_profile(name)


def of(run: Json, name: str) -> Json:
    """What a run says of one cluster."""
    found: Json = next(entry for entry in run["clusters"] if entry["name"] == name)
    return found


def by_host(app: App, run: Json) -> dict[str, Json]:
    """The findings of a run by the machines' host names."""
    return {f["machine"]["name"].rpartition("\\")[2]: f for f in app.api.findings(run["id"]).values()}


def machine(app: App, host: str) -> SimMachine:
    found = app.sandbox.world.site.machine(f"CORP\\{host}")
    assert found is not None, host
    return found


def prism_host(app: App, name: str) -> str:
    """Host and port at which the app reaches a Prism, as messages name it."""
    return app.sandbox.prism_urls[name].removeprefix("https://")
