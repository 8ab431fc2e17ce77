"""What goes wrong outside: the run ends in a recorded state, and its sentence says which system and what to do.

Each test has a profile of its own, and secrets of its own where it spoils one, so that a credential which is refused
in one test is not held off in the next.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from sandbox.certificates import CertificateAuthority
from tests.e2e.client import Json
from tests.e2e.conftest import App, Serve

FAULTS = ("citrix-429", "citrix-502", "citrix-drop", "prism-500", "prism-truncated", "prism-short", "prism-slow")
LASTING = ("relay-down", "token-expiry", "vault-denied")


@pytest.fixture(scope="module")
def patient_run(serve: Serve) -> Iterator[tuple[App, str]]:
    """A run against a Citrix that goes on failing, beside everything else: Realign is patient with it for a minute."""
    with serve("planned-migration", faults={"citrix-502": 100_000}) as app:
        yield app, app.api.start(app.name).json()["id"]


@pytest.fixture(scope="module")
def whole(serve: Serve, patient_run: tuple[App, str]) -> Iterator[App]:
    with serve("planned-migration") as app:
        yield app


@pytest.fixture
def app(whole: App) -> Iterator[App]:
    yield whole
    for name in (*FAULTS, *LASTING):
        whole.sandbox.faults.clear(name)


def cluster(app: App, name: str, **changes: Any) -> list[Json]:
    """The clusters of the scenario's profile, one of them changed."""
    return [{**entry, **changes} if entry["name"] == name else entry for entry in app.document()["clusters"]]


def site(app: App, **changes: Any) -> Json:
    return {**app.document()["site"], **changes}


def of(run: Json, name: str) -> Json:
    found: Json = next(entry for entry in run["clusters"] if entry["name"] == name)
    return found


def citrix_host(app: App) -> str:
    return app.sandbox.citrix_url.removeprefix("https://")


def prism_host(app: App, name: str) -> str:
    return app.sandbox.prism_urls[name].removeprefix("https://")


def check_rest_is_kept(app: App, run: Json, *, dead: str) -> None:
    """Amsterdam's machines moved there with their own UUID, which is proof: they stand without Paris, and so on."""
    expected = app.sandbox.expected
    findings = app.api.findings(run["id"])
    assert findings.keys() == expected.keys()
    connections = {c["name"]: c["hostingConnection"] for c in app.document()["clusters"]}
    for machine, finding in findings.items():
        if finding["from"]["hostingConnection"] == connections[dead]:
            assert finding["finding"] == "unknown", finding
        elif dead == "paris":
            assert finding["finding"] == expected[machine].finding, finding


def test_a_wrong_prism_password_is_tried_once_and_then_left_alone(app: App) -> None:
    app.sandbox.vault.put("prism-wrong", json.dumps({"username": "svc-realign", "password": "not-the-password"}))
    profile = app.add_profile("wrong-password", clusters=cluster(app, "paris", credential="prism-wrong"))
    calls = app.sandbox.calls
    calls.clear()
    first = app.api.run(profile)
    assert of(first, "paris")["status"] == "refused"
    for part in (prism_host(app, "paris"), "prism-wrong", "Correct the secret", "20 minutes"):
        assert part in of(first, "paris")["error"]
    assert calls.count("prism/paris") == 1
    assert calls.count("prism/amsterdam") > 1
    check_rest_is_kept(app, first, dead="paris")

    second = app.api.run(profile)
    assert of(second, "paris")["status"] == "refused"
    assert "a short time ago" in of(second, "paris")["error"]
    assert calls.count("prism/paris") == 1, "a refused credential locks the account"

    another = app.add_profile("wrong-too", clusters=cluster(app, "paris", credential="prism-wrong"))
    assert of(app.api.run(another), "paris")["status"] == "refused"
    assert calls.count("prism/paris") == 1, "the memory is the credential's, not the profile's"

    password = app.sandbox.world.prisms["paris"].password
    app.sandbox.vault.put("prism-wrong", json.dumps({"username": "svc-realign", "password": password}))
    third = app.api.run(profile)
    assert of(third, "paris")["status"] == "answered", "a new version of the secret is tried at once"
    assert app.api.findings(third["id"]).keys() == app.sandbox.expected.keys()


