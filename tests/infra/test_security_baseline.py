"""Each property of the security baseline, in what every way of deploying would send to Azure."""

from __future__ import annotations

from typing import Any

import pytest

from tests.infra.bicep import deploy
from tests.infra.deployments import MAIN, SUBNETS, WAYS, deployed, parameters, texts

EVERYWHERE = pytest.mark.parametrize("way", WAYS)
SITE = "Microsoft.Web/sites"
STORAGE = "Microsoft.Storage/storageAccounts"
VAULT = "Microsoft.KeyVault/vaults"
ASSIGNMENT = "Microsoft.Authorization/roleAssignments"

BASELINE: dict[str, dict[str, Any]] = {
    "Microsoft.Web/serverfarms": {"kind": "linux", "properties.reserved": True},
    SITE: {
        "kind": "functionapp,linux",
        "identity.type": "UserAssigned",
        "properties.httpsOnly": True,
        "properties.sshEnabled": False,
        "properties.functionsRuntimeAdminIsolationEnabled": True,
        "properties.siteConfig.linuxFxVersion": "Python|3.12",
        "properties.siteConfig.minTlsVersion": "1.2",
        "properties.siteConfig.scmMinTlsVersion": "1.2",
        "properties.siteConfig.ftpsState": "Disabled",
        "properties.siteConfig.alwaysOn": True,
        "properties.siteConfig.http20Enabled": True,
        "properties.siteConfig.remoteDebuggingEnabled": False,
        "properties.siteConfig.healthCheckPath": "/api/health/live",
        "properties.siteConfig.ipSecurityRestrictionsDefaultAction": "Deny",
        "properties.siteConfig.scmIpSecurityRestrictionsUseMain": True,
        "properties.siteConfig.scmIpSecurityRestrictionsDefaultAction": "Deny",
    },
    STORAGE: {
        "properties.allowSharedKeyAccess": False,
        "properties.defaultToOAuthAuthentication": True,
        "properties.allowBlobPublicAccess": False,
        "properties.allowCrossTenantReplication": False,
        "properties.supportsHttpsTrafficOnly": True,
        "properties.minimumTlsVersion": "TLS1_2",
        "properties.networkAcls.bypass": "None",
    },
    f"{STORAGE}/blobServices": {
        "properties.isVersioningEnabled": True,
        "properties.deleteRetentionPolicy.enabled": True,
    },
    VAULT: {
        "properties.enableRbacAuthorization": True,
        "properties.enablePurgeProtection": True,
        "properties.enableSoftDelete": True,
        "properties.softDeleteRetentionInDays": 90,
        "properties.networkAcls.bypass": "None",
    },
    "Microsoft.Insights/components": {"properties.DisableLocalAuth": True},
    "Microsoft.OperationalInsights/workspaces": {"properties.features.disableLocalAuth": True},
}


def at(body: Any, path: str) -> Any:
    for name in path.split("."):
        body = body[name]
    return body


@EVERYWHERE
@pytest.mark.parametrize("type_", BASELINE)
def test_the_baseline_holds(way: str, type_: str) -> None:
    body = deployed(way).one(type_).body
    assert {path: at(body, path) for path in BASELINE[type_]} == BASELINE[type_]


@EVERYWHERE
def test_the_vault_is_managed_by_an_api_that_is_not_retired_in_2027(way: str) -> None:
    assert deployed(way).one(VAULT).version >= "2026-02-01"


@EVERYWHERE
def test_no_password_deploys_to_the_app(way: str) -> None:
    doors = deployed(way).of("Microsoft.Web/sites/basicPublishingCredentialsPolicies")
    assert {door.body["name"]: door.properties["allow"] for door in doors} == {"ftp": False, "scm": False}


@EVERYWHERE
def test_the_profiles_cannot_be_read_without_signing_in(way: str) -> None:
    container = deployed(way).one(f"{STORAGE}/blobServices/containers", "profiles")
    assert container.properties["publicAccess"] == "None"


@EVERYWHERE
def test_only_named_addresses_may_call(way: str) -> None:
    rules = deployed(way).one(SITE).properties["siteConfig"]["ipSecurityRestrictions"]
    assert [(rule["action"], rule["ipAddress"]) for rule in rules] == [("Allow", "203.0.113.0/24")]


def test_a_service_tag_is_admitted_as_one() -> None:
    site = deploy(MAIN, parameters(allowedServiceTags=["LogicApps"])).one(SITE)
    address, rule = site.properties["siteConfig"]["ipSecurityRestrictions"]
    assert (rule["tag"], rule["ipAddress"], rule["action"]) == ("ServiceTag", "LogicApps", "Allow")
    assert rule["priority"] > address["priority"]


@pytest.mark.parametrize(
    ("way", "storage", "vault", "app"),
    [
        pytest.param("relay", ("Enabled", "Allow"), ("enabled", "Allow"), "Enabled", id="open-to-who-signs-in"),
        pytest.param("vnet", ("Enabled", "Deny"), ("enabled", "Deny"), "Enabled", id="a-firewall-with-the-apps-subnet"),
        pytest.param("private", ("Disabled", "Deny"), ("disabled", "Deny"), "Disabled", id="private-endpoints-alone"),
    ],
)
def test_how_open_each_way_is(way: str, storage: tuple[str, str], vault: tuple[str, str], app: str) -> None:
    played = deployed(way)
    for type_, expected in ((STORAGE, storage), (VAULT, vault)):
        properties = played.one(type_).properties
        assert (properties["publicNetworkAccess"], properties["networkAcls"]["defaultAction"]) == expected
    assert played.one(SITE).properties["publicNetworkAccess"] == app


