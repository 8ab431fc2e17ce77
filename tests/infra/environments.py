"""The environments of checkov and of Microsoft's clients: their pins fight Realign's, so each has its own."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from tests.infra.deployments import ROOT

HERE = Path(__file__).parent


def run_in(environment: str, script: str, *arguments: str, asked: Any = None) -> Any:
    """What the script prints as JSON. ``asked`` goes to it as JSON too. Raises ``AssertionError`` with what it said."""
    python = HERE / f".venv-{environment}" / "bin" / "python"
    assert python.exists(), (
        f"{python.parent.parent.name} is not set up: call make test, or make {python.parent.parent}/.ready"
    )
    done = subprocess.run(
        [str(python), str(HERE / script), *arguments],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": ""},
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)
