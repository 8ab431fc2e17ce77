"""Opens the clients of a profile: the one place that joins profile, secrets and sessions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from shared.citrix.sign_in import CloudToken, cloud_host, parse_cloud_secret
from shared.citrix.site import CitrixSite
from shared.errors import CitrixError, NotAvailableYet, PrismError
from shared.http import Limits, open_session
from shared.prism.central_v3 import CentralV3
from shared.prism.client import PrismClient
from shared.prism.element_v2 import ElementV2
from shared.prism.sign_in import parse_secret
from shared.profile import Cluster, DaasSite, Profile
from shared.runs.keyring import Keyring
from shared.runs.resources import Resources


class RefusalMemory:
    """Whether a credential may be tried at a host: one that was refused is left alone for 20 minutes (design, 5)."""

    def __init__(self, resources: Resources, secret: str, version: str, url: str, title: str) -> None:
        self._resources = resources
        self._key = (secret, version, urlsplit(url).netloc)
        self._title = title

    def refused(self) -> str | None:
        """The sentence for a credential that must not be tried now, or None."""
        until = self._resources.refusals.refused_until(*self._key, self._resources.now())
        if until is None:
            return None
        return (
            f"{self._title} refused secret {self._key[0]} a short time ago. Realign does not try it again before "
            f"{until:%H:%M} UTC, because accounts get locked; a new version of the secret is tried at once."
        )

    def remember(self, error: Exception) -> None:
        """Note a refusal. ``error`` is what the client saw; the caller reports it."""
        self._resources.refusals.remember(*self._key, self._resources.now())


@contextmanager
def prism(resources: Resources, cluster: Cluster, keyring: Keyring) -> Iterator[tuple[PrismClient, RefusalMemory]]:
    """The client of one cluster. Raises ``VaultError``, or ``PrismError`` where it must not or cannot be asked."""
    secret = keyring.secret(cluster.credential)
    credential = parse_secret(secret.value, name=secret.name)
    title = f"Prism {urlsplit(cluster.url).netloc} (cluster {cluster.name})"
    memory = RefusalMemory(resources, secret.name, secret.version, cluster.url, title)
    held_off = memory.refused()
    if held_off is not None:
        raise PrismError(held_off, kind="sign-in", system=title)
    if cluster.api == "element-v2" and credential.api_key is not None:
        raise PrismError(
            f"Secret {secret.name} holds an API key, and Prism Element has none (cluster {cluster.name}). Store "
            "a user name and a password in it.",
            kind="misconfigured",
            system=title,
        )
    with open_session(ca=keyring.text(cluster.ca), environ=resources.environ, ca_name=cluster.ca or "ca") as session:
        if cluster.api == "element-v2":
            yield ElementV2(session, cluster.url, credential, cluster=cluster.name), memory
        elif cluster.api == "central-v3":
            narrowed = cluster.prism_clusters or ()
            yield CentralV3(session, cluster.url, credential, cluster=cluster.name, prism_clusters=narrowed), memory
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
    memory = RefusalMemory(resources, secret.name, secret.version, origin, title)
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
            if error.kind == "sign-in" and error.transaction_id is None:
                memory.remember(error)
            raise
