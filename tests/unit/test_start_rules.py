"""What a request to start a run may not say, whatever the profile: refused before anything is stored."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from shared.errors import InvalidRequest, NotAllowed, RealignError
from shared.runs.access import Caller, Role
from shared.runs.request import RunRequest, parse_request
from shared.runs.resources import Resources
from shared.runs.start import start_run
from tests.unit.profiles import USUAL, changed

NOW = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
OLIVE = Caller("olive", Role.OPERATOR)
# Nothing listens there: a request that got as far as storage would fail otherwise than these tests expect.
ACCOUNT = (
    "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey=AAAA;TableEndpoint=http://127.0.0.1:9/t;"
)
# An operator may not raise the limits: that is looked at behind all the rules of this file, and before any write.
TOO_MUCH = {"limits": {"maxChanges": 1_000_000}}


@pytest.fixture
def resources(tmp_path: Path) -> Resources:
    (tmp_path / "emea-vdi.json").write_text(json.dumps(USUAL))
    element_only = changed("clusters", [USUAL["clusters"][0]], {**USUAL, "name": "element-only"})
    (tmp_path / "element-only.json").write_text(json.dumps(element_only))
    environ = {
        "AzureWebJobsStorage": ACCOUNT + "QueueEndpoint=http://127.0.0.1:9/q;BlobEndpoint=http://127.0.0.1:9/b;",
        "KEY_VAULT_URL": "https://vault.example",
        "REALIGN_PROFILES": str(tmp_path),
        "REALIGN_SCHEDULE": "0 0 * * * *",
        "IDENTITY_ENDPOINT": "http://127.0.0.1:9/token",
        "IDENTITY_HEADER": "header",
    }
    return Resources(environ, now=lambda: NOW)


def refused(resources: Resources, body: dict[str, Any], profile: str = "emea-vdi") -> RealignError:
    request = parse_request(json.dumps(body).encode(), RunRequest)
    with pytest.raises(RealignError) as caught:
        start_run(resources, profile, request, OLIVE, trigger="http")
    return caught.value


AHEAD = (NOW + timedelta(minutes=5, seconds=1)).isoformat()
BAD = [
    pytest.param({"settleSeconds": 60}, "settleSeconds", "only a DR run settles", id="settling-without-a-target"),
    pytest.param(
        {"incidentStart": AHEAD}, "incidentStart", "has not come yet; it is 2026-11-22T03:00:00Z",
        id="an-incident-to-come",
    ),
    pytest.param(
        {"incidentStart": "2026-11-22T04:30:00+01:00", "target": "paris"}, "incidentStart", "has not come yet",
        id="an-incident-to-come-in-another-zone",
    ),
    pytest.param({"target": "rome"}, "target", "There are: paris, amsterdam", id="a-cluster-that-is-not-there"),
    pytest.param({"target": "paris/PAR-CL01"}, "target", "one cluster of a Prism Central", id="a-part-of-an-element"),
    pytest.param({"target": "amsterdam/"}, "target", "write 'amsterdam'", id="a-part-without-a-name"),
    pytest.param({"machinesCsv": "Host\nW11-1\n"}, "machinesCsv", "no CSV with a column Name", id="no-names"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "field", "says"), BAD)
def test_what_no_run_may_ask_is_refused_by_field(
    resources: Resources, body: dict[str, Any], field: str, says: str
) -> None:
    error = refused(resources, {**body, **TOO_MUCH})
    assert isinstance(error, InvalidRequest)
    assert error.field == field
    assert str(error).startswith(f"{field}: ")
    assert says in str(error)


GOOD = [
    pytest.param({"settleSeconds": 0}, id="settling-for-no-time-without-a-target"),
    pytest.param({"settleSeconds": 1_800, "target": "paris"}, id="settling-with-a-target"),
    pytest.param({"target": "AMSTERDAM/ams-cl01"}, id="a-part-of-a-central-in-another-case"),
    pytest.param({"incidentStart": NOW.isoformat()}, id="an-incident-that-begins-now"),
    pytest.param(
        {"incidentStart": (NOW + timedelta(minutes=5)).isoformat()}, id="an-incident-by-a-clock-that-is-ahead"
    ),
    pytest.param({"incidentStart": "2026-11-22T03:30:00+01:00"}, id="an-incident-that-began-in-another-zone"),
    pytest.param({"incidentStart": "2026-11-01T00:00:00Z"}, id="a-run-without-a-target-may-name-the-incident"),
]


@pytest.mark.parametrize("body", GOOD)
def test_what_a_run_may_ask_passes_these_rules(resources: Resources, body: dict[str, Any]) -> None:
    assert isinstance(refused(resources, {**body, **TOO_MUCH}), NotAllowed)


@pytest.mark.parametrize("api", ["central-v3", "central-v4", "central"])
def test_every_central_has_registered_clusters_to_name(resources: Resources, tmp_path: Path, api: str) -> None:
    document = changed("clusters.1.api", api, {**USUAL, "name": api})
    (tmp_path / f"{api}.json").write_text(json.dumps(document))
    assert isinstance(refused(resources, {"target": "amsterdam/AMS-CL01", **TOO_MUCH}, api), NotAllowed)
