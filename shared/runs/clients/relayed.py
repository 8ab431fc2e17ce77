"""Leads what a session asks of one host through its hybrid connection, where the profile names one."""

from __future__ import annotations

from urllib.parse import urlsplit

import requests

from shared.profile.endpoints import RelayRoute
from shared.relay.hybrid_connection import HybridConnection
from shared.relay.transport import mount
from shared.relay.tunnels import Way
from shared.runs.resources import Resources
from shared.transport import Proxies

HTTPS = 443


def lead_through(resources: Resources, session: requests.Session, origin: str, route: RelayRoute | None) -> None:
    """``origin`` is ``https://host`` or ``https://host:port``; without a route it is asked directly."""
    if route is not None:
        mount(session, origin, way_of(resources, origin, route))


def way_of(resources: Resources, origin: str, route: RelayRoute) -> Way:
    """How a tunnel to ``origin`` is opened. Raises ``Upstream`` where the certificates to trust cannot be read."""
    place = HybridConnection.of(route, urlsplit(origin).port or HTTPS)
    proxy = Proxies.of(resources.environ).for_url(f"https://{place.namespace}").get("https")
    return Way(place, resources.relay_token, resources.public_trust, proxy)
