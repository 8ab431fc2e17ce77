"""Turns pydantic's validation errors into sentences that name the field and the remedy."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

_REMEDIES: Mapping[str, str] = {
    "json_invalid": "is not JSON. Send a JSON object.",
    "timezone_aware": "has no time zone. Write it like 2026-11-22T03:00:00Z.",
    "datetime_from_date_parsing": "is not a time. Write it like 2026-11-22T03:00:00Z.",
    "datetime_parsing": "is not a time. Write it like 2026-11-22T03:00:00Z.",
    "datetime_type": "is not a time. Write it like 2026-11-22T03:00:00Z.",
    "missing": "is missing. Add it.",
    "union_tag_not_found": "needs 'kind': daas or cvad.",
    "union_tag_invalid": "has an unknown 'kind'. Use daas or cvad.",
    "too_short": "is empty. Give at least one.",
    "string_too_short": "is empty. Write a text.",
    "bool_type": "is not true or false. Write one of the two.",
    "int_type": "is not a whole number. Write one, without quotes.",
    "string_type": "is not a text. Write it in quotes.",
    "tuple_type": "is not a list. Write it in [ ].",
    "model_type": "is not an object. Write it in { }.",
    "dict_type": "is not an object. Write it in { }.",
}
_PATTERNS: Mapping[str, str] = {
    "name": "may hold lower-case letters, digits and '-' (63 at most), and starts with a letter or a digit",
    "clusters[].name": "may hold up to 100 characters, and no '/'",
    "credential": "is not a Key Vault secret name (letters, digits and '-')",
    "ca": "is not a Key Vault secret name (letters, digits and '-')",
    "host": "is not a host name; write it without https://, port or path",
    "customerId": "is not a Citrix customer id (letters, digits, '-' and '_')",
}


def explain(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """Each validation error as ``field: what is wrong. What to do.``, without the offending value.

    The value is left out since it may be a secret that was pasted into the wrong place.
    """
    items = error.errors()
    # pydantic counts only the good items of a list, so a list whose items have errors is called too short as well
    deeper = {item["loc"][: len(item["loc"]) - back] for item in items for back in range(1, len(item["loc"]))}
    return [_line(item, model) for item in items if item["type"] != "too_short" or item["loc"] not in deeper]


def _line(item: Any, model: type[BaseModel]) -> str:
    field = field_of(item["loc"])
    if not field and item["type"] == "value_error":
        return _sentence(item, model)  # a check over several fields, whose text begins with the one to change
    return f"{field or 'the document'}: {_sentence(item, model)}"


def field_of(location: Iterable[int | str]) -> str:
    """The place of an error as people write it, for example ``clusters[1].api``; empty for the whole document."""
    path, before = "", None
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
        elif before != "site" or part not in ("daas", "cvad"):  # pydantic puts the kind behind the site
            path += f".{part}" if path else part
        before = part
    return path


def _sentence(item: Any, model: type[BaseModel]) -> str:
    kind, context, last = item["type"], item.get("ctx", {}), str(item["loc"][-1]) if item["loc"] else ""
    if kind == "extra_forbidden":
        near = difflib.get_close_matches(last, _all_fields(model), n=1)
        return f"is not a known field. Remove it{f', or did you mean {near[0]}?' if near else '.'}"
    if kind == "literal_error":
        return f"is not one of {context['expected']}. Use one of them."
    if kind == "value_error":
        return f"{context['error']}."
    if kind == "string_pattern_mismatch":
        whole = re.sub(r"\d+", "", field_of(item["loc"]))
        rule = _PATTERNS.get(whole) or _PATTERNS.get(last)
        return f"{rule or 'has characters that may not be there'}. Correct it."
    if kind in _REMEDIES:
        return _REMEDIES[kind]
    return f"{item['msg']}. Correct it."


def _all_fields(model: type[BaseModel]) -> list[str]:
    schema = model.model_json_schema()
    parts = [schema, *schema.get("$defs", {}).values()]
    return sorted({name for part in parts for name in part.get("properties", {})})
