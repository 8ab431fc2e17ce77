"""Prism Central by whichever API answers: v4, else v3."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import TypeVar

import requests

from shared.http import Limits
from shared.model.nutanix import ProtectionDomain, RecoveryJob, RegisteredCluster, Vm, VmUuid
from shared.prism.central_v3 import CentralV3
from shared.prism.central_v4 import CentralV4
from shared.prism.client import Listing, PrismClient
from shared.prism.pace import OF_THE_PROCESS, Paces
from shared.prism.sign_in import PrismCredential
from shared.prism.without_v4 import NoV4

log = logging.getLogger(__name__)

T = TypeVar("T")


class Central:
    """A ``PrismClient`` for one Prism Central.

    Only a Prism Central that serves no v4 is asked by v3: a refused credential or a dead host stays what it is.
    """

    def __init__(
        self,
        session: requests.Session,
        base_url: str,
        credential: PrismCredential,
        *,
        cluster: str,
        prism_clusters: tuple[str, ...] = (),
        paces: Paces = OF_THE_PROCESS,
    ) -> None:
        self._v4 = CentralV4(session, base_url, credential, cluster=cluster, prism_clusters=prism_clusters, paces=paces)
        self._v3 = CentralV3(session, base_url, credential, cluster=cluster, prism_clusters=prism_clusters)
        self._client: PrismClient = self._v4
        self._answered = False

    @property
    def api(self) -> str:
        """``central`` until one has answered, then the one that did."""
        return self._client.api if self._answered else "central"

    def clusters(self, limits: Limits) -> Listing[RegisteredCluster]:
        return self._ask(lambda client: client.clusters(limits))

    def vms(self, clusters: Iterable[RegisteredCluster], limits: Limits) -> Listing[Vm]:
        meant = tuple(clusters)
        return self._ask(lambda client: client.vms(meant, limits))

    def sample(self, limits: Limits) -> None:
        self._ask(lambda client: client.sample(limits))

    def domains(self, limits: Limits) -> Listing[ProtectionDomain]:
        return self._client.domains(limits)

    def jobs(self, since: datetime, limits: Limits) -> tuple[RecoveryJob, ...]:
        return self._client.jobs(since, limits)

    def decoupled(self, vms: Iterable[VmUuid], limits: Limits) -> frozenset[VmUuid]:
        return self._client.decoupled(vms, limits)

    def _ask(self, question: Callable[[PrismClient], T]) -> T:
        try:
            answer = question(self._client)
        except NoV4 as missing:
            if missing.answers != self._v3.api:
                raise
            log.info("taking api=%s: %s", self._v3.api, missing)
            self._client = self._v3
            answer = question(self._client)
        self._answered = True
        return answer
