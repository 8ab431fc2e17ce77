"""The ways to deploy that the tests look at."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from tests.infra.bicep import deploy
from tests.infra.bicep_values import Deployment

ROOT = Path(__file__).resolve().parents[2]
INFRA = ROOT / "infra"
MAIN = INFRA / "main.bicep"
SIGN_IN = "11111111-2222-3333-4444-555555555555"
ON_PREMISES = [
    {"name": "prism-par", "host": "prism-par.corp.example", "port": 9440},
    {"name": "ddc01", "host": "ddc01.corp.example", "port": 443},
]
SUBNETS = "/subscriptions/s/resourceGroups/hub/providers/Microsoft.Network/virtualNetworks/mine/subnets"
WAYS: dict[str, dict[str, Any]] = {
    "relay": {},
    "appServiceHybrid": {"connectivity": "appServiceHybrid"},
    "vnet": {"connectivity": "vnet", "dnsServers": ["10.1.0.4"], "managementAddresses": ["203.0.113.10"]},
    "my-subnet": {"connectivity": "vnet", "appSubnetId": f"{SUBNETS}/app"},
    "private": {"privateEndpoints": True},
    "private-vnet": {"connectivity": "vnet", "privateEndpoints": True, "dnsZonesGroupId": "/resourceGroups/dns"},
    "all-told": {
        "alertEmails": ["ops@corp.example"],
        "timeZone": "Europe/Paris",
        "notifyHosts": ["hooks.corp.example"],
    },
    "implicit-sign-in": {"signInWithIdentity": False},
}


@cache
def deployed(way: str) -> Deployment:
    return deploy(MAIN, parameters(**WAYS[way]))


def parameters(**more: Any) -> dict[str, Any]:
    needed = {"signInClientId": SIGN_IN, "allowedAddresses": ["203.0.113.0/24"], "onPremises": ON_PREMISES}
    return needed | more


def texts(value: Any) -> list[str]:
    """Every text in ``value``, however deep."""
    if isinstance(value, dict):
        return [text for each in value.values() for text in texts(each)]
    if isinstance(value, list):
        return [text for each in value for text in texts(each)]
    return [value] if isinstance(value, str) else []
