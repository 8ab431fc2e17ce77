"""Opens the clients of a profile: the one place that joins profile, secrets and sessions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from urllib.parse import urlsplit

import requests

from shared.azure.refusals import HOLD_OFF
from shared.azure.vault import Secret
from shared.citrix.cloud_sign_in import CloudSignIn, cloud_host, cloud_title, parse_cloud_secret
from shared.citrix.fail_over import SiteHosts
from shared.citrix.on_premises_sign_in import OnPremisesSignIn, parse_windows_secret
from shared.citrix.site import CitrixSite, read_limits
from shared.citrix.token import BearerToken, SignIn
from shared.citrix.token_memory import TokenKey
from shared.citrix.wording import ON_PREMISES_CUSTOMER, on_premises_title
from shared.citrix.writer import SiteWriter
from shared.http import Limits, open_session
from shared.prism.central import Central
from shared.prism.central_v3 import CentralV3
from shared.prism.central_v4 import CentralV4
from shared.prism.client import PrismClient
from shared.prism.element_v2 import ElementV2
from shared.prism.sign_in import PrismCredential, parse_secret
from shared.profile.endpoints import Cluster, CvadSite, DaasSite, RelayRoute
from shared.profile.profile import Profile
from shared.runs.clients.careful_sign_in import CarefulSignIn
from shared.runs.clients.keyring import Keyring
from shared.runs.clients.refusal_memory import CarefulPrism, RefusalMemory
from shared.runs.clients.relayed import lead_through
from shared.runs.clients.site_memory import SiteKey
from shared.runs.resources import Resources


@contextmanager
def prism(
    resources: Resources, cluster: Cluster, keyring: Keyring, *, hold_off: timedelta = HOLD_OFF
) -> Iterator[PrismClient]:
    """The client of one cluster; a refused credential is left alone for ``hold_off``.

    Raises ``VaultError``, or ``PrismError`` where it must not or cannot be asked."""
    secret = keyring.secret(cluster.credential)
    credential = parse_secret(secret.value, name=secret.name)
    title = f"Prism {urlsplit(cluster.url).netloc} (cluster {cluster.name})"
    place = urlsplit(cluster.url).netloc
    memory = RefusalMemory(resources, secret.name, secret.version, place, title, hold_off)
    with open_session(
        ca=keyring.text(cluster.ca), environ=resources.environ, ca_name=cluster.ca or "ca", system="prism"
    ) as session:
        lead_through(resources, session, cluster.url, cluster.relay)
        yield CarefulPrism(_client(cluster, session, credential), memory)


def _client(cluster: Cluster, session: requests.Session, credential: PrismCredential) -> PrismClient:
    if cluster.api == "element-v2":
        return ElementV2(session, cluster.url, credential, cluster=cluster.name)
    kinds: dict[str, type[CentralV3 | CentralV4 | Central]] = {
        "central-v3": CentralV3,
        "central-v4": CentralV4,
        "central": Central,
    }
    narrowed = cluster.prism_clusters or ()
    return kinds[cluster.api](session, cluster.url, credential, cluster=cluster.name, prism_clusters=narrowed)


def origins_of(site: DaasSite | CvadSite) -> tuple[str, ...]:
    """Where the site answers: one place in the cloud, each Delivery Controller on premises."""
    if isinstance(site, CvadSite):
        return site.origins
    return (site.base_url or f"https://{cloud_host(site.region or '')}",)


@contextmanager
def citrix_hosts(
    resources: Resources,
    profile: Profile,
    keyring: Keyring,
    *,
    limits: Callable[[], Limits] = read_limits,
    anew: bool = False,
    hold_off: timedelta = HOLD_OFF,
) -> Iterator[SiteHosts]:
    """The hosts of the profile's site, for what may start over on another one.

    Which site a host serves is asked once an hour in this process; ``anew``: it is asked whatever is known. A refused
    credential is left alone for ``hold_off``.
    Raises ``VaultError``, or ``CitrixError`` where they must not be asked.
    """
    site = profile.site
    secret = keyring.secret(site.credential)
    way = _cloud(site, secret) if isinstance(site, DaasSite) else _on_premises(site, secret)

    def memory(place: str) -> RefusalMemory:
        return RefusalMemory(resources, secret.name, secret.version, place, way.title, hold_off)

    places, account = [memory(place) for place in way.places], memory(way.account)
    with open_session(
        ca=keyring.text(way.ca), environ=resources.environ, ca_name=way.ca or "ca", system="citrix"
    ) as session:
        for origin, route in way.relays.items():
            lead_through(resources, session, origin, route)

        def client(origin: str, bounds: Callable[[], Limits]) -> CitrixSite:
            sign_in = CarefulSignIn(way.sign_in(session, origin), places, account)
            whose = TokenKey(origin, way.customer_id, secret.name, secret.version)
            token = BearerToken(sign_in, limits=bounds, cell=None if anew else resources.tokens.cell(whose))
            key = SiteKey(origin, way.customer_id, site.site_id, secret.name, secret.version)
            return CitrixSite(
                session,
                origin,
                way.customer_id,
                token,
                site.site_id,
                limits=bounds,
                known=None if anew else resources.sites.known(key),
                learned=lambda identity: resources.sites.learn(key, identity),
            )

        yield SiteHosts(way.origins, client, limits)


@contextmanager
def citrix_writer(
    resources: Resources, profile: Profile, keyring: Keyring, check: Callable[[], None] | None = None
) -> Iterator[SiteWriter]:
    """What writes to the profile's site for a whole step, through the first host that can be used.

    ``check`` stops a write that may not go out any more.

    Raises ``VaultError``, or ``CitrixError`` where no host can be used.
    """
    with citrix_hosts(resources, profile, keyring) as hosts:
        yield SiteWriter(hosts.first(), check=check)


@dataclass(frozen=True, slots=True)
class _Way:
    """How a site is reached.

    ``places``: where a refusal counts; ``account``: what only one at a time signs in as; ``relays`` are by origin.
    """

    origins: tuple[str, ...]
    title: str
    customer_id: str
    ca: str | None
    places: tuple[str, ...]
    account: str
    sign_in: Callable[[requests.Session, str], SignIn]
    relays: Mapping[str, RelayRoute] = field(default_factory=dict)


def _cloud(site: DaasSite, secret: Secret) -> _Way:
    credential = parse_cloud_secret(secret.value, name=secret.name)
    (origin,) = origins_of(site)
    # a client may serve several customers, and a wrong customer id must not hold off the right one
    place = f"{urlsplit(origin).netloc}/{site.customer_id}"
    return _Way(
        origins=(origin,),
        title=cloud_title(origin),
        customer_id=site.customer_id,
        ca=None,
        places=(place,),
        account=place,
        sign_in=lambda session, at: CloudSignIn(session, at, site.customer_id, credential),
    )


def _on_premises(site: CvadSite, secret: Secret) -> _Way:
    credential = parse_windows_secret(secret.value, name=secret.name)
    return _Way(
        origins=site.origins,
        title=on_premises_title(*site.origins),
        customer_id=ON_PREMISES_CUSTOMER,
        ca=site.ca,
        # all controllers of a site ask the same domain, and profiles may list some of them only
        places=tuple(urlsplit(origin).netloc for origin in site.origins),
        account="windows",
        sign_in=lambda session, at: OnPremisesSignIn(session, at, credential),
        relays=site.relays,
    )
