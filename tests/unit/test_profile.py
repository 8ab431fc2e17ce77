from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from openapi_schema_validator import OAS31Validator

from shared.model.finding import Confidence
from shared.model.run import Mode
from shared.profile.endpoints import Cluster, CvadSite, DaasSite
from shared.profile.policy import Policy
from shared.profile.profile import Profile, json_schema
from shared.profile_files import parse_profile
from tests.unit.profiles import ON_PREMISES, SMALLEST, USUAL, changed

SCHEMA = Path(__file__).parents[2] / "docs" / "profile.schema.json"


def parse(document: dict[str, Any]) -> Profile:
    file = parse_profile(json.dumps(document), file="p.json")
    assert file.errors == ()
    assert file.profile is not None
    return file.profile


@pytest.mark.parametrize("document", [SMALLEST, USUAL, ON_PREMISES], ids=["smallest", "usual", "on-premises"])
def test_a_good_profile_says_what_its_file_says(document: dict[str, Any]) -> None:
    written = parse(document).model_dump(mode="json", by_alias=True, exclude_unset=True)
    expected = json.loads(json.dumps(document))
    if expected["site"]["kind"] == "cvad":
        expected["site"]["hosts"][0] = {"host": "ddc1.corp.example"}
    assert written == expected


def test_what_is_left_out_has_the_documented_defaults() -> None:
    profile = parse(SMALLEST)
    assert profile.policy.model_dump(mode="json", by_alias=True) == {
        "mode": "review",
        "maxChanges": 200,
        "maxChangePercent": 25,
        "autoConfidence": "strong",
        "planMaxAgeHours": 24,
        "dr": {"mode": None, "maxChanges": None, "maxChangePercent": None},
        "holdHours": 24,
        "fourEyes": False,
        "resetHostingConnection": True,
        "resetAgainAfterSeconds": 30,
        "switchCatalogZone": False,
        "bypassHypervisorTypeCheck": False,
    }
    assert profile.schedule is False
    assert profile.scope.model_dump(exclude_none=True) == {"exclude": ()}
    assert profile.clusters[0].port == 9440
    assert profile.clusters[0].url == "https://prism-par.corp.example:9440"


@pytest.mark.parametrize("region", ["us", "eu", "ap-s", "jp"])
def test_regions(region: str) -> None:
    site = parse(changed("site.region", region)).site
    assert isinstance(site, DaasSite)
    assert site.region == region


@pytest.mark.parametrize("api", ["element-v2", "central-v3", "central-v4", "central"])
def test_apis(api: str) -> None:
    assert parse(changed("clusters.0.api", api)).clusters[0].api == api


def test_a_delivery_controller_may_be_a_name_alone() -> None:
    site = parse(ON_PREMISES).site
    assert isinstance(site, CvadSite)
    assert [(host.host, host.port) for host in site.hosts] == [("ddc1.corp.example", None), ("ddc2.corp.example", 8443)]


LIMITS = [
    ("policy.maxChanges", 0, 1_000_000),
    ("policy.maxChangePercent", 0, 100),
    ("policy.dr.maxChanges", 0, 1_000_000),
    ("policy.dr.maxChangePercent", 0, 100),
    ("policy.planMaxAgeHours", 1, 720),
    ("policy.holdHours", 0, 720),
    ("policy.resetAgainAfterSeconds", 0, 3_600),
    ("clusters.0.port", 1, 65_535),
]


@pytest.mark.parametrize(("path", "least", "most"), LIMITS, ids=[path for path, _, _ in LIMITS])
def test_numbers_have_limits_that_are_inside(path: str, least: int, most: int) -> None:
    parse(changed(path, least))
    parse(changed(path, most))
    for beyond in (least - 1, most + 1):
        file = parse_profile(json.dumps(changed(path, beyond)), file="p.json")
        assert file.profile is None
        assert str(least if beyond < least else most) in file.errors[0]


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://prism.example", "https://prism.example"),
        ("https://prism.example/", "https://prism.example"),
        ("https://PRISM.example:9440", "https://prism.example:9440"),
        ("https://10.0.0.1:9440", "https://10.0.0.1:9440"),
    ],
)
def test_a_base_url_is_an_origin_and_replaces_host_and_port(url: str, origin: str) -> None:
    assert parse(changed("clusters.0.baseUrl", url)).clusters[0].url == origin


