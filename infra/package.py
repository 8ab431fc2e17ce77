"""Builds the package that is deployed: what ``.funcignore`` leaves of the checkout, as one zip with host.json on top.

    python infra/package.py [--output dist/realign.zip] [--dependencies] [--python python3.12] [--app DIR]

The same files give the same bytes, wherever and whenever it runs. Without ``--dependencies`` Azure's remote build has
to install requirements.txt; with it they lie in ``.python_packages/lib/site-packages``, where the platform looks for
them (contract ``azure.md``, section 3.7), and nothing is built in Azure.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from pathspec import GitIgnoreSpec

ROOT = Path(__file__).parents[1]
DEPENDENCIES = ".python_packages"
NEEDED = ("function_app.py", "host.json", "requirements.txt")
# as old as a zip can be: the files' own times would make every build another package
_TIME = (1980, 1, 1, 0, 0, 0)
_MODE = 0o644 << 16
# Azure runs Python 3.11 on Debian 11, whose glibc is 2.31, and later ones on Debian 12. pip would else take wheels for
# the glibc of the machine that packages, and an app that cannot load one of them has no function at all.
_GLIBC = 31
_PLATFORMS = (*(f"manylinux_2_{minor}_x86_64" for minor in range(_GLIBC, 4, -1)),
              *(f"manylinux{name}_x86_64" for name in ("2014", "2010", "1")))  # fmt: skip
_ASK_PYTHON = (
    "import json, platform, sys; "
    "print(json.dumps(['%d.%d' % sys.version_info[:2], platform.system(), platform.machine()]))"
)


class PackageError(Exception):
    """The package can't be built; the message says what to do."""


def app_files(app: Path) -> dict[str, Path]:
    """What ``.funcignore`` leaves of ``app``, by the name in the package.

    Raises:
        PackageError: there is no ``.funcignore``, it leaves a link, or it leaves out what the host needs.
    """
    rules = app / ".funcignore"
    if not rules.is_file():
        raise PackageError(f"{app} has no .funcignore. Name the app's folder with --app.")
    ignored = GitIgnoreSpec.from_lines(rules.read_text(encoding="utf-8").splitlines())
    found = dict(_left(app, ignored))
    missing = [name for name in NEEDED if name not in found]
    if missing:
        raise PackageError(f"The package would lack {', '.join(missing)}: not in {app}, or ignored by .funcignore.")
    return found


def _left(app: Path, ignored: GitIgnoreSpec) -> Iterator[tuple[str, Path]]:
    for folder, inner, names in os.walk(app):
        place = Path(folder).relative_to(app)
        # what a build left behind is never the one that is asked for
        inner[:] = [n for n in inner if n != DEPENDENCIES and not ignored.match_file(f"{(place / n).as_posix()}/")]
        for name in [*inner, *names]:
            path, inside = Path(folder, name), (place / name).as_posix()
            if path.is_symlink() and not ignored.match_file(inside):
                raise PackageError(f"{inside} is a link, which a zip can't hold. Put a file there, or ignore it.")
        yield from (
            ((place / n).as_posix(), Path(folder, n)) for n in names if not ignored.match_file((place / n).as_posix())
        )


def dependencies(python: str, requirements: Path, folder: Path) -> dict[str, Path]:
    """Installs ``requirements`` into ``folder`` with ``python``'s pip; the files by their names in the package.

    It has to be the Python that the app will run on: pip judges the markers of requirements.txt by the version that it
    runs with itself. Raises ``PackageError`` where that fails.
    """
    install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
    # compiling here would bind the package to this machine's libraries
    install += ["--only-binary", ":all:", *(f"--platform={name}" for name in _PLATFORMS)]
    install += ["--target", str(folder), "--requirement", str(requirements)]
    done = subprocess.run([python, *install], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise PackageError(f"pip could not install {requirements.name}. It said: {done.stderr.strip()[-2000:]}")
    _drop_commands(folder)
    prefix = f"{DEPENDENCIES}/lib/site-packages"
    files = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {f"{prefix}/{path.relative_to(folder).as_posix()}": path for path in files}


def _drop_commands(folder: Path) -> None:
    """The packages' commands hold this machine's paths, and nothing runs them."""
    shutil.rmtree(folder / "bin", ignore_errors=True)
    for record in folder.glob("*.dist-info/RECORD"):
        lines = record.read_text(encoding="utf-8").splitlines(keepends=True)
        record.write_text("".join(line for line in lines if not line.startswith("../../bin/")), encoding="utf-8")


def version_of(python: str) -> str:
    """The version of ``python``, such as ``3.12``. Raises ``PackageError`` where its wheels would not run in Azure."""
    try:
        done = subprocess.run([python, "-c", _ASK_PYTHON], capture_output=True, text=True, check=True)
        version, system, machine = json.loads(done.stdout)
    except (OSError, subprocess.CalledProcessError, ValueError) as error:
        raise PackageError(f"{python} is no Python that runs here. Name another with --python.") from error
    if (system, machine) != ("Linux", "x86_64"):
        raise PackageError(
            f"{python} runs on {system} {machine}, but compiled packages have to be those of Linux x86_64. Package on "
            "such a machine, or without --dependencies and let Azure's remote build install them."
        )
    return str(version)


def write(files: Mapping[str, Path], output: Path) -> int:
    """The zip of ``files`` at ``output``, whole or not at all; the size of what is in it, in bytes."""
    output.parent.mkdir(parents=True, exist_ok=True)
    size = 0
    with tempfile.NamedTemporaryFile(dir=output.parent, prefix=".package-", delete=False) as draft:
        try:
            with zipfile.ZipFile(draft, "w") as package:
                for name in sorted(files):
                    content = files[name].read_bytes()
                    entry = zipfile.ZipInfo(name, _TIME)
                    entry.create_system, entry.external_attr, entry.compress_type = 3, _MODE, zipfile.ZIP_DEFLATED
                    package.writestr(entry, content)
                    size += len(content)
            os.replace(draft.name, output)
        except BaseException:
            os.unlink(draft.name)
            raise
    output.chmod(0o644)
    return size


def build(app: Path, output: Path, *, python: str | None) -> str:
    """Builds the package, with the dependencies for ``python`` or without any; a sentence about it."""
    files = {name: path for name, path in app_files(app).items() if path != output}
    with tempfile.TemporaryDirectory(prefix="realign-package-") as folder:
        held = "without dependencies: Azure has to install requirements.txt"
        if python is not None:
            version = version_of(python)
            files |= dependencies(python, app / "requirements.txt", Path(folder))
            held = f"with dependencies for Python {version} on Linux x86_64"
        size = write(files, output)
    return f"{output}: {len(files)} files, {output.stat().st_size:,} bytes ({size:,} unpacked), {held}"


def main(arguments: list[str] | None = None) -> int:
    """Runs the command and gives the exit code."""
    parser = argparse.ArgumentParser(prog="python infra/package.py", description="Builds the package to deploy.")
    parser.add_argument(
        "--app", type=Path, default=ROOT, metavar="DIR", help="the app's folder (default: this checkout)"
    )
    parser.add_argument("--output", type=Path, default=Path("dist/realign.zip"), metavar="ZIP", help="(%(default)s)")
    parser.add_argument("--dependencies", action="store_true", help="put the packages of requirements.txt in as well")
    parser.add_argument("--python", default=sys.executable, help="the Python that the app will run on (default: this)")
    args = parser.parse_args(arguments)
    try:
        told = build(args.app.resolve(), args.output.resolve(), python=args.python if args.dependencies else None)
    except (PackageError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print(told)
    return 0


if __name__ == "__main__":
    sys.exit(main())
