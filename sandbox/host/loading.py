"""Finds the app's functions as the Python worker does, and refuses what the worker would refuse.

The checks follow contract ``azure.md``, section 3.1: one app object in the entry module, unique names, and signatures
that the worker takes. A binding that this host does not serve is refused too, never ignored.
"""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from azure.functions.decorators.function_app import Function, FunctionRegister

from sandbox.host import signatures
from sandbox.host.problems import HostError

_RESERVED = ("admin", "runtime")


@dataclass(frozen=True, slots=True)
class HttpTrigger:
    """``methods`` is empty for all methods; ``level`` is ``anonymous``, ``function`` or ``admin``."""

    route: str
    methods: frozenset[str]
    level: str


@dataclass(frozen=True, slots=True)
class TimerTrigger:
    """``schedule`` as written, ``%NAME%`` included; ``use_monitor`` is None where the host is to choose."""

    schedule: str
    run_on_startup: bool
    use_monitor: bool | None


@dataclass(frozen=True, slots=True)
class QueueTrigger:
    """``queue`` as written, ``%NAME%`` included; ``connection`` is the name of a setting or of a group of settings."""

    queue: str
    connection: str


Trigger = HttpTrigger | TimerTrigger | QueueTrigger


@dataclass(frozen=True, slots=True)
class LoadedFunction:
    """``argument`` is the parameter that takes the trigger's value."""

    name: str
    trigger: Trigger
    argument: str
    call: Callable[..., object]
    is_async: bool
    wants_context: bool


def load(directory: Path, script: str = "function_app.py") -> tuple[LoadedFunction, ...]:
    """The functions of the app in ``directory``, in the alphabetical order of their names.

    ``directory`` goes to the front of ``sys.path``, as on the Dedicated plan.

    Raises:
        HostError: there is no app, there are two, or a function can't be served. A module that fails to import raises
            its own error, whose traceback is what its author needs.
    """
    path = directory / script
    if not path.is_file():
        raise HostError(f"{path} does not exist. Start the host in the app's directory, or name that with --app.")
    try:
        functions = _app_of(_import(path), path).get_functions()
    except ValueError as error:
        raise HostError(f"{path} can't be indexed: {error}") from error
    loaded = sorted((_loaded(function) for function in functions), key=lambda function: function.name)
    seen: dict[str, str] = {}
    for function in loaded:
        other = seen.setdefault(function.name.casefold(), function.name)
        if other != function.name:
            raise HostError(f"Functions {other} and {function.name}: names must differ in more than case.")
    return tuple(loaded)


def _import(path: Path) -> ModuleType:
    sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise HostError(f"{path} is not a Python file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def _app_of(module: ModuleType, path: Path) -> FunctionRegister:
    names = [name for name in dir(module) if isinstance(getattr(module, name, None), FunctionRegister)]
    if not names:
        raise HostError(f"{path} defines no FunctionApp: a module attribute must be one, for example app.")
    if len(names) > 1:
        # Azure counts names, not objects: the same app under two names stops it as well.
        raise HostError(f"{path} has several FunctionApp attributes, {', '.join(names)}; Azure takes exactly one.")
    app = getattr(module, names[0])
    if not isinstance(app, FunctionRegister):
        raise HostError(f"{path}: {names[0]} changed while it was read.")
    return app


def _loaded(function: Function) -> LoadedFunction:
    name = str(function.get_function_name())
    bindings: list[Mapping[str, object]] = function.get_bindings_dict()["bindings"]
    binding, extra = _sorted_out(name, bindings)
    argument = str(binding["name"])
    call = function.get_user_function()
    names = (str(each["name"]) for each in bindings)
    wants_context = signatures.check(name, call, argument, names)
    if extra:
        raise HostError(f"Function {name}: the sandbox host does not serve the binding {', '.join(extra)}.")
    return LoadedFunction(
        name=name,
        trigger=_trigger(name, binding),
        argument=argument,
        call=call,
        is_async=inspect.iscoroutinefunction(call),
        wants_context=wants_context,
    )


def _sorted_out(name: str, bindings: list[Mapping[str, object]]) -> tuple[Mapping[str, object], list[str]]:
    """The trigger, and the types of the bindings that are neither it nor the HTTP answer."""
    triggers = [binding for binding in bindings if str(binding["type"]).lower().endswith("trigger")]
    if len(triggers) != 1:
        raise HostError(f"Function {name} has {len(triggers)} triggers; it needs exactly one.")
    extra = [
        str(binding["type"])
        for binding in bindings
        if binding is not triggers[0] and (str(binding["type"]), binding["name"]) != ("http", "$return")
    ]
    return triggers[0], extra


def _trigger(name: str, binding: Mapping[str, object]) -> Trigger:
    match binding["type"]:
        case "httpTrigger":
            methods = binding.get("methods") or ()
            if not isinstance(methods, list | tuple | set | frozenset):
                raise HostError(f"Function {name}: its methods are no list.")
            return HttpTrigger(
                route=_free_route(name, str(binding.get("route", name))),
                methods=frozenset(str(method).upper() for method in methods),
                level=str(binding.get("authLevel", "function")).lower(),
            )
        case "timerTrigger":
            monitor = binding.get("useMonitor")
            return TimerTrigger(
                str(binding["schedule"]),
                run_on_startup=bool(binding.get("runOnStartup")),
                use_monitor=None if monitor is None else bool(monitor),
            )
        case "queueTrigger":
            return QueueTrigger(str(binding["queueName"]), str(binding["connection"]))
        case other:
            raise HostError(f"Function {name}: the sandbox host does not serve {other}.")


def _free_route(name: str, route: str) -> str:
    # Whatever the route prefix is: the host keeps these beginnings to itself.
    if route.strip("/").lower().startswith(_RESERVED):
        raise HostError(f"Function {name}: its route {route} begins with admin or runtime, which the host reserves.")
    return route
