from __future__ import annotations

import json
from typing import Any

import pytest

from shared.errors import NotAvailableYet
from shared.profile import Profile
from shared.profile_files import parse_profile
from shared.runs.availability import check_available, not_available_in
from tests.unit.profiles import ON_PREMISES, SMALLEST, USUAL, changed

RELAY = {"namespace": "r.servicebus.windows.net", "path": "p", "listener": "hcm"}
EVERY_SCOPE_KEY = {
    "machines": ["a"],
    "catalogs": ["c"],
    "deliveryGroups": ["g"],
    "hostingConnections": ["h"],
    "protectionDomain": "PD",
    "prismCategory": {"key": "k", "value": "v"},
    "exclude": ["x*"],
}


def profile(document: dict[str, Any]) -> Profile:
    found = parse_profile(json.dumps(document), file="p.json").profile
    assert found is not None
    return found


def without_relays(document: dict[str, Any]) -> dict[str, Any]:
    clusters = [{key: value for key, value in each.items() if key != "relay"} for each in document["clusters"]]
    return {**changed("site.hosts", ["ddc1.corp.example"], document), "clusters": clusters}


def refused(document: dict[str, Any]) -> NotAvailableYet:
    with pytest.raises(NotAvailableYet) as caught:
        check_available(profile(document))
    return caught.value


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(SMALLEST, id="smallest"),
        *(pytest.param(changed("clusters.0.api", api), id=api) for api in ("central-v3", "central-v4", "central")),
        pytest.param(USUAL, id="usual"),
        pytest.param(without_relays(ON_PREMISES), id="on-premises"),
        pytest.param({**SMALLEST, "scope": EVERY_SCOPE_KEY}, id="every-scope-key"),
        pytest.param({**SMALLEST, "policy": {"mode": "auto", "dr": {"mode": "auto"}}}, id="auto"),
        pytest.param({**SMALLEST, "policy": {"switchCatalogZone": True, "fourEyes": True}}, id="zones-and-four-eyes"),
    ],
)
def test_what_runs_today(document: dict[str, Any]) -> None:
    check_available(profile(document))
    assert not_available_in(profile(document)) == ()


@pytest.mark.parametrize(
    ("document", "feature"),
    [
        pytest.param(changed("clusters.0.relay", RELAY), "clusters (paris).relay", id="relay-of-a-cluster"),
        pytest.param(
            changed("site.hosts", [{"host": "ddc.corp.example", "relay": RELAY}], without_relays(ON_PREMISES)),
            "site.hosts (ddc.corp.example).relay",
            id="relay-of-a-controller",
        ),
    ],
)
def test_what_a_profile_may_say_already_but_no_run_does(document: dict[str, Any], feature: str) -> None:
    assert not_available_in(profile(document)) == (feature,)
    error = refused(document)
    assert error.features == (feature,)
    assert (error.status, error.code) == (409, "not-available-yet")
    assert feature in str(error)


def test_everything_is_told_at_once() -> None:
    error = refused(ON_PREMISES)
    assert error.features == ("site.hosts (ddc2.corp.example).relay", "clusters (hq).relay")
    assert "Profile hq cannot run in this version" in str(error)