def test_a_prism_certificate_of_another_ca_is_refused(app: App) -> None:
    with CertificateAuthority("Somebody else") as other:
        app.sandbox.vault.put("other-ca", other.ca_pem)
    profile = app.add_profile("other-ca", clusters=cluster(app, "paris", ca="other-ca"))
    run = app.api.run(profile)
    assert of(run, "paris")["status"] == "failed"
    for part in (prism_host(app, "paris"), "certificate that is not trusted", "the profile's ca"):
        assert part in of(run, "paris")["error"]
    check_rest_is_kept(app, run, dead="paris")


def test_a_prism_certificate_is_not_trusted_through_the_public_bundle(app: App) -> None:
    entries = [{k: v for k, v in entry.items() if k != "ca"} for entry in app.document()["clusters"]]
    run = app.api.run(app.add_profile("no-ca", clusters=entries))
    assert all("not trusted" in entry["error"] for entry in run["clusters"])
    assert {finding["finding"] for finding in app.api.findings(run["id"]).values()} == {"unknown"}


def test_a_ca_that_is_no_certificate_says_so(app: App) -> None:
    app.sandbox.vault.put("bad-ca", "this is no PEM")
    run = app.api.run(app.add_profile("bad-ca", clusters=cluster(app, "paris", ca="bad-ca")))
    assert of(run, "paris")["status"] == "misconfigured", of(run, "paris")
    assert "bad-ca" in of(run, "paris")["error"]
    assert "this is no PEM" not in json.dumps(run)


@pytest.mark.parametrize("name", ["paris", "amsterdam"])
def test_a_relay_that_is_down_costs_only_its_cluster(app: App, name: str) -> None:
    app.sandbox.faults.set("relay-down", name)
    run = app.api.run(app.add_profile(f"relay-{name}"))
    assert of(run, name)["status"] == "unreachable"
    for part in (prism_host(app, name).partition(":")[0], "hybrid connection"):
        assert part in of(run, name)["error"]
    check_rest_is_kept(app, run, dead=name)


def test_a_prism_that_answers_500_costs_only_itself(app: App) -> None:
    app.sandbox.faults.set("prism-500", "paris")
    run = app.api.run(app.add_profile("prism-500"))
    assert of(run, "paris")["status"] == "failed"
    for part in (prism_host(app, "paris"), "HTTP 500", "look at the health"):
        assert part in of(run, "paris")["error"]
    check_rest_is_kept(app, run, dead="paris")


def test_a_list_that_broke_off_is_asked_for_again(app: App) -> None:
    app.sandbox.faults.set("prism-truncated", "paris:1")
    run = app.api.run(app.add_profile("truncated-once"))
    assert [entry["status"] for entry in run["clusters"]] == ["answered", "answered"]
    assert run["counts"]["findings"] == {"aligned": 4, "remap": 23}


def test_a_list_that_always_breaks_off_fails_the_cluster(app: App) -> None:
    app.sandbox.faults.set("prism-truncated", "paris:1000")
    run = app.api.run(app.add_profile("truncated-always"))
    assert of(run, "paris")["status"] == "failed"
    for part in (prism_host(app, "paris"), "broke off", "Run again"):
        assert part in of(run, "paris")["error"]
    check_rest_is_kept(app, run, dead="paris")


def test_a_short_list_is_read_once_more(app: App) -> None:
    app.sandbox.faults.set("prism-short", "paris:1")
    run = app.api.run(app.add_profile("short-once"))
    assert of(run, "paris")["status"] == "answered"
    assert run["counts"]["findings"] == {"aligned": 4, "remap": 23}


