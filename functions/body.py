"""The body of a request: no larger than any that is meant, and JSON by its own word."""

from __future__ import annotations

import azure.functions as func

from shared.errors import BodyTooLarge, UnsupportedMediaType

# The longest CSV that is read has 10 MiB of characters.
LARGEST_BODY = 16 * 1024 * 1024
JSON = "application/json"


def body_of(request: func.HttpRequest) -> bytes:
    """The body; empty where there is none. Raises ``BodyTooLarge`` and ``UnsupportedMediaType``.

    A body that names no type is taken for JSON: scripts leave the header out, and a browser's page cannot use that,
    since pages of other sites are refused before.
    """
    body = bytes(request.get_body())
    if len(body) > LARGEST_BODY:
        raise BodyTooLarge(
            f"The body has {len(body):,} bytes; {LARGEST_BODY:,} is the most. Split what it asks for into several runs."
        )
    named = request.headers.get("content-type")
    if body and named is not None and named.partition(";")[0].strip().lower() != JSON:
        raise UnsupportedMediaType(f"The body is {named[:100]}, and only JSON is read. Send Content-Type: {JSON}.")
    return body
