"""Compares resources with the models of Microsoft's management clients and prints what these do not know.

Runs in the environment of those clients, not in Realign's. Reads ``[{"type", "name", "at", "body"}]`` as JSON, and
prints ``["where: what"]``. The clients come in two styles: older ones list their members in ``_attribute_map``, newer
ones as annotated fields.
"""

import enum
import importlib
import json
import re
import sys

# the type of a resource, with its name where the type has several shapes: module below azure.mgmt, and class
MODELS = {
    "Microsoft.Authorization/roleAssignments": "authorization.models:RoleAssignmentCreateParameters",
    "Microsoft.Insights/actionGroups": "monitor.models:ActionGroupResource",
    "Microsoft.Insights/components": "applicationinsights.v2020_02_02.models:ApplicationInsightsComponent",
    "Microsoft.Insights/diagnosticSettings": "monitor.models:DiagnosticSettingsResource",
    "Microsoft.Insights/metricAlerts": "monitor.models:MetricAlertResource",
    "Microsoft.Insights/scheduledQueryRules": "monitor.v2022_08_01_preview.models:ScheduledQueryRuleResource",
    "Microsoft.Insights/workbooks": "applicationinsights.v2023_06_01.models:Workbook",
    "Microsoft.KeyVault/vaults": "keyvault.models:VaultCreateOrUpdateParameters",
    "Microsoft.ManagedIdentity/userAssignedIdentities": "msi.v2024_11_30.models:Identity",
    "Microsoft.Network/networkSecurityGroups": "network.models:NetworkSecurityGroup",
    "Microsoft.Network/privateDnsZones": "privatedns.models:PrivateZone",
    "Microsoft.Network/privateDnsZones/virtualNetworkLinks": "privatedns.models:VirtualNetworkLink",
    "Microsoft.Network/privateEndpoints": "network.models:PrivateEndpoint",
    "Microsoft.Network/privateEndpoints/privateDnsZoneGroups": "network.models:PrivateDnsZoneGroup",
    "Microsoft.Network/routeTables": "network.models:RouteTable",
    "Microsoft.Network/virtualNetworks": "network.models:VirtualNetwork",
    "Microsoft.Network/virtualNetworks/virtualNetworkPeerings": "network.models:VirtualNetworkPeering",
    "Microsoft.OperationalInsights/workspaces": "loganalytics.models:Workspace",
    "Microsoft.Relay/namespaces": "relay.models:RelayNamespace",
    "Microsoft.Relay/namespaces/hybridConnections": "relay.models:HybridConnection",
    "Microsoft.Relay/namespaces/hybridConnections/authorizationRules": "relay.models:AuthorizationRule",
    "Microsoft.Storage/storageAccounts": "storage.models:StorageAccountCreateParameters",
    "Microsoft.Storage/storageAccounts/blobServices": "storage.models:BlobServiceProperties",
    "Microsoft.Storage/storageAccounts/blobServices/containers": "storage.models:BlobContainer",
    "Microsoft.Storage/storageAccounts/queueServices": "storage.models:QueueServiceProperties",
    "Microsoft.Storage/storageAccounts/tableServices": "storage.models:TableServiceProperties",
    "Microsoft.Web/serverfarms": "web.models:AppServicePlan",
    "Microsoft.Web/sites": "web.models:Site",
    "Microsoft.Web/sites/basicPublishingCredentialsPolicies": "web.models:CsmPublishingCredentialsPoliciesEntity",
    "Microsoft.Web/sites/config appsettings": "web.models:StringDictionary",
    "Microsoft.Web/sites/config authsettingsV2": "web.models:SiteAuthSettingsV2",
    "Microsoft.Web/sites/config slotConfigNames": "web.models:SlotConfigNamesResource",
    "Microsoft.Web/sites/hybridConnectionNamespaces/relays": "web.models:HybridConnection",
}


def main():
    problems = []
    for resource in json.load(sys.stdin):
        named = MODELS.get(resource["type"]) or MODELS[f"{resource['type']} {resource['name']}"]
        module, _, model = named.partition(":")
        problems += compared(
            resource["body"], getattr(importlib.import_module(f"azure.mgmt.{module}"), model), resource["at"]
        )
    json.dump(sorted(set(problems)), sys.stdout)


def compared(value, model, at):
    """``model`` is a class of a client, a tree of flattened members, or None where anything goes."""
    if isinstance(value, list):
        return [problem for item in value for problem in compared(item, model, at)]
    if model is None or value is None:
        return []
    if isinstance(model, type) and issubclass(model, enum.Enum):
        known = {each.value for each in model}
        fits = value in known or str(value).startswith("<")
        return [] if fits else [f"{at} is {value!r}, and not one of {sorted(known)}"]
    if not isinstance(value, dict):
        return []
    members = model if isinstance(model, dict) else members_of(model)
    problems = []
    for name, inner in value.items():
        if name in members:
            problems += compared(inner, members[name], f"{at}.{name}")
        elif "*" in members:
            problems += compared(inner, members["*"], f"{at}.{name}")
        else:
            problems.append(f"{at}.{name} is not known")
    return problems


def members_of(model):
    """What a model and its variants know: the name on the wire, and the model of what is in it."""
    found = {}
    for cls in (*variants(model), *reversed(model.__mro__)):
        for attribute, entry in getattr(cls, "_attribute_map", {}).items():
            keep(found, entry["key"], inner_of(entry["type"], cls))
            if attribute == "additional_properties":
                found["*"] = None
        for attribute, annotation in vars(cls).get("__annotations__", {}).items():
            field = vars(cls).get(attribute)
            if hasattr(field, "_rest_name_input"):
                found[field._rest_name_input or attribute] = inner_of(str(annotation), cls)
    return found


def variants(model):
    for cls in model.__subclasses__():
        yield cls
        yield from variants(cls)


def keep(found, key, inner):
    """``properties.displayName`` is a member of a member; a dot that belongs to the name has a backslash before it."""
    *path, last = (part.replace("\\.", ".") for part in re.split(r"(?<!\\)\.", key))
    for part in path:
        found = found.setdefault(part, {})
    if isinstance(found, dict):
        found[last] = inner


def inner_of(text, cls):
    models = sys.modules[cls.__module__.rpartition("._models")[0] or cls.__module__]
    names = re.findall(r"_models\.(\w+)", text) or re.findall(r"\w+", text)
    inner = next((getattr(models, name) for name in names if isinstance(getattr(models, name, None), type)), None)
    return {"*": inner} if text.startswith("{") or "dict[" in text or "Dict[" in text else inner


if __name__ == "__main__":
    main()
