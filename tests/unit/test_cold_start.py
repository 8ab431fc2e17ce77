"""What the platform waits for at a cold start stays small. No timing: what is imported is exact, and time is not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
IMPORTED = "import json, sys, function_app; print(json.dumps(sorted(sys.modules)))"


@pytest.fixture(scope="module")
def imported() -> set[str]:
    """The modules of a fresh interpreter that has imported the app."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    return set(json.loads(done.stdout))


@pytest.mark.parametrize(
    "module",
    [
        "requests",
        "urllib3",
        "msal",
        "cryptography",
        "pydantic",
        "azure.core",
        "azure.data.tables",
        "azure.storage.queue",
        "azure.storage.blob",
        "azure.keyvault",
        "azure.monitor",
        "opentelemetry",
        "shared.profile",
        "shared.runs.resources",
        "shared.runs.start",
        "functions.shapes",
    ],
)
def test_importing_the_app_leaves_what_is_slow_to_its_first_use(imported: set[str], module: str) -> None:
    assert module not in imported


def test_importing_the_app_imports_every_trigger(imported: set[str]) -> None:
    triggers = {path.stem for path in (ROOT / "functions").glob("*.py")} - {"__init__", "shapes"}
    assert {f"functions.{name}" for name in triggers} <= imported