@pytest.mark.parametrize("way", ["vnet", "my-subnet"])
def test_the_firewall_admits_the_subnet_of_the_app(way: str) -> None:
    played = deployed(way)
    subnet = played.one(SITE).properties["virtualNetworkSubnetId"]
    assert subnet.endswith("/subnets/app")
    assert (subnet == f"{SUBNETS}/app") == (way == "my-subnet")
    for type_ in (STORAGE, VAULT):
        assert [rule["id"] for rule in played.one(type_).properties["networkAcls"]["virtualNetworkRules"]] == [subnet]


def test_who_manages_secrets_gets_through_the_firewall() -> None:
    for type_ in (STORAGE, VAULT):
        rules = deployed("vnet").one(type_).properties["networkAcls"]["ipRules"]
        assert [rule["value"] for rule in rules] == ["203.0.113.10"]


ROLES = {  # role definition: what it is on; the ids and names are those of the contract
    "b7e6dc6d-f1e8-4753-8033-0f276bb0955b": STORAGE,  # Storage Blob Data Owner
    "974c5e8b-45b9-4653-ba55-5f855dd0fb88": STORAGE,  # Storage Queue Data Contributor
    "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3": STORAGE,  # Storage Table Data Contributor
    "4633458b-17de-408a-b874-0445c86b69e6": VAULT,  # Key Vault Secrets User
    "3913510d-42f4-4e42-8a64-420c390055eb": "Microsoft.Insights/components",  # Monitoring Metrics Publisher
    "26baccc8-eea7-41f1-98f4-1762cc7f685d": "Microsoft.Relay/namespaces/hybridConnections",  # Azure Relay Sender
}


@EVERYWHERE
def test_the_identity_has_the_least_roles_and_each_on_one_resource(way: str) -> None:
    played = deployed(way)
    places = {each.id: each.type for each in played.resources}
    found = [
        (each.properties["roleDefinitionId"].rpartition("/")[2], places[each.scope]) for each in played.of(ASSIGNMENT)
    ]
    sender = "26baccc8-eea7-41f1-98f4-1762cc7f685d"
    expected = [pair for pair in ROLES.items() if pair[0] != sender]
    expected += [(sender, ROLES[sender])] * (2 if WAYS[way].get("connectivity", "relay") == "relay" else 0)
    assert sorted(found) == sorted(expected)


@EVERYWHERE
def test_every_role_goes_to_the_app_s_identity_by_a_name_of_its_own(way: str) -> None:
    assignments = deployed(way).of(ASSIGNMENT)
    identity = deployed(way).one("Microsoft.ManagedIdentity/userAssignedIdentities")
    assert {each.properties["principalId"] for each in assignments} == {f"<{identity.id}>.properties.principalId"}
    assert {each.properties["principalType"] for each in assignments} == {"ServicePrincipal"}
    assert len({each.name for each in assignments}) == len(assignments)


@EVERYWHERE
def test_no_key_of_anything_leaves_azure(way: str) -> None:
    played = deployed(way)
    shown = texts(played.outputs) + texts(played.one("Microsoft.Web/sites/config", "appsettings").body)
    assert not [text for text in shown if "listKeys" in text or "AccountKey" in text or "SharedAccess" in text]
    keyed = {each.type for each in played.resources if any("listKeys" in text for text in texts(each.body))}
    only = {"Microsoft.Web/sites/hybridConnectionNamespaces/relays"} if way == "appServiceHybrid" else set()
    assert keyed == only


@EVERYWHERE
@pytest.mark.parametrize("type_", [SITE, VAULT, "Microsoft.Relay/namespaces", f"{STORAGE}/blobServices"])
def test_what_is_done_to_it_is_logged(way: str, type_: str) -> None:
    played = deployed(way)
    workspace = played.one("Microsoft.OperationalInsights/workspaces").id
    logged = {each.scope for each in played.of("Microsoft.Insights/diagnosticSettings") if each.properties["logs"]}
    assert {each.id for each in played.of(type_)} <= logged
    assert {each.properties["workspaceId"] for each in played.of("Microsoft.Insights/diagnosticSettings")} == {
        workspace
    }


def test_the_site_sends_only_categories_that_a_function_app_has() -> None:
    """A web app has others, and Azure refuses what it has not: the resource says so in eligibleLogCategories."""
    played = deployed("relay")
    site = played.one(SITE)
    (setting,) = (each for each in played.of("Microsoft.Insights/diagnosticSettings") if each.scope == site.id)
    assert {log["category"] for log in setting.properties["logs"]} == {
        "AppServiceAuthenticationLogs", "AppServiceAuditLogs", "AppServiceIPSecAuditLogs"
    }  # fmt: skip
