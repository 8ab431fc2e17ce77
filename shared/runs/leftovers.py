"""Asks Prism Central which VMs of undecided machines are leftovers of a Metro failover (design, section 4, rule 3).

It is one call a VM, so it is done for these alone, and after a first plan has shown which they are.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from shared.errors import RealignError
from shared.http import Deadline, Limits
from shared.model import ClusterReading, VmUuid
from shared.profile import Cluster, Profile
from shared.runs.connect import prism
from shared.runs.keyring import Keyring
from shared.runs.resources import Resources

ASK_SECONDS = 60.0
HURRY_SECONDS = 10.0

log = logging.getLogger(__name__)


def with_leftovers(
    resources: Resources,
    profile: Profile,
    readings: Sequence[ClusterReading],
    doubtful: Mapping[str, tuple[VmUuid, ...]],
    *,
    main: str | None,
) -> tuple[ClusterReading, ...]:
    """The readings with ``decoupled`` set on what Prism calls so. The Prisms are asked side by side.

    ``main`` is the target's cluster: then the others get one attempt and 10 s. A Prism that does not say leaves its VMs
    as they are: then their machines stay undecided, and a person looks.
    """
    asked = [cluster for cluster in profile.clusters if cluster.name in doubtful]
    with ThreadPoolExecutor(max(1, len(asked)), thread_name_prefix="leftovers") as pool:
        answers = {
            cluster.name: pool.submit(
                _leftovers, resources, cluster, doubtful[cluster.name], hurry=not _is(cluster, main)
            )
            for cluster in asked
        }
    found = {name: answer.result() for name, answer in answers.items()}
    return tuple(_marked(reading, found.get(reading.name, frozenset())) for reading in readings)


def _is(cluster: Cluster, main: str | None) -> bool:
    return main is None or cluster.name.casefold() == main.casefold()


def _leftovers(resources: Resources, cluster: Cluster, vms: tuple[VmUuid, ...], *, hurry: bool) -> frozenset[VmUuid]:
    names = {cluster.credential, *((cluster.ca,) if cluster.ca else ())}
    limits = Limits(Deadline.after(ASK_SECONDS))
    if hurry:
        limits = Limits(Deadline.after(HURRY_SECONDS), attempts=1, silence=HURRY_SECONDS)
    try:
        with prism(resources, cluster, Keyring(resources.vault, names)) as client:
            return client.decoupled(vms, limits)
    except RealignError as error:
        log.warning("leftovers not known cluster=%s vms=%s: %s", cluster.name, len(vms), error)
        return frozenset()


def _marked(reading: ClusterReading, leftovers: frozenset[VmUuid]) -> ClusterReading:
    if not leftovers:
        return reading
    vms = tuple(replace(vm, decoupled=True) if vm.uuid in leftovers else vm for vm in reading.vms)
    return replace(reading, vms=vms)
