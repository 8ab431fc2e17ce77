"""Asks Prism Central which VMs of undecided machines are leftovers of a Metro failover (design, section 4, rule 3).

It is one call a VM, so it is done for these alone, and after a first plan has shown which they are.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

from shared.errors import RealignError
from shared.http import Deadline, Limits
from shared.model.nutanix import ClusterReading, VmUuid
from shared.profile.endpoints import Cluster
from shared.profile.profile import Profile
from shared.runs.clients.connect import prism
from shared.runs.clients.keyring import Keyring
from shared.runs.reading.cluster_reads import OTHERS_SECONDS, Wanted
from shared.runs.resources import Resources
from shared.telemetry.threads import Threads

ASK_SECONDS = 60.0

log = logging.getLogger(__name__)


def with_leftovers(
    resources: Resources,
    profile: Profile,
    keyring: Keyring,
    wanted: Wanted,
    readings: Sequence[ClusterReading],
    doubtful: Mapping[str, tuple[VmUuid, ...]],
) -> tuple[ClusterReading, ...]:
    """The readings with ``decoupled`` set on what Prism calls so. The Prisms are asked side by side.

    With a target the others get one attempt and 10 s. A Prism that does not say leaves its VMs as they are: then their
    machines stay undecided, and a person looks.
    """
    asked = [cluster for cluster in profile.clusters if cluster.name in doubtful]
    with Threads(max(1, len(asked)), thread_name_prefix="leftovers") as pool:
        answers = {
            cluster.name: pool.submit(
                _leftovers, resources, cluster, keyring, doubtful[cluster.name], _limits(cluster, wanted)
            )
            for cluster in asked
        }
    found = {name: answer.result() for name, answer in answers.items()}
    return tuple(_marked(reading, found.get(reading.name, frozenset())) for reading in readings)


def _limits(cluster: Cluster, wanted: Wanted) -> Limits:
    if wanted.main is None or wanted.is_main(cluster):
        return Limits(Deadline.after(ASK_SECONDS))
    return Limits(Deadline.after(OTHERS_SECONDS), attempts=1, silence=OTHERS_SECONDS)


def _leftovers(
    resources: Resources, cluster: Cluster, keyring: Keyring, vms: tuple[VmUuid, ...], limits: Limits
) -> frozenset[VmUuid]:
    try:
        with prism(resources, cluster, keyring) as client:
            return client.decoupled(vms, limits)
    except RealignError as error:
        log.warning("leftovers not known cluster=%s vms=%s: %s", cluster.name, len(vms), error)
        return frozenset()


def _marked(reading: ClusterReading, leftovers: frozenset[VmUuid]) -> ClusterReading:
    if not leftovers:
        return reading
    vms = tuple(replace(vm, decoupled=True) if vm.uuid in leftovers else vm for vm in reading.vms)
    return replace(reading, vms=vms)
