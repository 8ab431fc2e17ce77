"""A site on premises through the host: its controllers, its account, and a DaaS site beside it in one app."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from sandbox.certificates import CertificateAuthority
from sandbox.large_world import large_world
from tests.e2e.client import Json
from tests.e2e.conftest import App, Serve
from tests.e2e.estates import of, profile
from tests.e2e.test_scenarios import concluded, right

SCENARIO = "cvad-activation"
MACHINES = 1_200
TARGET = {"target": "amsterdam", "mode": "review"}


@pytest.fixture(scope="module")
def whole(serve: Serve) -> Iterator[App]:
    with serve(SCENARIO) as running:
        yield running


@pytest.fixture(scope="module")
def large(serve: Serve) -> Iterator[App]:
    scenario = large_world(MACHINES)
    scenario.world.site.kind, scenario.world.site.password = "cvad", "large-marker"
    with serve(scenario) as running:
        yield running


@pytest.fixture
def app(whole: App) -> Iterator[App]:
    """The first controller is down, as in the scenario, unless a test mends it."""
    whole.sandbox.calls.clear()
    yield whole
    for name in ("relay-down", "token-expiry"):
        whole.sandbox.faults.clear(name)
    whole.sandbox.controller_relays["ddc01"].cut()


def site(app: App, **changes: Any) -> Json:
    return {**app.document()["site"], **changes}


def cloud_site(app: App) -> Json:
    """The same estate as that of a DaaS customer."""
    customer = app.sandbox.world.site
    secret = {"clientId": customer.client_id, "clientSecret": customer.client_secret}
    app.sandbox.vault.put("citrix-cloud", json.dumps(secret))
    place = {"kind": "daas", "baseUrl": app.sandbox.citrix_url, "customerId": customer.customer_id}
    return {**place, "credential": "citrix-cloud"}


def sign_ins(app: App) -> dict[str, int]:
    return {name: app.sandbox.calls.count(f"cvad/{name}", "POST", "/Tokens") for name in ("ddc01", "ddc02")}


def check_findings(app: App, run: Json) -> None:
    assert (run["status"], run["error"]) == ("awaiting-review", None)
    found = {machine: concluded(finding) for machine, finding in app.api.findings(run["id"]).items()}
    assert found == {machine: right(expected) for machine, expected in app.sandbox.expected.items()}


def site_check(app: App, name: str) -> Json:
    answer = app.api.get("/api/health/ready")
    assert answer.status_code == 200, "a site that is down does not make Realign unready"
    check: Json = next(c for c in answer.json()["checks"] if c["name"] == f"{name}/site")
    return check


def test_a_run_and_the_health_check_use_the_controller_that_is_left(app: App) -> None:
    check_findings(app, app.api.run(app.name, TARGET))
    assert sign_ins(app) == {"ddc01": 0, "ddc02": 1}
    assert site_check(app, app.name).items() >= {"kind": "site", "state": "ready", "remedy": None}.items()


def test_the_first_controller_is_used_again_as_soon_as_it_is_back(app: App) -> None:
    app.sandbox.controller_relays["ddc01"].restore()
    check_findings(app, app.api.run(app.name, TARGET))
    assert sign_ins(app) == {"ddc01": 1, "ddc02": 0}


def test_one_token_serves_many_runs_and_is_renewed_in_the_middle_of_one_when_it_expires(app: App) -> None:
    check_findings(app, app.api.run(app.name, TARGET))
    app.sandbox.calls.clear()
    check_findings(app, app.api.run(app.name, TARGET))
    assert sign_ins(app) == {"ddc01": 0, "ddc02": 0}
    app.sandbox.faults.set("token-expiry", 1)
    check_findings(app, app.api.run(app.name, TARGET))
    assert sign_ins(app) == {"ddc01": 0, "ddc02": 1}


def test_when_no_controller_can_be_reached_the_health_check_names_each_with_its_remedy(app: App) -> None:
    app.sandbox.faults.set("relay-down")
    check = site_check(app, app.name)
    assert check["state"] == "failed"
    assert "None of the 2 Delivery Controllers" in check["remedy"]
    for url in app.sandbox.cvad_urls.values():
        assert f"Citrix CVAD {url.removeprefix('https://')} could not be reached" in check["remedy"]
    assert check["remedy"].count("Check that the controller is up") == 2


def test_a_refused_password_is_tried_once_for_the_whole_site_and_then_left_alone(app: App) -> None:
    app.sandbox.controller_relays["ddc01"].restore()
    account = {"username": app.sandbox.world.site.username, "password": "refused-marker"}
    app.sandbox.vault.put("cvad-refused", json.dumps(account))
    with profile(app, "refused", site=site(app, credential="cvad-refused")) as name:
        first, second = app.api.run(name, TARGET), app.api.run(name, TARGET)
        assert sum(sign_ins(app).values()) == 1, "Windows locks accounts, whichever controller is asked"
        check = site_check(app, name)
        app.sandbox.vault.put("cvad-refused", json.dumps({**account, "password": app.sandbox.world.site.password}))
        third = app.api.run(name, TARGET)
    assert (first["status"], second["status"]) == ("failed", "failed")
    for part in ("Citrix CVAD", "refused user name or password of secret cvad-refused"):
        assert part in first["error"]
    for told in (second["error"], check["remedy"]):
        assert "a short time ago" in told
        assert "a new version of the secret is tried at once" in told
    assert "refused-marker" not in json.dumps([first, second, check])
    check_findings(app, third)


def test_a_controller_of_another_authority_is_refused_before_anything_is_sent(app: App) -> None:
    with CertificateAuthority("Somebody else") as other:
        app.sandbox.vault.put("other-ca", other.ca_pem)
    with profile(app, "mistrusting", site=site(app, ca="other-ca")) as name:
        run = app.api.run(name, TARGET)
    assert run["status"] == "failed"
    for part in ("showed a certificate that is not trusted", "the secret that site.ca names"):
        assert part in run["error"]
    assert sign_ins(app) == {"ddc01": 0, "ddc02": 0}


@pytest.mark.parametrize(
    ("text", "says"),
    [('{"user": "x", "pass": "marker"}', '"username"'), ("marker", '"username"'), (None, "Create it")],
    ids=["other-words", "no-json", "missing"],
)
def test_a_secret_that_is_no_account_fails_the_run_and_says_what_form_is_expected(
    app: App, text: str | None, says: str
) -> None:
    secret = "cvad-missing" if text is None else "cvad-malformed"
    if text is not None:
        app.sandbox.vault.put(secret, text)
    with profile(app, "malformed", site=site(app, credential=secret)) as name:
        run = app.api.run(name, TARGET)
    assert run["status"] == "failed"
    assert secret in run["error"]
    assert says in run["error"]
    assert "marker" not in json.dumps(run)
    assert sign_ins(app) == {"ddc01": 0, "ddc02": 0}


def test_domain_and_host_names_choose_machines_as_the_site_writes_them(app: App) -> None:
    scope = {"machines": ["corp\\w11-001", "W11-002", "w11-003.corp.example", "OTHER\\W11-004"]}
    run = app.api.run(app.name, {**TARGET, "scope": scope})
    found = {finding["machine"]["name"] for finding in app.api.findings(run["id"]).values()}
    assert found == {"CORP\\W11-001", "CORP\\W11-002", "CORP\\W11-003"}
    assert app.api.of(run["id"])["unmatched"] == {"machines": ["OTHER\\W11-004"]}


def test_a_daas_customer_and_a_site_on_premises_stand_side_by_side(app: App) -> None:
    with profile(app, "cloud", site=cloud_site(app)) as name:
        shown = {each["name"]: each["profile"]["site"]["kind"] for each in app.api.get("/api/profiles").json()["items"]}
        ids = [app.api.start(each, TARGET).json()["id"] for each in (name, app.name)]
        runs = [app.api.until_rest(run_id) for run_id in ids]
    assert shown == {app.name: "cvad", "cloud": "daas"}
    for run in runs:
        check_findings(app, run)
        assert of(run, "paris")["status"] == "unreachable"
    for system in ("citrix", "cvad/ddc02"):
        assert app.sandbox.calls.count(system, "GET", "/Machines") > 0


@pytest.mark.parametrize("kind", ["daas", "cvad"])
def test_more_machines_than_a_page_holds_are_read_whole(large: App, kind: str) -> None:
    calls = large.sandbox.calls
    calls.clear()
    chosen = {} if kind == "cvad" else {"site": cloud_site(large)}
    with profile(large, f"large-{kind}", **chosen) as name:
        run = large.api.run(name)
    assert calls.count("citrix" if kind == "daas" else "cvad/ddc01", "GET", "/Machines") == 2
    check_findings(large, run)
    assert len(large.sandbox.expected) == MACHINES


def test_neither_account_nor_password_is_in_any_answer_or_in_the_hosts_log(app: App) -> None:
    app.api.run(app.name, TARGET)
    said = app.host.full_log() + "".join(app.api.answers)
    for secret in (app.sandbox.world.site.password, "refused-marker"):
        assert secret not in said
