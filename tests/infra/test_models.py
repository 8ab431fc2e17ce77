"""Each property that the Bicep sends is one that Microsoft's own clients know, with a value that they know.

The compiler's type check cannot run here; the models of the management clients are made from the same descriptions.
"""

from __future__ import annotations

from typing import Any

from tests.infra.deployments import WAYS, deployed
from tests.infra.environments import run_in

# documented by Microsoft as a property of the site, and missing in the published description
UNPUBLISHED = {"site.bicep:site.properties.functionsRuntimeAdminIsolationEnabled is not known"}


def compared(resources: list[dict[str, Any]]) -> set[str]:
    return set(run_in("azure", "read_models.py", asked=resources))


def test_every_property_is_known_to_microsoft_s_clients() -> None:
    sent = [
        {
            "type": each.type,
            "name": each.body["name"],
            "at": f"{each.file}:{each.symbol}",
            "body": {name: value for name, value in each.body.items() if name not in {"name", "dependsOn"}},
        }
        for way in WAYS
        for each in deployed(way).resources
        if not each.existing
    ]
    assert compared(sent) == UNPUBLISHED


def test_a_wrong_property_and_a_wrong_value_are_told() -> None:
    account = {"kind": "StorageV3", "properties": {"allowSharedKeys": False, "networkAcls": {"ipRules": [{"ip": "x"}]}}}
    rule = {"properties": {"criteria": {"allOf": [{"treshold": 0}]}, "displayName": "x"}}
    told = compared(
        [
            {"type": "Microsoft.Storage/storageAccounts", "name": "a", "at": "a", "body": account},
            {"type": "Microsoft.Insights/scheduledQueryRules", "name": "r", "at": "r", "body": rule},
        ]
    )
    assert {problem.partition(" ")[0] for problem in told} == {
        "a.kind",
        "a.properties.allowSharedKeys",
        "a.properties.networkAcls.ipRules.ip",
        "r.properties.criteria.allOf.treshold",
    }
