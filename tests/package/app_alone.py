"""Runs the sandbox host where an app finds nothing but its own requirements.

    CLEAN/bin/python -I app_alone.py CHECKOUT HOST_PACKAGES host --app DIR ...

CLEAN is an environment with the app's requirements alone. The host is ``sandbox`` of CHECKOUT, and what only the host
needs (aiohttp, croniter) comes from HOST_PACKAGES. Both live in one process, so every import is judged by who asks:
code below ``CHECKOUT/sandbox`` or HOST_PACKAGES may have the host's modules, everybody else gets the
``ModuleNotFoundError`` of an environment without them, whether the module is loaded already or not.
"""

import builtins
import importlib.abc
import importlib.machinery
import os
import runpy
import sys

CHECKOUT, HOST_PACKAGES = (os.path.realpath(folder) for folder in sys.argv[1:3])
HOSTS = (os.path.join(CHECKOUT, "sandbox") + os.sep, HOST_PACKAGES + os.sep)
MACHINERY = ("<frozen importlib", "<frozen runpy", os.path.dirname(importlib.__file__) + os.sep)
import_as_ever = builtins.__import__


def is_hosts(file):
    return file is not None and (file.startswith(HOSTS) or file == __file__)


def asking_file():
    """The file of the code that an import of now was written in."""
    frame = sys._getframe(1)
    while frame.f_code.co_filename.startswith(MACHINERY) or frame.f_globals is globals():
        if frame.f_back is None:
            return __file__
        frame = frame.f_back
    return frame.f_code.co_filename


class HostsModules(importlib.abc.MetaPathFinder):
    """Stands last: whatever the clean environment has comes from there."""

    def find_spec(self, name, path=None, target=None):
        if path is not None or not is_hosts(asking_file()):
            return None
        folder = CHECKOUT if name == "sandbox" else HOST_PACKAGES
        return importlib.machinery.PathFinder.find_spec(name, [folder])


def import_own(name, globals=None, locals=None, fromlist=(), level=0):
    loaded = sys.modules.get(name.partition(".")[0]) if level == 0 else None
    if loaded is not None and is_hosts(getattr(loaded, "__file__", None)) and not is_hosts(asking_file()):
        raise ModuleNotFoundError(f"No module named {name!r}: it is the host's, and not required by the app", name=name)
    return import_as_ever(name, globals, locals, fromlist, level)


sys.meta_path.append(HostsModules())
builtins.__import__ = import_own
sys.argv = ["sandbox", *sys.argv[3:]]
runpy.run_module("sandbox.attached", run_name="__main__", alter_sys=True)
