"""What a person sees first: the demo plays a failover to verified and back, and ends well."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_demo_goes_from_drift_to_verified_and_back() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sandbox", "demo"], cwd=ROOT, capture_output=True, text=True, timeout=180, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    told = [
        "All 40 findings, the guards and the counts are what the scenario says is right.",
        "Citrix has the right hosting connection and VM for all 30 machines.",
        "Citrix has again what it had before the run, for all 30 machines.",
        "Nothing is left running.",
    ]
    positions = [done.stdout.find(sentence) for sentence in told]
    assert positions == sorted(positions)
    assert -1 not in positions
