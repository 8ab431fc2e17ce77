"""Starts the host as a person does, in a process of its own, and reads what the sample app wrote down."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import requests

REPOSITORY = Path(__file__).parents[3]
SAMPLE = Path(__file__).parent
T = TypeVar("T")


def eventually(probe: Callable[[], T], within: float = 15.0) -> T:
    """What ``probe`` gives as soon as that is true; fails after ``within`` seconds."""
    deadline = time.monotonic() + within
    while not (value := probe()):
        if time.monotonic() > deadline:
            raise AssertionError(f"did not happen within {within} s: {probe}, last {value!r}")
        time.sleep(0.02)
    return value


class RunningHost:
    """A host process; ``folder`` holds its journal, its gate file and its log."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self.process = process
        self.folder = folder
        self.session = requests.Session()
        self.session.trust_env = False
        if process.stdout is None:
            raise AssertionError("the host has no stdout")
        line = process.stdout.readline()
        if not line:
            raise AssertionError(f"the host did not start: {self.log()}")
        self.url: str = json.loads(line)["app"]

    def get(self, path: str, **options: Any) -> requests.Response:
        return self.call("GET", path, **options)

    def post(self, path: str, **options: Any) -> requests.Response:
        return self.call("POST", path, **options)

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        return self.session.request(method, self.url + path, timeout=30, **options)

    def journal(self, **like: object) -> list[dict[str, Any]]:
        """The entries that have all of ``like``; None stands for any value."""
        file = self.folder / "journal"
        lines = file.read_text("utf-8").splitlines() if file.exists() else []
        entries: list[dict[str, Any]] = [json.loads(line) for line in lines if line.endswith("}")]
        return [
            entry
            for entry in entries
            if all(name in entry and value in (None, entry[name]) for name, value in like.items())
        ]

    def log(self) -> str:
        return (self.folder / "stderr").read_text("utf-8")

    def open_gate(self) -> None:
        (self.folder / "gate").touch()

    def terminate(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)


@contextmanager
def host(folder: Path, app: Path = SAMPLE, **settings: str) -> Iterator[RunningHost]:
    """A running host for ``app``, gone at the end of the block whatever happened."""
    with open(folder / "stderr", "w", encoding="utf-8") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "sandbox", "host", "--port", "0", "--app", str(app)],
            cwd=REPOSITORY,
            env=environment(folder, settings),
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    try:
        running = RunningHost(process, folder)
        with running.session:
            yield running
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def environment(folder: Path, settings: Mapping[str, str]) -> dict[str, str]:
    """The sample app's settings: timers far away, and no queue unless a test names one."""
    return {
        **os.environ,
        "JOURNAL": str(folder / "journal"),
        "GATE_FILE": str(folder / "gate"),
        "SAMPLE_SCHEDULE": "0 0 0 1 1 *",
        "AzureWebJobs.overlapping.Disabled": "true",
        **({} if "SAMPLE_QUEUE" in settings else {"AzureWebJobs.worker.Disabled": "1"}),
        "AzureWebJobs.poisoned.Disabled": "true",
        **settings,
    }
