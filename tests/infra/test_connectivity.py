"""The ways to Prism, as they would be deployed."""

from __future__ import annotations

import json

import pytest

from tests.infra.bicep import deploy
from tests.infra.bicep_values import BicepError
from tests.infra.deployments import MAIN, ON_PREMISES, WAYS, deployed, parameters

NAMESPACE = "Microsoft.Relay/namespaces"
CONNECTION = f"{NAMESPACE}/hybridConnections"
LINK = "Microsoft.Web/sites/hybridConnectionNamespaces/relays"


@pytest.mark.parametrize("way", ["relay", "appServiceHybrid"])
def test_each_host_has_a_hybrid_connection_whose_metadata_names_it(way: str) -> None:
    connections = deployed(way).of(CONNECTION)
    assert {each.body["name"]: json.loads(each.properties["userMetadata"]) for each in connections} == {
        "prism-par": [{"key": "endpoint", "value": "prism-par.corp.example:9440"}],
        "ddc01": [{"key": "endpoint", "value": "ddc01.corp.example:443"}],
    }
    assert all(each.properties["requiresClientAuthorization"] is True for each in connections)


@pytest.mark.parametrize("way", ["relay", "appServiceHybrid"])
def test_each_hybrid_connection_has_a_key_that_only_listens(way: str) -> None:
    rules = [each for each in deployed(way).of(f"{CONNECTION}/authorizationRules") if each.file == "relay.bicep"]
    assert [(each.body["name"], each.properties["rights"]) for each in rules] == [("defaultListener", ["Listen"])] * 2


def test_the_relay_way_has_no_key_that_sends() -> None:
    rights = [
        right
        for each in deployed("relay").of(f"{CONNECTION}/authorizationRules")
        for right in each.properties["rights"]
    ]
    assert "Send" not in rights


def test_the_namespace_is_told_as_the_profile_wants_it() -> None:
    played = deployed("relay")
    namespace = played.one(NAMESPACE)
    assert played.outputs["relayNamespace"] == f"{namespace.name}.servicebus.windows.net"
    assert 6 <= len(namespace.name) <= 50
    assert namespace.properties["minimumTlsVersion"] == "1.2"
    assert namespace.properties["publicNetworkAccess"] == "Enabled", "listeners dial in"


def test_app_service_gets_each_connection_with_its_host_port_and_sender() -> None:
    links = deployed("appServiceHybrid").of(LINK)
    assert [(each.properties["relayName"], each.properties["hostname"], each.properties["port"]) for each in links] == [
        (each["name"], each["host"], each["port"]) for each in ON_PREMISES
    ]
    assert {each.properties["sendKeyName"] for each in links} == {"defaultSender"}
    connections = {each.id for each in deployed("appServiceHybrid").of(CONNECTION)}
    assert {each.properties["relayArmUri"] for each in links} == connections


@pytest.mark.parametrize("way", ["relay", "vnet"])
def test_other_ways_link_nothing_to_the_app(way: str) -> None:
    assert deployed(way).of(LINK) == []


def test_a_network_needs_no_relay() -> None:
    assert deployed("vnet").of(NAMESPACE) == []
    assert deployed("vnet").outputs["relayNamespace"] == ""


def test_the_app_goes_out_through_its_subnet() -> None:
    site = deployed("vnet").one("Microsoft.Web/sites")
    network = deployed("vnet").one("Microsoft.Network/virtualNetworks")
    assert site.properties["outboundVnetRouting"] == {"applicationTraffic": True}
    subnets = {each["name"]: each["properties"] for each in network.properties["subnets"]}
    assert [each["addressPrefix"] for each in subnets.values()] == ["10.90.0.0/27", "10.90.0.32/27"]
    subnet = subnets["app"]
    assert [each["properties"]["serviceName"] for each in subnet["delegations"]] == ["Microsoft.Web/serverFarms"]
    assert {each["service"] for each in subnet["serviceEndpoints"]} == {"Microsoft.Storage", "Microsoft.KeyVault"}
    assert network.properties["dhcpOptions"]["dnsServers"] == ["10.1.0.4"]


def test_routes_and_hub_are_the_customer_s() -> None:
    route = {"name": "paris", "addressPrefix": "10.20.0.0/16", "nextHopIp": "10.1.1.4"}
    played = deploy(MAIN, parameters(connectivity="vnet", routes=[route], hubNetworkId="/hub"))
    sent = played.one("Microsoft.Network/routeTables").properties["routes"][0]["properties"]
    assert sent == {"addressPrefix": "10.20.0.0/16", "nextHopType": "VirtualAppliance", "nextHopIpAddress": "10.1.1.4"}
    peering = played.one("Microsoft.Network/virtualNetworks/virtualNetworkPeerings").properties
    assert (peering["remoteVirtualNetwork"]["id"], peering["useRemoteGateways"]) == ("/hub", True)


def test_a_subnet_of_the_customer_s_is_left_as_it_is() -> None:
    assert deployed("my-subnet").of("Microsoft.Network/virtualNetworks") == []


@pytest.mark.parametrize("way", ["private", "private-vnet"])
def test_everything_that_the_app_stores_has_a_private_endpoint_with_its_name(way: str) -> None:
    played = deployed(way)
    endpoints = played.of("Microsoft.Network/privateEndpoints")
    groups = [each.properties["privateLinkServiceConnections"][0]["properties"]["groupIds"][0] for each in endpoints]
    assert sorted(groups) == ["blob", "queue", "sites", "table", "vault"]
    zones = [
        each.properties["privateDnsZoneConfigs"][0]["properties"]["privateDnsZoneId"]
        for each in played.of("Microsoft.Network/privateEndpoints/privateDnsZoneGroups")
    ]
    home = "/resourceGroups/dns" if "dnsZonesGroupId" in WAYS[way] else "/resourceGroups/rg"
    assert all(zone.startswith(f"{home}/providers/Microsoft.Network/privateDnsZones/privatelink.") for zone in zones)
    assert len(played.of("Microsoft.Network/privateDnsZones")) == (0 if "dnsZonesGroupId" in WAYS[way] else 5)


def test_an_unknown_way_is_refused() -> None:
    with pytest.raises(BicepError, match="connectivity is 'carrier-pigeon'"):
        deploy(MAIN, parameters(connectivity="carrier-pigeon"))


def test_whoever_may_call_has_to_be_named() -> None:
    with pytest.raises(BicepError, match="allowedAddresses is too short"):
        deploy(MAIN, parameters(allowedAddresses=[]))
