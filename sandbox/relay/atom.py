"""The Atom document in which the namespace describes an entity (contract ``relay.md``, section 8)."""

from __future__ import annotations

from xml.sax.saxutils import escape

from aiohttp import web

from sandbox.relay.entity import Entity

API_VERSION = "2016-07"
NAMESPACE = "http://schemas.microsoft.com/netservices/2010/10/servicebus/connect"
ATOM = "http://www.w3.org/2005/Atom"


def entry(entity: Entity, listeners: int) -> web.Response:
    """``listeners`` is how many are connected now."""
    authorized = str(entity.requires_client_authorization).lower()
    body = (
        f'<entry xmlns="{ATOM}"><title type="text">{escape(entity.path)}</title><content type="application/xml">'
        f'<HybridConnectionDescription xmlns="{NAMESPACE}">'
        f"<RequiresClientAuthorization>{authorized}</RequiresClientAuthorization>"
        f"<UserMetadata>{escape(entity.user_metadata)}</UserMetadata>"
        f"<ListenerCount>{listeners}</ListenerCount>"
        "</HybridConnectionDescription></content></entry>"
    )
    return web.Response(text=body, content_type="application/atom+xml")


def nothing() -> web.Response:
    """How an entity that does not exist looks: a feed, the form of those known that has a status 200."""
    body = f'<feed xmlns="{ATOM}"><title type="text">Publicly Listed Services</title></feed>'
    return web.Response(text=body, content_type="application/atom+xml")
