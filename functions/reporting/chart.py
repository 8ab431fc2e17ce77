"""The report's chart: shares as one bar of rectangles, and nothing that a style or a script would have to draw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

WIDTH, GAP, LEAST = 720.0, 2.0, 3.0  # units of the drawing


@dataclass(frozen=True, slots=True)
class Slice:
    """``name`` also chooses its colour; ``x`` and ``width`` are units of the drawing."""

    name: str
    number: int
    x: float
    width: float
    percent: str


def bar(counts: Mapping[str, int], order: Sequence[str]) -> tuple[Slice, ...]:
    """The slices of what is there, in ``order``; what is small is drawn wide enough to be seen."""
    there = {name: counts[name] for name in [*order, *sorted(set(counts) - set(order))] if counts.get(name, 0) > 0}
    total = sum(there.values())
    if not total:
        return ()
    room = WIDTH - GAP * (len(there) - 1)
    widths = {name: max(LEAST, room * number / total) for name, number in there.items()}
    shrink = room / sum(widths.values())
    slices, x = [], 0.0
    for name, number in there.items():
        width = widths[name] * shrink
        slices.append(Slice(name, number, round(x, 1), round(width, 1), _percent(number, total)))
        x += width + GAP
    return tuple(slices)


def _percent(number: int, total: int) -> str:
    share = 100 * number / total
    return "< 1 %" if 0 < share < 1 else f"{share:.0f} %"
