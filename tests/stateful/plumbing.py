"""Puts the systems in memory where the use cases open their clients."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, TypeVar

import pytest

import shared.runs.apply
import shared.runs.observe
import shared.runs.reading.cluster_reads
import shared.runs.reading.gather
import shared.runs.reading.leftovers
import shared.runs.reset_again
import shared.runs.roll_back
from shared.azure.table import Table
from shared.profile.endpoints import Cluster
from shared.runs.writing.sizes import Sizes
from tests.stateful.citrix import MemoryHosts, MemoryPrism, MemoryWriter
from tests.stateful.host import Host, watch_storage

T = TypeVar("T")

WRITERS = (shared.runs.apply, shared.runs.roll_back, shared.runs.reset_again, shared.runs.observe)
MACHINES_A_BATCH = 2


class OneAfterTheOther:
    """A pool of threads without threads: the same calls in the same order in every replay of an example."""

    def __init__(self, *args: Any, **options: Any) -> None:
        """As that of the real one."""

    def submit(self, work: Callable[..., T], /, *args: Any, **options: Any) -> Future[T]:
        done: Future[T] = Future()
        try:
            done.set_result(work(*args, **options))
        except BaseException as error:  # noqa: BLE001 - as the real one does
            done.set_exception(error)
        return done

    def map(self, work: Callable[..., T], *each: Iterable[Any]) -> Iterator[T]:
        return iter([work(*arguments) for arguments in zip(*each, strict=True)])

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Nothing is under way."""

    def __enter__(self) -> OneAfterTheOther:
        return self

    def __exit__(self, *error: object) -> None:
        """Nothing is under way."""


def plug_in(patch: pytest.MonkeyPatch, host: Host, *, side_by_side: bool) -> None:
    """``side_by_side``: with threads, as in truth; an example may then go another way when it is replayed."""
    host.side_by_side = side_by_side

    @contextmanager
    def writer(
        resources: object, profile: object, keyring: object, check: Callable[[], None] = lambda: None
    ) -> Iterator[MemoryWriter]:
        yield MemoryWriter(host.citrix, check)

    @contextmanager
    def hosts(*given: object, **options: object) -> Iterator[MemoryHosts]:
        yield MemoryHosts(host.citrix)

    @contextmanager
    def prism(resources: object, cluster: Cluster, keyring: object) -> Iterator[MemoryPrism]:
        yield MemoryPrism(host.citrix.estate, cluster.name)

    for module in WRITERS:
        patch.setattr(module, "citrix_writer", writer)
    patch.setattr(shared.runs.reading.gather, "citrix_hosts", hosts)
    patch.setattr(shared.runs.reading.cluster_reads, "prism", prism)
    patch.setattr(shared.runs.reading.leftovers, "prism", prism)
    patch.setattr(Table, "_ready", watch_storage(lambda: host, Table._ready))
    patch.setattr(Sizes, "LEAST", MACHINES_A_BATCH)
    patch.setattr(Sizes, "FIRST_MOST", MACHINES_A_BATCH)
    patch.setattr(Sizes, "MOST", MACHINES_A_BATCH)
    clock = types.SimpleNamespace(monotonic=host.clock.monotonic)
    for module in (shared.runs.apply, shared.runs.roll_back):
        patch.setattr(module, "time", clock)
    if not side_by_side:
        for name, loaded in list(sys.modules.items()):
            if name.startswith("shared.") and hasattr(loaded, "Threads"):
                patch.setattr(loaded, "Threads", OneAfterTheOther)


def profile_document(name: str) -> Mapping[str, Any]:
    clusters = [
        {
            "name": cluster,
            "api": "element-v2",
            "host": f"prism-{cluster}.corp.example",
            "credential": f"prism-{cluster}",
            "hostingConnection": f"Nutanix {cluster.title()}",
        }
        for cluster in ("paris", "amsterdam")
    ]
    site = {"kind": "daas", "region": "eu", "customerId": name, "credential": "citrix"}
    policy = {"dr": {"mode": "auto", "maxChanges": 6000, "maxChangePercent": 100}, "maxChangePercent": 100}
    return {"name": name, "site": site, "clusters": clusters, "policy": policy, "schedule": True}
