"""The answers with which the simulated relay refuses a handshake (contract ``relay.md``, section 5).

The text stands in the reason phrase of the status line, where a WebSocket client finds it. Where the contract has no
words for a status, the phrase is HTTP's own.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

from aiohttp import web

NO_LISTENER = "There are no listeners connected for the endpoint"
NO_ENTITY = "Endpoint does not exist"
NOT_ACCEPTED = "None of the connected listeners accepted the connection within the allowed timeout"
INVALID_SIGNATURE = "InvalidSignature: The token has an invalid signature"
EXPIRED = "ExpiredToken: The token is expired"
MALFORMED = "MalformedToken: The token is malformed"
MISSING = "MissingToken: The token is missing"
INVALID_AUDIENCE = "InvalidAudience: The audience of the token is invalid"
FIREWALL = "Ip has been prevented to connect to the endpoint"


class Refused(Exception):
    """``text`` is the reason without the trailing ids, which ``answer`` adds."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status} {text}")
        self.status = status
        self.text = text

    def answer(self, namespace: str, path: str, tracking_id: str | None) -> web.Response:
        """As the service says it: the caller's correlation id begins the tracking id."""
        return web.Response(status=self.status, reason=_plain(self.text) + _trailer(namespace, path, tracking_id))


def detail(refused: Refused, namespace: str, path: str) -> web.Response:
    """The same refusal to one who reads the entity: the text stands in ``<Detail>``."""
    text = refused.text + _trailer(namespace, path, None)
    body = f"<Error><Code>{refused.status}</Code><Detail>{text}</Detail></Error>"
    return web.Response(status=refused.status, text=body, content_type="application/xml")


def _trailer(namespace: str, path: str, tracking_id: str | None) -> str:
    moment = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S")
    tracker = f"sb://{namespace}/{path}"
    return f". TrackingId:{_plain(tracking_id) or uuid.uuid4()}_G7, SystemTracker:{_plain(tracker)}, Timestamp:{moment}"


def _plain(text: str | None) -> str:
    """A caller's words in a status line: nothing that would end it."""
    return "".join(letter for letter in text or "" if letter.isascii() and letter.isprintable())[:200]
