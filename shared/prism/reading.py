"""Reading one cluster of a profile whole, or saying why not. A failure is a result here: the others go on."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

from shared.errors import PrismError
from shared.http import Deadline, Limits
from shared.model.nutanix import ClusterReading, ProtectionDomain, ReadStatus
from shared.prism.client import BudgetSpent, Listing, PrismClient
from shared.prism.completeness import read_whole
from shared.telemetry.threads import Threads

WHOLE_READ_SECONDS = 300.0

log = logging.getLogger(__name__)

T = TypeVar("T")

_STATUS = {
    "unreachable": ReadStatus.UNREACHABLE,
    "timeout": ReadStatus.UNREACHABLE,
    "sign-in": ReadStatus.REFUSED,
    "forbidden": ReadStatus.REFUSED,
    "misconfigured": ReadStatus.MISCONFIGURED,
}
# After these nothing that follows would be answered either, and what was read before may be out of date by now.
_GONE = frozenset({"unreachable", "timeout", "sign-in"})
_NO_DOMAINS: Listing[ProtectionDomain] = Listing((), 0, 0)


def read_cluster(
    client: PrismClient,
    *,
    name: str,
    hosting_connection: str,
    since: datetime,
    limits: Limits | None = None,
    probe: Limits | None = None,
) -> ClusterReading:
    """Everything that one cluster of the profile says. Raises no ``PrismError``: ``status`` and ``error`` tell.

    ``since`` is when the incident began: recovery plan jobs that ended before are not read. ``limits`` holds the
    deadline of the whole read (default 5 minutes); a cluster that does not matter gets
    ``Limits(Deadline.after(10), attempts=1, silence=10)``. ``probe`` bounds the first question alone, where others wait
    for this read: whoever is dead shows it there.
    """
    limits = limits or Limits(Deadline.after(WHOLE_READ_SECONDS))
    shortcomings: list[str] = []
    try:
        clusters = read_whole(lambda: client.clusters(probe or limits), key=lambda cluster: cluster.uuid)
        # side by side, once the first question has shown that the credential is good
        with Threads(1, thread_name_prefix="domains") as aside:
            beside = aside.submit(read_whole, lambda: client.domains(limits), key=lambda domain: domain.name)
            vms = read_whole(lambda: client.vms(clusters.items, limits), key=lambda vm: (vm.uuid, vm.cluster_uuid))
            domains = _beside(beside.result, _NO_DOMAINS, shortcomings)
        # the lists of VMs are whole without them; what may be a test's copy is the planner's business
        untold: list[str] = []
        jobs = _beside(lambda: client.jobs(since, limits), None, untold)
    except PrismError as error:
        status = _STATUS.get(error.kind, ReadStatus.FAILED)
        log.info("read cluster=%s api=%s status=%s", name, client.api, status)
        return ClusterReading(name, client.api, hosting_connection, status, error=str(error))
    lists: dict[str, Listing[object]] = {"clusters": clusters, "VMs": vms, "protection domains": domains}
    short = [_short(what, part) for what, part in lists.items() if not part.whole]
    if short:
        shortcomings.append(
            f"Cluster {name} listed {', '.join(short)}, twice. Run again; what it did not list proves nothing."
        )
    status = ReadStatus.INCOMPLETE if shortcomings else ReadStatus.ANSWERED
    log.info(
        "read cluster=%s api=%s status=%s vms=%s jobs=%s", name, client.api, status, len(vms.items), jobs and len(jobs)
    )
    return ClusterReading(
        name,
        client.api,
        hosting_connection,
        status,
        vms.items,
        domains.items,
        clusters.items,
        " ".join((*shortcomings, *untold)) or None,
        jobs,
    )


def _short(what: str, part: Listing[object]) -> str:
    if part.distinct == part.announced:
        return f"{part.distinct} {what} and called the list cut short"
    return f"{part.distinct} of {part.announced} {what}"


def _beside(read: Callable[[], T], nothing: T, shortcomings: list[str]) -> T:
    """What was read, or ``nothing`` and a sentence why: then the VMs stand, but the read is not whole."""
    try:
        return read()
    except PrismError as error:
        if error.kind in _GONE and not isinstance(error, BudgetSpent):
            raise
        shortcomings.append(str(error))
        return nothing
