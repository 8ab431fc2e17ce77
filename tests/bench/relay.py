"""What the way through a relay costs, beside the same Prism asked directly, over loopback.

``python -m tests.bench.relay [--vms 20000] [--requests 400] [--connections 60]``. The last line is JSON; the exit code
is 1 where a target is missed. Service, listener and Prism run in a process of their own, the client is the app's.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from sandbox.large_world import HOME, large_world
from sandbox.sandbox import Sandbox
from sandbox.tcp_relay import TcpRelay
from shared.http import Deadline, Limits
from shared.prism.client import PrismClient
from shared.profile.endpoints import Cluster
from shared.runs.clients.connect import prism
from shared.runs.clients.keyring import Keyring, secret_names
from shared.runs.resources import Resources

MACHINES = 10
KEPT_MS, NEW_MS, LISTING = 2.0, 30.0, 1.30
AT_ONCE, IDLE_SECONDS, IDLE_CPU = 16, 3.0, 0.01
NAME_LOOKUPS = "relay-names"
PATIENCE = 600.0
WAYS = ("direct", "hcm", "azbridge")

Figures = dict[str, Any]


@dataclass(frozen=True)
class Place:
    """Where a sandbox is. ``direct`` is Prism's own address, with no relay of any kind before it."""

    environ: dict[str, str]
    profile: str
    direct: str | None


def main(arguments: Iterable[str] | None = None) -> int:
    """0 when the targets are met, else 1."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.relay", description=__doc__)
    parser.add_argument("--vms", type=int, default=20_000)
    parser.add_argument("--requests", type=int, default=400)
    parser.add_argument("--connections", type=int, default=60)
    args = parser.parse_args(None if arguments is None else list(arguments))
    found = {way: measured(way, args) for way in WAYS}
    direct = found["direct"]
    good = True
    write(f"{'':10}{'kept ms':>10}{'p95':>8}{'new ms':>10}{'listing s':>11}{'threads':>9}{'idle CPU':>10}")
    for way, each in found.items():
        write(
            f"{way:10}{each['keptMs']:>10.2f}{each['keptP95Ms']:>8.2f}{each['newMs']:>10.1f}"
            f"{each['listingSeconds']:>11.2f}{each['threads']:>9}{each['idleCpu']:>9.1%}"
        )
        if way != "direct":
            each["keptMoreMs"] = round(each["keptMs"] - direct["keptMs"], 2)
            each["listingRatio"] = round(each["listingSeconds"] / direct["listingSeconds"], 2)
            good &= each["keptMoreMs"] < KEPT_MS and each["newMs"] < NEW_MS and each["listingRatio"] <= LISTING
            good &= each["threads"] <= 1 and each["idleCpu"] < IDLE_CPU
    targets = {"keptMoreMs": KEPT_MS, "newMs": NEW_MS, "listingRatio": LISTING, "threads": 1, "idleCpu": IDLE_CPU}
    write(json.dumps({"vms": args.vms, "ways": found, "targets": targets}))
    return 0 if good else 1


def measured(way: str, args: argparse.Namespace) -> Figures:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(way, args.vms, theirs), daemon=True)
    process.start()
    try:
        return figures(ours.recv(), args)
    finally:
        ours.send(None)
        process.join()


def serve(way: str, vms: int, pipe: Connection) -> None:
    """The sandbox's process."""
    relay: Any = "tcp" if way == "direct" else way
    with Sandbox(large_world(MACHINES, vms=2 * vms), relay=relay, judged=False) as sandbox:
        before = sandbox.relays[HOME]
        direct = f"https://127.0.0.1:{before.target_port}" if isinstance(before, TcpRelay) else None
        pipe.send(Place(sandbox.environ, sandbox.scenario.profile_name, direct))
        pipe.recv()


def figures(place: Place, args: argparse.Namespace) -> Figures:
    # msal reads these itself
    os.environ.update({name: place.environ[name] for name in ("IDENTITY_ENDPOINT", "IDENTITY_HEADER")})
    resources = Resources(place.environ)
    profile = resources.profile(place.profile)
    cluster = next(each for each in profile.clusters if each.name == HOME)
    if place.direct is not None:
        cluster = cluster.model_copy(update={"base_url": place.direct})
    keyring = Keyring(resources.vault, secret_names(profile))
    try:
        return {
            **kept(resources, cluster, keyring, args.requests),
            "newMs": new(resources, cluster, keyring, args.connections),
            "listingSeconds": listing(resources, cluster, keyring),
            **many(resources, cluster, keyring),
        }
    finally:
        resources.close()


def kept(resources: Resources, cluster: Cluster, keyring: Keyring, requests: int) -> Figures:
    """Requests one after the other over one connection."""
    with prism(resources, cluster, keyring) as client:
        ask(client)
        took = sorted(timed(lambda: ask(client)) for _ in range(requests))
    return {"keptMs": ms(statistics.median(took)), "keptP95Ms": ms(took[int(len(took) * 0.95)])}


def new(resources: Resources, cluster: Cluster, keyring: Keyring, connections: int) -> float:
    """A first request over a new connection: the tunnel, TLS to Prism, and the request."""

    def first() -> float:
        with prism(resources, cluster, keyring) as client:
            return timed(lambda: ask(client))

    return ms(statistics.median(first() for _ in range(connections)))


def listing(resources: Resources, cluster: Cluster, keyring: Keyring) -> float:
    """The whole list of VMs; the second of two, as the simulator makes each VM's text once."""
    with prism(resources, cluster, keyring) as client:
        clusters = client.clusters(limits()).items
        client.vms(clusters, limits())
        return round(min(timed(lambda: client.vms(clusters, limits())) for _ in range(3)), 3)


def many(resources: Resources, cluster: Cluster, keyring: Keyring) -> Figures:
    """Many connections at once: the threads that carry them, and the CPU that they take while nothing is asked.

    The threads that look up names, two at most, are left out: a direct connection does so in the caller's.
    """
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda _: time.sleep(0.01), range(4 * AT_ONCE)))  # so that its own threads are there
        before = set(threading.enumerate()) - {each for each in threading.enumerate() if "relay" in each.name}
        with prism(resources, cluster, keyring) as client:
            list(pool.map(lambda _: ask(client), range(4 * AT_ONCE)))
            now = [each for each in threading.enumerate() if not each.name.startswith(NAME_LOOKUPS)]
            threads = len(set(now) - before)
            return {"threads": threads, "idleCpu": idle_cpu()}


def idle_cpu() -> float:
    """Of one core, while connections are open and nothing is asked."""
    began = time.process_time()
    time.sleep(IDLE_SECONDS)
    return round((time.process_time() - began) / IDLE_SECONDS, 4)


def ask(client: PrismClient) -> None:
    client.clusters(limits())


def limits() -> Limits:
    return Limits(Deadline.after(PATIENCE), silence=PATIENCE)


def timed(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def ms(seconds: float) -> float:
    return round(seconds * 1000, 2)


def write(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
