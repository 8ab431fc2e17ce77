"""Reading one cluster of a profile whole, or saying why not. A failure is a result here: the others go on."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from shared.errors import PrismError
from shared.http import Deadline, Limits
from shared.model import ClusterReading, ProtectionDomain, ReadStatus
from shared.prism.client import Listing, PrismClient

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


def read_cluster(
    client: PrismClient,
    *,
    name: str,
    hosting_connection: str,
    limits: Limits | None = None,
) -> ClusterReading:
    """Everything that one cluster of the profile says. Raises no ``PrismError``: ``status`` and ``error`` tell.

    ``limits`` holds the deadline of the whole read (default 5 minutes); a cluster that does not matter gets
    ``Limits(Deadline.after(10), attempts=1, silence=10)``.
    """
    limits = limits or Limits(Deadline.after(WHOLE_READ_SECONDS))

    def ended(status: ReadStatus, error: str | None) -> ClusterReading:
        log.info("read cluster=%s api=%s status=%s", name, client.api, status)
        return ClusterReading(name, client.api, hosting_connection, status, error=error)

    try:
        clusters = _read_whole(lambda: client.clusters(limits), key=lambda cluster: cluster.uuid)
        vms = _read_whole(lambda: client.vms(clusters.items, limits), key=lambda vm: (vm.uuid, vm.cluster_uuid))
        domains, shortcoming = _domains(client, limits)
    except PrismError as error:
        return ended(_STATUS.get(error.kind, ReadStatus.FAILED), str(error))
    lists: dict[str, Listing[object]] = {"clusters": clusters, "VMs": vms, "protection domains": domains}
    short = [f"{part.distinct} of {part.announced} {what}" for what, part in lists.items() if not part.whole]
    if short and shortcoming is None:
        shortcoming = (
            f"Cluster {name} listed {', '.join(short)}, twice. Run again; what it did not list proves nothing."
        )
    status = ReadStatus.ANSWERED if shortcoming is None else ReadStatus.INCOMPLETE
    log.info("read cluster=%s api=%s status=%s vms=%s", name, client.api, status, len(vms.items))
    return ClusterReading(
        name, client.api, hosting_connection, status, vms.items, domains.items, clusters.items, shortcoming
    )


def _domains(client: PrismClient, limits: Limits) -> tuple[Listing[ProtectionDomain], str | None]:
    """The domains, and a sentence where they could not be read: then the VMs stand, but the read is not whole."""
    try:
        return _read_whole(lambda: client.domains(limits), key=lambda domain: domain.name), None
    except PrismError as error:
        if error.kind in _GONE:
            raise
        return Listing((), 0, 0), str(error)


def _read_whole(read: Callable[[], Listing[T]], *, key: Callable[[T], object]) -> Listing[T]:
    """Read; where the number differs from the announced total, once more (a VM may come or go between two pages)."""
    first = read()
    if first.whole:
        return first
    second = read()
    if second.whole:
        return second
    # What either read saw exists; where both saw it, the later word holds.
    seen: dict[object, T] = {key(item): item for item in (*first.items, *second.items)}
    return Listing(tuple(seen.values()), second.distinct, second.announced)
