"""Credentials that were refused are left alone, and no credential is tried twice at once (design, sections 5 and 8).

Prism locks accounts. So the first call to a host is a probe: one at a time for a credential, and whoever waited for it
learns from its outcome.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from shared.azure.refusals import HOLD_OFF
from shared.errors import PrismError
from shared.http import Limits
from shared.model.nutanix import ProtectionDomain, RecoveryJob, RegisteredCluster, Vm, VmUuid
from shared.prism.client import Listing, PrismClient
from shared.runs.resources import Resources

Key = tuple[str, str, str]

_LOCKS: dict[Key, threading.Lock] = {}
_GUARD = threading.Lock()


class RefusalMemory:
    """What is known of one version of a secret at one ``place``: a host, or a host and a customer.

    ``hold_off`` is how long a refused one is left alone.
    """

    def __init__(
        self,
        resources: Resources,
        secret: str,
        version: str,
        place: str,
        title: str,
        hold_off: timedelta = HOLD_OFF,
    ) -> None:
        self._hold_off = hold_off
        self._resources = resources
        self._key = (secret, version, place.lower())
        self._title = title

    @property
    def title(self) -> str:
        return self._title

    def refused(self) -> str | None:
        """The sentence for a credential that must not be tried now, or None."""
        until = self._resources.refusals.refused_until(*self._key, self._resources.now(), self._hold_off)
        if until is None:
            return None
        return (
            f"{self._title} refused secret {self._key[0]} a short time ago. Realign does not try it again before "
            f"{until:%H:%M} UTC, because accounts get locked; a new version of the secret is tried at once."
        )

    def remember(self) -> None:
        """Note that the credential was refused just now."""
        self._resources.refusals.remember(*self._key, self._resources.now())

    @contextmanager
    def alone(self, seconds: float) -> Iterator[bool]:
        """Hold the credential for a probe; False where another probe kept it for longer than ``seconds``."""
        with _GUARD:
            lock = _LOCKS.setdefault(self._key, threading.Lock())
        held = lock.acquire(timeout=max(0.0, seconds))
        try:
            yield held
        finally:
            if held:
                lock.release()


class CarefulPrism:
    """A Prism client whose probe, ``clusters``, respects what is known of its credential."""

    def __init__(self, client: PrismClient, memory: RefusalMemory) -> None:
        self._client = client
        self._memory = memory

    @property
    def api(self) -> str:
        return self._client.api

    def clusters(self, limits: Limits) -> Listing[RegisteredCluster]:
        with self._memory.alone(limits.deadline.remaining()) as held:
            if not held:
                raise PrismError(
                    f"{self._memory.title} was being asked by another reader for as long as there was time. Check "
                    "that it is up, and run again.",
                    kind="timeout",
                    system=self._memory.title,
                    retryable=True,
                )
            self._check_refused()
            with self._remembering():
                return self._client.clusters(limits)

    def vms(self, clusters: Iterable[RegisteredCluster], limits: Limits) -> Listing[Vm]:
        with self._remembering():
            return self._client.vms(clusters, limits)

    def sample(self, limits: Limits) -> None:
        with self._remembering():
            self._client.sample(limits)

    def domains(self, limits: Limits) -> Listing[ProtectionDomain]:
        with self._remembering():
            return self._client.domains(limits)

    def jobs(self, since: datetime, limits: Limits) -> tuple[RecoveryJob, ...]:
        with self._remembering():
            return self._client.jobs(since, limits)

    def decoupled(self, vms: Iterable[VmUuid], limits: Limits) -> frozenset[VmUuid]:
        self._check_refused()  # a client that is opened for this question alone has not probed
        with self._remembering():
            return self._client.decoupled(vms, limits)

    def _check_refused(self) -> None:
        held_off = self._memory.refused()
        if held_off is not None:
            raise PrismError(held_off, kind="sign-in", system=self._memory.title)

    @contextmanager
    def _remembering(self) -> Iterator[None]:
        try:
            yield
        except PrismError as error:
            if error.kind == "sign-in":
                self._memory.remember()
            raise
