"""What importing the app adds to a cold start.

    python -m tests.bench.cold_start [--runs 15]

Fresh interpreters import ``azure.functions`` alone and with ``function_app``, in turn; the medians' difference is what
the app adds. The last line is JSON with milliseconds; the exit code is 1 where the target is missed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
TARGET_MS = 400.0
ALONE = "import azure.functions"
TOGETHER = "import azure.functions, function_app"
TIMED = "import time; began = time.perf_counter(); {}; print((time.perf_counter() - began) * 1000)"


def import_ms(statement: str) -> float:
    """How long the import takes in an interpreter of its own, whose start does not count."""
    command = [sys.executable, "-c", TIMED.format(statement)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    return float(done.stdout)


def measure(runs: int) -> dict[str, float]:
    import_ms(TOGETHER)  # writes the byte code, which a deployed app has too
    alone, together = [], []
    for _ in range(runs):
        alone.append(import_ms(ALONE))
        together.append(import_ms(TOGETHER))
    before, after = statistics.median(alone), statistics.median(together)
    return {"azureFunctionsMs": round(before, 1), "withAppMs": round(after, 1), "addedMs": round(after - before, 1)}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.cold_start")
    parser.add_argument("--runs", type=int, default=15)
    result = measure(max(parser.parse_args().runs, 1))
    sys.stdout.write(f"azure.functions alone {result['azureFunctionsMs']} ms, with the app {result['withAppMs']} ms\n")
    sys.stdout.write(json.dumps({**result, "targetMs": TARGET_MS}) + "\n")
    return 0 if result["addedMs"] < TARGET_MS else 1


if __name__ == "__main__":
    sys.exit(main())
