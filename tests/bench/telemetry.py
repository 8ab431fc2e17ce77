"""What telemetry costs: a run of many machines with it and without, and what is exported of the one with it.

    python -m tests.bench.telemetry [--machines 5000] [--latency-ms 50] [--pairs 2]

Every machine of the estate is remapped. The host exports over TLS to what stands for Application Insights; its time
and its CPU count from the request to ``completed``, pairs one after the other, the second pair the other way round.
What is exported counts until the run's later steps are told as well; bytes are those of the envelopes as they are sent.
The last line is JSON. No time is asserted; that every machine was put right is.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.azurite import Azurite
from sandbox.host_process import HostProcess
from tests.bench.scripts.estate import PROFILE, BenchSandbox, drifted, wrong
from tests.e2e.client import Api, eventually
from tests.e2e.conftest import empty

LATER = ("step observe", "step reset-again")
WITHIN = 200.0
SPAN, METRIC = "RemoteDependencyData", "MetricData"


@dataclass
class Measured:
    """``seconds`` and ``cpu`` (seconds of the host) of one run; ``exported`` is empty where nothing was."""

    seconds: float
    cpu: float
    log_lines: int
    log_bytes: int
    exported: dict[str, Any]


def main(arguments: Iterable[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.telemetry", description=__doc__)
    parser.add_argument("--machines", type=int, default=5_000)
    parser.add_argument("--latency-ms", type=int, default=50)
    parser.add_argument("--pairs", type=int, default=2)
    args = parser.parse_args(None if arguments is None else list(arguments))
    found: dict[bool, list[Measured]] = {True: [], False: []}
    with Azurite() as azurite:
        for pair in range(args.pairs):
            for telemetry in (False, True) if pair % 2 == 0 else (True, False):
                empty(azurite.connection_string)
                done = measure(azurite, args.machines, args.latency_ms / 1000, telemetry=telemetry)
                found[telemetry].append(done)
                write(f"{'with' if telemetry else 'without'}: {done.seconds:.1f} s, {done.cpu:.1f} s of CPU")
    result = {"machines": args.machines, "latencyMs": args.latency_ms} | summed_up(found)
    exported = result["exported"]
    write(f"ratio with over without: {result['seconds']} in time, {result['cpu']} in CPU")
    write(f"{exported['spans']} spans, {exported['points']} metric points, {exported['bytes']:,} bytes exported")
    write(f"{result['logLines']} log lines of the app, {result['logBytes']:,} bytes")
    write(json.dumps(result))
    return 0


def measure(azurite: Azurite, machines: int, latency: float, *, telemetry: bool) -> Measured:
    """One run in a host that has just started."""
    scenario = drifted(machines)
    with (
        BenchSandbox(scenario, latency=latency, judged=False, telemetry=telemetry, azurite=azurite) as sandbox,
        HostProcess(sandbox.environ) as host,
        Api(host.url) as api,
    ):
        api.get("/api/health/live")
        api.get("/api/profiles")  # opens the resources: imports are no part of a run
        pid = host.pid or 0
        began, cpu = time.monotonic(), cpu_of(pid)
        run = api.approve(api.run(PROFILE, {"mode": "review"}, within=int(WITHIN)))
        seconds, cpu = time.monotonic() - began, cpu_of(pid) - cpu
        if run["status"] != "completed" or wrong(scenario):
            raise SystemExit(f"The run ended {run['status']}: {run['error']}")
        intake = sandbox.ingestion
        if telemetry:
            eventually(lambda: all(span_of(intake.envelopes, name) for name in LATER), WITHIN)
            eventually(lambda: told_of_its_end(intake.envelopes), WITHIN)
        lines = [line for line in host.full_log().splitlines() if " shared." in line or " functions." in line]
        exported = counted(intake.envelopes) if telemetry else {}
    return Measured(seconds, cpu, len(lines), sum(map(len, lines)), exported)


def span_of(envelopes: list[dict[str, Any]], name: str) -> bool:
    return any(each["data"]["baseData"].get("name") == name for each in list(envelopes))


def told_of_its_end(envelopes: list[dict[str, Any]]) -> bool:
    """The metrics of the run's end have come; they are sent once a minute."""
    points = [each["data"]["baseData"] for each in list(envelopes) if each["data"]["baseType"] == METRIC]
    of_runs = [point for point in points if point["metrics"][0]["name"] == "realign.runs"]
    return any(point["properties"]["status"] == "completed" for point in of_runs)


def counted(envelopes: list[dict[str, Any]]) -> dict[str, Any]:
    kinds = Counter(each["data"]["baseType"] for each in envelopes)
    sizes: Counter[str] = Counter()
    for each in envelopes:
        sizes[each["data"]["baseType"]] += len(json.dumps(each, separators=(",", ":")))
    systems = Counter(each["data"]["baseData"]["properties"].get("system", "") for each in envelopes if is_span(each))
    return {
        "spans": kinds[SPAN],
        "points": kinds[METRIC],
        "bytes": sum(sizes.values()),
        "bytesOfASpan": round(sizes[SPAN] / max(1, kinds[SPAN])),
        "bytesOfAPoint": round(sizes[METRIC] / max(1, kinds[METRIC])),
        "spansBySystem": dict(sorted((name or "run and steps", number) for name, number in systems.items())),
    }


def is_span(envelope: dict[str, Any]) -> bool:
    return bool(envelope["data"]["baseType"] == SPAN)


def summed_up(found: dict[bool, list[Measured]]) -> dict[str, Any]:
    def ratio(name: str) -> float:
        with_it, without = (statistics.median(getattr(each, name) for each in found[key]) for key in (True, False))
        return round(with_it / without, 3)

    last = found[True][-1]
    return {
        "seconds": ratio("seconds"),
        "cpu": ratio("cpu"),
        "exported": last.exported,
        "logLines": last.log_lines,
        "logBytes": last.log_bytes,
    }


def cpu_of(pid: int) -> float:
    """Seconds of CPU that a process has used, user and system together."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / float(os.sysconf("SC_CLK_TCK"))


def write(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
