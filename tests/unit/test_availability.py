from __future__ import annotations

import json
from typing import Any

import pytest

from shared.errors import NotAvailableYet
from shared.model import Mode
from shared.profile import Profile
from shared.profile_files import parse_profile
from shared.runs.availability import check_available, not_available_in
from shared.runs.request import RunRequest, parse_request
from tests.unit.profiles import ON_PREMISES, SMALLEST, USUAL, changed

RELAY = {"namespace": "r.servicebus.windows.net", "path": "p", "listener": "hcm"}


def profile(document: dict[str, Any]) -> Profile:
    found = parse_profile(json.dumps(document), file="p.json").profile
    assert found is not None
    return found


def refused(document: dict[str, Any], request: dict[str, Any] | None = None, mode: Mode = Mode.REVIEW) -> Any:
    asked = parse_request(json.dumps(request or {}).encode(), RunRequest)
    with pytest.raises(NotAvailableYet) as caught:
        check_available(profile(document), asked, mode)
    return caught.value


NOW = {
    "scope": {
        "machines": ["a"],
        "catalogs": ["c"],
        "protectionDomain": "PD",
        "exclude": ["x*"],
    }
}


@pytest.mark.parametrize("mode", [Mode.REPORT, Mode.REVIEW])
@pytest.mark.parametrize(
    ("document", "request_"),
    [
        pytest.param(SMALLEST, {}, id="smallest"),
        pytest.param(changed("clusters.0.api", "central-v3"), {}, id="central-v3"),
        pytest.param({**SMALLEST, **NOW}, NOW, id="every-scope-key-of-today"),
        pytest.param(
            SMALLEST, {"target": "paris", "machinesCsv": "Name\na", "reason": "r", "ifBusy": "reject"}, id="request"
        ),
        pytest.param(SMALLEST, {"settleSeconds": 0}, id="settling-for-no-time"),
    ],
)
def test_what_runs_today(document: dict[str, Any], request_: dict[str, Any], mode: Mode) -> None:
    check_available(profile(document), parse_request(json.dumps(request_).encode(), RunRequest), mode)


@pytest.mark.parametrize(
    ("path", "value", "feature"),
    [
        ("clusters.0.api", "central-v4", "clusters (paris).api: central-v4"),
        ("clusters.0.api", "central", "clusters (paris).api: central"),
        ("clusters.0.relay", RELAY, "clusters (paris).relay"),
        ("scope.deliveryGroups", ["g"], "scope.deliveryGroups"),
        ("scope.hostingConnections", ["h"], "scope.hostingConnections"),
        ("scope.prismCategory", {"key": "k", "value": "v"}, "scope.prismCategory"),
    ],
)
def test_what_a_profile_may_say_already_but_no_run_does(path: str, value: Any, feature: str) -> None:
    document = changed(path, value)
    assert not_available_in(profile(document)) == (feature,)
    error = refused(document)
    assert error.features == (feature,)
    assert (error.status, error.code) == (409, "not-available-yet")
    assert feature in str(error)


@pytest.mark.parametrize(
    ("request_", "feature"),
    [
        ({"settleSeconds": 60}, "settleSeconds"),
        ({"incidentStart": "2026-11-22T03:00:00Z"}, "incidentStart"),
        ({"scope": {"deliveryGroups": ["g"]}}, "scope.deliveryGroups"),
        ({"scope": {"hostingConnections": ["h"]}}, "scope.hostingConnections"),
        ({"scope": {"prismCategory": {"key": "k", "value": "v"}}}, "scope.prismCategory"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_a_request_may_say_already_but_no_run_does(request_: dict[str, Any], feature: str) -> None:
    assert refused(SMALLEST, request_).features == (feature,)


def test_mode_auto_is_refused_with_what_to_ask_for_instead() -> None:
    assert refused(SMALLEST, {}, Mode.AUTO).features == ("mode: auto (ask for mode review or report)",)


def test_everything_is_told_at_once() -> None:
    error = refused(ON_PREMISES, {"settleSeconds": 5}, Mode.AUTO)
    assert error.features == (
        "site.kind: cvad",
        "clusters (hq).api: central",
        "clusters (hq).relay",
        "scope.deliveryGroups",
        "scope.hostingConnections",
        "scope.prismCategory",
        "mode: auto (ask for mode review or report)",
        "settleSeconds",
    )
    assert "Profile hq cannot run in this version" in str(error)


def test_a_profile_that_is_written_ahead_still_validates() -> None:
    assert not_available_in(profile(USUAL)) == ("clusters (amsterdam).api: central-v4",)
