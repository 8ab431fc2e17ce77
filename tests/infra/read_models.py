"""Compares resources with the models of Microsoft's management clients and prints each property or value they do not know.

Runs in the environment of those clients, not in Realign's. Reads ``[{"type", "name", "at", "body"}]`` as JSON and prints
``["where: what"]``. The clients come in two styles: older ones list their members in ``_attribute_map``, newer ones as
annotated fields.
"""

import enum
import importlib
import json
import re
import sys

MODELS = {  # the type of a resource, with its name where the type has several shapes: module and class
    "Microsoft.Authorization/roleAssignments": "azure.mgmt.authorization.models:RoleAssignmentCreateParameters",
    "Microsoft.Insights/actionGroups": "azure.mgmt.monitor.models:ActionGroupResource",
    "Microsoft.Insights/components": "azure.mgmt.applicationinsights.v2020_02_02.models:ApplicationInsightsComponent",
    "Microsoft.Insights/diagnosticSettings": "azure.mgmt.monitor.models:DiagnosticSettingsResource",
    "Microsoft.Insights/metricAlerts": "azure.mgmt.monitor.models:MetricAlertResource",
    "Microsoft.Insights/scheduledQueryRules": "azure.mgmt.monitor.v2022_08_01_preview.models:ScheduledQueryRuleResource",
    "Microsoft.Insights/workbooks": "azure.mgmt.applicationinsights.v2023_06_01.models:Workbook",
    "Microsoft.KeyVault/vaults": "azure.mgmt.keyvault.models:VaultCreateOrUpdateParameters",
    "Microsoft.ManagedIdentity/userAssignedIdentities": "azure.mgmt.msi.v2024_11_30.models:Identity",
    "Microsoft.Network/networkSecurityGroups": "azure.mgmt.network.models:NetworkSecurityGroup",
    "Microsoft.Network/privateDnsZones": "azure.mgmt.privatedns.models:PrivateZone",
    "Microsoft.Network/privateDnsZones/virtualNetworkLinks": "azure.mgmt.privatedns.models:VirtualNetworkLink",
    "Microsoft.Network/privateEndpoints": "azure.mgmt.network.models:PrivateEndpoint",
    "Microsoft.Network/privateEndpoints/privateDnsZoneGroups": "azure.mgmt.network.models:PrivateDnsZoneGroup",
    "Microsoft.Network/routeTables": "azure.mgmt.network.models:RouteTable",
    "Microsoft.Network/virtualNetworks": "azure.mgmt.network.models:VirtualNetwork",
    "Microsoft.Network/virtualNetworks/virtualNetworkPeerings": "azure.mgmt.network.models:VirtualNetworkPeering",
    "Microsoft.OperationalInsights/workspaces": "azure.mgmt.loganalytics.models:Workspace",
    "Microsoft.Relay/namespaces": "azure.mgmt.relay.models:RelayNamespace",
    "Microsoft.Relay/namespaces/hybridConnections": "azure.mgmt.relay.models:HybridConnection",
    "Microsoft.Relay/namespaces/hybridConnections/authorizationRules": "azure.mgmt.relay.models:AuthorizationRule",
    "Microsoft.Storage/storageAccounts": "azure.mgmt.storage.models:StorageAccountCreateParameters",
    "Microsoft.Storage/storageAccounts/blobServices": "azure.mgmt.storage.models:BlobServiceProperties",
    "Microsoft.Storage/storageAccounts/blobServices/containers": "azure.mgmt.storage.models:BlobContainer",
    "Microsoft.Storage/storageAccounts/queueServices": "azure.mgmt.storage.models:QueueServiceProperties",
    "Microsoft.Storage/storageAccounts/tableServices": "azure.mgmt.storage.models:TableServiceProperties",
    "Microsoft.Web/serverfarms": "azure.mgmt.web.models:AppServicePlan",
    "Microsoft.Web/sites": "azure.mgmt.web.models:Site",
    "Microsoft.Web/sites/basicPublishingCredentialsPolicies": "azure.mgmt.web.models:CsmPublishingCredentialsPoliciesEntity",
    "Microsoft.Web/sites/config appsettings": "azure.mgmt.web.models:StringDictionary",
    "Microsoft.Web/sites/config authsettingsV2": "azure.mgmt.web.models:SiteAuthSettingsV2",
    "Microsoft.Web/sites/config slotConfigNames": "azure.mgmt.web.models:SlotConfigNamesResource",
    "Microsoft.Web/sites/hybridConnectionNamespaces/relays": "azure.mgmt.web.models:HybridConnection",
}


def main():
    problems = []
    for resource in json.load(sys.stdin):
        named = MODELS.get(resource["type"]) or MODELS[f"{resource['type']} {resource['name']}"]
        module, _, model = named.partition(":")
        problems += compared(resource["body"], getattr(importlib.import_module(module), model), resource["at"])
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
