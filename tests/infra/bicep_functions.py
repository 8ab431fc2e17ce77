"""The functions of Bicep that ``infra/`` calls, as far as they can be known without Azure."""

from __future__ import annotations

import hashlib
import ipaddress
import json
import os
import uuid
from collections.abc import Callable
from typing import Any


def _unique_string(*parts: str) -> str:
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:13]


def _union(*parts: Any) -> Any:
    return {key: value for part in parts for key, value in part.items()}


def _cidr_subnet(network: str, prefix: int, index: int) -> str:
    return str(list(ipaddress.ip_network(network).subnets(new_prefix=prefix))[index])


def _environment() -> dict[str, Any]:
    return {
        "authentication": {"loginEndpoint": "https://login.microsoftonline.com/"},
        "suffixes": {"storage": "core.windows.net"},
    }


KNOWN: dict[str, Callable[..., Any]] = {
    "cidrSubnet": _cidr_subnet,
    "concat": lambda *lists: [item for each in lists for item in each],
    "empty": lambda value: not value,
    "environment": _environment,
    "guid": lambda *parts: str(uuid.uuid5(uuid.NAMESPACE_URL, "|".join(parts))),
    "join": lambda items, sign: sign.join(items),
    "map": lambda items, turn: [turn(item) for item in items],
    "readEnvironmentVariable": os.environ.get,
    "replace": lambda text, old, new: text.replace(old, new),
    "resourceGroup": lambda: {"id": "/resourceGroups/rg", "location": "westeurope"},
    "split": lambda text, sign: text.split(sign),
    "string": lambda value: value if isinstance(value, str) else json.dumps(value, separators=(",", ":")),
    "subscriptionResourceId": lambda type_, name: f"/subscriptions/s/providers/{type_}/{name}",
    "tenant": lambda: {"tenantId": "00000000-0000-0000-0000-00000000000t"},
    "union": _union,
    "uniqueString": _unique_string,
}
