"""The house stays as it is drawn: layers, names, pins and the host's settings."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOT_OURS = {"node_modules", "__pycache__", "build", "dist"}
LINT = "from importlinter.cli import lint_imports_command as lint; lint(['--no-cache'])"


def files_below(*folders: str) -> Iterator[Path]:
    """The tree's own files, without caches and what is installed."""
    for start in [ROOT / folder for folder in folders] or [ROOT]:
        for folder, inner, names in os.walk(start):
            inner[:] = [name for name in inner if name not in NOT_OURS and not name.startswith(".")]
            yield from (Path(folder) / name for name in names)


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.run(
        [sys.executable, "-c", LINT],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_import_contracts_hold() -> None:
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("module", "line", "broken"),
    [
        ("shared/profile/profile.py", "import shared.runs.start", "imports point downwards"),
        ("shared/azure/table.py", "import shared.prism.client", "imports point downwards"),
        ("shared/errors.py", "import shared.model", "imports point downwards"),
        ("shared/runs/start.py", "import functions.respond", "the triggers stand above everything"),
        ("shared/planning/match.py", "import requests", "planning does no I/O"),
        ("shared/planning/scope.py", "import time", "planning does no I/O"),
        ("shared/planning/names.py", "import shared.settings", "planning does no I/O"),
        ("shared/http.py", "import sandbox.world", "the app never imports the sandbox"),
        ("functions/respond.py", "import requests", "the triggers know no client"),
    ],
)
def test_a_wrong_import_breaks_its_contract(tmp_path: Path, module: str, line: str, broken: str) -> None:
    for folder in ("functions", "shared", "sandbox"):
        ignore = shutil.ignore_patterns(*NOT_OURS, "*.pyc")
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=ignore)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    with (tmp_path / module).open("a", encoding="utf-8") as file:
        file.write(f"\n{line}\n")
    done = lint_imports(tmp_path)
    assert done.returncode == 1
    assert f"{broken} BROKEN" in done.stdout


def test_a_new_module_of_shared_needs_its_place_in_the_layers(tmp_path: Path) -> None:
    for folder in ("functions", "shared", "sandbox"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "__init__.py").touch()
    layers = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"][
        0
    ]
    names = re.findall(r"\w+", " ".join(layers["layers"]))
    for name in [*names, "newcomer"]:
        (tmp_path / "shared" / f"{name}.py").touch()
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    done = lint_imports(tmp_path)
    assert done.returncode != 0
    assert "newcomer" in done.stdout


def imports_of(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return names


def app_modules() -> list[Path]:
    return [ROOT / "function_app.py", *(path for path in files_below("functions", "shared") if path.suffix == ".py")]


def test_the_triggers_import_of_azure_only_azure_functions() -> None:
    for path in [ROOT / "function_app.py", *(ROOT / "functions").glob("*.py")]:
        foreign = {name for name in imports_of(path) if name.startswith("azure.")}
        assert {name for name in foreign if not name.startswith("azure.functions")} == set(), path.name


def test_the_app_imports_neither_the_sandbox_nor_the_tests() -> None:
    for path in app_modules():
        roots = {name.partition(".")[0] for name in imports_of(path)}
        assert roots.isdisjoint({"sandbox", "tests"}), path


def test_every_pool_of_the_app_carries_run_and_profile_along() -> None:
    """Else its log lines name no run, and its calls belong to no step."""
    of_their_own = [
        path.relative_to(ROOT).as_posix()
        for path in app_modules()
        if "ThreadPoolExecutor(" in path.read_text(encoding="utf-8")
    ]
    # that one looks up names, for the one loop of all tunnels
    assert of_their_own == ["shared/relay/tunnels.py"]


def test_the_environment_is_read_in_one_place() -> None:
    readers = [
        path.relative_to(ROOT).as_posix()
        for path in app_modules()
        if re.search(r"os\.(environ|getenv)", path.read_text(encoding="utf-8"))
    ]
    assert readers == ["function_app.py", "shared/doctor.py"], "the two entrances"


def test_no_module_has_a_name_that_says_nothing() -> None:
    vague = {"utils", "util", "helpers", "helper", "common", "manager", "misc"}
    assert [path for path in files_below() if path.suffix == ".py" and path.stem in vague] == []


def test_packages_re_export_nothing() -> None:
    assert [path for path in files_below() if path.name == "__init__.py" and path.read_text(encoding="utf-8")] == []


def test_tls_is_verified_everywhere() -> None:
    off = ["verify" + r"\s*=\s*False", "verify_mode" + r"\s*=\s*ssl\.CERT_" + "(NONE|OPTIONAL)"]
    off += ["check_hostname" + r"\s*=\s*False", "ssl" + r"\s*=\s*False", "disable" + "_warnings"]
    off += ["_create_" + "unverified_context", "NODE_TLS_" + "REJECT_UNAUTHORIZED", r"curl[^\n]* (-k|--insecure)\b"]
    pattern = re.compile("|".join(off))
    text = {".py", ".toml", ".json", ".yaml", ".yml", ".md", ".cjs", ".sh", ".example", ""}
    found = [
        path.relative_to(ROOT).as_posix()
        for path in [*files_below(), *(ROOT / ".ci").glob("*")]
        if path.suffix in text and pattern.search(path.read_text(encoding="utf-8", errors="replace"))
    ]
    assert found == []


def requirements(name: str) -> list[str]:
    lines = (line.partition("#")[0].strip() for line in (ROOT / name).read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line]


def test_what_azure_installs_is_pinned_exactly() -> None:
    loose = [
        line
        for line in requirements("requirements.txt")
        if not re.match(r"^[A-Za-z0-9-]+==[0-9.]+(b[0-9]+)?( ;.*)?$", line)
    ]
    assert loose == []


def test_azure_functions_has_one_line_for_each_line_of_pythons() -> None:
    lines = [line for line in requirements("requirements.txt") if line.startswith("azure-functions")]
    assert [re.sub(r"==(\d+)\.[0-9.]+", r"==\1", line) for line in lines] == [
        'azure-functions==1 ; python_version < "3.13"',
        'azure-functions==2 ; python_version >= "3.13"',
    ]


def test_the_hosts_settings() -> None:
    host = json.loads((ROOT / "host.json").read_text(encoding="utf-8"))
    queues = host["extensions"]["queues"]
    assert host["functionTimeout"] == "00:30:00"
    assert (queues["batchSize"], queues["newBatchThreshold"]) == (4, 0)
    assert (queues["visibilityTimeout"], queues["messageEncoding"]) == ("00:00:30", "base64")
    assert host["extensions"]["http"]["routePrefix"] == "api"


def test_the_apps_packages_have_no_name_of_an_installed_one() -> None:
    # on some plans the app's folder comes last on sys.path
    assert {"functions", "shared", "function_app"}.isdisjoint(packages_distributions())


def test_the_gate_fails_where_the_recordings_are_missing() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert any(line.startswith("export CI=true") for line in script)
