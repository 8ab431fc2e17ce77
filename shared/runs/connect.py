"""Opens the clients of a profile: the one place that joins profile, secrets and sessions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from shared.citrix.sign_in import CloudToken, cloud_host, parse_cloud_secret
from shared.citrix.site import CitrixSite
from shared.errors import CitrixError, NotAvailableYet
from shared.http import Limits, open_session
from shared.prism.central_v3 import CentralV3
from shared.prism.client import PrismClient
from shared.prism.element_v2 import ElementV2
from shared.prism.sign_in import parse_secret
from shared.profile import Cluster, DaasSite, Profile
from shared.runs.keyring import Keyring
from shared.runs.refusal_memory import CarefulPrism, RefusalMemory
from shared.runs.resources import Resources


@contextmanager
def prism(resources: Resources, cluster: Cluster, keyring: Keyring) -> Iterator[PrismClient]:
    """The client of one cluster. Raises ``VaultError``, or ``PrismError`` where it must not or cannot be asked."""
    secret = keyring.secret(cluster.credential)
    credential = parse_secret(secret.value, name=secret.name)
    title = f"Prism {urlsplit(cluster.url).netloc} (cluster {cluster.name})"
    memory = RefusalMemory(resources, secret.name, secret.version, urlsplit(cluster.url).netloc, title)
    with open_session(ca=keyring.text(cluster.ca), environ=resources.environ, ca_name=cluster.ca or "ca") as session:
        if cluster.api == "element-v2":
            yield CarefulPrism(ElementV2(session, cluster.url, credential, cluster=cluster.name), memory)
        elif cluster.api == "central-v3":
            narrowed = cluster.prism_clusters or ()
            central = CentralV3(session, cluster.url, credential, cluster=cluster.name, prism_clusters=narrowed)
            yield CarefulPrism(central, memory)
        else:
            raise NotAvailableYet(f"clusters.api: {cluster.api} is not available yet.", features=(cluster.api,))


@contextmanager
def citrix(
    resources: Resources, profile: Profile, keyring: Keyring, *, limits: Callable[[], Limits] | None = None
) -> Iterator[CitrixSite]:
    """The client of the profile's site; ``limits`` replaces those of a whole read.

    Raises ``VaultError``, or ``CitrixError`` where it must not be asked.
    """
    site = profile.site
    if not isinstance(site, DaasSite):
        raise NotAvailableYet("site.kind: cvad is not available yet.", features=("site.kind: cvad",))
    secret = keyring.secret(site.credential)
    credential = parse_cloud_secret(secret.value, name=secret.name)
    origin = site.base_url or f"https://{cloud_host(site.region or '')}"
    title = f"Citrix Cloud {urlsplit(origin).netloc}"
    # a client may serve several customers, and a wrong customer id must not hold off the right one
    place = f"{urlsplit(origin).netloc}/{site.customer_id}"
    memory = RefusalMemory(resources, secret.name, secret.version, place, title)
    held_off = memory.refused()
    if held_off is not None:
        raise CitrixError(held_off, kind="sign-in", system=title)
    with open_session(ca=None, environ=resources.environ) as session:
        bounds: dict[str, Any] = {"limits": limits} if limits is not None else {}
        token = CloudToken(session, origin, site.customer_id, credential, **bounds)
        try:
            yield CitrixSite(session, origin, site.customer_id, token, site_id=site.site_id, **bounds)
        except CitrixError as error:
            # With a transaction it was the API that did not like a token: the credential had just been accepted.
            # A 403 may come from a proxy on the way.
            if error.kind == "sign-in" and error.transaction_id is None and error.http_status != 403:
                memory.remember()
            raise
