"""The target of a DR run: where it says the machines now live."""

from __future__ import annotations

from dataclasses import dataclass

from shared.planning.estate import Copy


@dataclass(frozen=True, slots=True)
class Target:
    """Where a DR run says the machines now live: a cluster of the profile, or one registered cluster behind it."""

    cluster: str
    registered: str | None = None

    @property
    def label(self) -> str:
        return self.cluster if self.registered is None else f"{self.cluster}/{self.registered}"


def at_target(copy: Copy, target: Target) -> bool:
    """True where the target sees the copy."""
    return target.cluster in copy.seen_by and target.registered in (None, copy.vm.cluster_uuid)
