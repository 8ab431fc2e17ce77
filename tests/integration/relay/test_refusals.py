"""Each trouble on the way through the relay has its name, and says what to do."""

from __future__ import annotations

import socket
import threading
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import pytest

from sandbox.certificates import CertificateAuthority
from shared.errors import PrismError
from shared.http import Deadline, Limits
from shared.relay.transport import RelayTransport
from shared.runs.clients.keyring import Keyring, secret_names
from shared.runs.health import check_health
from tests.integration.batches import until
from tests.integration.relay.site import PARIS, VMS, Site, told
from tests.integration.tunnel import Tunnel


@contextmanager
def half_of_a_handshake() -> Iterator[int]:
    """A server that begins a TLS record and says no more; its port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        taken: list[socket.socket] = []

        def serve() -> None:
            with suppress(OSError):
                while True:
                    taken.append(listening.accept()[0])
                    taken[-1].sendall(b"\x16\x03\x03\x00\x7a")

        serving = threading.Thread(target=serve)
        serving.start()
        try:
            yield int(listening.getsockname()[1])
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            serving.join()
            for each in taken:
                each.close()


def test_no_such_namespace(hcm: Site) -> None:
    error = hcm.refused(hcm.rerouted(namespace="no-such-namespace.invalid"))
    assert error.kind == "unreachable"
    assert "its host name is not known at the relay no-such-namespace.invalid/prism-paris" in str(error)
    assert "relay.namespace" in str(error)


def test_nobody_at_the_namespaces_address(hcm: Site) -> None:
    error = hcm.refused(hcm.rerouted(namespace="127.0.0.1:9"))
    assert "no connection could be made at the relay 127.0.0.1:9/prism-paris" in str(error)


def test_no_such_hybrid_connection(hcm: Site) -> None:
    error = hcm.refused(hcm.rerouted(path="prism-pariss"))
    assert "knows no such hybrid connection (HTTP 404: Endpoint does not exist" in str(error)
    assert not error.retryable


def test_a_token_without_the_right(hcm: Site) -> None:
    hcm.hybrid().entity.roles = {}
    for status in (401, 403):
        hcm.sandbox.azure_relay.gate.missing_right = status
        told(hcm.refused(), f"refused the app's token (HTTP {status}", 'role "Azure Relay Sender"')


def test_an_identity_that_gets_no_token(hcm: Site) -> None:
    hcm.sandbox.identity.header = "another"  # and no longer that of the app's environment
    error = hcm.refused()
    assert "The app's managed identity got no token for https://relay.azure.net" in str(error)


def test_the_firewall_of_the_namespace(hcm: Site) -> None:
    hcm.hybrid().entity.firewall = True
    told(hcm.refused(), "firewall of the namespace", "Ip has been prevented to connect")


def test_no_listener_is_connected(site: Site) -> None:
    site.hybrid().cut()
    error = site.refused()
    told(error, "has no listener connected (HTTP 404", "TrackingId:", "Hybrid Connection Manager or azbridge")
    assert error.retryable


def test_a_listener_that_accepts_nobody(hcm: Site) -> None:
    hcm.sandbox.azure_relay.rendezvous.seconds = 0.3
    for listener in hcm.hybrid().listeners:
        listener.deafen()
    told(hcm.refused(), "does not answer (HTTP", "*.servicebus.windows.net")


def test_prism_cannot_be_reached_behind_the_listener(hcm: Site) -> None:
    hcm.hybrid().names.forget()
    error = hcm.refused()
    told(error, "is connected, and does not reach it (closed with code 1000)", "resolves its name")
    assert (error.kind, error.retryable) == ("unreachable", True)


def test_a_listener_that_accepts_and_sends_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RelayTransport, "connect_timeout", 1.0)
    monkeypatch.setattr("shared.relay.handshake.PREAMBLE_SECONDS", 1.0)
    site.sandbox.faults.set("relay-silent", PARIS)
    error = site.refused()
    says = "accepted, and nothing came from behind it" if site.cluster().relay.listener == "hcm" else "said nothing"  # type: ignore[union-attr]
    told(error, says)


def test_a_silence_after_tls_is_a_time_out_that_names_the_hop(hcm: Site) -> None:
    with hcm.client() as client:
        client.clusters(Limits(Deadline.after(20)))
        for listener in hcm.hybrid().listeners:
            listener.freeze()
        with pytest.raises(PrismError) as caught:
            client.clusters(Limits(Deadline.after(1), attempts=1, silence=0.5))
    assert caught.value.kind == "timeout"
    told(caught.value, "did not answer in time, by way of relay 127.0.0.1")


def test_a_relay_that_is_busy_or_over_its_quota(hcm: Site) -> None:
    hcm.sandbox.faults.set("relay-503", PARIS)
    error = hcm.refused()
    told(error, "busy or over its quota (HTTP 503", "5,000 connections")
    assert (error.kind, error.retryable) == ("throttled", True)


def test_the_relays_own_certificate_is_verified(hcm: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    with CertificateAuthority("Somebody else") as other:
        hcm.resources.environ = {**hcm.sandbox.environ, "REQUESTS_CA_BUNDLE": str(other.ca_file)}
        told(hcm.refused(), "a certificate that is not trusted was shown", "nothing inspects its TLS")


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("redirect", "answered with a redirect, which Realign does not follow"),
        ("no-upgrade", "refused the connection (HTTP 200"),
        ("bad-accept", "something answered that is no relay"),
        ("subprotocol", "something answered that is no relay"),
        ("text", "sent text where bytes were due"),
        ("oversized", "announced a message of more than 16 MiB"),
        ("masked", "broke the WebSocket protocol"),
    ],
)
def test_a_rogue_answer_is_refused_with_a_sentence(hcm: Site, kind: str, says: str) -> None:
    hcm.sandbox.faults.set("relay-rogue", f"{PARIS}:{kind}")
    error = hcm.refused()
    told(error, says)
    assert not error.retryable
    assert hcm.sandbox.faults.fired("relay-rogue") == 1


@pytest.mark.parametrize("code", [1001, 1008, 1011])
def test_a_close_of_the_service_is_no_target_that_cannot_be_reached(hcm: Site, code: int) -> None:
    for listener in hcm.hybrid().listeners:
        listener.freeze()
    path, service = hcm.hybrid().behind.path, hcm.sandbox.azure_relay

    def close() -> None:
        until(lambda: service.tunnels(path))
        for tunnel in service.tunnels(path):
            hcm.sandbox.background.run(tunnel.close(code))

    with ThreadPoolExecutor(1) as pool:
        closing = pool.submit(close)
        error = hcm.refused()
        closing.result()
    told(error, f"(closed with code {code})")
    assert "does not reach it" not in str(error)


def test_text_in_the_middle_of_an_answer_is_named_as_its_cause(hcm: Site) -> None:
    bounds = Limits(Deadline.after(20), attempts=1)
    path, service = hcm.hybrid().behind.path, hcm.sandbox.azure_relay
    with hcm.client() as client:
        client.clusters(bounds)
        for listener in hcm.hybrid().listeners:
            listener.freeze()
        (tunnel,) = service.tunnels(path)
        before = tunnel.from_sender
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(client.clusters, bounds)
            until(lambda: tunnel.from_sender > before)
            hcm.sandbox.background.run(tunnel.say_text("Welcome to the guest network"))
            with pytest.raises(PrismError) as caught:
                asked.result()
    told(caught.value, "by way of relay 127.0.0.1", "which sent text where bytes were due")


def test_a_host_that_begins_tls_and_says_no_more_costs_health_no_other_check(
    hcm: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.runs.probing.dependencies.RELAY_SECONDS", 1.0)
    monkeypatch.setattr("shared.runs.probing.dependencies.PROBE_SECONDS", 2.0)
    with half_of_a_handshake() as port:
        hcm.hybrid().names.lead_to(port)
        checks = {check.name: check for check in check_health(hcm.resources).checks}
    hop = checks[f"{hcm.profile.name}/{PARIS}/relay"]
    assert "did not answer in time, by way of relay" in (hop.remedy or "")
    assert checks[f"{hcm.profile.name}/amsterdam/relay"].ready


def test_the_apps_proxy_leads_to_the_relay(hcm: Site) -> None:
    proxy = Tunnel()
    try:
        hcm.resources.environ = {**hcm.sandbox.environ, "HTTPS_PROXY": proxy.url("svc:hunter2@")}
        assert hcm.read() == VMS
    finally:
        proxy.stop()
    namespace = hcm.cluster().relay
    assert namespace is not None
    assert set(proxy.asked) == {namespace.namespace}, "and nobody resolves or reaches Prism itself"


@pytest.mark.parametrize(
    ("proxy", "says"),
    [
        ("http://svc:hunter2@127.0.0.1:9", "the proxy 127.0.0.1:9 could not be reached"),
        ("svc:hunter2@nosuch.proxy.invalid:3128", "the proxy nosuch.proxy.invalid:3128 could not be reached"),
        ("socks5://svc:hunter2@proxy.corp.example:1080", "is no HTTP proxy"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_named_without_its_password(hcm: Site, proxy: str, says: str) -> None:
    hcm.resources.environ = {**hcm.sandbox.environ, "HTTPS_PROXY": proxy, "NO_PROXY": "localhost"}
    hcm.keyring = Keyring(hcm.resources.vault, secret_names(hcm.profile))
    error = hcm.refused()
    told(error, says, "HTTPS_PROXY")
    assert "hunter2" not in "".join(traceback.format_exception(error))
