"""Reads everything that a plan needs: the site and all clusters, side by side."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from functools import partial
from time import monotonic
from typing import Any

from shared.citrix.site import read_site
from shared.http import Deadline, Limits
from shared.model.citrix import Site
from shared.model.nutanix import ClusterReading
from shared.profile.endpoints import Cluster
from shared.profile.profile import Profile
from shared.runs.clients.connect import citrix_hosts
from shared.runs.clients.keyring import Keyring
from shared.runs.reading.cluster_reads import ClusterReads, Wanted, checked, not_waited_for
from shared.runs.reading.gathered import Gathered
from shared.runs.resources import Resources
from shared.telemetry.threads import Threads

SITE_SECONDS = 480.0
GRACE_SECONDS = 1.0
MOST_CLUSTERS_AT_ONCE = 16

log = logging.getLogger(__name__)

Progress = Callable[[int, int], None]


def gather(
    resources: Resources,
    profile: Profile,
    keyring: Keyring,
    wanted: Wanted,
    progress: Progress,
    read_site: Callable[[], Site] | None = None,
) -> Gathered:
    """Read the site and every cluster of the profile.

    A cluster that fails is a reading that says so. With a target the other clusters get one attempt and 10 s, and once
    the target and the site have been read, a second at most. ``progress`` hears how many of how many reads are done.
    ``read_site`` reads the site through a client that is open already.
    Raises ``CitrixError`` or ``VaultError`` where the site cannot be read: without it there is no plan; and
    ``StorageError``.
    """
    clusters = ClusterReads(resources, profile, keyring, wanted)
    with _threads(len(profile.clusters) + 1, clusters) as pool:
        site = pool.submit(read_site or partial(_read_site, resources, profile, keyring))
        reads = _submit(pool, clusters, profile.clusters)
        readings = _waited_for(reads, profile.clusters, clusters, site, progress)
        found = site.result()
    return Gathered(found, tuple(checked(reading, found, profile.policy) for reading in readings))


def gather_again(
    resources: Resources, profile: Profile, keyring: Keyring, wanted: Wanted, before: Gathered
) -> Gathered:
    """What was gathered before, with its target read once more, and beside it whoever had not answered.

    Raises ``StorageError``.
    """
    dead = {reading.name for reading in before.readings if reading.dead}
    anew = tuple(c for c in profile.clusters if wanted.is_main(c) or c.name in dead)
    clusters = ClusterReads(resources, profile, keyring, wanted)
    with _threads(len(anew), clusters) as pool:
        found = _waited_for(_submit(pool, clusters, anew), anew, clusters, None, lambda done, total: None)
    fresh = {reading.name: checked(reading, before.site, profile.policy) for reading in found}
    return Gathered(before.site, tuple(fresh.get(reading.name, reading) for reading in before.readings))


@contextmanager
def _threads(most: int, clusters: ClusterReads) -> Iterator[Threads]:
    pool = Threads(min(most, MOST_CLUSTERS_AT_ONCE + 1), thread_name_prefix="read")
    try:
        yield pool
    finally:
        # not waited for: what still goes on nobody needs any more, and it ends with its page
        clusters.stop()
        pool.shutdown(wait=False, cancel_futures=True)


def _submit(pool: Threads, clusters: ClusterReads, wanted: Collection[Cluster]) -> dict[str, Future[ClusterReading]]:
    # the target first: another entry of the profile may lead to the same host, and a host has one reader
    ordered = sorted(wanted, key=clusters.hurries)
    return {cluster.name: pool.submit(clusters.read, cluster) for cluster in ordered}


def _waited_for(
    reads: dict[str, Future[ClusterReading]],
    wanted: Collection[Cluster],
    clusters: ClusterReads,
    site: Future[Site] | None,
    progress: Progress,
) -> tuple[ClusterReading, ...]:
    """The readings in the order of ``wanted``. A site that cannot be read ends the wait at once."""
    needed: set[Future[Any]] = {reads[cluster.name] for cluster in wanted if clusters.needs(cluster)}
    everything: set[Future[Any]] = set(reads.values())
    if site is not None:
        needed, everything = needed | {site}, everything | {site}
    while needed:
        finished, needed = wait(needed, return_when=FIRST_COMPLETED)
        for future in finished:
            future.result()
        progress(sum(future.done() for future in everything), len(everything))
    wait(everything, timeout=GRACE_SECONDS)
    return tuple(
        reads[cluster.name].result() if reads[cluster.name].done() else not_waited_for(cluster) for cluster in wanted
    )


def _read_site(resources: Resources, profile: Profile, keyring: Keyring) -> Site:
    began = monotonic()
    deadline = Deadline.after(SITE_SECONDS)  # one for all its lists: a step may work for ten minutes
    # Citrix names no rate limit and promises no Retry-After; its own SDK waits 15 s and more
    limits = Limits(deadline, attempts=7, backoff=1.0)
    with citrix_hosts(resources, profile, keyring, limits=lambda: limits) as hosts:
        site = hosts.run(read_site)
    log.info("site read profile=%s machines=%s seconds=%.1f", profile.name, len(site.machines), monotonic() - began)
    return site
