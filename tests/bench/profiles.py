"""What many scheduled profiles cost one instance: from the timer to the last run at rest, and storage operations a run.

    python -m tests.bench.profiles [--profiles 50] [--machines 300] [--latency-ms 20]

All profiles name the same Citrix site and the same Prism Elements, so their runs share VM listings that are less than a
minute old; the site is read by each. A fifth of the machines has drifted. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterable
from typing import Any

from sandbox.host_process import HostProcess
from sandbox.large_world import large_world
from sandbox.sandbox import Sandbox
from tests.bench.end_to_end import write
from tests.e2e.client import WORKING, Api

LONGEST = 1_800.0


def main(arguments: Iterable[str] | None = None) -> int:
    """0 when every run came to rest as it should, else 1."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.profiles", description=__doc__)
    parser.add_argument("--profiles", type=int, default=50)
    parser.add_argument("--machines", type=int, default=300)
    parser.add_argument("--latency-ms", type=int, default=20)
    args = parser.parse_args(None if arguments is None else list(arguments))
    # A fault that is set and hits nothing: storage is then reached through the proxy that counts.
    faults: dict[str, str | int | None] = {"storage-busy": "nobody:1"}
    with (
        Sandbox(large_world(args.machines), latency=args.latency_ms / 1000, faults=faults, judged=False) as sandbox,
        HostProcess(sandbox.environ) as host,
        Api(host.url) as api,
    ):
        document = json.loads(sandbox.profile_file.read_text("utf-8"))
        sandbox.profile_file.unlink()
        for number in range(args.profiles):
            name = f"site-{number:04d}"
            whole = json.dumps({**document, "name": name, "schedule": True})
            sandbox.profile_file.with_name(f"{name}.json").write_text(whole, "utf-8")
        result = measure(sandbox, api, args.profiles)
    result |= {"machines": args.machines, "latencyMs": args.latency_ms}
    write(
        f"{args.profiles} profiles of {args.machines} machines: {result['seconds']:.1f} s from the timer to the last "
        f"run at rest, {result['secondsARun']:.2f} s a run, {result['storageARun']:.0f} storage operations a run"
    )
    write(json.dumps(result))
    return 0 if result["right"] else 1


def measure(sandbox: Sandbox, api: Api, profiles: int) -> dict[str, Any]:
    api.get("/api/health/live")
    sandbox.calls.clear()
    began = time.monotonic()
    api.fire("reconcile")
    runs: list[dict[str, Any]] = []
    while time.monotonic() - began < LONGEST:
        time.sleep(0.5)
        runs = api.all("/api/runs", limit=1000)
        if len(runs) == profiles and not any(run["status"] in WORKING for run in runs):
            break
    seconds = time.monotonic() - began
    by_system: dict[str, int] = {}
    for row in sandbox.calls.as_json():
        system = str(row["system"]).split("/")[0]
        by_system[system] = by_system.get(system, 0) + int(str(row["count"]))
    return {
        "profiles": profiles,
        "seconds": round(seconds, 1),
        "secondsARun": round(seconds / profiles, 2),
        "callsARun": {system: round(count / profiles, 1) for system, count in sorted(by_system.items())},
        "storageARun": round(by_system.get("storage", 0) / profiles, 1),
        "right": len(runs) == profiles and {run["status"] for run in runs} <= {"awaiting-review", "completed"},
    }


if __name__ == "__main__":
    sys.exit(main())
