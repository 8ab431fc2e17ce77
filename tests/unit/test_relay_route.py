"""The relay part of a profile, and the addresses that it stands for (contract ``relay.md``, 2, 6.1, 6.2)."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest

from shared.profile.endpoints import CvadSite, RelayRoute
from shared.profile.profile import Profile
from shared.profile_files import parse_profile
from shared.relay.hybrid_connection import HybridConnection
from tests.unit.profiles import ON_PREMISES, changed

HCM = {"namespace": "contoso.servicebus.windows.net", "path": "prism-par", "listener": "hcm"}
TRACKING = UUID("5f0c5f0c-0000-4000-8000-000000000001")


def parsed(route: dict[str, Any]) -> tuple[Profile | None, str]:
    file = parse_profile(json.dumps(changed("clusters.0.relay", route)), file="p.json")
    return file.profile, " ".join(file.errors)


def route_of(route: dict[str, Any]) -> RelayRoute:
    profile, errors = parsed(route)
    assert errors == ""
    assert profile is not None
    found = profile.clusters[0].relay
    assert found is not None
    return found


@pytest.mark.parametrize(
    "route",
    [
        HCM,
        {**HCM, "listener": "azbridge"},
        {**HCM, "listener": "azbridge", "portName": "par/prism"},
        {**HCM, "namespace": "localhost:5671"},
        {**HCM, "path": "site-1/prism_par.9440"},
    ],
)
def test_a_route_is_read(route: dict[str, Any]) -> None:
    assert route_of(route).model_dump(by_alias=True, exclude_none=True) == route


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"portName": "9440"}, "'portName' is for azbridge"),
        ({"namespace": "sb://contoso.servicebus.windows.net"}, "clusters[0].relay.namespace"),
        ({"namespace": "contoso.servicebus.windows.net/prism-par"}, "clusters[0].relay.namespace"),
        ({"namespace": "localhost:99999"}, "clusters[0].relay.namespace"),
        ({"namespace": "contoso..windows.net"}, "clusters[0].relay.namespace"),
        ({"namespace": f"{'a' * 64}.windows.net"}, "clusters[0].relay.namespace"),
        ({"path": "$hc/prism-par"}, "clusters[0].relay.path"),
        ({"path": "prism-par?sb-hc-action=listen"}, "clusters[0].relay.path"),
        ({"path": ""}, "clusters[0].relay.path"),
        ({"listener": "ssh"}, "hcm"),
        ({"listener": "azbridge", "portName": "ü"}, "clusters[0].relay.portName"),
        ({"listener": "azbridge", "portName": "9" * 256}, "clusters[0].relay.portName"),
        ({"credential": "relay-key"}, "clusters[0].relay.credential"),
    ],
)
def test_a_wrong_route_is_refused_with_its_field(change: dict[str, Any], says: str) -> None:
    profile, errors = parsed({**HCM, **change})
    assert profile is None
    assert says in errors


def test_a_sender_connects_to_the_path_with_an_action_and_a_tracking_id_and_without_a_token() -> None:
    place = HybridConnection.of(route_of(HCM), 9440)
    assert place.connect_url(TRACKING) == (
        "wss://contoso.servicebus.windows.net/$hc/prism-par?sb-hc-action=connect&sb-hc-id=" + str(TRACKING)
    )


def test_azbridge_knows_a_target_by_its_port_unless_it_was_told_another_name() -> None:
    azbridge = {**HCM, "listener": "azbridge"}
    assert HybridConnection.of(route_of(azbridge), 9440).port_name == "9440"
    assert HybridConnection.of(route_of({**azbridge, "portName": "prism"}), 9440).port_name == "prism"


@pytest.mark.parametrize(
    ("base_url", "origins"),
    [(None, ["https://ddc2.corp.example:8443"]), ("https://ddc.corp.example", [])],
    ids=["hosts", "base-url-in-place-of-all-hosts"],
)
def test_the_routes_of_a_site_are_by_controller(base_url: str | None, origins: list[str]) -> None:
    document = {**ON_PREMISES, "site": {**ON_PREMISES["site"], "baseUrl": base_url}}
    profile = parse_profile(json.dumps(document), file="p.json").profile
    assert profile is not None
    assert isinstance(profile.site, CvadSite)
    assert list(profile.site.relays) == origins
