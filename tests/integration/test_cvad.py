"""A site on premises in the use cases: fail-over, sign-in, trust and older controllers, on real storage and sockets."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from sandbox.certificates import CertificateAuthority
from sandbox.large_world import large_world
from sandbox.sandbox import Sandbox
from sandbox.scenario import Scenario, load
from shared.citrix.site import CitrixSite, read_site
from shared.errors import CitrixError
from shared.http import Deadline, Limits
from shared.model.citrix import Site
from shared.model.run import Run, RunStatus
from shared.profile.profile import Profile
from shared.runs.access import Caller, Role
from shared.runs.clients.connect import citrix_hosts
from shared.runs.clients.keyring import Keyring, secret_names
from shared.runs.health import check_health
from shared.runs.plan import plan_run
from shared.runs.probing.check import Check
from shared.runs.request import RunRequest
from shared.runs.resources import Resources
from shared.runs.start import start_run

OLIVE = Caller("olive", Role.OPERATOR)
WRONG = "wrong-marker-ü"


class Premises:
    """A sandbox whose site is on premises, and what works on it."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.resources = Resources(sandbox.environ)

    def profile(self, name: str | None = None, **changes: Any) -> Profile:
        """The sandbox's profile; with a name, another file that differs in the site by ``changes``."""
        document = json.loads(self.sandbox.profile_file.read_text())
        if name is not None:
            document |= {"name": name, "site": {**document["site"], **changes}}
            Path(self.sandbox.environ["REALIGN_PROFILES"], f"{name}.json").write_text(json.dumps(document))
        return Profile.model_validate_json(json.dumps(document))

    def run(self, profile: Profile) -> Run:
        request = RunRequest(mode="review", target="amsterdam")
        run_id = start_run(self.resources, profile.name, request, OLIVE, trigger="http").run.id
        plan_run(self.resources, run_id)
        return self.resources.runs.get(run_id).value

    def read(self, profile: Profile, work: Callable[[CitrixSite], Site] = read_site) -> Site:
        def limits() -> Limits:
            return Limits(Deadline.after(30), attempts=2, backoff=0.01)

        with citrix_hosts(self.resources, profile, self.keyring(profile), limits=limits) as hosts:
            return hosts.run(work)

    def keyring(self, profile: Profile) -> Keyring:
        return Keyring(self.resources.vault, secret_names(profile))

    def sign_ins(self, name: str | None = None) -> int:
        names = [name] if name is not None else list(self.sandbox.world.site.controllers)
        return sum(self.sandbox.calls.count(f"cvad/{each}", "POST", "/Tokens") for each in names)

    def reversed_hosts(self) -> list[dict[str, Any]]:
        hosts: list[dict[str, Any]] = json.loads(self.sandbox.profile_file.read_text())["site"]["hosts"]
        return hosts[::-1]


@pytest.fixture
def premises_of(
    sandbox_for: Callable[..., Sandbox], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Premises]]:
    made: list[Premises] = []

    def start(scenario: Scenario, *, up: tuple[bool, ...] = (True, True), old: bool = False) -> Premises:
        site = scenario.world.site
        site.kind, site.old, site.password = "cvad", old, "pässword-marker"
        site.controllers = {f"ddc{number:02d}": state for number, state in enumerate(up, start=1)}
        sandbox = sandbox_for(scenario)
        for name in ("IDENTITY_ENDPOINT", "IDENTITY_HEADER"):  # msal reads these itself
            monkeypatch.setenv(name, sandbox.environ[name])
        made.append(Premises(sandbox))
        return made[-1]

    yield start
    for each in made:
        each.resources.close()


Start = Callable[..., Premises]


def moved() -> Scenario:
    return load("cvad-activation")


def check_findings(premises: Premises, run: Run) -> None:
    assert (run.status, run.error) == (RunStatus.AWAITING_REVIEW, None)
    found, _ = premises.resources.remaps.page(run.id, limit=1_000)
    expected = premises.sandbox.expected
    assert {row.machine: row.kind.value for row in found} == {key: each.finding for key, each in expected.items()}


def site_check(premises: Premises, profile: str) -> Check:
    (check,) = (each for each in check_health(premises.resources).checks if each.name == f"{profile}/site")
    return check


