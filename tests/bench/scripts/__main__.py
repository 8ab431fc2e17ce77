"""The published scripts beside Realign: the same drifted estate, the same delays, one after the other.

    python -m tests.bench.scripts [--machines 300] [--latency-ms 20]

Prints a table and, last, one line of JSON. No time is asserted; that every machine was put right is, for each of them.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from tests.bench.scripts import central_script, daas_script, realign
from tests.bench.scripts.contender import Lap, Work, laps_of, outside

PLAN_TO_VERIFIED = ("plan", "apply")
JsonObject = dict[str, Any]


@dataclass(frozen=True)
class Contender:
    """``counts`` are the laps that count, all of them where it is empty; the others are told apart.

    ``pauses`` is what it would sleep besides, in seconds, by the number of machines.
    """

    name: str
    work: Work
    counts: tuple[str, ...] = ()
    pauses: Callable[[int], float] = lambda machines: 0.0


@dataclass(frozen=True)
class Result:
    name: str
    counted: tuple[Lap, ...]
    apart: tuple[Lap, ...]
    pauses: float

    @property
    def seconds(self) -> float:
        return sum(lap.seconds for lap in self.counted)

    @property
    def citrix(self) -> int:
        return sum(lap.citrix for lap in self.counted)

    @property
    def prism(self) -> int:
        return sum(lap.prism for lap in self.counted)

    def as_json(self) -> JsonObject:
        return {
            "name": self.name,
            "citrixCalls": self.citrix,
            "prismCalls": self.prism,
            "seconds": round(self.seconds, 3),
        }


REALIGN = Contender(realign.NAME, realign.reviewed, PLAN_TO_VERIFIED)
SCRIPTS = (
    Contender(daas_script.NAME, daas_script.run, pauses=daas_script.pauses),
    Contender(central_script.NAME, central_script.run, pauses=central_script.pauses),
)


def main(arguments: Iterable[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.scripts", description=__doc__)
    parser.add_argument("--machines", type=_some, default=300)
    parser.add_argument("--latency-ms", type=int, default=20)
    args = parser.parse_args(None if arguments is None else list(arguments))
    scripts = [each for each in SCRIPTS if _takes_part(each, args.machines)]
    results = [held(each, args.machines, args.latency_ms / 1000) for each in (*scripts, REALIGN)]
    write(f"{args.machines} machines, {args.latency_ms} ms a call")
    write(table(results))
    write(apart(results[-1]))
    write(json.dumps(summary(args.machines, args.latency_ms, results[:-1], results[-1])))
    return 0


def held(contender: Contender, machines: int, latency: float) -> Result:
    """What the contender needed. Raises ``AssertionError`` where it left a machine wrong."""
    laps = laps_of(contender.name, contender.work, machines, latency)
    counted = tuple(lap for lap in laps if not contender.counts or lap.name in contender.counts)
    others = tuple(lap for lap in laps if contender.counts and lap.name not in contender.counts)
    return Result(contender.name, counted, others, contender.pauses(machines))


def table(results: Iterable[Result]) -> str:
    lines = [f"{'contender':<22} {'Citrix calls':>12} {'Prism calls':>11} {'seconds':>9} {'with its pauses':>16}"]
    for each in results:
        slept = each.seconds + each.pauses
        lines.append(f"{each.name:<22} {each.citrix:>12} {each.prism:>11} {each.seconds:>9.2f} {slept:>16.2f}")
    return "\n".join(lines)


def apart(result: Result) -> str:
    """What Realign asked in the laps that count, by route, and the laps that do not count."""
    lines = [f"{each.name}: {each.seconds:.2f} s" for each in result.counted]
    lines += outside(result.counted)
    for lap in result.counted:
        if lap.seconds < lap.notes["whole"]:
            lines.append(f"not counted: {lap.name} after the last verified: {lap.notes['whole'] - lap.seconds:.2f} s")
    for lap in result.apart:
        lines.append(f"not counted: {lap.name}: {lap.citrix} calls to Citrix, {lap.seconds:.2f} s")
    return "\n".join(lines)


def summary(machines: int, latency_ms: int, scripts: Sequence[Result], ours: Result) -> JsonObject:
    """The ratios are against the better of the scripts in each respect."""
    return {
        "machines": machines,
        "latencyMs": latency_ms,
        "contenders": [each.as_json() for each in (*scripts, ours)],
        "ratios": {
            "seconds": round(min(each.seconds for each in scripts) / ours.seconds, 2),
            "citrixCalls": round(min(each.citrix for each in scripts) / ours.citrix, 2),
        },
    }


def write(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _takes_part(script: Contender, machines: int) -> bool:
    if script.name != daas_script.NAME or machines <= daas_script.MOST_MACHINES:
        return True
    write(f"{script.name}: left out, it does nothing for more than {daas_script.MOST_MACHINES} machines")
    return False


def _some(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least one machine")
    return number


if __name__ == "__main__":
    sys.exit(main())
