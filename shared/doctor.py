"""``python -m shared.doctor``: the probe of ``health/ready`` on a command line, for a laptop or the app's console.

It reads the app settings from the environment, and from a ``local.settings.json`` where one is named. Nothing is
changed anywhere but for a row of Realign's own in its storage, which is deleted again.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import TextIO

from shared.errors import RealignError, SettingsInvalid
from shared.http import VERSION
from shared.runs.health import check_health
from shared.runs.probing.check import Health
from shared.runs.resources import Resources

PATIENCE = 600.0  # seconds until no more probes begin: whoever asks on a command line can wait
READY, DEGRADED, UNAVAILABLE = 0, 1, 2
_EXITS = {"ready": READY, "degraded": DEGRADED, "unavailable": UNAVAILABLE}
_SAID = {
    "ready": "Everything is ready.",
    "degraded": "Realign works; what is not ready spoils the runs that need it.",
    "unavailable": "Realign cannot work: mend storage or vault first.",
}


def main(arguments: Sequence[str], environ: Mapping[str, str], out: TextIO) -> int:
    """0 where everything is ready, 1 where something is not, 2 where Realign itself cannot work."""
    parser = argparse.ArgumentParser(prog="python -m shared.doctor", description="Checks what Realign depends on.")
    parser.add_argument("--settings", type=Path, metavar="FILE", help="a local.settings.json; the environment wins")
    parser.add_argument("--profile", metavar="NAME", help="only this profile, with storage and vault")
    asked = parser.parse_args(arguments)
    try:
        resources = Resources({**_values(asked.settings), **environ} if asked.settings else environ)
    except SettingsInvalid as error:
        out.write("The app settings are not complete:\n")
        out.writelines(f"  {problem}\n" for problem in error.problems)
        return UNAVAILABLE
    except RealignError as error:
        out.write(f"{error}\n")
        return UNAVAILABLE
    try:
        health = check_health(resources, asked.profile, within=PATIENCE)
    except RealignError as error:
        out.write(f"{error}\n")
        return UNAVAILABLE
    finally:
        resources.close()
    out.write(as_text(health))
    return _EXITS[health.status]


def as_text(health: Health) -> str:
    """A line a check, with its stages below where it is not ready."""
    width = max((len(check.name) for check in health.checks), default=0)
    lines = [f"Realign {VERSION}"]
    for kind, checks in groupby(health.checks, key=lambda check: check.kind):
        lines += ["", kind]
        for check in checks:
            lines.append(f"  {'ok  ' if check.ready else 'FAIL'}  {check.name:{width}}  {check.latency_ms:6} ms")
            lines += [f"          {_line(stage.name, stage.passed, stage.detail)}" for stage in check.stages]
            lines += [f"        -> {check.remedy}"] if check.remedy else []
    failed = sum(not check.ready for check in health.checks)
    count = f"{failed} of {len(health.checks)} not ready. " if failed else ""
    return "\n".join([*lines, "", f"{count}{_SAID[health.status]}", ""])


def _line(name: str, passed: bool, detail: str) -> str:
    return f"{name}{'' if passed else ' FAILED'}{f': {detail}' if detail else ''}"


def _values(file: Path) -> dict[str, str]:
    """The settings of a ``local.settings.json``. Raises ``SettingsInvalid``."""
    try:
        values = json.loads(file.read_text(encoding="utf-8-sig"))["Values"]
        return {str(name): str(value) for name, value in values.items()}
    except OSError as error:
        raise SettingsInvalid((f"{file} cannot be read: {error.strerror}.",)) from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise SettingsInvalid((f'{file} is no JSON object with "Values".',)) from error


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ, sys.stdout))
