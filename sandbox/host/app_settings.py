"""App settings as the host reads them: ``%NAME%`` in bindings, and which functions are switched off."""

from __future__ import annotations

import re
from collections.abc import Mapping

from sandbox.host.problems import FunctionError

_REFERENCE = re.compile(r"%([^%]+)%")


def resolve(text: str, settings: Mapping[str, str]) -> str:
    """``text`` with every ``%NAME%`` replaced by that setting.

    Raises:
        FunctionError: a setting is missing or empty.
    """

    def value(found: re.Match[str]) -> str:
        name = found[1]
        if not settings.get(name):
            raise FunctionError(f"its binding names {found[0]}, but the app setting {name} is not set.")
        return settings[name]

    return _REFERENCE.sub(value, text)


def disabled(function: str, settings: Mapping[str, str]) -> bool:
    """True if the setting ``AzureWebJobs.<function>.Disabled`` switches the function off."""
    return settings.get(f"AzureWebJobs.{function}.Disabled", "").lower() in {"1", "true"}