def test_names_lose_the_spaces_around_them() -> None:
    profile = parse(changed("clusters.0.hostingConnection", "  Nutanix AHV Paris "))
    assert profile.clusters[0].hosting_connection == "Nutanix AHV Paris"


def test_a_cluster_is_found_ignoring_case() -> None:
    profile = parse(USUAL)
    assert profile.cluster("AMSTERDAM") is profile.clusters[1]
    assert profile.cluster("berlin") is None


def test_a_dr_run_takes_the_dr_policy() -> None:
    policy = parse(USUAL).policy
    assert (policy.mode_for(dr=False), policy.mode_for(dr=True)) == (Mode.REVIEW, Mode.AUTO)
    assert (policy.max_changes_for(dr=False), policy.max_changes_for(dr=True)) == (200, 6000)
    assert (policy.max_change_percent_for(dr=False), policy.max_change_percent_for(dr=True)) == (25, 100)


def test_what_the_dr_policy_leaves_out_is_as_in_the_policy() -> None:
    policy = Policy(mode="report", max_changes=7, max_change_percent=8)
    assert policy.mode_for(dr=True) is Mode.REPORT
    assert policy.max_changes_for(dr=True) == 7
    assert policy.max_change_percent_for(dr=True) == 8


def test_a_dr_limit_of_nothing_is_a_limit() -> None:
    policy = parse(changed("policy.dr.maxChanges", 0)).policy
    assert policy.max_changes_for(dr=True) == 0


@pytest.mark.parametrize("name", ["proven", "strong", "weak"])
def test_the_least_confidence_of_mode_auto(name: str) -> None:
    assert parse(changed("policy.autoConfidence", name)).policy.least_confidence is Confidence(name)


def test_a_profile_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        parse(SMALLEST).clusters[0].__setattr__("port", 1)


def test_the_schema_in_the_docs_is_the_models() -> None:
    assert SCHEMA.read_text(encoding="utf-8") == json_schema(), (
        "Write shared.profile.json_schema() to docs/profile.schema.json again."
    )


def schema_faults(document: object) -> list[str]:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    return [error.message for error in OAS31Validator(schema).iter_errors(document)]


@pytest.mark.parametrize("document", [SMALLEST, USUAL, ON_PREMISES], ids=["smallest", "usual", "on-premises"])
def test_the_schema_accepts_a_good_profile(document: dict[str, Any]) -> None:
    assert schema_faults(document) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("policy.maxChange", 5),
        ("policy.mode", "loud"),
        ("clusters", []),
        ("clusters.0.port", "9440"),
        ("site.kind", "cloud"),
        ("name", "EMEA"),
        ("name", ...),
        ("site.customerId", ...),
        ("scope.machines", "W11-1"),
    ],
)
def test_the_schema_shows_an_editor_what_is_wrong(path: str, value: Any) -> None:
    assert schema_faults(changed(path, value))


def test_the_schema_describes_every_field() -> None:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    parts = {"Profile": schema, **schema["$defs"]}
    bare = [
        f"{part}.{name}" for part, s in parts.items() for name, f in s["properties"].items() if not f.get("description")
    ]
    assert bare == []
    assert set(parts) == {
        "Profile",
        "DaasSite",
        "CvadSite",
        "DeliveryController",
        "RelayRoute",
        "Cluster",
        "Scope",
        "Webhook",
        "PrismCategory",
        "Policy",
        "DrPolicy",
    }


def test_a_model_can_be_made_by_its_python_names_too() -> None:
    cluster = Cluster(name="p", api="central-v3", credential="c", hosting_connection="N", host="h")
    assert cluster.url == "https://h:9440"
