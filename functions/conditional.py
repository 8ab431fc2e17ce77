"""Conditional GET (RFC 9110, section 13): what is shown has an ``ETag``, and who has it already gets 304."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import azure.functions as func

from functions.respond import json_answer
from shared.errors import InvalidRequest

FIELD = "If-None-Match"
ANY = "any tag"  # no tag holds a space
_ELEMENT = re.compile(r'[ \t]*(?:(?:W/)?"(?P<tag>[!#-~\x80-\U0010ffff]*)")?[ \t]*(?:,|$)')


def unless_known(document: Any, wanted: frozenset[str] | None) -> func.HttpResponse:
    """``document`` as JSON with its tag, or 304 where ``wanted``, from ``known_tags``, names it.

    The tag is a hash of what is shown, so it changes with whatever can be seen, and with nothing else. It is weak: a
    proxy may compress the answer.
    """
    answer = json_answer(document)
    tag = hashlib.sha256(answer.get_body()).hexdigest()[:32]
    if wanted is not None and (ANY in wanted or tag in wanted):
        answer = func.HttpResponse(b"", status_code=304, headers=dict(answer.headers), mimetype=answer.mimetype)
    answer.headers["ETag"] = f'W/"{tag}"'
    return answer


def known_tags(request: func.HttpRequest) -> frozenset[str] | None:
    """The tags of ``If-None-Match``, compared weakly, ``*`` for any; None without the header.

    Raises ``InvalidRequest`` for what is no list of tags: silently it would never match.
    """
    text: str | None = request.headers.get(FIELD.lower())
    if text is None:
        return None
    if text.strip() == "*":
        return frozenset({ANY})
    tags, at = set(), 0
    while at < len(text):
        element = _ELEMENT.match(text, at)
        if element is None:
            raise _malformed()
        if element["tag"] is not None:
            tags.add(element["tag"])
        at = element.end()
    if not tags:
        raise _malformed()
    return frozenset(tags)


def _malformed() -> InvalidRequest:
    return InvalidRequest(f'{FIELD}: write the ETag as it came, such as W/"9f2c", several with commas.', field=FIELD)
