"""Route templates and the part of a URL that they match, without any web framework: pure functions.

The real host is ASP.NET: literals match ignoring case, one trailing slash is ignored, a path is percent-decoded
except for ``%2F``, and dot segments are gone before anything is matched.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote

from sandbox.host.problems import HostError

_PARAMETER = re.compile(r"\{(?P<star>\*{0,2})(?P<name>\w+)(?::(?P<kind>\w+))?(?P<optional>\?)?\}")
_SLASH = re.compile(r"(%2[Ff])")
_KINDS = {
    None: re.compile(r".+", re.DOTALL),
    "int": re.compile(r"[+-]?\d+"),
    "long": re.compile(r"[+-]?\d+"),
    "alpha": re.compile(r"[A-Za-z]+"),
    "guid": re.compile(r"\{?[0-9A-Fa-f]{8}-?(?:[0-9A-Fa-f]{4}-?){3}[0-9A-Fa-f]{12}\}?"),
    "bool": re.compile(r"true|false", re.IGNORECASE),
}


class BadPath(ValueError):
    """A path that is no UTF-8 after decoding, or holds a NUL: the real host answers 400."""


@dataclass(frozen=True, slots=True)
class _Parameter:
    name: str
    kind: str | None
    optional: bool
    rest: bool


@dataclass(frozen=True, slots=True)
class RouteTemplate:
    """A parsed template; ``parts`` are literals (in lower case) and parameters, one a segment."""

    parts: tuple[str | _Parameter, ...]

    def match(self, segments: tuple[str, ...]) -> Mapping[str, str] | None:
        """The parameters by name if the decoded segments fit, else None. A parameter without a value is left out."""
        found: dict[str, str] = {}
        for index, part in enumerate(self.parts):
            if isinstance(part, _Parameter) and part.rest:
                rest = "/".join(segments[index:])
                return {**found, part.name: rest} if rest else found
            if index >= len(segments):
                if isinstance(part, _Parameter) and part.optional:
                    continue
                return None
            segment = segments[index]
            if isinstance(part, str):
                if segment.lower() != part:
                    return None
            elif _KINDS[part.kind].fullmatch(segment):
                found[part.name] = segment
            else:
                return None
        return found if len(segments) <= len(self.parts) else None


def template(route: str) -> RouteTemplate:
    """Parses a route as ``route=`` takes it, without the prefix.

    Raises:
        HostError: a segment mixes text and parameters, a constraint is not known here, or a catch-all is not last.
    """
    texts = [text for text in route.strip("/").split("/") if text]
    parts = tuple(_part(text, route) for text in texts)
    if any(isinstance(part, _Parameter) and part.rest for part in parts[:-1]):
        raise HostError(f"Route {route}: a parameter that takes the rest of the path must be the last.")
    return RouteTemplate(parts)


def _part(text: str, route: str) -> str | _Parameter:
    found = _PARAMETER.fullmatch(text)
    if found and found["kind"] in _KINDS:
        return _Parameter(found["name"], found["kind"], optional=bool(found["optional"]), rest=bool(found["star"]))
    if "{" in text or "}" in text:
        raise HostError(f"Route {route}: the sandbox host can't serve the segment {text}.")
    return text.lower()


def segments(raw_path: str) -> tuple[str, ...]:
    """The decoded segments of a raw path, without dot segments and without the one empty segment of a trailing slash.

    Raises:
        BadPath: it can't be decoded.
    """
    texts = raw_path.split("/")[1:]
    if texts and texts[-1] == "":
        texts.pop()
    kept: list[str] = []
    for text in texts:
        segment = _decoded(text)
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    return tuple(kept)


def _decoded(text: str) -> str:
    try:
        parts = _SLASH.split(text)  # every second part is an encoded slash
        decoded = "".join(part if at % 2 else unquote(part, errors="strict") for at, part in enumerate(parts))
    except UnicodeDecodeError as error:
        raise BadPath(text) from error
    if "\0" in decoded:
        raise BadPath(text)
    return decoded


def joined(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """One value a name, compared ignoring case: several are joined with commas, and an empty one is left out."""
    values: dict[str, list[str]] = {}
    names: dict[str, str] = {}
    for name, value in pairs:
        values.setdefault(names.setdefault(name.lower(), name), []).append(value)
    return {name: text for name, several in values.items() if (text := ",".join(several))}


def query(raw_query: str) -> dict[str, str]:
    """The query parameters that reach a function: those with a value."""
    return joined(parse_qsl(raw_query, keep_blank_values=True))
