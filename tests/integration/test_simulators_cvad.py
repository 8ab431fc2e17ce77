"""The simulated Delivery Controllers answer as their contract says, and stand for a site on premises."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from sandbox.sandbox import Sandbox
from sandbox.scenario import load
from tests.integration.callers import judged

Start = Callable[..., Sandbox]
DOCUMENT = "citrix-daas.openapi.yaml"


class ControllerCaller:
    """Calls one controller through its relay, trusting the corporate authority alone."""

    def __init__(self, sandbox: Sandbox, name: str, ca_file: Path) -> None:
        self.site = sandbox.world.site
        self.base = f"{sandbox.cvad_urls[name]}/cvad/manage"
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.verify = str(ca_file)
        self.session.headers["Accept"] = "application/json"

    def sign_in(self, username: str | None = None, password: str | None = None) -> requests.Response:
        pair = f"{username or self.site.username}:{password or self.site.password}".encode()
        header = {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}
        answer = self._judged(self.session.post(f"{self.base}/Tokens", headers=header, timeout=20))
        if answer.status_code == 200:
            own = {"Citrix-CustomerId": "CitrixOnPremises", "Citrix-InstanceId": self.site.id}
            self.session.headers.update(own | {"Authorization": f"CWSAuth bearer={answer.json()['Token']}"})
        return answer

    def get(self, path: str, **query: Any) -> requests.Response:
        return self._judged(self.session.get(f"{self.base}{path}", params=query, timeout=20))

    def _judged(self, answer: requests.Response) -> requests.Response:
        return judged(answer, DOCUMENT, self.base, self.base)


@pytest.fixture
def controller_of(tmp_path: Path) -> Callable[[Sandbox, str], ControllerCaller]:
    def caller(sandbox: Sandbox, name: str = "ddc01") -> ControllerCaller:
        ca_file = tmp_path / "corporate.pem"
        ca_file.write_text(sandbox.corporate_ca_pem)
        return ControllerCaller(sandbox, name, ca_file)

    return caller


@pytest.fixture
def healthy(sandbox_for: Start) -> Sandbox:
    return sandbox_for("healthy")


ControllerOf = Callable[..., ControllerCaller]


def test_every_sandbox_has_a_controller_on_the_site_of_its_daas_customer(
    healthy: Sandbox, controller_of: ControllerOf
) -> None:
    caller = controller_of(healthy)
    body = caller.sign_in().json()
    assert body["CustomerId"] == "CitrixOnPremises"
    left = datetime.fromisoformat(body["ExpiresAt"]) - datetime.now(UTC)
    assert timedelta(minutes=59) < left <= timedelta(minutes=60)
    me = caller.get("/Me").json()
    assert [(each["Id"], each["Sites"][0]["Id"]) for each in me["Customers"]] == [("CitrixOnPremises", caller.site.id)]
    assert len(caller.get("/Machines", limit=1000).json()["Items"]) == len(caller.site.machines)
    for path in ("/Sites", "/MachineCatalogs", "/DeliveryGroups", "/hypervisors"):
        assert caller.get(path).json()["Items"], path
    assert caller.get(f"/Sites/{caller.site.id}").json()["ProductVersion"]


@pytest.mark.parametrize(
    ("username", "password"),
    [pytest.param("CORP\\nobody", None, id="user"), pytest.param(None, "wrong", id="password")],
)
def test_a_wrong_account_is_refused(
    healthy: Sandbox, controller_of: ControllerOf, username: str | None, password: str | None
) -> None:
    answer = controller_of(healthy).sign_in(username, password)
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Basic")
    assert answer.json()["ErrorMessage"]


def test_nothing_is_read_without_a_token_or_for_another_customer(healthy: Sandbox, controller_of: ControllerOf) -> None:
    caller = controller_of(healthy)
    assert caller.get("/Me").status_code == 401
    caller.sign_in()
    caller.session.headers["Citrix-CustomerId"] = caller.site.customer_id
    assert caller.get("/Me").status_code == 403


def test_the_two_sign_ins_stay_apart(healthy: Sandbox, controller_of: ControllerOf) -> None:
    caller = controller_of(healthy)
    route = f"{healthy.cvad_urls['ddc01']}/cctrustoauth2/{caller.site.customer_id}/tokens/clients"
    assert caller.session.post(route, timeout=20).status_code == 401
    caller.sign_in()
    assert caller.session.post(route, timeout=20).status_code == 404
    cloud = requests.Session()
    cloud.trust_env = False
    cloud.verify = str(healthy.ca_file)
    answer = cloud.post(f"{healthy.citrix_url}/cvad/manage/Tokens", headers={"Accept": "application/json"}, timeout=20)
    assert answer.status_code == 401


def test_a_token_of_one_controller_does_not_hold_at_another(sandbox_for: Start, controller_of: ControllerOf) -> None:
    scenario = load("healthy")
    scenario.world.site.controllers = {"ddc01": True, "ddc02": True}
    sandbox = sandbox_for(scenario)
    first, second = controller_of(sandbox, "ddc01"), controller_of(sandbox, "ddc02")
    first.sign_in()
    second.session.headers.update(first.session.headers)
    assert (first.get("/Me").status_code, second.get("/Me").status_code) == (200, 401)
    assert sandbox.calls.count("cvad/ddc01", "GET", "/Me") == sandbox.calls.count("cvad/ddc02", "GET", "/Me") == 1


def test_an_older_site_takes_no_fields_for_machines(healthy: Sandbox, controller_of: ControllerOf) -> None:
    caller = controller_of(healthy)
    caller.sign_in()
    healthy.world.site.old = True
    assert caller.get("/Machines", fields="Id,Hosting").status_code == 400
    assert all("Hosting" in item for item in caller.get("/Machines").json()["Items"])
    assert caller.get("/DeliveryGroups", fields="Id,Name").status_code == 200


def test_the_certificate_is_signed_by_the_corporate_authority_alone(
    healthy: Sandbox, controller_of: ControllerOf
) -> None:
    caller = controller_of(healthy)
    caller.session.verify = str(healthy.ca_file)
    with pytest.raises(requests.exceptions.SSLError):
        caller.sign_in()


def test_the_faults_of_citrix_strike_a_controller_too(healthy: Sandbox, controller_of: ControllerOf) -> None:
    caller = controller_of(healthy)
    caller.sign_in()
    healthy.faults.set("citrix-429", 1)
    assert caller.get("/Me").status_code == 429
    healthy.faults.set("citrix-502", 1)
    refused = caller.session.get(f"{caller.base}/Me", timeout=20)
    assert (refused.status_code, refused.headers["Content-Type"].partition(";")[0]) == (502, "text/html")
    healthy.faults.set("token-expiry", 1)
    assert caller.get("/Me").status_code == 401
    assert caller.get("/Me").status_code == 401, "the token is gone"
    caller.sign_in()
    healthy.faults.set("citrix-drop", 1)
    with pytest.raises(requests.exceptions.ConnectionError):
        caller.get("/Me")


@pytest.mark.parametrize(
    ("kind", "fault", "reachable"),
    [
        pytest.param("daas", "ddc01", ["ddc02"], id="by-name"),
        pytest.param("cvad", None, [], id="a-site-on-premises-stands-behind-the-relay"),
        pytest.param("daas", None, ["ddc01", "ddc02"], id="a-site-in-the-cloud-does-not"),
        pytest.param("cvad", "paris", ["ddc01", "ddc02"], id="another-relay"),
    ],
)
def test_a_relay_can_be_cut_and_restored(
    sandbox_for: Start, controller_of: ControllerOf, kind: str, fault: str | None, reachable: list[str]
) -> None:
    scenario = load("healthy")
    scenario.world.site.kind = kind
    scenario.world.site.controllers = {"ddc01": True, "ddc02": True}
    sandbox = sandbox_for(scenario)

    def answering() -> list[str]:
        found = []
        for name in ("ddc01", "ddc02"):
            try:
                controller_of(sandbox, name).sign_in()
            except requests.exceptions.ConnectionError:
                continue
            found.append(name)
        return found

    sandbox.faults.set("relay-down", fault)
    assert answering() == reachable
    sandbox.faults.clear("relay-down")
    assert answering() == ["ddc01", "ddc02"]


def test_a_scenario_on_premises_has_its_controllers_in_the_profile(sandbox_for: Start) -> None:
    scenario = load("cvad-activation")
    sandbox = sandbox_for(scenario)
    site = json.loads(sandbox.profile_file.read_text())["site"]
    assert (site["kind"], site["ca"]) == ("cvad", "corp-root-ca")
    assert site["hosts"] == [
        {"host": "127.0.0.1", "port": sandbox.controller_relays[name].port} for name in ("ddc01", "ddc02")
    ]
    assert sandbox.cvad_url == sandbox.cvad_urls["ddc02"]


@pytest.mark.parametrize(
    ("taken", "sent", "codes"),
    [
        pytest.param("gateway", "/Machines/{}", [200], id="as-the-gateway"),
        pytest.param("gateway", "CitrixOnPremises/{site}/Machines/{}", [404], id="as-the-gateway-only"),
        pytest.param("direct", "CitrixOnPremises/{site}/Machines/{}", [200], id="customer-and-site-in-the-path"),
        pytest.param("direct", "citrixonpremises/{site}//Machines/{}", [200], id="with-one-slash-too-many"),
        pytest.param("direct", "/Machines/{}", [404], id="customer-and-site-only"),
        pytest.param("none", "/Machines/{}", [404], id="no-form-at-all"),
        pytest.param("none", "CitrixOnPremises/{site}/Machines/{}", [404], id="not-the-other-either"),
    ],
)
def test_a_controller_takes_one_form_of_the_url_of_an_item(
    healthy: Sandbox, controller_of: ControllerOf, taken: str, sent: str, codes: list[int]
) -> None:
    caller = controller_of(healthy)
    caller.sign_in()
    caller.site.batch_form = taken
    token = str(caller.session.headers["Authorization"]).partition("=")[2]
    url = sent.replace("{site}", caller.site.id).format(next(iter(caller.site.machines)))
    header = {"Name": "Authorization", "Value": f"Bearer {token}"}
    batch = {"Items": [{"Reference": "probe", "Method": "GET", "RelativeUrl": url, "Headers": [header]}]}
    answer = judged(
        caller.session.post(f"{caller.base}/$batch", json=batch, timeout=20), DOCUMENT, caller.base, caller.base
    )
    assert [each["Code"] for each in answer.json()["Items"]] == codes


def test_a_job_is_known_to_every_controller_of_the_site(sandbox_for: Start, controller_of: ControllerOf) -> None:
    scenario = load("healthy")
    scenario.world.site.controllers = {"ddc01": True, "ddc02": True}
    sandbox = sandbox_for(scenario)
    first, second = controller_of(sandbox, "ddc01"), controller_of(sandbox, "ddc02")
    for caller in (first, second):
        caller.sign_in()
    answer = first.session.post(f"{first.base}/$batch?async=true", json={"Items": []}, timeout=20)
    base, _, job = answer.headers["Location"].rpartition("/")
    assert base == f"{first.base}/Jobs", "the address is the one that the caller used"
    assert second.get(f"/Jobs/{job}").json()["Type"] == "Batch"
