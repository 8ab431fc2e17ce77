"""What the Python worker refuses about a function's own signature (contract ``azure.md``, sections 3.1 and 3.8)."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterable

import azure.functions as func

from sandbox.host.problems import HostError

CONTEXT = "context"


def check(name: str, call: Callable[..., object], argument: str, bindings: Iterable[str]) -> bool:
    """True if the function wants the ``context``. ``argument`` is the trigger's, ``bindings`` are all bindings' names.

    Raises:
        HostError: a binding's name, a parameter or an annotation is one that would stop the app in Azure.
    """
    for binding in bindings:
        if "_" in binding:
            raise HostError(
                f"Function {name}: the binding {binding} has an underscore in its name, which hosts before 4.1038 "
                "refuse. Write it as one word."
            )
    parameters = set(inspect.signature(call).parameters)
    if argument not in parameters:
        raise HostError(f"Function {name}: its trigger's argument {argument} is not a parameter of the function.")
    unknown = parameters - {argument, CONTEXT}
    if unknown:
        raise HostError(f"Function {name}: no binding gives a value to {', '.join(sorted(unknown))}.")
    wants_context = CONTEXT in parameters - {argument}
    _check_annotations(name, call, wants_context=wants_context)
    return wants_context


def _check_annotations(name: str, call: Callable[..., object], *, wants_context: bool) -> None:
    try:
        hints = typing.get_type_hints(call)
    except (NameError, TypeError) as error:
        raise HostError(f"Function {name}: its annotations can't be read: {error}.") from error
    if wants_context and hints.get(CONTEXT, func.Context) is not func.Context:
        raise HostError(f"Function {name}: its parameter context must be annotated as azure.functions.Context.")
    returned = hints.get("return", type(None))
    # A union is no type, and neither is list[str]: the worker takes plain classes alone.
    if not isinstance(returned, type) or typing.get_origin(returned) is not None:
        raise HostError(f"Function {name}: its return annotation {returned} is no type; Azure takes one class.")
