"""What is deployed: the package, unpacked, and an environment with its requirements and nothing else."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests  # the host's packages are found beside it

from sandbox.azurite import Azurite

ROOT = Path(__file__).parents[2]
COMMAND = ROOT / "infra" / "package.py"


def package(*arguments: object, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Runs the packaging command as a person does."""
    command = [sys.executable, COMMAND, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=check)


@pytest.fixture(scope="session")
def zipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package of this checkout, without dependencies."""
    output = tmp_path_factory.mktemp("package") / "realign.zip"
    package("--output", output)
    return output


@pytest.fixture(scope="session")
def unpacked(zipped: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wwwroot")
    with zipfile.ZipFile(zipped) as file:
        file.extractall(folder)
    return folder


@pytest.fixture(scope="session")
def app_alone(unpacked: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """The command of a sandbox whose app has the requirements of the package, from the registry, and nothing else."""
    clean = tmp_path_factory.mktemp("clean") / "venv"
    python = clean / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", clean], timeout=60, check=True)
    install = ["-m", "pip", "--python", python, "install", "--quiet", "--no-compile", "--disable-pip-version-check"]
    done = subprocess.run(
        [sys.executable, *install, "--requirement", unpacked / "requirements.txt"],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    hosts_packages = Path(requests.__file__).parents[1]
    return (str(python), "-I", str(Path(__file__).with_name("app_alone.py")), str(ROOT), str(hosts_packages))


@pytest.fixture(scope="module")
def azurite() -> Iterator[Azurite]:
    with Azurite() as running:
        yield running
