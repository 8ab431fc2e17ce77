"""A sandbox behind the simulated Azure Relay, and the app's own clients on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from sandbox.hybrid_connections import HybridConnection
from sandbox.sandbox import Sandbox
from shared.errors import PrismError
from shared.http import Deadline, Limits
from shared.prism.client import PrismClient
from shared.profile.endpoints import Cluster
from shared.profile.profile import Profile
from shared.runs.clients.connect import prism
from shared.runs.clients.keyring import Keyring, secret_names
from shared.runs.health import check_health
from shared.runs.probing.check import Check
from shared.runs.resources import Resources

SCENARIO = "planned-migration"
PARIS, VMS = "paris", 7
ONCE = {"attempts": 1}


class Site:
    """A sandbox behind the simulated relay, and the app's clients on it."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.resources = Resources(sandbox.environ)
        profile = self.resources.profile(sandbox.scenario.profile_name)
        self.keyring = Keyring(self.resources.vault, secret_names(profile))
        self.profile: Profile = profile

    def cluster(self, name: str = PARIS, **changes: Any) -> Cluster:
        found = next(cluster for cluster in self.profile.clusters if cluster.name == name)
        return found.model_copy(update=changes)

    def rerouted(self, **changes: Any) -> Cluster:
        """Paris with another route."""
        cluster = self.cluster()
        assert cluster.relay is not None
        return self.cluster(relay=cluster.relay.model_copy(update=changes))

    def hybrid(self, name: str = PARIS) -> HybridConnection:
        found = self.sandbox.relays[name]
        assert isinstance(found, HybridConnection)
        return found

    def tunnels(self, name: str = PARIS) -> int:
        return len(self.sandbox.azure_relay.tunnels(self.hybrid(name).behind.path))

    @contextmanager
    def client(self, cluster: Cluster | None = None) -> Iterator[PrismClient]:
        with prism(self.resources, cluster or self.cluster(), self.keyring) as client:
            yield client

    def read(self, cluster: Cluster | None = None, **limits: Any) -> int:
        """How many VMs were listed."""
        bounds = Limits(Deadline.after(20), pause=lambda seconds: None, **limits)
        with self.client(cluster) as client:
            return len(client.vms(client.clusters(bounds).items, bounds).items)

    def refused(self, cluster: Cluster | None = None) -> PrismError:
        with pytest.raises(PrismError) as caught:
            self.read(cluster, **ONCE)
        return caught.value

    def write_profile(self, cluster: Cluster) -> None:
        """The profile with one cluster, as ``cluster`` is."""
        changed = self.profile.model_copy(update={"clusters": (cluster,)})
        self.sandbox.profile_file.write_text(changed.model_dump_json(by_alias=True, exclude_none=True))

    def check(self, name: str = f"{PARIS}/relay") -> Check:
        checks = {check.name: check for check in check_health(self.resources).checks}
        return checks[f"{self.profile.name}/{name}"]


Start = Callable[..., Site]


def told(error: PrismError, *parts: str) -> None:
    for part in (*parts, "prism-paris.corp.example", "/prism-paris"):
        assert part in str(error), str(error)
