"""How long Prism Central v4 takes to read at its rate budget, and eight clusters beside the slowest of them.

``python -m tests.bench.prism_clusters [--vms 20000] [--latency-ms 20] [--only central|eight]``. The last line is JSON.
The budget allows two lists of VMs a second, 100 VMs each; the simulator refuses more. The client and its session are
the app's own, over TLS and through the relay.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from sandbox.azurite import Azurite
from sandbox.sandbox import Sandbox
from sandbox.scenario import Scenario
from sandbox.world import NutanixCluster, Prism, SimConnection, SimVm, World, cluster_uuid, stable_uuid
from sandbox.world_builder import empty_site
from shared.model.nutanix import ReadStatus
from shared.profile.profile import Profile
from shared.runs.clients.keyring import Keyring, secret_names
from shared.runs.reading.cluster_reads import Wanted
from shared.runs.reading.gather import gather
from shared.runs.resources import Resources

NAME = "bench"
PAGE, CALLS_A_SECOND = 100, 2
TOLERATED = 1.10
BESIDE = 1.20
EIGHT = ("element-v2", "central-v3", "central-v4", "element-v2", "central-v3", "central-v4", "element-v2", "central")


def main(arguments: Iterable[str] | None = None) -> int:
    """0 when every list was whole, nothing was refused, and the targets are met; else 1."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.prism_clusters", description=__doc__)
    parser.add_argument("--vms", type=int, default=20_000)
    parser.add_argument("--latency-ms", type=int, default=20)
    parser.add_argument("--only", choices=("central", "eight"))
    args = parser.parse_args(None if arguments is None else list(arguments))
    result: dict[str, Any] = {"latencyMs": args.latency_ms}
    good = True
    if args.only != "eight":
        result["central"] = central(args.vms, args.latency_ms / 1000)
        good &= result["central"]["ratio"] <= TOLERATED and not result["central"]["refused"]
    if args.only != "central":
        result["eight"] = eight(args.vms // 10, args.latency_ms / 1000)
        good &= result["eight"]["ratio"] <= BESIDE and not result["eight"]["refused"]
    write(json.dumps(result))
    return 0 if good else 1


def central(vms: int, latency: float) -> dict[str, Any]:
    """One Central with all of ``vms`` on one cluster, beside what its budget allows."""
    with running([("pc", "central-v4", vms)], latency) as (sandbox, resources, profile):
        seconds = read(resources, profile)
    pages = -(-vms // PAGE)
    allowed = pages / CALLS_A_SECOND
    write(f"{vms} VMs in {pages} pages: {seconds:.1f} s; the budget allows {allowed:.1f} s ({seconds / allowed:.3f})")
    refused = sandbox.calls.throttled()
    write(f"refused with 429: {refused}")
    return {
        "vms": vms,
        "seconds": round(seconds, 2),
        "allowed": allowed,
        "ratio": round(seconds / allowed, 3),
        "refused": refused,
    }


def eight(vms: int, latency: float) -> dict[str, Any]:
    """Eight clusters of mixed APIs: each alone, then all of them in one profile."""
    names = [f"c{number}" for number in range(1, len(EIGHT) + 1)]
    alone: dict[str, float] = {}
    for name, api in zip(names, EIGHT, strict=True):
        with running([(name, api, vms)], latency) as (_, resources, profile):
            alone[name] = read(resources, profile)
    with running([(name, api, vms) for name, api in zip(names, EIGHT, strict=True)], latency) as parts:
        sandbox, resources, profile = parts
        together = read(resources, profile)
    slowest = max(alone.values())
    for name, api in zip(names, EIGHT, strict=True):
        write(f"{name} {api:11} {vms} VMs alone: {alone[name]:.2f} s")
    write(f"eight together: {together:.2f} s; the slowest alone {slowest:.2f} s ({together / slowest:.2f})")
    return {
        "vms": vms,
        "slowest": round(slowest, 2),
        "together": round(together, 2),
        "ratio": round(together / slowest, 3),
        "refused": sandbox.calls.throttled(),
    }


def read(resources: Resources, profile: Profile) -> float:
    """Seconds to gather what a run of the profile needs. Raises ``AssertionError`` where a list was not whole."""
    began = time.monotonic()
    gathered = gather(
        resources,
        profile,
        Keyring(resources.vault, secret_names(profile)),
        Wanted(datetime.now(UTC) - timedelta(hours=72)),
        lambda done, total: None,
    )
    seconds = time.monotonic() - began
    for reading in gathered.readings:
        if reading.status is not ReadStatus.ANSWERED:
            raise AssertionError(f"{reading.name}: {reading.error}")
    return seconds


@contextmanager
def running(clusters: list[tuple[str, str, int]], latency: float) -> Iterator[tuple[Sandbox, Resources, Profile]]:
    """A sandbox with these Prisms, and what the app would work with in it."""
    scenario = scenario_of(clusters)
    with Azurite() as azurite, Sandbox(scenario, latency=latency, azurite=azurite) as sandbox:
        # msal reads these itself
        os.environ.update({name: sandbox.environ[name] for name in ("IDENTITY_ENDPOINT", "IDENTITY_HEADER")})
        resources = Resources(sandbox.environ)
        try:
            yield sandbox, resources, resources.profile(scenario.profile_name)
        finally:
            resources.close()


def scenario_of(clusters: list[tuple[str, str, int]]) -> Scenario:
    site = empty_site(NAME)
    prisms: dict[str, Prism] = {}
    for number, (name, api, vms) in enumerate(clusters, start=1):
        cluster = NutanixCluster(cluster_uuid(NAME, name), name.upper())
        for each in range(vms):
            cluster.add(SimVm(stable_uuid(NAME, name, each), f"{name}-{each:06d}"))
        zone = stable_uuid(NAME, "zone")
        connection = SimConnection(
            stable_uuid(NAME, "connection", name), number, f"AHV {name}", "AcropolisFactory", zone, "Primary", name
        )
        site.connections[connection.id] = connection
        password = stable_uuid(NAME, name, "password")
        prisms[name] = Prism(name, api, connection.name, [cluster], password=password)
    return Scenario(NAME, "clusters of any size", World(prisms, site), {"name": NAME}, {})


def write(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
