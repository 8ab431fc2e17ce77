"""Reads and checks what comes in a URL or a header: limits, cursors, filters, ``Prefer``."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from enum import StrEnum
from typing import TypeVar

import azure.functions as func

from shared.errors import InvalidRequest

DEFAULT_LIMIT = 100
LARGEST_LIMIT = 1_000
LONGEST_WAIT = 200
LONGEST_SEARCH = 200
LONGEST_CURSOR = 80  # a run, a machine or an event is named with less, and a table's key holds three times as much

_MARK = 8  # characters of a cursor that tell of which list it is

E = TypeVar("E", bound=StrEnum)


def check_known(request: func.HttpRequest, *known: str) -> None:
    """Raise ``InvalidRequest`` for a query parameter that the address does not have, such as a misspelt one."""
    # "code" is the function key's place, which the host reads
    unknown = sorted(set(request.params) - {*known, "code"})
    if unknown:
        has = f"It has: {', '.join(known)}." if known else "It has none."
        raise InvalidRequest(f"{unknown[0]}: is no parameter of this address. {has}", field=unknown[0])


def limit_of(request: func.HttpRequest) -> int:
    text = request.params.get("limit")
    if text is None:
        return DEFAULT_LIMIT
    if not re.fullmatch(r"[0-9]{1,4}", text) or not 1 <= int(text) <= LARGEST_LIMIT:
        raise InvalidRequest(f"limit: has to be a whole number from 1 to {LARGEST_LIMIT}.", field="limit")
    return int(text)


def choice_of(request: func.HttpRequest, name: str, choices: type[E]) -> E | None:
    """A query parameter that names one of an enumeration."""
    text = request.params.get(name)
    if text is None:
        return None
    try:
        return choices(text)
    except ValueError as error:
        known = ", ".join(choice.value for choice in choices)
        raise InvalidRequest(f"{name}: is not one of {known}.", field=name) from error


def cursor_of(request: func.HttpRequest, of: str) -> str | None:
    """Where a page of the list ``of`` begins; raises ``InvalidRequest`` for a cursor of another list, too.

    It holds a row's key and no partition, so it opens nothing else, whoever made it up.
    """
    text = request.params.get("cursor")
    if text is None:
        return None
    try:
        raw = base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
        key = raw.decode()[_MARK:]
    except (binascii.Error, UnicodeError) as error:
        raise _bad_cursor() from error
    if not key or len(key) > LONGEST_CURSOR or not key.isprintable() or cursor_for(key, of) != text:
        raise _bad_cursor()
    return key


def cursor_for(key: str | None, of: str) -> str | None:
    if key is None:
        return None
    mark = hashlib.sha256(f"{of} {key}".encode("utf-8", "surrogatepass")).hexdigest()[:_MARK]
    return base64.urlsafe_b64encode(f"{mark}{key}".encode()).decode().rstrip("=")


def _bad_cursor() -> InvalidRequest:
    return InvalidRequest("cursor: take it as it came in the page before, from the same list.", field="cursor")


def wait_of(request: func.HttpRequest) -> int | None:
    """The seconds of ``Prefer: wait=N``, or None. Other preferences are none of ours."""
    for preference in request.headers.get("prefer", "").split(","):
        name, separator, value = preference.partition(";")[0].partition("=")
        if name.strip().casefold() != "wait" or not separator:
            continue
        seconds = value.strip().strip('"')
        if not re.fullmatch(r"[0-9]{1,6}", seconds) or int(seconds) > LONGEST_WAIT:
            raise InvalidRequest(
                f"Prefer: wait has to be a whole number of seconds from 0 to {LONGEST_WAIT}.", field="Prefer"
            )
        return int(seconds)
    return None
