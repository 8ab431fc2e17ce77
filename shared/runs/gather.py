"""Reads everything that a plan needs: the site and all clusters, side by side."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from datetime import datetime
from time import monotonic
from typing import Any

from shared.citrix.site import read_site
from shared.errors import PrismError, RealignError, Upstream
from shared.http import Deadline, Limits
from shared.model import ClusterReading, ReadStatus, Site
from shared.planning.decide import NUTANIX_PLUGINS
from shared.planning.names import fold
from shared.prism.reading import WHOLE_READ_SECONDS, read_cluster
from shared.profile import Cluster, Profile
from shared.runs.connect import citrix_hosts, prism
from shared.runs.gathered import Gathered
from shared.runs.keyring import Keyring, secret_names
from shared.runs.listings import Source, Wish
from shared.runs.resources import Resources

OTHERS_SECONDS = 10.0
SITE_SECONDS = 480.0
PROBE_SECONDS = 15.0  # of a scheduled run: the messages of other profiles wait for the whole batch to end
TURN_AND_READ_SECONDS = 480.0  # a step may work for ten minutes
LEAST_READ_SECONDS = 60.0
MOST_CLUSTERS_AT_ONCE = 16

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a run reads for. ``since``: recovery plan jobs that ended before are no lineage; ``usual_window``: it is the
    time that every run takes which names none. ``shared``: a listing that another run made less than a minute ago will
    do.
    """

    since: datetime
    target: str | None = None
    shared: bool = False
    usual_window: bool = True

    @property
    def main(self) -> str | None:
        """The cluster of the profile that the target names."""
        return self.target.partition("/")[0] if self.target is not None else None


def gather(resources: Resources, profile: Profile, wanted: Wanted, progress: Callable[[int, int], None]) -> Gathered:
    """Read the site and every cluster of the profile.

    A cluster that fails is a reading that says so. With a target the other clusters get one attempt and 10 s, and
    are not waited for once the target and the site have been read. ``progress`` hears how many of how many reads are
    done. Raises ``CitrixError`` or ``VaultError`` where the site cannot be read: without it there is no plan.
    """
    keyring = Keyring(resources.vault, secret_names(profile))
    main = wanted.main
    pool = ThreadPoolExecutor(min(len(profile.clusters), MOST_CLUSTERS_AT_ONCE) + 1, thread_name_prefix="read")
    try:
        site = pool.submit(_read_site, resources, profile, keyring)
        # the target first: another entry of the profile may lead to the same host, and a host has one reader
        ordered = sorted(profile.clusters, key=lambda cluster: main is not None and not _named(cluster, main))
        reads = {cluster.name: pool.submit(_read, resources, cluster, keyring, wanted) for cluster in ordered}
        mains = {read for name, read in reads.items() if main is None or fold(name) == fold(main)}
        needed: set[Future[Any]] = {site, *mains}
        _wait(needed, {site, *reads.values()}, progress)
        readings = tuple(_result(reads[cluster.name], cluster) for cluster in profile.clusters)
        found = site.result()
    finally:
        # not waited for: what goes on is a read that nobody needs any more, and its own deadline bounds it
        pool.shutdown(wait=False, cancel_futures=True)
    return Gathered(found, tuple(_checked(reading, found, profile) for reading in readings))


def gather_target(resources: Resources, profile: Profile, wanted: Wanted, before: Gathered) -> Gathered:
    """What was gathered before, with its target read once more. Raises ``VaultError``."""
    keyring = Keyring(resources.vault, secret_names(profile))
    readings = list(before.readings)
    for index, cluster in enumerate(profile.clusters):
        if wanted.main is not None and _named(cluster, wanted.main):
            readings[index] = _checked(_read(resources, cluster, keyring, wanted), before.site, profile)
    return Gathered(before.site, tuple(readings))


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
    limits = Limits(deadline, attempts=7, backoff=1.0)
    with citrix_hosts(resources, profile, keyring, limits=lambda: limits) as hosts:
        site = hosts.run(read_site)
    log.info("site read profile=%s machines=%s seconds=%.1f", profile.name, len(site.machines), monotonic() - began)
    return site


def _read(resources: Resources, cluster: Cluster, keyring: Keyring, wanted: Wanted) -> ClusterReading:
    try:
        found = _read_alone(resources, cluster, keyring, wanted)
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
    if found is None:
        text = (
            f"Cluster {cluster.name} was being read by other runs for as long as there was time. Run again when they "
            "are done."
        )
        return _silent(cluster, ReadStatus.UNREACHABLE, text)
    return replace(found, hosting_connection=cluster.hosting_connection)


def _read_alone(resources: Resources, cluster: Cluster, keyring: Keyring, wanted: Wanted) -> ClusterReading | None:
    """The cluster's reading, with the host for itself; None where others had it for too long."""
    hurry = wanted.main is not None and not _named(cluster, wanted.main)
    time = Deadline.after(OTHERS_SECONDS if hurry else TURN_AND_READ_SECONDS)

    def read() -> ClusterReading:
        left = Deadline.after(min(WHOLE_READ_SECONDS, time.remaining()))
        limits = Limits(left, attempts=1, silence=OTHERS_SECONDS) if hurry else Limits(left)
        probe = Limits(Deadline.after(PROBE_SECONDS), attempts=2, silence=PROBE_SECONDS) if wanted.shared else None
        with prism(resources, cluster, keyring) as client:
            return read_cluster(
                client,
                name=cluster.name,
                hosting_connection=cluster.hosting_connection,
                since=wanted.since,
                limits=limits,
                probe=probe,
            )

    secret = keyring.secret(cluster.credential)
    narrowed = tuple(cluster.prism_clusters or ())
    source = Source(cluster.url, cluster.ca, cluster.api, secret.name, secret.version, narrowed)
    wish = Wish(
        shared=wanted.shared,
        keep=not hurry and wanted.usual_window,
        urgent=wanted.main is not None and not hurry,
    )
    patience = time.remaining() if hurry else time.remaining() - LEAST_READ_SECONDS
    return resources.listings.read(source, read, wish, name=cluster.name, patience=patience)


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
