"""Reads host.json: the part of it that changes how functions are served."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from sandbox.host.problems import HostError

_TIME_SPAN = re.compile(r"(?:(?P<d>\d+)\.)?(?P<h>\d{1,2}):(?P<m>\d{1,2}):(?P<s>\d{1,2}(?:\.\d{1,7})?)")
_MAX_BATCH = 32


class MessageEncoding(StrEnum):
    BASE64 = "base64"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class QueueOptions:
    """``extensions.queues``. Times are in seconds; the defaults are the real host's on a developer's machine."""

    batch_size: int = 16
    new_batch_threshold: int = 8
    visibility_timeout: float = 0.0
    max_dequeue_count: int = 5
    max_polling_interval: float = 2.0
    encoding: MessageEncoding = MessageEncoding.BASE64


@dataclass(frozen=True, slots=True)
class HostConfig:
    """``function_timeout`` is in seconds, or None for no limit."""

    route_prefix: str = "api"
    function_timeout: float | None = 1800.0
    queues: QueueOptions = QueueOptions()


def time_span(text: object, name: str) -> float:
    """Seconds of a .NET time span, ``[d.]hh:mm:ss[.fffffff]``.

    Raises:
        HostError: it is no such text.
    """
    found = _TIME_SPAN.fullmatch(text) if isinstance(text, str) else None
    if not found:
        raise HostError(f"host.json: {name} is {text!r}; write a time as hh:mm:ss.")
    return int(found["d"] or 0) * 86400 + int(found["h"]) * 3600 + int(found["m"]) * 60 + float(found["s"])


def load(directory: Path, cpus: int | None = None) -> HostConfig:
    """The configuration in ``directory``. Without a host.json a directory is no function app.

    Raises:
        HostError: the file is missing, is not JSON, or has a value that the real host would refuse.
    """
    path = directory / "host.json"
    try:
        document = json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise HostError(f"{path} does not exist: every function app needs a host.json at its root.") from error
    except ValueError as error:
        raise HostError(f"{path} is not valid JSON: {error}.") from error
    if not isinstance(document, dict):
        raise HostError(f"{path} must hold a JSON object.")
    extensions = _section(document, "extensions")
    return HostConfig(
        route_prefix=str(_section(extensions, "http").get("routePrefix", "api")).strip("/"),
        function_timeout=_function_timeout(document.get("functionTimeout", "00:30:00")),
        queues=_queues(_section(extensions, "queues"), cpus or os.cpu_count() or 1),
    )


def _section(document: Mapping[str, object], name: str) -> Mapping[str, object]:
    section = document.get(name, {})
    if not isinstance(section, dict):
        raise HostError(f"host.json: {name} must be a JSON object.")
    return section


def _function_timeout(value: object) -> float | None:
    return None if value == "-1" else time_span(value, "functionTimeout")


def _queues(section: Mapping[str, object], cpus: int) -> QueueOptions:
    batch = _number(section, "batchSize", 16, minimum=1)
    if batch > _MAX_BATCH:
        raise HostError(f"host.json: queues.batchSize is {batch}; the largest that Azure takes is {_MAX_BATCH}.")
    encoding = str(section.get("messageEncoding", "base64"))
    if encoding not in tuple(MessageEncoding):
        raise HostError(f"host.json: queues.messageEncoding is {encoding!r}; it is base64 or none.")
    return QueueOptions(
        batch_size=batch,
        new_batch_threshold=_number(section, "newBatchThreshold", batch // 2 * cpus, minimum=0),
        visibility_timeout=time_span(section.get("visibilityTimeout", "00:00:00"), "queues.visibilityTimeout"),
        max_dequeue_count=_number(section, "maxDequeueCount", 5, minimum=1),
        max_polling_interval=time_span(section.get("maxPollingInterval", "00:00:02"), "queues.maxPollingInterval"),
        encoding=MessageEncoding(encoding),
    )


def _number(section: Mapping[str, object], name: str, default: int, *, minimum: int) -> int:
    value = section.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or value < minimum:
        raise HostError(f"host.json: queues.{name} is {value!r}; it must be a whole number from {minimum} up.")
    return value