def test_a_list_that_stays_short_proves_no_absence(app: App) -> None:
    machine = next(m for m in app.sandbox.world.site.machines.values() if m.name.endswith("APP-04"))
    vms = app.sandbox.world.prisms["paris"].clusters[0].vms
    own = vms.pop(str(machine.hosted_machine_id))
    vms[own.uuid] = own  # a short list leaves out its last
    app.sandbox.faults.set("prism-short", "paris:1000")
    run = app.api.run(app.add_profile("short-always"))
    assert (of(run, "paris")["status"], of(run, "amsterdam")["status"]) == ("incomplete", "answered")
    assert "twice" in of(run, "paris")["error"]
    assert "Run again" in of(run, "paris")["error"]
    findings = app.api.findings(run["id"])
    assert (findings[machine.id]["finding"], findings[machine.id]["reason"]) == ("unknown", "cluster-incomplete")
    assert run["counts"]["findings"] == {"aligned": 3, "unknown": 24}, "what it saw exists"


def test_remaps_that_rest_on_a_short_list_wait_for_a_person(app: App) -> None:
    app.sandbox.faults.set("prism-short", "amsterdam:1000")
    run = app.api.run(app.add_profile("short-there"))
    assert of(run, "amsterdam")["status"] == "incomplete"
    assert run["counts"]["findings"]["remap"] > 0
    assert run["status"] == "awaiting-review"
    assert "incomplete-read" in {guard["name"] for guard in run["guards"]}


def test_key_vault_denies_the_secret_of_the_site(app: App) -> None:
    app.sandbox.faults.set("vault-denied")
    run = app.api.run(app.add_profile("vault-denied"))
    assert run["status"] == "failed"
    host = app.sandbox.vault_url.removeprefix("https://")
    for part in (f"Key Vault {host}", "citrix-emea-vdi", "HTTP 403", "Key Vault Secrets User"):
        assert part in run["error"]
    assert run["endedAt"]
    assert run["steps"][-1]["status"] == "failed"
    assert "failed" in [event["action"] for event in app.api.all(f"/api/runs/{run['id']}/events")]


def test_a_secret_of_a_cluster_that_is_not_there_costs_only_the_cluster(app: App) -> None:
    run = app.api.run(app.add_profile("no-secret", clusters=cluster(app, "paris", credential="prism-nowhere")))
    assert of(run, "paris")["status"] in ("failed", "misconfigured")
    for part in ("Key Vault", "prism-nowhere", "HTTP 404", "Create it"):
        assert part in of(run, "paris")["error"]
    check_rest_is_kept(app, run, dead="paris")


def test_a_secret_of_the_site_that_is_not_there_fails_the_run(app: App) -> None:
    run = app.api.run(app.add_profile("no-site-secret", site=site(app, credential="citrix-nowhere")))
    assert run["status"] == "failed"
    for part in ("Key Vault", "citrix-nowhere", "HTTP 404", "Create it"):
        assert part in run["error"]
    assert app.api.findings(run["id"]) == {}


def test_a_malformed_secret_of_a_cluster_says_what_form_is_expected(app: App) -> None:
    app.sandbox.vault.put("prism-malformed", '{"user": "svc", "pass": "hunter2-marker"}')
    run = app.api.run(app.add_profile("malformed", clusters=cluster(app, "paris", credential="prism-malformed")))
    assert of(run, "paris")["status"] == "misconfigured"
    assert "prism-malformed" in of(run, "paris")["error"]
    assert '"username"' in of(run, "paris")["error"]
    assert "hunter2-marker" not in json.dumps(run)
    check_rest_is_kept(app, run, dead="paris")


def test_a_malformed_secret_of_the_site_fails_the_run(app: App) -> None:
    app.sandbox.vault.put("citrix-malformed", "hunter2-marker")
    run = app.api.run(app.add_profile("malformed-site", site=site(app, credential="citrix-malformed")))
    assert run["status"] == "failed"
    assert "citrix-malformed" in run["error"]
    assert '"clientId"' in run["error"]
    assert "hunter2-marker" not in json.dumps(run)


