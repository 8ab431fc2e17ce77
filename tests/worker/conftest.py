"""The package as Azure has it on its disk, and Microsoft's worker library where there is a Python for it."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from tests.package.conftest import ROOT as ROOT
from tests.package.conftest import package
from tests.worker.worker_process import PYTHON

needs_worker = pytest.mark.skipif(
    not PYTHON.exists(),
    reason="Microsoft's worker library needs Python 3.13, and make test found none on this machine to set it up with",
)


@pytest.fixture(scope="session")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wwwroot")
    package("--output", folder / "realign.zip")
    with zipfile.ZipFile(folder / "realign.zip") as file:
        file.extractall(folder)
    return folder
