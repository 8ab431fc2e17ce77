"""Asks Prism Central which VMs of undecided machines are leftovers of a Metro failover (design, section 4, rule 3).

It is one call a VM, so it is done for these alone, and after a first plan has shown which they are.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

from shared.errors import RealignError
from shared.http import Deadline, Limits
from shared.model import ClusterReading, VmUuid
from shared.profile import Cluster, Profile
from shared.runs.connect import prism
from shared.runs.keyring import Keyring
from shared.runs.resources import Resources

ASK_SECONDS = 120.0

log = logging.getLogger(__name__)


def with_leftovers(
    resources: Resources,
    profile: Profile,
    readings: Sequence[ClusterReading],
    doubtful: Mapping[str, tuple[VmUuid, ...]],
) -> tuple[ClusterReading, ...]:
    """The readings with ``decoupled`` set on what Prism calls so.

    A Prism that does not say leaves its VMs as they are: then their machines stay undecided, and a person looks.
    """
    found = {name: _leftovers(resources, profile.cluster(name), vms) for name, vms in doubtful.items()}
    return tuple(_marked(reading, found.get(reading.name, frozenset())) for reading in readings)


def _leftovers(resources: Resources, cluster: Cluster | None, vms: tuple[VmUuid, ...]) -> frozenset[VmUuid]:
    if cluster is None:
        return frozenset()
    names = {cluster.credential, *((cluster.ca,) if cluster.ca else ())}
    try:
        with prism(resources, cluster, Keyring(resources.vault, names)) as client:
            return client.decoupled(vms, Limits(Deadline.after(ASK_SECONDS)))
    except RealignError as error:
        log.warning("leftovers not known cluster=%s vms=%s: %s", cluster.name, len(vms), error)
        return frozenset()


def _marked(reading: ClusterReading, leftovers: frozenset[VmUuid]) -> ClusterReading:
    if not leftovers:
        return reading
    vms = tuple(replace(vm, decoupled=True) if vm.uuid in leftovers else vm for vm in reading.vms)
    return replace(reading, vms=vms)
