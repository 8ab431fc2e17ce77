"""Profile documents for tests: the smallest one, the design's, and one with every field."""

from __future__ import annotations

import copy
from typing import Any

SMALLEST: dict[str, Any] = {
    "name": "emea",
    "site": {"kind": "daas", "customerId": "acme1234abcd", "credential": "citrix-emea", "region": "eu"},
    "clusters": [
        {
            "name": "paris",
            "api": "element-v2",
            "host": "prism-par.corp.example",
            "credential": "prism-paris",
            "hostingConnection": "Nutanix AHV Paris",
        }
    ],
}

USUAL: dict[str, Any] = {
    "name": "emea-vdi",
    "site": {"kind": "daas", "region": "eu", "customerId": "acme1234abcd", "credential": "citrix-emea"},
    "clusters": [
        {
            "name": "paris",
            "api": "element-v2",
            "host": "prism-par.corp.example",
            "port": 9440,
            "credential": "prism-paris",
            "ca": "corp-root-ca",
            "hostingConnection": "Nutanix AHV Paris",
        },
        {
            "name": "amsterdam",
            "api": "central-v4",
            "host": "pc-ams.corp.example",
            "prismClusters": ["AMS-CL01"],
            "credential": "prism-ams",
            "ca": "corp-root-ca",
            "hostingConnection": "Nutanix AHV Amsterdam",
        },
    ],
    "scope": {"catalogs": ["Persistent W11"], "exclude": ["W11-LAB-*"]},
    "policy": {
        "mode": "review",
        "maxChanges": 200,
        "maxChangePercent": 25,
        "autoConfidence": "strong",
        "planMaxAgeHours": 24,
        "dr": {"mode": "auto", "maxChanges": 6000, "maxChangePercent": 100},
        "holdHours": 24,
        "fourEyes": False,
        "resetHostingConnection": True,
        "resetAgainAfterSeconds": 30,
        "switchCatalogZone": False,
        "bypassHypervisorTypeCheck": False,
    },
    "schedule": True,
}

ON_PREMISES: dict[str, Any] = {
    "$schema": "../docs/profile.schema.json",
    "name": "hq",
    "site": {
        "kind": "cvad",
        "hosts": [
            "ddc1.corp.example",
            {
                "host": "ddc2.corp.example",
                "port": 8443,
                "relay": {"namespace": "r.servicebus.windows.net", "path": "ddc2", "listener": "hcm"},
            },
        ],
        "credential": "citrix-hq",
        "ca": "corp-root-ca",
        "baseUrl": "https://ddc.corp.example:8443",
    },
    "clusters": [
        {
            "name": "hq",
            "api": "central",
            "baseUrl": "https://pc.corp.example:9440",
            "credential": "prism-hq",
            "hostingConnection": "Nutanix",
            "relay": {
                "namespace": "r.servicebus.windows.net",
                "path": "pc",
                "listener": "azbridge",
                "portName": "9440",
            },
        },
        {
            "name": "edge",
            "api": "element-v2",
            "host": "10.1.2.3",
            "credential": "prism-edge",
            "hostingConnection": "Nutanix",
        },
    ],
    "scope": {
        "machines": ["W11-1", "CORP\\W11-2"],
        "catalogs": ["Persistent W11"],
        "deliveryGroups": ["Finance"],
        "hostingConnections": ["Nutanix"],
        "protectionDomain": "PD-VDI",
        "prismCategory": {"key": "Citrix", "value": "yes"},
        "exclude": [],
    },
}


def changed(path: str, value: Any, document: dict[str, Any] | None = None) -> dict[str, Any]:
    """A copy with one member set, for example ``clusters.0.port``; ``...`` removes it."""
    result = copy.deepcopy(SMALLEST if document is None else document)
    *way, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    place: Any = result
    for part in way:
        place = place.setdefault(part, {}) if isinstance(place, dict) else place[part]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return result
