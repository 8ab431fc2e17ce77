"""Queries of ``infra/queries`` and the docs: what Microsoft's own parser says of them, and what they find among rows.

The parser runs nothing. What asks rows knows as much of Kusto's language as the alerts use, and nothing else: an
expression of a ``where`` or ``extend`` is read as Python, which has the same signs for what stands there.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from sandbox.npm import ensure_installed, node

_PARSER = Path(__file__).with_name("kusto")
# The tables as Azure Monitor documents them, as far as anything here asks: the workspace's, and Application Insights'.
TABLES = (
    "AppMetrics (TimeGenerated: datetime, Name: string, ItemCount: int, Max: real, Min: real, Sum: real, "
    "Properties: dynamic)",
    "customMetrics (timestamp: datetime, name: string, value: real, valueCount: int, valueSum: real, valueMin: real, "
    "valueMax: real, customDimensions: dynamic)",
    "dependencies (timestamp: datetime, name: string, target: string, resultCode: string, duration: real, "
    "success: string, operation_Id: string, customDimensions: dynamic)",
    "traces (timestamp: datetime, message: string, operation_Id: string, customDimensions: dynamic)",
)

Row = dict[str, Any]
_AGGREGATES: dict[str, Callable[[list[Any]], Any]] = {"sum": sum, "max": max, "count": len}


def said_of(queries: Sequence[str]) -> list[dict[str, list[str]]]:
    """The ``faults`` that Microsoft's parser finds in each, and the ``columns`` of what it would give."""
    ensure_installed(_PARSER)
    done = subprocess.run(
        [node(), _PARSER / "said.cjs"],
        input=json.dumps({"tables": TABLES, "queries": queries}),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    found: list[dict[str, list[str]]] = json.loads(done.stdout)
    return found


def asked(query: str, rows: list[Row]) -> list[Row]:
    """What is left. ``Properties`` of a row is a mapping. Raises ``ValueError`` at what it does not know."""
    lines = [line for line in query.splitlines() if not line.startswith("//")]
    if lines[0] != "AppMetrics":
        raise ValueError(f"another table: {lines[0]}")
    for line in lines[1:]:
        operator, _, rest = line.removeprefix("| ").partition(" ")
        if operator == "where":
            rows = [row for row in rows if _value(rest, row)]
        elif operator == "extend":
            made = re.findall(r"(\w+) = ([^,]+)", rest)
            rows = [row | {name: _value(expression, row) for name, expression in made} for row in rows]
        elif operator == "summarize":
            rows = _summarized(rest, rows)
        else:
            raise ValueError(f"the operator {operator} is not known here")
    return rows


def _value(expression: str, row: Row) -> Any:
    names = {**row, "Properties": SimpleNamespace(**row.get("Properties", {})), "tostring": str}
    return eval(expression, {"__builtins__": {}}, names)  # noqa: S307 - our own query


def _summarized(rest: str, rows: list[Row]) -> list[Row]:
    aggregates, _, keys = rest.partition(" by ")
    by = [key for key in keys.split(", ") if key]
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[key] for key in by), []).append(row)
    found = []
    for key, group in groups.items():
        made = dict(zip(by, key, strict=True))
        for name, function, columns in re.findall(r"(?:(\w+) = )?(\w+)\(([^)]*)\)", aggregates):
            first, *others = columns.split(", ")
            if function == "arg_max":
                last = max(group, key=lambda row: row[first])
                made |= {column: last[column] for column in (first, *others)}
            else:
                made[name] = _AGGREGATES[function]([_value(columns, row) if columns else row for row in group])
        found.append(made)
    return found
