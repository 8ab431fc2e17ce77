"""Prism read through the relay: TLS runs end to end inside, and a drop, a dead listener or a token costs no page."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from sandbox.certificates import CertificateAuthority
from sandbox.identity import SYSTEM_IDENTITY
from sandbox.large_world import large_world
from sandbox.relay.entity import Right
from sandbox.relayed import Relayed
from sandbox.scenario import load
from shared.errors import PrismError
from shared.runs.clients.keyring import Keyring, secret_names
from shared.telemetry import telling
from shared.telemetry.subject import working_on
from tests.integration.relay.site import ONCE, PARIS, SCENARIO, VMS, Site, Start, told
from tests.telemetry import kept_telemetry


def test_a_prism_is_read_through_either_listener_and_its_name_is_in_no_dns(site: Site) -> None:
    assert site.read() == VMS
    assert site.cluster().host == "prism-paris.corp.example"


def test_telemetry_hears_of_the_tunnel_and_never_of_its_token(hcm: Site) -> None:
    with kept_telemetry() as kept, working_on("r1"), telling.step("plan", None):
        hcm.read()
        hcm.sandbox.relays[PARIS].cut()
        with pytest.raises(PrismError):
            hcm.read(**ONCE)
        spans, text = kept.spans("relay CONNECT"), kept.text()
    opened, refused = dict(spans[0].attributes or {}), dict(spans[-1].attributes or {})
    assert opened["server.address"] == "127.0.0.1"
    assert (opened["http.response.status_code"], opened["attempt"], opened["run.id"]) == (101, 1, "r1")
    assert opened["transaction.id"]
    assert refused["failure"] == "unreachable"
    assert "eyJ" not in text


def test_tls_runs_end_to_end_and_is_verified_by_the_clusters_own_authority(site: Site) -> None:
    with CertificateAuthority("Somebody else") as other:
        site.sandbox.vault.put("other-ca", other.ca_pem)
    site.keyring = Keyring(site.resources.vault, {"other-ca", *secret_names(site.profile)})
    error = site.refused(site.cluster(ca="other-ca"))
    assert error.kind == "tls"
    told(error, "certificate that is not trusted", "by way of relay 127.0.0.1")


def test_a_certificate_of_another_name_is_refused(site: Site) -> None:
    error = site.refused(site.cluster(host="prism-lyon.corp.example"))
    assert error.kind == "tls"
    assert "certificate that is not trusted" in str(error)


def test_the_apps_identity_signs_in_and_no_key_is_stored(hcm: Site) -> None:
    entity = hcm.hybrid().entity
    entity.roles = {SYSTEM_IDENTITY: frozenset({Right.SEND})}
    entity.keys = {name: key for name, key in entity.keys.items() if Right.SEND not in key.rights}
    assert hcm.read() == VMS


def test_the_other_form_of_the_audience_is_found_by_all_who_ask_at_once(hcm: Site) -> None:
    hcm.sandbox.azure_relay.gate.audience = "https://relay.azure.net/"
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda _: hcm.read(**ONCE), range(8))) == [VMS] * 8


def test_the_other_form_of_the_audience_is_tried_once_and_kept(hcm: Site) -> None:
    hcm.sandbox.azure_relay.gate.audience = "https://relay.azure.net/"
    assert hcm.read(**ONCE) == VMS
    before = hcm.sandbox.calls.count("relay", "GET", "connect")
    assert hcm.read(**ONCE) == VMS
    assert hcm.sandbox.calls.count("relay", "GET", "connect") == before + 1


def test_a_page_that_the_relay_drops_is_asked_for_again_and_never_half_read(site_with: Start) -> None:
    site = site_with("hcm", large_world(400, vms=800))
    site.sandbox.azure_relay.drop_after = 40_000
    name = site.profile.clusters[0].name
    site.sandbox.faults.set("relay-drop", f"{name}:2")
    direct = len(list(site.sandbox.world.prisms[name].vms()))
    assert site.read(site.profile.clusters[0]) == direct
    assert site.sandbox.faults.fired("relay-drop") == 2


def test_a_drop_that_does_not_end_is_told_with_the_hop(hcm: Site) -> None:
    hcm.sandbox.azure_relay.drop_after = 6_000
    hcm.sandbox.faults.set("relay-drop", PARIS)
    told(hcm.refused(), "by way of relay 127.0.0.1")


def test_two_listeners_stand_in_for_each_other(site_with: Start) -> None:
    scenario = load(SCENARIO)
    scenario.world.prisms[PARIS].relayed = Relayed("hcm", listeners=2)
    site = site_with("hcm", scenario)
    first, second = site.hybrid().listeners
    for down in (first, second):
        down.stop()
        for _ in range(5):
            assert site.read(**ONCE) == VMS
        down.restore()
    first.stop()
    second.stop()
    told(site.refused(), "has no listener connected")
