"""The little FIQL that Prism takes as a filter (``prism.md``, 3.3).

``field==value`` and ``field!=value``; ``;`` is AND, ``,`` is OR. FIQL has no known way to escape its operators, so
none is read here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping

_CONDITION = re.compile(r"(?P<field>\w+)(?P<operator>==|!=)(?P<value>[^;,()=!]+)")

Fields = Mapping[str, str]
Condition = Callable[[Fields], bool]


class BadFilter(ValueError):
    """The filter is no such FIQL, or names a field that does not exist; the message is the one of Prism."""


def parse(text: str, known: Collection[str]) -> Condition:
    """A predicate over the values of the ``known`` fields. AND binds tighter than OR. Raises ``BadFilter``."""
    groups = [[_condition(part, known) for part in group.split(";")] for group in text.split(",")]
    return lambda fields: any(all(holds(fields) for holds in group) for group in groups)


def _condition(text: str, known: Collection[str]) -> Condition:
    found = _CONDITION.fullmatch(text)
    if found is None:
        raise BadFilter(f"General error parsing FIQL expression: {text}")
    field, value, equal = found["field"], found["value"], found["operator"] == "=="
    if field not in known:
        raise BadFilter(f"Unrecognized field: {field}")
    return lambda fields: (fields[field] == value) is equal
