"""What a person reads about a broken profile: file, field and remedy, and never the value."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shared.profile_files import parse_profile
from shared.validation import field_of
from tests.unit.profiles import ON_PREMISES, SMALLEST, USUAL, changed

MARK = "s3cr3t-marker"


def errors_of(document: dict[str, Any]) -> tuple[str, ...]:
    return parse_profile(json.dumps(document), file="p.json").errors


CASES = [
    pytest.param("name", "EMEA", "name: may hold lower-case letters, digits and '-' (63 at most)", id="name"),
    pytest.param("name", ..., "name: is missing. Add it.", id="name-missing"),
    pytest.param("sight", {}, "sight: is not a known field. Remove it, or did you mean site?", id="misspelt-section"),
    pytest.param("zzz", 1, "zzz: is not a known field. Remove it.", id="unknown-field"),
    pytest.param("daas", 1, "daas: is not a known field.", id="unknown-field-with-the-name-of-a-kind"),
    pytest.param("site.daas", 1, "site.daas: is not a known field.", id="the-same-inside-the-site"),
    pytest.param("site", ..., "site: is missing. Add it.", id="site-missing"),
    pytest.param("site", "x", "site: is not an object. Write it in { }.", id="site-is-text"),
    pytest.param("site.kind", ..., "site: needs 'kind': daas or cvad.", id="kind-missing"),
    pytest.param("site.kind", "cloud", "site: has an unknown 'kind'. Use daas or cvad.", id="kind-unknown"),
    pytest.param("site.region", ..., "site: needs 'region' (us, eu, ap-s or jp), or 'baseUrl'", id="no-region"),
    pytest.param("site.region", "EU", "site.region: is not one of 'us', 'eu', 'ap-s' or 'jp'.", id="region"),
    pytest.param("site.customerId", "a b", "site.customerId: is not a Citrix customer id", id="customer"),
    pytest.param("site.customer_id_", "x", "site.customer_id_: is not a known field", id="snake-case"),
    pytest.param("site.credential", "a_b", "site.credential: is not a Key Vault secret name", id="secret-name"),
    pytest.param("site.credential", {"clientId": "x"}, "site.credential: is not a text.", id="the-secret-itself"),
    pytest.param("site.hosts", ["a"], "site.hosts: is not a known field.", id="a-field-of-the-other-kind"),
    pytest.param("clusters", ..., "clusters: is missing. Add it.", id="clusters-missing"),
    pytest.param("clusters", [], "clusters: is empty. Give at least one.", id="no-cluster"),
    pytest.param("clusters", {}, "clusters: is not a list. Write it in [ ].", id="clusters-are-an-object"),
    pytest.param("clusters.0", "paris", "clusters[0]: is not an object. Write it in { }.", id="cluster-is-text"),
    pytest.param("clusters.0.api", "element", "clusters[0].api: is not one of 'element-v2'", id="api"),
    pytest.param("clusters.0.name", "a/b", "clusters[0].name: may hold up to 100 characters, and no '/'", id="slash"),
    pytest.param("clusters.0.name", "  ", "clusters[0].name: may hold up to 100 characters", id="blank-cluster-name"),
    pytest.param("clusters.0.host", ..., "clusters[0]: needs 'host', the name in Prism's certificate.", id="no-host"),
    pytest.param("clusters.0.host", "https://p", "clusters[0].host: is not a host name; write it without", id="host"),
    pytest.param("clusters.0.port", "9440", "clusters[0].port: is not a whole number. Write one, without", id="port"),
    pytest.param("clusters.0.port", 9440.0, "clusters[0].port: is not a whole number.", id="port-with-a-point"),
    pytest.param("clusters.0.ca", "corp root", "clusters[0].ca: is not a Key Vault secret name", id="ca"),
    pytest.param("clusters.0.hostingConnection", " ", "clusters[0].hostingConnection: is empty.", id="connection"),
    pytest.param("clusters.0.hostingConnection", ..., "clusters[0].hostingConnection: is missing.", id="no-connection"),
    pytest.param("clusters.0.prismClusters", ["A"], "clusters[0]: 'prismClusters' narrows a Prism Central", id="pc"),
    pytest.param(
        "clusters.0.relay", {"path": "p", "listener": "hcm"}, "clusters[0].relay.namespace: is missing.", id="relay"
    ),
    pytest.param(
        "clusters.0.relay",
        {"namespace": "n", "path": "p", "listener": "x"},
        "clusters[0].relay.listener: is not one of 'hcm'",
        id="listener",
    ),
    pytest.param("scope.machines", "W11-1", "scope.machines: is not a list. Write it in [ ].", id="machines"),
    pytest.param("scope.machines", [], "scope.machines: is empty. Give at least one.", id="no-machines"),
    pytest.param("scope.machines", ["a", ""], "scope.machines[1]: is empty. Write a text.", id="blank-machine"),
    pytest.param(
        "scope.machine",
        ["a"],
        "scope.machine: is not a known field. Remove it, or did you mean machines?",
        id="scope-key",
    ),
    pytest.param("scope.prismCategory", "k:v", "scope.prismCategory: is not an object.", id="category"),
    pytest.param("scope.prismCategory", {"key": "k"}, "scope.prismCategory.value: is missing.", id="category-value"),
    pytest.param("policy.mode", "automatic", "policy.mode: is not one of 'report', 'review' or 'auto'.", id="mode"),
    pytest.param("policy.maxChanges", -1, "policy.maxChanges: Input should be greater than or equal to 0.", id="less"),
    pytest.param("policy.fourEyes", "yes", "policy.fourEyes: is not true or false. Write one of the two.", id="bool"),
    pytest.param("policy.fourEyes", 1, "policy.fourEyes: is not true or false.", id="one-is-not-true"),
    pytest.param("policy.dr.holdHours", 1, "policy.dr.holdHours: is not a known field.", id="dr-field"),
    pytest.param("policy.autoConfidence", "chosen", "policy.autoConfidence: is not one of 'proven'", id="confidence"),
    pytest.param("schedule", "daily", "schedule: is not true or false.", id="schedule"),
]


@pytest.mark.parametrize(("path", "value", "says"), CASES)
def test_an_error_names_file_field_and_remedy(path: str, value: Any, says: str) -> None:
    (error,) = errors_of(changed(path, value))
    assert error.startswith(f"p.json: {says}")
    assert error.endswith((".", "?"))


def test_every_fault_is_told_at_once() -> None:
    document = changed("policy.mode", "x", changed("name", "X", changed("clusters.0.api", "y")))
    assert [error.split(": ")[1] for error in errors_of(document)] == ["name", "clusters[0].api", "policy.mode"]


def test_a_list_is_not_called_too_short_for_the_faults_of_its_items() -> None:
    assert errors_of(changed("clusters.0.api", "y")) == (
        "p.json: clusters[0].api: is not one of 'element-v2', 'central-v3', 'central-v4' or 'central'. "
        "Use one of them.",
    )


def test_two_clusters_of_one_name() -> None:
    twice = changed("clusters.1.name", "PARIS", USUAL)
    assert errors_of(twice) == ("p.json: clusters: entries [0] and [1] have the same name; give each its own.",)


def test_a_protection_domain_needs_an_element() -> None:
    document = changed("scope.protectionDomain", "PD", changed("clusters.0.api", "central-v3"))
    (error,) = errors_of(document)
    assert error.startswith("p.json: scope.protectionDomain: no cluster has api 'element-v2'")


def test_the_hosts_of_an_on_premises_site() -> None:
    assert errors_of(changed("site.hosts", [], ON_PREMISES)) == ("p.json: site.hosts: is empty. Give at least one.",)
    (error,) = errors_of(changed("site.hosts.0", "https://ddc1", ON_PREMISES))
    assert error.startswith("p.json: site.hosts[0].host: is not a host name")
    (error,) = errors_of(changed("site.region", "eu", ON_PREMISES))
    assert error.startswith("p.json: site.region: is not a known field.")


@pytest.mark.parametrize(
    "url",
    [
        "http://prism.example",
        "https://",
        "prism.example:9440",
        "https://prism.example/api",
        "https://prism.example?x=1",
        "https://prism.example#x",
        "https://prism.example:99999",
        "https://prism.example:0",
        "https://prism.example:port",
        "https://ann:pass@prism.example",
        "https://ann@prism.example",
        "https://pri sm.example",
        "https://[prism",
        "https://[prism]",
        "https://prism\u2100.example",
        "",
    ],
)
def test_a_base_url_is_an_origin_and_nothing_else(url: str) -> None:
    expected = "write it as https://host or https://host:port, without a path."
    assert errors_of(changed("clusters.0.baseUrl", url)) == (f"p.json: clusters[0].baseUrl: {expected}",)
    assert errors_of(changed("site.baseUrl", url)) == (f"p.json: site.baseUrl: {expected}",)


def _places(document: Any, way: str = "") -> list[str]:
    items = document.items() if isinstance(document, dict) else enumerate(document)
    found = []
    for key, value in items:
        path = f"{way}{key}"
        found.append(path)
        if isinstance(value, (dict, list)):
            found += _places(value, f"{path}.")
    return found


@pytest.mark.parametrize("document", [SMALLEST, USUAL, ON_PREMISES], ids=["smallest", "usual", "on-premises"])
@pytest.mark.parametrize(
    "pasted",
    [
        pytest.param(f"https://user:{MARK} pass@host", id="text"),
        pytest.param(f"https://[{MARK}", id="half-a-url"),
        pytest.param([f"{MARK} \u2100"], id="list"),
        pytest.param({"clientId": "x", "clientSecret": MARK}, id="object"),
        pytest.param({"kind": f"{MARK}!"}, id="object-with-a-kind"),
        pytest.param(f"{MARK} " * 2000, id="long-text"),
    ],
)
def test_a_value_pasted_into_the_wrong_place_is_never_shown(document: dict[str, Any], pasted: Any) -> None:
    for path in _places(document):
        assert MARK not in " ".join(errors_of(changed(path, pasted, document))), path


@pytest.mark.parametrize(
    ("location", "field"),
    [
        ((), ""),
        (("name",), "name"),
        (("clusters", 1, "api"), "clusters[1].api"),
        (("site", "daas", "customerId"), "site.customerId"),
        (("site", "cvad", "hosts", 0, "host"), "site.hosts[0].host"),
        (("site", "daas", "daas"), "site.daas"),
        (("cvad",), "cvad"),
    ],
)
def test_a_place_as_people_write_it(location: tuple[int | str, ...], field: str) -> None:
    assert field_of(location) == field
