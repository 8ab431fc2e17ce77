"""How long a run takes from POST to its findings in the table, with simulated calls that are slow.

``python -m tests.bench.end_to_end [--machines 5000] [--vms 10000] [--latency-ms 50]``. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections import Counter
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from sandbox.host_process import HostProcess
from sandbox.large_world import large_world
from sandbox.sandbox import Sandbox
from tests.e2e.client import Api

TARGET_SECONDS = 20.0


def main(arguments: Iterable[str] | None = None) -> int:
    """0 when the findings are right and were there within the target, else 1."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.end_to_end", description=__doc__)
    parser.add_argument("--machines", type=int, default=5_000)
    parser.add_argument("--vms", type=int, default=10_000)
    parser.add_argument("--latency-ms", type=int, default=50)
    parser.add_argument("--count-transactions", action="store_true", help="through a proxy, which costs some time")
    args = parser.parse_args(None if arguments is None else list(arguments))
    scenario = large_world(args.machines, vms=args.vms)
    # A fault that is set and hits nothing: storage is then reached through the proxy that counts.
    faults: dict[str, str | int | None] = {"storage-busy": "nobody:1"} if args.count_transactions else {}
    with (
        Sandbox(scenario, latency=args.latency_ms / 1000, faults=faults) as sandbox,
        HostProcess(sandbox.environ) as host,
        Api(host.url) as api,
    ):
        result = measure(sandbox, api)
    result |= {"machines": args.machines, "vms": args.vms, "latencyMs": args.latency_ms, "target": TARGET_SECONDS}
    write(
        f"{result['seconds']:.1f} s from POST to {result['findings']} findings in the table "
        f"(target {TARGET_SECONDS:.0f} s)"
    )
    for route, count in sorted(result["calls"].items()):
        write(f"{count:6d}  {route}")
    write(json.dumps(result))
    return 0 if result["right"] and result["seconds"] < TARGET_SECONDS else 1


def measure(sandbox: Sandbox, api: Api) -> dict[str, Any]:
    """One run in a host that has just started: imports, tables and queues are part of it."""
    began = time.monotonic()
    run = api.run(sandbox.scenario.profile_name, sandbox.scenario.run, within=200)
    seconds = time.monotonic() - began
    calls = routes(sandbox)
    began = time.monotonic()
    findings = api.findings(run["id"])
    return {
        "seconds": round(seconds, 2),
        "secondsToReadBack": round(time.monotonic() - began, 2),
        "status": run["status"],
        "findings": len(findings),
        "right": right(sandbox, findings),
        "calls": calls,
        "sandboxCpuSeconds": round(resource.getrusage(resource.RUSAGE_SELF).ru_utime, 1),
    }


def right(sandbox: Sandbox, findings: dict[str, Any]) -> bool:
    expected = {machine: (found.finding, found.to_uuid) for machine, found in sandbox.expected.items()}
    return expected == {
        machine: (found["finding"], found["to"]["hostedMachineId"] if found["to"] else None)
        for machine, found in findings.items()
    }


def routes(sandbox: Sandbox) -> dict[str, int]:
    """Calls by system, method and route; of storage the table or queue, without keys."""
    counts: Counter[str] = Counter()
    for row in sandbox.calls.as_json():
        system, route = str(row["system"]), str(row["route"])
        if system.startswith("storage/"):
            route = "/".join(urlsplit(route).path.split("(")[0].split("/")[2:3])
        counts[f"{system} {row['method']} {route}"] += int(str(row["count"]))
    return dict(counts)


def write(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
