"""The package: what is in it and what is not, the same bytes every time, and what the command refuses."""

from __future__ import annotations

import os
import re
import shutil
import stat
import zipfile
from pathlib import Path

import pytest

from tests.package.conftest import ROOT, package

ON_TOP = {"LICENSE", "function_app.py", "functions", "host.json", "requirements.txt", "shared"}
OPTIONAL = {"profiles"}  # holds nothing but what an installation puts there


def files_of(folder: Path) -> set[str]:
    """The files below ``folder`` by their names there, without byte code."""
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {path.as_posix() for path in found if "__pycache__" not in path.parts}


def names(path: Path) -> list[str]:
    with zipfile.ZipFile(path) as file:
        return file.namelist()


@pytest.fixture
def small_app(tmp_path: Path) -> Path:
    """An app of its own, so that what is tried costs little."""
    app = tmp_path / "app"
    (app / "tests").mkdir(parents=True)
    for name in ("function_app.py", "host.json", "tests/test_it.py"):
        (app / name).write_text("{}", encoding="utf-8")
    (app / ".funcignore").write_text("tests\n.funcignore\n", encoding="utf-8")
    (app / "requirements.txt").write_text("PyJWT==2.15.1\ncryptography==50.0.2\n", encoding="utf-8")
    return app


def test_the_package_holds_the_app_and_nothing_that_only_its_makers_need(zipped: Path) -> None:
    assert {name.partition("/")[0] for name in names(zipped)} - OPTIONAL == ON_TOP
    assert not any(name.endswith((".pyc", ".md")) for name in names(zipped))


def test_the_package_holds_every_file_of_the_app(zipped: Path) -> None:
    app = {f"{part}/{name}" for part in ("functions", "shared") for name in files_of(ROOT / part)}
    assert app <= set(names(zipped))
    for part in ("functions/page/index.html", "functions/page/style/base.css", "functions/reporting/report.html"):
        assert part in app, "the page and the report are files beside the code"


LEFT_BEHIND = (
    ".azure/prod/.env",
    ".demo/profile.json",
    ".git/config",
    ".github/workflows/ci.yml",
    ".mypy_cache/a.json",
    ".venv/bin/python",
    ".venv-3.13/bin/python",
    ".vscode/settings.json",
    "__azurite_db_table__.json",
    "dist/realign.zip",
    "functions/__pycache__/runs.cpython-311.pyc",
    "infra/main.bicep",
    "local.settings.json",
    "sandbox/azurite/node_modules/a.js",
    "tests/unit/test_it.py",
)


def test_what_lies_around_in_a_working_copy_stays_there(small_app: Path, tmp_path: Path) -> None:
    shutil.copy(ROOT / ".funcignore", small_app)
    for name in (*LEFT_BEHIND, "functions/runs.py", "profiles/emea-vdi.json"):
        (small_app / name).parent.mkdir(parents=True, exist_ok=True)
        (small_app / name).touch()
    package("--app", small_app, "--output", tmp_path / "one.zip")
    expected = ["function_app.py", "functions/runs.py", "host.json", "profiles/emea-vdi.json", "requirements.txt"]
    assert names(tmp_path / "one.zip") == expected


def test_names_are_relative_and_texts_have_the_line_ends_of_linux(zipped: Path) -> None:
    with zipfile.ZipFile(zipped) as file:
        for entry in file.infolist():
            assert not entry.filename.startswith(("/", "."))
            assert "\\" not in entry.filename
            assert ".." not in Path(entry.filename).parts
            content = file.read(entry)
            assert b"\r" not in content, entry.filename
            assert str(ROOT).encode() not in content, entry.filename


def test_the_same_files_give_the_same_bytes_whenever_and_wherever(small_app: Path, tmp_path: Path) -> None:
    package("--app", small_app, "--output", tmp_path / "one.zip")
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(small_app, elsewhere)
    for path in elsewhere.rglob("*"):
        os.utime(path, (1_700_000_000, 1_700_000_000))
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    package("--app", elsewhere, "--output", elsewhere / "two.zip")
    package("--app", elsewhere, "--output", elsewhere / "two.zip")  # and never packs what it packed before
    assert (tmp_path / "one.zip").read_bytes() == (elsewhere / "two.zip").read_bytes()
    assert names(tmp_path / "one.zip") == ["function_app.py", "host.json", "requirements.txt"]


def test_with_dependencies_they_lie_where_the_platform_looks_for_them(small_app: Path, tmp_path: Path) -> None:
    stale = small_app / ".python_packages" / "lib" / "site-packages" / "stale.py"
    stale.parent.mkdir(parents=True)
    stale.touch()
    told = package("--app", small_app, "--output", tmp_path / "one.zip", "--dependencies").stdout
    assert "with dependencies for Python 3." in told
    inside = names(tmp_path / "one.zip")
    below = ".python_packages/lib/site-packages/"
    assert {f"{below}jwt/__init__.py", f"{below}cryptography/__init__.py"} <= set(inside)
    assert f"{below}stale.py" not in inside
    assert not any("/bin/" in name or name.endswith(".pyc") for name in inside)
    with zipfile.ZipFile(tmp_path / "one.zip") as file:
        file.extractall(tmp_path / "out")
    for name in files_of(tmp_path / "out"):
        content = (tmp_path / "out" / name).read_bytes()
        assert str(tmp_path).encode() not in content, f"{name} knows where it was built"
        assert b"realign-package-" not in content, f"{name} knows where it was installed"
    wheel = next((tmp_path / "out" / below).glob("cryptography-*.dist-info/WHEEL")).read_text(encoding="utf-8")
    # there is one for a newer glibc too, which a machine of today would take and Azure's Python 3.11 cannot load
    assert [int(minor) <= 31 for minor in re.findall(r"manylinux_2_(\d+)_", wheel)] == [True]
    package("--app", small_app, "--output", tmp_path / "two.zip", "--dependencies")
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()


def refused(*arguments: object) -> str:
    done = package(*arguments, check=False)
    assert done.returncode == 1
    return done.stderr


def test_what_cannot_be_a_package_is_refused_with_a_sentence(small_app: Path, tmp_path: Path) -> None:
    output = tmp_path / "one.zip"
    assert "no Python that runs here" in refused(
        "--app", small_app, "--output", output, "--dependencies", "--python", tmp_path / "none"
    )
    (small_app / "requirements.txt").write_text("PyJWT==0.0.0.1\n", encoding="utf-8")
    assert "pip could not install" in refused("--app", small_app, "--output", output, "--dependencies")
    (small_app / "linked.py").symlink_to(small_app / "function_app.py")
    assert "linked.py is a link" in refused("--app", small_app, "--output", output)
    (small_app / "linked.py").unlink()
    (small_app / "host.json").unlink()
    assert "would lack host.json" in refused("--app", small_app, "--output", output)
    (small_app / ".funcignore").unlink()
    assert "has no .funcignore" in refused("--app", small_app, "--output", output)
    assert not output.exists()