def test_a_secure_client_csv_pasted_as_it_is_signs_in(app: App) -> None:
    real = app.sandbox.world.site
    app.sandbox.vault.put("citrix-csv", f"ID,Secret\r\n{real.client_id},{real.client_secret}\r\n")
    run = app.api.run(app.add_profile("pasted", site=site(app, credential="citrix-csv")))
    assert run["status"] == "awaiting-review"


def test_a_refused_citrix_sign_in_is_tried_once_and_then_left_alone(app: App) -> None:
    text = json.dumps({"clientId": app.sandbox.world.site.client_id, "clientSecret": "not-the-secret"})
    app.sandbox.vault.put("citrix-wrong", text)
    profile = app.add_profile("wrong-client", site=site(app, credential="citrix-wrong"))
    calls = app.sandbox.calls
    calls.clear()
    first = app.api.run(profile)
    assert first["status"] == "failed"
    for part in (f"Citrix Cloud {citrix_host(app)}", "citrix-wrong", "refused", "Check the customer id"):
        assert part in first["error"]
    assert calls.count("citrix") == 1
    second = app.api.run(profile)
    assert second["status"] == "failed"
    assert "a short time ago" in second["error"]
    assert calls.count("citrix") == 1


def test_citrix_that_throttles_is_asked_again(app: App) -> None:
    app.sandbox.faults.set("citrix-429", 2)
    run = app.api.run(app.add_profile("throttled"))
    assert run["status"] == "awaiting-review"
    assert app.sandbox.faults.fired("citrix-429") >= 2


def test_citrix_that_fails_for_a_moment_is_asked_again(app: App) -> None:
    app.sandbox.faults.set("citrix-502", 2)
    run = app.api.run(app.add_profile("bad-gateway"))
    assert run["status"] == "awaiting-review"


def test_citrix_that_goes_on_failing_fails_the_run_with_its_transaction_id(patient_run: tuple[App, str]) -> None:
    app, run_id = patient_run
    run = app.api.until_rest(run_id, within=100)
    assert run["status"] == "failed"
    for part in (citrix_host(app), "HTTP 502", "(transaction ", "Citrix support"):
        assert part in run["error"]


def test_an_answer_of_citrix_that_is_lost_is_asked_for_again(app: App) -> None:
    app.sandbox.faults.set("citrix-drop", 2)
    assert app.api.run(app.add_profile("dropped"))["status"] == "awaiting-review"


def test_a_token_that_expires_is_renewed_in_the_middle_of_a_run(app: App) -> None:
    profile = app.add_profile("expired")
    assert app.api.run(profile)["status"] == "awaiting-review"
    app.sandbox.calls.clear()
    app.sandbox.faults.set("token-expiry", 1)
    assert app.api.run(profile)["status"] == "awaiting-review"
    assert app.sandbox.calls.count("citrix", "POST") == 1, "the token of the run before, renewed once"


def test_tokens_that_are_never_accepted_fail_the_run_and_leave_the_credential_its_good_name(app: App) -> None:
    app.sandbox.faults.set("token-expiry", 1_000)
    profile = app.add_profile("never-accepted")
    run = app.api.run(profile)
    assert run["status"] == "failed"
    for part in (citrix_host(app), "HTTP 401", "A new token was refused, too", "citrix-emea-vdi", "(transaction "):
        assert part in run["error"]
    app.sandbox.faults.clear("token-expiry")
    assert app.api.run(profile)["status"] == "awaiting-review"


