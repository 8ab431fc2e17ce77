"""Asks everything that Realign depends on whether it is ready, and says what to do where it is not."""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from time import monotonic
from urllib.parse import urlsplit

from urllib3.exceptions import HTTPError

from shared.azure.refusals import HOLD_OFF
from shared.call_failure import network_failure
from shared.citrix.site import CitrixSite
from shared.errors import RealignError, Upstream, VaultError
from shared.http import Deadline, Limits
from shared.profile import Cluster, CvadSite, Profile, RelayRoute
from shared.relay.probe import probe
from shared.runs.clients.connect import citrix_hosts, prism
from shared.runs.clients.keyring import Keyring, site_secret_names
from shared.runs.clients.relayed import HTTPS, way_of
from shared.runs.resources import Resources
from shared.telemetry import telling
from shared.telemetry.threads import Threads
from shared.transport import trust_anchors

log = logging.getLogger(__name__)

PROBE_SECONDS = 15.0
RELAY_SECONDS = 35.0  # a relay says after 30 that a listener does not answer
_PROBES_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Check:
    """One dependency. ``kind`` is storage, vault, profile, site, cluster or relay; ``remedy`` None where ready."""

    name: str
    kind: str
    ready: bool
    latency_ms: int
    remedy: str | None = None


@dataclass(frozen=True, slots=True)
class Health:
    """``usable`` is False only where storage or the vault fails: then Realign itself can do nothing."""

    checks: tuple[Check, ...]

    @property
    def usable(self) -> bool:
        return all(check.ready for check in self.checks if check.kind in ("storage", "vault"))

    @property
    def status(self) -> str:
        if not self.usable:
            return "unavailable"
        return "ready" if all(check.ready for check in self.checks) else "degraded"


def check_health(resources: Resources, *, hold_off: timedelta = HOLD_OFF, within: float = math.inf) -> Health:
    """Probe storage, vault, every site, cluster and relay, side by side: each for 15 s at most, a relay for 35.

    A credential that was refused less than ``hold_off`` ago is not tried again. What has not begun ``within`` seconds
    is left out, and another time something else. Telemetry hears of whatever was asked.
    """
    ends = monotonic() + within
    files = resources.profiles()
    profiles = [file.profile for file in files.values() if file.profile is not None]
    broken = [
        Check(name, "profile", ready=False, latency_ms=0, remedy=" ".join(file.errors))
        for name, file in files.items()
        if file.profile is None
    ]
    for name, file in files.items():
        telling.dependency(name, "profile", ready=file.profile is not None)
    with Threads(_PROBES_AT_ONCE, thread_name_prefix="probe") as pool:
        first = [pool.submit(_probe, "storage", "storage", resources.ping_storage)]
        first.append(pool.submit(_probe, "key-vault", "vault", lambda: _ask_vault(resources, profiles)))
        base = tuple(future.result() for future in first)
        probes = [probe for profile in profiles for probe in _probes(resources, profile, hold_off)]
        if within < math.inf:
            random.shuffle(probes)
        if all(check.ready for check in base):
            begun = pool.map(lambda probe: _probe(*probe) if monotonic() < ends else None, probes)
            rest = [check for check in begun if check is not None]
        else:
            why = "Not asked, because storage or the vault is not ready: mend that first."
            rest = [Check(name, kind, ready=False, latency_ms=0, remedy=why) for name, kind, _ in probes]
    return Health((*base, *broken, *rest))


Probe = tuple[str, str, Callable[[], object]]


def _probes(resources: Resources, profile: Profile, hold_off: timedelta) -> Iterator[Probe]:
    yield f"{profile.name}/site", "site", partial(_ask_site, resources, profile, hold_off)
    site = profile.site
    if isinstance(site, CvadSite):
        for origin, route in site.relays.items():
            name = f"{profile.name}/site/{urlsplit(origin).netloc}/relay"
            yield name, "relay", partial(_ask_relay, resources, origin, route, site.ca)
    for cluster in profile.clusters:
        name = f"{profile.name}/{cluster.name}"
        yield name, "cluster", partial(_ask_cluster, resources, cluster, hold_off)
        if cluster.relay is not None:
            yield f"{name}/relay", "relay", partial(_ask_relay, resources, cluster.url, cluster.relay, cluster.ca)


def _probe(name: str, kind: str, ask: Callable[[], object]) -> Check:
    began = monotonic()
    remedy = None
    try:
        ask()
    except RealignError as error:
        remedy = str(error)
    except (TypeError, ValueError, LookupError, AttributeError):
        log.exception("probe not understood name=%s", name)
        remedy = "It sent an answer that Realign cannot read; the app's log tells where. Report it."
    telling.dependency(name, kind, ready=remedy is None)
    return Check(name, kind, remedy is None, round((monotonic() - began) * 1000), remedy)


def _ask_vault(resources: Resources, profiles: list[Profile]) -> None:
    """One read that proves reachability and rights. That a secret is missing is the business of its site or cluster."""
    name = profiles[0].site.credential if profiles else "realign-probe"
    try:
        resources.vault.secret(name)
    except VaultError as error:
        if error.kind not in ("missing", "malformed"):
            raise


def _limits() -> Limits:
    return Limits(Deadline.after(PROBE_SECONDS), attempts=1, silence=PROBE_SECONDS)


def _ask_site(resources: Resources, profile: Profile, hold_off: timedelta) -> None:
    keyring = Keyring(resources.vault, site_secret_names(profile))
    limits = _limits()  # for all its hosts together
    with citrix_hosts(resources, profile, keyring, limits=lambda: limits, anew=True, hold_off=hold_off) as hosts:
        hosts.run(CitrixSite.identity)


def _ask_cluster(resources: Resources, cluster: Cluster, hold_off: timedelta) -> None:
    names = {cluster.credential, *((cluster.ca,) if cluster.ca else ())}
    with prism(resources, cluster, Keyring(resources.vault, names), hold_off=hold_off) as client:
        client.clusters(_limits())


def _ask_relay(resources: Resources, origin: str, route: RelayRoute, ca: str | None) -> None:
    way, parts = way_of(resources, origin, route), urlsplit(origin)
    trust = trust_anchors(
        Keyring(resources.vault, {ca} if ca else set()).text(ca), resources.environ, ca_name=ca or "ca"
    )
    try:
        probe(way, parts.hostname or "", parts.port or HTTPS, trust, RELAY_SECONDS)
    except (OSError, HTTPError) as error:
        failure = network_failure(error, parts.netloc, way.place.title)
        text = f"{failure} {failure.remedy or ''}".strip()
        raise Upstream(text, kind=failure.kind, system=way.place.title) from error
