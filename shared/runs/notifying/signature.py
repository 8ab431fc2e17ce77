"""Signs a message as Standard Webhooks says (standardwebhooks.com), so that receivers find a library that checks it."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

PREFIX = "whsec_"
SHORTEST, LONGEST = 24, 64  # bytes of a key, as the standard says


def key_of(text: str) -> bytes | None:
    """The bytes of a key written as ``whsec_`` and base64; None for what is no such key."""
    if not text.startswith(PREFIX):
        return None
    encoded = text.removeprefix(PREFIX)
    try:
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None
    return key if SHORTEST <= len(key) <= LONGEST else None


def signed_headers(key: bytes, message_id: str, at: int, body: bytes) -> dict[str, str]:
    """``at`` in seconds since 1970: a receiver refuses what is old, so that nothing can be played again."""
    content = b".".join((message_id.encode(), str(at).encode(), body))
    signature = base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
    return {"webhook-id": message_id, "webhook-timestamp": str(at), "webhook-signature": f"v1,{signature}"}