def test_a_protection_domain_that_is_not_active_fails_the_run(app: App) -> None:
    profile = app.add_profile("passive", scope={"protectionDomain": "PD-VDI"})
    domains = app.sandbox.world.prisms["amsterdam"].clusters[0].domains
    domains["PD-VDI"].active = False
    try:
        run = app.api.run(profile)
    finally:
        domains["PD-VDI"].active = True
    assert run["status"] == "failed"
    for part in ("scope.protectionDomain", "'PD-VDI' is not active", "paris", "amsterdam", "Activate or migrate it"):
        assert part in run["error"]
    assert [entry["status"] for entry in run["clusters"]] == ["answered", "answered"]


def test_a_hosting_connection_that_does_not_exist_costs_only_its_cluster(app: App) -> None:
    run = app.api.run(app.add_profile("no-connection", clusters=cluster(app, "paris", hostingConnection="Nowhere")))
    assert of(run, "paris")["status"] == "misconfigured"
    for part in ("paris", "no hosting connection 'Nowhere'", "Nutanix AHV Paris", "Correct hostingConnection"):
        assert part in of(run, "paris")["error"]
    findings = app.api.findings(run["id"])
    assert findings.keys() == app.sandbox.expected.keys()
    assert not any(finding["finding"] == "missing" for finding in findings.values())


def test_a_hosting_connection_that_is_not_nutanix_gets_no_machine(app: App) -> None:
    connection = app.sandbox.world.site.connection("Nutanix AHV Amsterdam")
    assert connection is not None
    plugin, connection.plugin_id = connection.plugin_id, "VMwareFactory"
    try:
        run = app.api.run(app.add_profile("not-nutanix"))
    finally:
        connection.plugin_id = plugin
    for part in ("amsterdam", "Nutanix AHV Amsterdam", "VMwareFactory", "Correct hostingConnection"):
        assert part in of(run, "amsterdam")["error"]
    found = {(finding["finding"], finding["reason"]) for finding in app.api.findings(run["id"]).values()}
    assert found == {("aligned", "own-vm-live"), ("excluded", "hypervisor-type")}


def test_a_hosting_connection_in_maintenance_gets_no_machine(app: App) -> None:
    connection = app.sandbox.world.site.connection("Nutanix AHV Amsterdam")
    assert connection is not None
    connection.in_maintenance = True
    try:
        run = app.api.run(app.add_profile("maintenance"))
    finally:
        connection.in_maintenance = False
    found = {(finding["finding"], finding["reason"]) for finding in app.api.findings(run["id"]).values()}
    assert found == {("aligned", "own-vm-live"), ("excluded", "connection-in-maintenance")}
    assert run["status"] == "completed"


def test_the_others_get_one_attempt_when_a_target_is_named(app: App) -> None:
    app.sandbox.faults.set("prism-500", "paris")
    app.sandbox.calls.clear()
    run = app.api.run(app.add_profile("one-attempt"), {"target": "amsterdam"})
    assert run["counts"]["findings"]["remap"] == 23
    assert app.sandbox.calls.count("prism/paris") <= 1


def test_storage_that_is_busy_is_asked_again(serve: Serve) -> None:
    with serve("planned-migration", faults={"storage-busy": "table:1"}) as app:
        app.sandbox.faults.set("storage-busy", "table:4")  # in a row: as many as the app asks again
        run = app.api.run(app.name)
        assert (run["status"], run["error"]) == ("awaiting-review", None)
        assert run["counts"]["findings"] == {"aligned": 4, "remap": 23}
        assert app.sandbox.faults.fired("storage-busy") == 4
        app.sandbox.faults.set("storage-busy", "table:2")
        assert len(app.api.findings(run["id"])) == 27


def test_storage_that_stays_busy_is_said_to_the_caller(serve: Serve) -> None:
    with serve("planned-migration", faults={"storage-busy": "table:1"}) as app:
        app.api.run(app.name)
        app.sandbox.faults.set("storage-busy", "table:100")
        answer = app.api.start(app.name)
        assert (answer.status_code, answer.json()["code"]) == (502, "storage-error")
        for part in ("Storage 127.0.0.1", "too busy", "Try again"):
            assert part in answer.json()["detail"]
