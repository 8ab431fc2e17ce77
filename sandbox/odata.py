"""The little OData that Prism Central v4 takes (contract ``prism.md``, section 5.2).

``$filter``: ``eq`` with a string, a boolean, a number or an enum literal that names its type; ``startswith``;
``list/any(t:t eq Type'VALUE')``; joined by ``and``. ``$orderby`` and ``$select`` on listed members alone. What the
contract does not vouch for (``or``, ``ne``, ``contains``, ``in``, parentheses) is refused: no client leans on it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Generic, TypeVar

T = TypeVar("T")
Json = Any

_LITERAL = r"(?:[A-Za-z][\w.]*)?'(?:[^']|'')*'|true|false|-?\d+"
_CONDITIONS = (
    ("any", re.compile(rf"(?P<path>[\w/]+)/any\(\s*(?P<each>\w+)\s*:\s*(?P=each) eq (?P<literal>{_LITERAL})\s*\)")),
    ("startswith", re.compile(rf"startswith\(\s*(?P<path>[\w/]+)\s*,\s*(?P<literal>{_LITERAL})\s*\)")),
    ("eq", re.compile(rf"(?P<path>[\w/]+) eq (?P<literal>{_LITERAL})")),
)
_AND = re.compile(r"\s+and\s+")
_ORDER = re.compile(r"\s*(?P<path>[\w/]+)(?:\s+(?P<way>asc|desc))?\s*")


class BadOption(ValueError):
    """A query option that the server does not take; ``option`` is its name with the dollar sign."""

    def __init__(self, option: str, message: str) -> None:
        super().__init__(message)
        self.option = option


class Kind(Enum):
    TEXT = "a string in single quotes"
    BOOLEAN = "true or false"
    NUMBER = "a number"
    ENUM = "an enum literal with its type name"
    ENUMS = "any(t:t eq ...) with an enum literal and its type name"


@dataclass(frozen=True, slots=True)
class Field(Generic[T]):
    """A member that a filter may name, and how it is read. ``type_name`` is what an enum literal must say."""

    kind: Kind
    read: Callable[[T], Any]
    type_name: str = ""


@dataclass(frozen=True, slots=True)
class Condition(Generic[T]):
    """A filter: ``holds`` judges a record; ``paths`` are the members that it names."""

    holds: Callable[[T], bool]
    paths: frozenset[str]


def condition(text: str | None, fields: Mapping[str, Field[T]]) -> Condition[T]:
    """Reads ``$filter``; None holds for everything. Raises ``BadOption``."""
    if text is None:
        return Condition(lambda record: True, frozenset())
    parts: list[Callable[[T], bool]] = []
    paths: set[str] = set()
    position = 0
    rest = text.strip()
    while True:
        operator, found = _next(rest, position)
        path, literal = found["path"], found["literal"]
        if path not in fields:
            raise BadOption("$filter", f"The property '{path}' is not filterable.")
        parts.append(_part(operator, path, literal, fields[path]))
        paths.add(path)
        position = found.end()
        if position == len(rest):
            break
        joined = _AND.match(rest, position)
        if joined is None:
            raise BadOption("$filter", f"Invalid filter expression at position {position}: {rest[position:]}")
        position = joined.end()
    held = tuple(parts)
    return Condition(lambda record: all(holds(record) for holds in held), frozenset(paths))


def _next(text: str, position: int) -> tuple[str, re.Match[str]]:
    for operator, pattern in _CONDITIONS:
        found = pattern.match(text, position)
        if found is not None:
            return operator, found
    raise BadOption("$filter", f"Invalid filter expression at position {position}: {text[position:]}")


def _part(operator: str, path: str, literal: str, field: Field[T]) -> Callable[[T], bool]:
    fits = {
        "eq": field.kind is not Kind.ENUMS,
        "startswith": field.kind is Kind.TEXT,
        "any": field.kind is Kind.ENUMS,
    }
    if not fits[operator]:
        raise BadOption("$filter", f"The operator {operator} does not apply to '{path}': it takes {field.kind.value}.")
    value = _value(path, literal, field)
    read = field.read
    if operator == "startswith":
        return lambda record: str(read(record) or "").startswith(str(value))
    if operator == "any":
        return lambda record: value in read(record)
    return lambda record: bool(read(record) == value)


def _value(path: str, literal: str, field: Field[T]) -> Json:
    name, quote, rest = literal.partition("'")
    text = rest.removesuffix("'").replace("''", "'")
    match field.kind:
        case Kind.TEXT if quote and not name:
            return text
        case Kind.ENUM | Kind.ENUMS if quote and name == field.type_name:
            return text
        case Kind.BOOLEAN if literal in ("true", "false"):
            return literal == "true"
        case Kind.NUMBER if literal.lstrip("-").isdecimal():
            return int(literal)
    raise BadOption("$filter", f"The property '{path}' takes {field.kind.value}, not {literal}.")


def order(text: str | None, known: Collection[str]) -> tuple[tuple[str, bool], ...]:
    """Reads ``$orderby``: each member with True where it is descending. Raises ``BadOption``."""
    if text is None:
        return ()
    found = []
    for part in text.split(","):
        each = _ORDER.fullmatch(part)
        if each is None:
            raise BadOption("$orderby", f"Invalid order expression: {part}")
        if each["path"] not in known:
            raise BadOption("$orderby", f"The property '{each['path']}' is not sortable.")
        found.append((each["path"], each["way"] == "desc"))
    return tuple(found)


def selection(text: str | None, known: Collection[str]) -> tuple[str, ...]:
    """Reads ``$select``: the members, nested ones with a slash; empty is everything. Raises ``BadOption``."""
    if text is None:
        return ()
    paths = tuple(part.strip() for part in text.split(","))
    for path in paths:
        if path not in known:
            raise BadOption("$select", f"The property '{path}' is not selectable.")
    return paths


def project(entity: dict[str, Json], paths: tuple[str, ...]) -> dict[str, Json]:
    """The selected members of an entity, with its identifier and what the server adds to every object."""
    if not paths:
        return entity
    kept: dict[str, Json] = {name: entity[name] for name in ("$objectType", "$reserved", "extId") if name in entity}
    for path in paths:
        outer, _, inner = path.partition("/")
        if outer not in entity:
            continue
        if not inner:
            kept[outer] = entity[outer]
        elif inner in entity[outer]:
            kept[outer] = {**kept.get(outer, {}), inner: entity[outer][inner]}
    return kept
