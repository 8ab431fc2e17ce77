"""Everything that a profile depends on, each with the probe that asks it: its secret, the way there, sign-in, rights.

Nothing is written but a row of Realign's own in its storage, which is deleted again; whether Citrix lets an account
change machines only shows when it does.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from urllib.parse import urlsplit

from urllib3.exceptions import HTTPError

from shared.azure.refusals import HOLD_OFF
from shared.call_failure import network_failure
from shared.errors import Upstream, VaultError
from shared.http import Deadline, Limits
from shared.model.citrix import HostingConnection
from shared.profile.endpoints import Cluster, CvadSite, RelayRoute
from shared.profile.profile import Profile
from shared.profile.webhook import Webhook
from shared.relay.probe import probe
from shared.runs.clients.connect import citrix_hosts, origins_of, prism
from shared.runs.clients.keyring import Keyring, site_secret_names
from shared.runs.clients.relayed import HTTPS, way_of
from shared.runs.notifying.target import target_of
from shared.runs.probing.check import Walk
from shared.runs.probing.reach import reach
from shared.runs.resources import Resources
from shared.transport import trust_anchors

PROBE_SECONDS = 15.0
RELAY_SECONDS = 35.0  # a relay says after 30 that a listener does not answer
_SOME = 5
_NOBODYS = "realign-probe"


@dataclass(frozen=True, slots=True)
class Probe:
    """``ask`` walks the way; it raises ``RealignError`` with what to do where the way ends.

    ``way`` tells one way from another: what one probe finds on it, each other one would find.
    """

    name: str
    kind: str
    way: str
    ask: Callable[[Walk], None]


@dataclass(frozen=True, slots=True)
class Thoroughness:
    """``rights``: not only whether an account may sign in, but whether it may read what a run reads.

    ``hold_off`` is how long a refused credential is left alone.
    """

    rights: bool = True
    hold_off: timedelta = HOLD_OFF


def ask_storage(walk: Walk, resources: Resources) -> None:
    """The account of runs, findings and messages."""
    reach(walk, resources.storage_origin(), resources.public_trust, resources.environ, "AzureWebJobsStorage")
    with walk.stage("rights") as note:
        resources.try_storage()
        note("a row written and deleted, the queue read")


def ask_vault(walk: Walk, resources: Resources, profiles: list[Profile]) -> None:
    """A read that proves reachability and rights. What is wrong with one secret is the business of whoever needs it."""
    reach(walk, resources.settings.vault.url, resources.public_trust, resources.environ, "KEY_VAULT_URL")
    with walk.stage("rights"):
        try:
            _read_secret(resources, profiles[0].site.credential if profiles else _NOBODYS)
        except VaultError as error:
            # a secret that is disabled is refused like one without a role; of one that nobody has only the role tells
            if error.kind != "forbidden" or _refused(resources, _NOBODYS):
                raise


def _read_secret(resources: Resources, name: str) -> None:
    try:
        resources.vault.secret(name)
    except VaultError as error:
        if error.kind not in ("missing", "malformed"):
            raise


def _refused(resources: Resources, name: str) -> bool:
    try:
        _read_secret(resources, name)
    except VaultError:
        return True
    return False


def probes_of(resources: Resources, profile: Profile, how: Thoroughness) -> Iterator[Probe]:
    """The probes of a profile: its site and controllers, its clusters, their relays and its webhook."""
    site = profile.site
    connections = [(cluster.name, cluster.hosting_connection) for cluster in profile.clusters]
    ask = partial(_ask_site, resources=resources, profile=profile, how=how)
    yield Probe(f"{profile.name}/site", "site", f"site {site.model_dump_json()} {connections}", ask)
    relays = site.relays if isinstance(site, CvadSite) else {}
    ca = site.ca if isinstance(site, CvadSite) else None
    for origin in origins_of(site):
        name = f"{profile.name}/site/{urlsplit(origin).netloc}"
        if origin in relays:
            yield _relay(resources, f"{name}/relay", origin, relays[origin], ca)
        elif len(origins_of(site)) > 1:
            ask = partial(_ask_controller, resources=resources, origin=origin, ca=ca)
            yield Probe(name, "site", f"controller {origin} {ca}", ask)
    for cluster in profile.clusters:
        name = f"{profile.name}/{cluster.name}"
        ask = partial(_ask_cluster, resources=resources, cluster=cluster, how=how)
        yield Probe(name, "cluster", f"cluster {cluster.model_dump_json()}", ask)
        if cluster.relay is not None:
            yield _relay(resources, f"{name}/relay", cluster.url, cluster.relay, cluster.ca)
    if profile.notify is not None:
        ask = partial(_ask_webhook, resources=resources, webhook=profile.notify)
        yield Probe(f"{profile.name}/webhook", "webhook", f"webhook {profile.notify.model_dump_json()}", ask)


def _relay(resources: Resources, name: str, origin: str, route: RelayRoute, ca: str | None) -> Probe:
    ask = partial(_ask_relay, resources=resources, origin=origin, route=route, ca=ca)
    return Probe(name, "relay", f"relay {origin} {route.model_dump_json()} {ca}", ask)


def _limits() -> Limits:
    return Limits(Deadline.after(PROBE_SECONDS), attempts=1, silence=PROBE_SECONDS)


def _trust(resources: Resources, keyring: Keyring, ca: str | None) -> ssl.SSLContext:
    return trust_anchors(keyring.text(ca), resources.environ, ca_name=ca or "ca")


def _ask_site(walk: Walk, resources: Resources, profile: Profile, how: Thoroughness) -> None:
    site = profile.site
    with walk.stage("secret"):
        keyring = Keyring(resources.vault, site_secret_names(profile))
        ca = site.ca if isinstance(site, CvadSite) else None
        trust = _trust(resources, keyring, ca)
        keyring.secret(site.credential)
    origins = origins_of(site)
    relayed = isinstance(site, CvadSite) and origins[0] in site.relays
    if len(origins) == 1 and not relayed:
        reach(walk, origins[0], trust, resources.environ, "the profile's site")
    limits = _limits()  # for all its hosts together
    with citrix_hosts(resources, profile, keyring, limits=lambda: limits, anew=True, hold_off=how.hold_off) as hosts:
        with walk.stage("sign-in") as note:
            there = hosts.first()
            note(there.identity().name)
        if not how.rights:
            return
        with walk.stage("rights"):
            there.sample()
            connections = there.hosting_connections()
    with walk.stage("connections") as note:
        note(f"{len(connections)} hosting connections")
        _check_connections(profile, connections)


def _check_connections(profile: Profile, connections: tuple[HostingConnection, ...]) -> None:
    there = {connection.name.casefold() for connection in connections}
    for cluster in profile.clusters:
        if cluster.hosting_connection.casefold() not in there:
            known = ", ".join(sorted(connection.name for connection in connections)[:_SOME]) or "none"
            raise Upstream(
                f"The site has no hosting connection '{cluster.hosting_connection[:80]}', which cluster {cluster.name} "
                f"of the profile names. Correct hostingConnection there; the site has: {known[:300]}.",
                kind="misconfigured",
                system="Citrix",
            )


def _ask_controller(walk: Walk, resources: Resources, origin: str, ca: str | None) -> None:
    """Nobody signs in: a wrong password would count at every controller."""
    with walk.stage("secret"):
        trust = _trust(resources, Keyring(resources.vault, {ca} if ca else set()), ca)
    reach(walk, origin, trust, resources.environ, "the profile's site.hosts")


def _ask_cluster(walk: Walk, resources: Resources, cluster: Cluster, how: Thoroughness) -> None:
    with walk.stage("secret"):
        keyring = Keyring(resources.vault, {cluster.credential, *((cluster.ca,) if cluster.ca else ())})
        trust = _trust(resources, keyring, cluster.ca)
        keyring.secret(cluster.credential)
    if cluster.relay is None:
        reach(walk, cluster.url, trust, resources.environ, f"cluster {cluster.name} of the profile")
    limits = _limits()
    with prism(resources, cluster, keyring, hold_off=how.hold_off) as client:
        with walk.stage("sign-in") as note:
            found = client.clusters(limits)
            note(", ".join(each.name for each in found.items[:_SOME]))
        if how.rights:
            with walk.stage("rights"):
                client.sample(limits)
                client.jobs(resources.now(), limits)


def _ask_relay(walk: Walk, resources: Resources, origin: str, route: RelayRoute, ca: str | None) -> None:
    way, parts = way_of(resources, origin, route), urlsplit(origin)
    reach(walk, f"https://{way.place.namespace}", resources.public_trust, resources.environ, "relay.namespace")
    trust = _trust(resources, Keyring(resources.vault, {ca} if ca else set()), ca)
    with walk.stage("hop") as note:
        note(f"{way.place.title} to {parts.netloc}")
        try:
            probe(way, parts.hostname or "", parts.port or HTTPS, trust, RELAY_SECONDS)
        except (OSError, HTTPError) as error:
            failure = network_failure(error, parts.netloc, way.place.title)
            text = f"{failure} {failure.remedy or ''}".strip()
            raise Upstream(text, kind=failure.kind, system=way.place.title) from error


def _ask_webhook(walk: Walk, resources: Resources, webhook: Webhook) -> None:
    """Nothing is sent: a receiver is told of runs alone."""
    with walk.stage("secret") as note:
        target = target_of(resources, webhook)
        note(target.place)
        trust = trust_anchors(target.ca, resources.environ, ca_name="notify.ca")
    reach(walk, f"https://{target.place}", trust, resources.environ, "the address of notify")
