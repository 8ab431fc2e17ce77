"""Hybrid Connection Manager and azbridge, each taken for the other; and the relay as a hop of its own in health."""

from __future__ import annotations

import pytest

from sandbox.certificates import CertificateAuthority
from shared.profile.endpoints import RelayRoute
from shared.relay.transport import RelayTransport
from tests.integration.relay.site import PARIS, VMS, Site, told


def test_azbridge_that_is_spoken_to_as_hybrid_connection_manager_is_recognised(azbridge: Site) -> None:
    cluster = azbridge.cluster()
    assert cluster.relay is not None
    route = RelayRoute(namespace=cluster.relay.namespace, path=cluster.relay.path, listener="hcm", portName=None)
    told(azbridge.refused(azbridge.cluster(relay=route)), "is azbridge", 'Set relay.listener to "azbridge"')


def test_hybrid_connection_manager_that_is_spoken_to_as_azbridge_is_recognised_by_the_probe(
    hcm: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.relay.handshake.PREAMBLE_SECONDS", 0.5)
    told(hcm.refused(hcm.rerouted(listener="azbridge")), "to the preamble of azbridge", 'set relay.listener to "hcm"')
    hcm.write_profile(hcm.rerouted(listener="azbridge"))
    check = hcm.check()
    assert check.kind == "relay"
    assert 'Set relay.listener to "hcm"' in (check.remedy or "")


def test_a_port_name_that_azbridge_does_not_know(azbridge: Site) -> None:
    wrong = azbridge.rerouted(port_name="prism")
    told(azbridge.refused(wrong), "hung up to the preamble", '"prism" was asked for')
    azbridge.write_profile(wrong)
    assert '"prism" was asked for' in (azbridge.check().remedy or ""), "the probe says no other thing than a run"


def test_a_listener_that_is_silent_for_once_costs_an_attempt(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RelayTransport, "connect_timeout", 1.0)
    monkeypatch.setattr("shared.relay.handshake.PREAMBLE_SECONDS", 1.0)
    site.sandbox.faults.set("relay-silent", PARIS)
    assert site.read() == VMS
    assert site.sandbox.faults.fired("relay-silent") == 1


def test_a_drop_in_the_preamble_costs_an_attempt(azbridge: Site) -> None:
    azbridge.sandbox.azure_relay.drop_after = 0
    azbridge.sandbox.faults.set("relay-drop", PARIS)
    assert azbridge.read() == VMS
    assert azbridge.sandbox.faults.fired("relay-drop") == 1


def test_health_shows_the_relay_as_a_hop_of_its_own(site: Site) -> None:
    assert site.check().ready
    site.hybrid().cut()
    check = site.check()
    assert (check.kind, check.ready) == ("relay", False)
    assert "has no listener connected" in (check.remedy or "")
    assert site.check("amsterdam/relay").ready


def test_the_relay_is_ready_where_prism_alone_is_not_trusted(hcm: Site) -> None:
    with CertificateAuthority("Somebody else") as other:
        hcm.sandbox.vault.put("corp-root-ca", other.ca_pem)
    assert hcm.check().ready
    assert not hcm.check(PARIS).ready
