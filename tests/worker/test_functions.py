"""Every function of the app as the host finds it: with the library of this Python, and with Microsoft's own worker."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.worker.conftest import ROOT, needs_worker
from tests.worker.expected import FUNCTIONS, RETRY, trigger_of
from tests.worker.worker_process import WorkerProcess

INDEX = """
import json, function_app
functions = function_app.app.get_functions()
print(json.dumps([
    [each.get_function_name(), each.get_raw_bindings(), each.get_settings_dict("retry_policy")] for each in functions
]))
"""


@pytest.fixture(scope="module")
def indexed() -> list[list[Any]]:
    """Name, bindings and retry policy of each function; a fresh process, as indexing twice in one would fail."""
    done = subprocess.run(
        [sys.executable, "-c", INDEX], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    found: list[list[Any]] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def worker(unpacked: Path) -> Iterator[WorkerProcess]:
    """No setting is there: the host indexes before it knows whether they are right."""
    with WorkerProcess(unpacked, {}) as process:
        process.start()
        yield process


def test_the_library_finds_every_function_with_its_trigger(indexed: list[list[Any]]) -> None:
    assert {name: trigger_of(raw) for name, raw, _ in indexed} == FUNCTIONS
    assert len(indexed) == len(FUNCTIONS)


def test_no_function_declares_a_retry_policy(indexed: list[list[Any]]) -> None:
    assert {name: retry for name, _, retry in indexed} == dict.fromkeys(FUNCTIONS, RETRY)


@needs_worker
def test_microsofts_worker_finds_every_function_with_its_trigger(worker: WorkerProcess) -> None:
    assert worker.started["result"] == {"status": "Success"}
    assert {name: trigger_of(each["raw_bindings"]) for name, each in worker.functions.items()} == FUNCTIONS


@needs_worker
def test_microsofts_worker_finds_no_retry_policy(worker: WorkerProcess) -> None:
    assert {name: each.get("retry_options") for name, each in worker.functions.items()} == dict.fromkeys(
        FUNCTIONS, RETRY
    )


@needs_worker
def test_microsofts_worker_names_what_the_host_starts(worker: WorkerProcess, unpacked: Path) -> None:
    for name, each in worker.functions.items():
        assert (each["language"], each["script_file"], each["entry_point"]) == ("python", "function_app.py", name)
        assert each["directory"] == str(unpacked)
        assert each["properties"] == {"worker_indexed": "True"}


@needs_worker
def test_an_app_that_cannot_be_imported_is_a_failure_that_says_why(tmp_path: Path) -> None:
    (tmp_path / "function_app.py").write_text("import something_that_is_not_there", encoding="utf-8")
    with WorkerProcess(tmp_path, {}) as process:
        process.start()
        assert "status" not in process.started["result"], "Failure is the value 0"
        assert "something_that_is_not_there" in process.started["result"]["exception"]["message"]
        assert process.functions == {}
