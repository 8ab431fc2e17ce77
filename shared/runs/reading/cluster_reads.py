"""Reading the clusters of a profile for one run: how long each may take, whose turn it is, and what came of it."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, replace
from datetime import datetime

from shared.errors import PrismError, RealignError, StorageError, Upstream
from shared.http import Deadline, Limits
from shared.model.citrix import Site
from shared.model.nutanix import ClusterReading, ReadStatus
from shared.planning.decide import NUTANIX_PLUGINS
from shared.planning.names import fold
from shared.prism.reading import WHOLE_READ_SECONDS, read_cluster
from shared.profile.endpoints import Cluster
from shared.profile.policy import Policy
from shared.profile.profile import Profile
from shared.runs.clients.connect import prism
from shared.runs.clients.keyring import Keyring
from shared.runs.reading.listings import Source, Wish
from shared.runs.resources import Resources

OTHERS_SECONDS = 10.0
PROBE_SECONDS = 15.0  # of a scheduled run: the messages of other profiles wait for the whole batch to end
TURN_AND_READ_SECONDS = 480.0  # a step may work for ten minutes
LEAST_READ_SECONDS = 60.0
NEVER = 1e18  # seconds on the monotonic clock: past every deadline

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

    def is_main(self, cluster: Cluster) -> bool:
        return self.main is not None and fold(cluster.name) == fold(self.main)


class ClusterReads:
    """The reads of one run. ``stop`` ends those that nobody needs any more, each with the page that it is at."""

    def __init__(self, resources: Resources, profile: Profile, keyring: Keyring, wanted: Wanted) -> None:
        self._resources = resources
        self._keyring = keyring
        self._wanted = wanted
        self._main_host = next((_host(cluster) for cluster in profile.clusters if wanted.is_main(cluster)), None)
        self._stopped = threading.Event()

    def stop(self) -> None:
        self._stopped.set()

    def hurries(self, cluster: Cluster) -> bool:
        """True for a cluster other than the target: it gets one attempt and 10 s."""
        return self._wanted.main is not None and not self._wanted.is_main(cluster)

    def needs(self, cluster: Cluster) -> bool:
        """True for what is waited for to its end: the target, and what is read from the same host after it."""
        return not self.hurries(cluster) or _host(cluster) == self._main_host

    def read(self, cluster: Cluster) -> ClusterReading:
        """What the cluster says, or why it says nothing. Raises ``StorageError`` alone: the message comes again."""
        try:
            found = self._read_alone(cluster)
        except StorageError:
            raise
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
                f"Cluster {cluster.name} was being read by other runs for as long as there was time. Run again when "
                "they are done."
            )
            return _silent(cluster, ReadStatus.UNREACHABLE, text)
        return replace(found, hosting_connection=cluster.hosting_connection)

    def _read_alone(self, cluster: Cluster) -> ClusterReading | None:
        """The cluster's reading, with the host for itself; None where others had it for too long."""
        wanted, hurry = self._wanted, self.hurries(cluster)
        whole = self._within(TURN_AND_READ_SECONDS)

        def read() -> ClusterReading:
            # its time begins with its turn: the target may be another entry of the same host
            seconds = OTHERS_SECONDS if hurry else min(WHOLE_READ_SECONDS, whole.remaining())
            limits = Limits(self._within(seconds))
            if hurry:
                limits = replace(limits, attempts=1, silence=OTHERS_SECONDS)
            probe = Limits(self._within(PROBE_SECONDS), attempts=2, silence=PROBE_SECONDS) if wanted.shared else None
            with prism(self._resources, cluster, self._keyring) as client:
                return read_cluster(
                    client,
                    name=cluster.name,
                    hosting_connection=cluster.hosting_connection,
                    since=wanted.since,
                    limits=limits,
                    probe=probe,
                )

        secret = self._keyring.secret(cluster.credential)
        narrowed = tuple(cluster.prism_clusters or ())
        source = Source(_host(cluster), cluster.ca, cluster.api, secret.name, secret.version, narrowed)
        wish = Wish(
            shared=wanted.shared,
            keep=not hurry and wanted.usual_window,
            urgent=wanted.is_main(cluster),
        )
        patience = TURN_AND_READ_SECONDS - LEAST_READ_SECONDS if self.needs(cluster) else OTHERS_SECONDS
        return self._resources.listings.read(source, read, wish, name=cluster.name, patience=patience)

    def _within(self, seconds: float) -> Deadline:
        def clock() -> float:
            return NEVER if self._stopped.is_set() else time.monotonic()

        return Deadline.after(seconds, clock)


def not_waited_for(cluster: Cluster) -> ClusterReading:
    """The reading of a cluster that had not answered when all that a DR run needs was there."""
    text = (
        f"Cluster {cluster.name} was not waited for: the target and the site had been read, and it had not answered. "
        "Check that it is up; what it holds counts as unknown."
    )
    return _silent(cluster, ReadStatus.UNREACHABLE, text)


def checked(reading: ClusterReading, site: Site, policy: Policy) -> ClusterReading:
    """A reading with what Citrix says of its hosting connection."""
    connection = next((c for c in site.connections if fold(c.name) == fold(reading.hosting_connection)), None)
    if connection is None:
        names = ", ".join(sorted(c.name for c in site.connections)) or "none"
        text = (
            f"Cluster {reading.name}: the site {site.name} has no hosting connection '{reading.hosting_connection}'. "
            f"Correct hostingConnection in the profile; there are: {names[:500]}."
        )
        return replace(reading, status=ReadStatus.MISCONFIGURED, vms=(), domains=(), error=text)
    bypass = policy.bypass_hypervisor_type_check
    if reading.error is None and not bypass and fold(connection.plugin_id) not in NUTANIX_PLUGINS:
        text = (
            f"Cluster {reading.name}: hosting connection {connection.name} uses the plug-in {connection.plugin_id}, "
            "which is not one of Nutanix's, so nothing is moved to it. Correct hostingConnection in the profile."
        )
        return replace(reading, error=text)
    return replace(reading, hosting_connection=connection.name)


def _host(cluster: Cluster) -> str:
    return cluster.url.lower()


def _status_of(error: RealignError) -> ReadStatus:
    if isinstance(error, PrismError) and error.kind == "sign-in":
        return ReadStatus.REFUSED
    # also a secret that is not in the vault, and a CA that is none
    if isinstance(error, Upstream) and error.kind in ("misconfigured", "missing"):
        return ReadStatus.MISCONFIGURED
    return ReadStatus.FAILED


def _silent(cluster: Cluster, status: ReadStatus, error: str) -> ClusterReading:
    return ClusterReading(cluster.name, cluster.api, cluster.hosting_connection, status, error=error)