def test_a_run_reads_the_controller_that_is_left(premises_of: Start, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    premises = premises_of(moved(), up=(False, True))
    began = monotonic()
    check_findings(premises, premises.run(premises.profile()))
    assert monotonic() - began < 15
    assert (premises.sign_ins("ddc01"), premises.sign_ins("ddc02")) == (0, 1)
    hosts = [f"https://127.0.0.1:{relay.port}" for relay in premises.sandbox.controller_relays.values()]
    assert f"site host left host={hosts[0]}" in caplog.text


def test_the_first_controller_serves_where_it_can(premises_of: Start, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    premises = premises_of(moved())
    check_findings(premises, premises.run(premises.profile()))
    assert (premises.sign_ins("ddc01"), premises.sign_ins("ddc02")) == (1, 0)
    assert f"site served host={premises.sandbox.cvad_urls['ddc01']}" in caplog.text


def test_a_controller_that_dies_in_the_middle_of_a_list_is_left_for_the_next(premises_of: Start) -> None:
    premises = premises_of(large_world(1_500))
    first = premises.sandbox.controller_relays["ddc01"]
    began: list[str] = []

    def read(client: CitrixSite) -> Site:
        machines = client.machines()
        began.append(next(machines).id)
        if len(began) == 1:
            first.cut()
        return read_site(client) if list(machines) else read_site(client)

    site = premises.read(premises.profile(), read)
    assert len(site.machines) == 1_500
    assert len(began) == 2
    assert premises.sign_ins("ddc02") == 1


def test_when_all_are_dead_the_health_check_tells_of_each(premises_of: Start) -> None:
    premises = premises_of(moved(), up=(False, False))
    check = site_check(premises, premises.profile().name)
    assert not check.ready
    assert check.remedy is not None
    assert "None of the 2 Delivery Controllers" in check.remedy
    for url in premises.sandbox.cvad_urls.values():
        assert f"Citrix CVAD {url.removeprefix('https://')} could not be reached" in check.remedy
    assert check.remedy.count("Check that the controller is up") == 2


def test_the_health_check_passes_with_one_controller_that_is_up(premises_of: Start) -> None:
    premises = premises_of(moved(), up=(False, False, True))
    check = site_check(premises, premises.profile().name)
    assert (check.ready, check.remedy) == (True, None)


def test_a_refused_password_is_tried_once_at_all_controllers_by_all_profiles(premises_of: Start) -> None:
    premises = premises_of(moved())
    premises.sandbox.vault.put("citrix-wrong", json.dumps({"username": "CORP\\svc-realign", "password": WRONG}))
    first = premises.profile("first", credential="citrix-wrong")
    second = premises.profile("second", credential="citrix-wrong", hosts=premises.reversed_hosts())
    run = premises.run(first)
    assert run.status is RunStatus.FAILED
    assert "refused user name or password of secret citrix-wrong" in str(run.error)
    assert WRONG not in str(run.error)
    for profile in (first, second):
        again = premises.run(profile)
        assert "does not try it again before" in str(again.error)
        assert "a short time ago" in str(site_check(premises, profile.name).remedy)
    assert premises.sign_ins() == 1 + 2, "the third profile of the health check has the right password, asked twice"
    site = premises.sandbox.world.site
    premises.sandbox.vault.put("citrix-wrong", json.dumps({"username": site.username, "password": site.password}))
    check_findings(premises, premises.run(second))


def test_a_refused_password_is_tried_once_by_many_readers_at_once(premises_of: Start) -> None:
    premises = premises_of(moved())
    premises.sandbox.vault.put("citrix-wrong", json.dumps({"username": "CORP\\svc-realign", "password": WRONG}))
    profiles = [
        premises.profile("forth", credential="citrix-wrong"),
        premises.profile("back", credential="citrix-wrong", hosts=premises.reversed_hosts()),
    ]

    def attempt(number: int) -> str:
        with pytest.raises(CitrixError) as caught:
            premises.read(profiles[number % 2])
        return caught.value.kind

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(attempt, range(8))) == {"sign-in"}
    assert premises.sign_ins() == 1


def test_a_token_that_is_refused_is_renewed_at_the_same_controller(premises_of: Start) -> None:
    premises = premises_of(moved())
    premises.sandbox.faults.set("token-expiry", 1)
    check_findings(premises, premises.run(premises.profile()))
    assert (premises.sign_ins("ddc01"), premises.sign_ins("ddc02")) == (2, 0)


def test_a_certificate_of_another_authority_is_refused_before_anything_is_sent(premises_of: Start) -> None:
    premises = premises_of(moved())
    with CertificateAuthority("Somebody else") as other:
        premises.sandbox.vault.put("other-ca", other.ca_pem)
    run = premises.run(premises.profile("mistrusting", ca="other-ca"))
    assert run.status is RunStatus.FAILED
    assert str(run.error).count("showed a certificate that is not trusted") == 2
    assert "the secret that site.ca names" in str(run.error)
    assert premises.sign_ins() == 0


def test_without_a_ca_of_its_own_a_site_is_not_trusted_for_the_authority_of_a_prism(premises_of: Start) -> None:
    premises = premises_of(moved())
    with pytest.raises(CitrixError, match="not trusted"):
        premises.read(premises.profile("public", ca=None))


def test_a_base_url_replaces_the_controllers(premises_of: Start) -> None:
    premises = premises_of(moved())
    profile = premises.profile("balanced", baseUrl=premises.sandbox.cvad_urls["ddc02"])
    assert premises.read(profile).id == premises.sandbox.world.site.id
    assert (premises.sign_ins("ddc01"), premises.sign_ins("ddc02")) == (0, 1)


def test_an_older_site_gives_the_same_findings(premises_of: Start) -> None:
    premises = premises_of(moved(), old=True)
    check_findings(premises, premises.run(premises.profile()))
    assert premises.sandbox.calls.count("cvad/ddc01", "GET", "/Machines") == 2


def test_citrix_that_is_busy_for_a_moment_is_asked_again_where_it_is(premises_of: Start) -> None:
    premises = premises_of(moved())
    premises.sandbox.faults.set("citrix-502", 2)
    check_findings(premises, premises.run(premises.profile()))


def test_one_client_is_that_of_the_first_controller_that_answers(premises_of: Start) -> None:
    premises = premises_of(moved(), up=(False, True))
    profile = premises.profile()
    with citrix_hosts(premises.resources, profile, premises.keyring(profile)) as hosts:
        client = hosts.run(lambda client: client)
        assert client.identity().id == premises.sandbox.world.site.id
    assert premises.sign_ins("ddc02") == 1


def test_neither_account_nor_token_is_in_a_log_or_a_table(premises_of: Start, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    premises = premises_of(moved(), up=(False, True))
    premises.sandbox.faults.set("token-expiry", 1)
    run = premises.run(premises.profile())
    events = premises.resources.events.page(run.id, None, 100)[0]
    shown = f"{caplog.text} {run!r} {events!r} {premises.profile()!r}"
    assert "site host left" in shown
    for secret in ("pässword-marker", "svc-realign", "eyJhbGciOiJub25lIn0"):
        assert secret not in shown
