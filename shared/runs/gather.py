"""Reads everything that a plan needs: the site and all clusters, side by side."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any

from shared.citrix.site import read_site
from shared.errors import PrismError, RealignError, Upstream
from shared.http import Deadline, Limits
from shared.model import ClusterReading, ReadStatus, Site
from shared.planning.decide import NUTANIX_PLUGINS
from shared.planning.names import fold
from shared.prism.reading import read_cluster
from shared.profile import Cluster, Profile
from shared.runs.connect import citrix, prism
from shared.runs.keyring import Keyring, secret_names
from shared.runs.resources import Resources

OTHERS_SECONDS = 10.0
SITE_SECONDS = 480.0
MOST_CLUSTERS_AT_ONCE = 16

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Gathered:
    """``readings`` has one entry a cluster, in the profile's order."""

    site: Site
    readings: tuple[ClusterReading, ...]


def gather(
    resources: Resources, profile: Profile, target: str | None, progress: Callable[[int, int], None]
) -> Gathered:
    """Read the site and every cluster of the profile.

    A cluster that fails is a reading that says so. With a ``target`` the other clusters get one attempt and 10 s, and
    are not waited for once the target and the site have been read. ``progress`` hears how many of how many reads are
    done. Raises ``CitrixError`` or ``VaultError`` where the site cannot be read: without it there is no plan.
    """
    keyring = Keyring(resources.vault, secret_names(profile))
    main = target.partition("/")[0] if target is not None else None
    pool = ThreadPoolExecutor(min(len(profile.clusters), MOST_CLUSTERS_AT_ONCE) + 1, thread_name_prefix="read")
    try:
        site = pool.submit(_read_site, resources, profile, keyring)
        reads = {
            pool.submit(
                _read, resources, cluster, keyring, hurry=main is not None and not _named(cluster, main)
            ): cluster
            for cluster in profile.clusters
        }
        needed: set[Future[Any]] = {site, *(r for r, c in reads.items() if main is None or _named(c, main))}
        _wait(needed, set(reads) | {site}, progress)
        readings = tuple(_result(read, cluster) for read, cluster in reads.items())
        found = site.result()
    finally:
        # not waited for: what goes on is a read that nobody needs any more, and its own deadline bounds it
        pool.shutdown(wait=False, cancel_futures=True)
    return Gathered(found, tuple(_checked(reading, found, profile) for reading in readings))


def _named(cluster: Cluster, name: str) -> bool:
    return fold(cluster.name) == fold(name)


def _wait(needed: set[Future[Any]], everything: set[Future[Any]], progress: Callable[[int, int], None]) -> None:
    """Until all that is needed is there. A site that cannot be read ends the wait at once."""
    pending = set(needed)
    while pending:
        finished, pending = wait(pending, return_when=FIRST_COMPLETED)
        for future in finished:
            future.result()
        progress(sum(future.done() for future in everything), len(everything))


def _read_site(resources: Resources, profile: Profile, keyring: Keyring) -> Site:
    began = monotonic()
    deadline = Deadline.after(SITE_SECONDS)  # one for all its lists: a step may work for ten minutes
    # Citrix names no rate limit and promises no Retry-After; its own SDK waits 15 s and more
    with citrix(resources, profile, keyring, limits=lambda: Limits(deadline, attempts=7, backoff=1.0)) as client:
        site = read_site(client)
    log.info("site read profile=%s machines=%s seconds=%.1f", profile.name, len(site.machines), monotonic() - began)
    return site


def _read(resources: Resources, cluster: Cluster, keyring: Keyring, *, hurry: bool) -> ClusterReading:
    limits = Limits(Deadline.after(OTHERS_SECONDS), attempts=1, silence=OTHERS_SECONDS) if hurry else None
    try:
        with prism(resources, cluster, keyring) as client:
            return read_cluster(client, name=cluster.name, hosting_connection=cluster.hosting_connection, limits=limits)
    except RealignError as error:
        return _silent(cluster, _status_of(error), str(error))
    except (TypeError, ValueError, LookupError, AttributeError):
        # one odd answer must not take the other clusters' findings along
        log.exception("cluster not understood cluster=%s api=%s", cluster.name, cluster.api)
        text = (
            f"Cluster {cluster.name} sent an answer that Realign cannot read; the app's log tells where. Check "
            "that the profile's api fits this Prism, and report it."
        )
        return _silent(cluster, ReadStatus.FAILED, text)


def _status_of(error: RealignError) -> ReadStatus:
    if isinstance(error, PrismError) and error.kind == "sign-in":
        return ReadStatus.REFUSED
    # also a secret that is not in the vault, and a CA that is none
    if isinstance(error, Upstream) and error.kind in ("misconfigured", "missing"):
        return ReadStatus.MISCONFIGURED
    return ReadStatus.FAILED


def _silent(cluster: Cluster, status: ReadStatus, error: str) -> ClusterReading:
    return ClusterReading(cluster.name, cluster.api, cluster.hosting_connection, status, error=error)


def _result(read: Future[ClusterReading], cluster: Cluster) -> ClusterReading:
    if read.done():
        return read.result()
    text = (
        f"Cluster {cluster.name} was not waited for: the target and the site had been read, and it had not answered. "
        "Check that it is up; what it holds counts as unknown."
    )
    return _silent(cluster, ReadStatus.UNREACHABLE, text)


def _checked(reading: ClusterReading, site: Site, profile: Profile) -> ClusterReading:
    """A reading with what Citrix says of its hosting connection."""
    connection = next((c for c in site.connections if fold(c.name) == fold(reading.hosting_connection)), None)
    if connection is None:
        names = ", ".join(sorted(c.name for c in site.connections)) or "none"
        text = (
            f"Cluster {reading.name}: the site {site.name} has no hosting connection '{reading.hosting_connection}'. "
            f"Correct hostingConnection in the profile; there are: {names[:500]}."
        )
        return replace(reading, status=ReadStatus.MISCONFIGURED, vms=(), domains=(), error=text)
    bypass = profile.policy.bypass_hypervisor_type_check
    if reading.error is None and not bypass and fold(connection.plugin_id) not in NUTANIX_PLUGINS:
        text = (
            f"Cluster {reading.name}: hosting connection {connection.name} uses the plug-in {connection.plugin_id}, "
            "which is not one of Nutanix's, so nothing is moved to it. Correct hostingConnection in the profile."
        )
        return replace(reading, error=text)
    return replace(reading, hosting_connection=connection.name)
