"""Shared access signatures of Azure Relay (contract ``relay.md``, section 4)."""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, quote_plus, unquote_plus, urlsplit

SCHEME = "SharedAccessSignature "
FIELDS = frozenset({"sr", "sig", "se", "skn"})


@dataclass(frozen=True, slots=True)
class SasToken:
    """``signed_resource`` is percent-encoded as it came, which is what the signature covers; ``expires`` in Unix s."""

    signed_resource: str
    signature: str = field(repr=False)
    expires: int
    key_name: str

    @property
    def resource(self) -> tuple[str, str]:
        """Host and path that the token is for, lower case, without scheme, port and closing slash."""
        parts = urlsplit(unquote_plus(self.signed_resource))
        return (parts.hostname or "").lower(), parts.path.strip("/").lower()

    def signed_with(self, key: str) -> bool:
        return hmac.compare_digest(self.signature, _signature(self.signed_resource, self.expires, key))


def sign(resource: str, expires: int, key_name: str, key: str) -> str:
    """The token for ``resource`` (``http://namespace/path``) until ``expires`` (Unix seconds)."""
    encoded = quote_plus(resource.lower())
    signature = quote_plus(_signature(encoded, expires, key))
    return f"{SCHEME}sr={encoded}&sig={signature}&se={expires}&skn={key_name}"


def parse(text: str) -> SasToken | None:
    """None where the text is no such token."""
    raw = dict(part.partition("=")[::2] for part in text.removeprefix(SCHEME).split("&"))
    fields = dict(parse_qsl(text.removeprefix(SCHEME)))
    if not fields.keys() >= FIELDS or not fields["se"].isdecimal():
        return None
    return SasToken(raw["sr"], fields["sig"], int(fields["se"]), fields["skn"])


def _signature(encoded: str, expires: int, key: str) -> str:
    digest = hmac.new(key.encode(), f"{encoded}\n{expires}".encode(), hashlib.sha256).digest()
    return base64.b64encode(digest).decode("ascii")
