"""How long Realign takes from an approval to machines that are verified, and what a run with nothing to do costs.

    python -m tests.bench.apply [--machines 5000] [--latency-ms 50] [--batch-size N] [--at-once N]

The time counts from the dequeuing of apply to the last machine that was read back and is ``verified``. With a batch
size all batches have it, with ``--at-once`` no more are under way: what the app chooses can be compared. The last line
is JSON. No time is asserted; that every machine was put right is.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from shared.runs.writing.pacing import Pacing
from shared.runs.writing.sizes import Sizes
from tests.bench.scripts.contender import Lap, Place, Timekeeper, laps_of, outside
from tests.bench.scripts.realign import NAME, ROWS, SCHEDULED, reviewed_then_scheduled

APPLY = "apply"
JsonObject = dict[str, Any]


def main(arguments: Iterable[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.apply", description=__doc__)
    parser.add_argument("--machines", type=int, default=5_000)
    parser.add_argument("--latency-ms", type=int, default=50)
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--at-once", type=int)
    args = parser.parse_args(None if arguments is None else list(arguments))
    work = partial(fixed, args.batch_size, args.at_once)
    laps = laps_of(NAME, work, args.machines, args.latency_ms / 1000)
    applied = [lap for lap in laps if lap.name == APPLY]
    idle = [lap for lap in laps if lap.name.startswith(SCHEDULED)]
    result = {"machines": args.machines, "latencyMs": args.latency_ms}
    result |= {"apply": apply_figures(applied), "nothingToDo": idle_figures(idle, laps[-1])}
    write(f"{args.machines} machines, {args.latency_ms} ms a call")
    for lap in laps:
        if lap.name != ROWS:
            whole = f", {lap.notes['whole']:.2f} s to its end" if lap.name == APPLY else ""
            write(f"{lap.name}: {lap.seconds:.2f} s{whole}, {lap.citrix} calls to Citrix, {lap.prism} to Prism")
    write("from approval to verified:")
    write("\n".join(outside(applied)))
    write("a scheduled run with nothing to do:")
    write("\n".join(outside(idle)))
    write("\n".join(f"new row: {row}" for row in laps[-1].notes["rows"]))
    write(json.dumps(result))
    return 0


def fixed(batch_size: int | None, at_once: int | None, place: Place, timekeeper: Timekeeper) -> None:
    """``reviewed_then_scheduled`` in a process in which the app has no choice of its own."""
    if batch_size is not None:
        Sizes.LEAST = Sizes.FIRST_MOST = Sizes.MOST = batch_size
    if at_once is not None:
        Pacing.__init__.__defaults__ = (at_once,)
    reviewed_then_scheduled(place, timekeeper)


def apply_figures(laps: Sequence[Lap]) -> JsonObject:
    """``batches`` is how many batches there were of each size."""
    sizes = Counter(laps[-1].notes["batches"])
    return {
        "seconds": round(sum(lap.seconds for lap in laps), 2),
        "citrixCalls": sum(lap.citrix for lap in laps),
        "prismCalls": sum(lap.prism for lap in laps),
        "throttled": sum(lap.throttled for lap in laps),
        "batches": {str(size): count for size, count in sorted(sizes.items())},
    }


def idle_figures(laps: Sequence[Lap], rows: Lap) -> JsonObject:
    """``rows`` is how many rows the run left, by table."""
    return {
        "seconds": round(sum(lap.seconds for lap in laps), 2),
        "citrixCalls": sum(lap.citrix for lap in laps),
        "prismCalls": sum(lap.prism for lap in laps),
        "rows": dict(Counter(row.split()[0] for row in rows.notes["rows"])),
    }


def write(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
