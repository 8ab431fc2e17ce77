"""What a run needs to know from Prism, whatever the API version behind it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, Protocol, TypeVar

from shared.errors import PrismError
from shared.http import Limits
from shared.model.nutanix import ProtectionDomain, RecoveryJob, RegisteredCluster, Vm, VmUuid

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Listing(Generic[T_co]):
    """A list as it was read: ``items`` without repeats, and whether their number is the one that Prism announced.

    ``distinct`` counts what was listed, also what is not of interest (another hypervisor's VMs); ``announced`` is the
    total that the last page named. A list is no snapshot: only equal numbers allow to conclude from absence
    (contract ``prism.md``, section 9). ``cut``: Prism itself says that the list is not whole (v4 ``isTruncated``).
    """

    items: tuple[T_co, ...]
    distinct: int
    announced: int
    cut: bool = False

    @property
    def whole(self) -> bool:
        return self.distinct == self.announced and not self.cut


class BudgetSpent(PrismError):
    """Prism answers; what it allows in a second did not suffice for all calls before the deadline (kind ``timeout``).

    So what was read before holds, unlike after any other ``timeout``.
    """


class PrismClient(Protocol):
    """One endpoint. Every method raises ``PrismError`` and keeps to ``limits``."""

    @property
    def api(self) -> str:
        """The profile's word for the API, for example ``element-v2``."""
        ...

    def clusters(self, limits: Limits) -> Listing[RegisteredCluster]:
        """The Nutanix clusters behind the endpoint that the profile means.

        This is the probe: ask it first and alone. A refused password must not be tried again (Prism locks accounts).
        """
        ...

    def vms(self, clusters: Iterable[RegisteredCluster], limits: Limits) -> Listing[Vm]:
        """The VMs on ``clusters``, which are what ``clusters()`` answered."""
        ...

    def sample(self, limits: Limits) -> None:
        """Read one VM at most: that the account may."""
        ...

    def domains(self, limits: Limits) -> Listing[ProtectionDomain]:
        """The protection domains with their snapshot entries; empty where the API has none."""
        ...

    def jobs(self, since: datetime, limits: Limits) -> tuple[RecoveryJob, ...]:
        """The recovery plan jobs that moved VMs and ended at or after ``since``, and every test failover.

        What a test failover made is never a machine's VM, so its jobs are read however old they are, up to 30 days
        before ``since``. Empty where the API has none.
        """
        ...

    def decoupled(self, vms: Iterable[VmUuid], limits: Limits) -> frozenset[VmUuid]:
        """Those of ``vms`` that a Metro failover left behind. One call a VM: ask for undecided machines alone."""
        ...
