"""Realign's own sender against the simulated Azure Relay: TLS runs end to end inside, and each trouble has its name."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

import shared.relay.transport
from sandbox.certificates import CertificateAuthority
from sandbox.hybrid_connections import HybridConnection
from sandbox.large_world import large_world
from sandbox.relayed import Relayed
from sandbox.sandbox import Sandbox
from sandbox.scenario import load
from shared.errors import PrismError
from shared.http import Deadline, Limits
from shared.prism.client import PrismClient
from shared.profile import Cluster, Profile, RelayRoute
from shared.relay.transport import RelayTransport
from shared.runs.clients.connect import prism
from shared.runs.clients.keyring import Keyring, secret_names
from shared.runs.health import Check, check_health
from shared.runs.resources import Resources
from tests.integration.batches import until

SCENARIO = "planned-migration"
PARIS, VMS = "paris", 7
ONCE = {"attempts": 1}


class Site:
    """A sandbox behind the simulated relay, and the app's clients on it."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.resources = Resources(sandbox.environ)
        profile = self.resources.profile(sandbox.scenario.profile_name)
        self.keyring = Keyring(self.resources.vault, secret_names(profile))
        self.profile: Profile = profile

    def cluster(self, name: str = PARIS, **changes: Any) -> Cluster:
        found = next(cluster for cluster in self.profile.clusters if cluster.name == name)
        return found.model_copy(update=changes)

    def rerouted(self, **changes: Any) -> Cluster:
        """Paris with another route."""
        cluster = self.cluster()
        assert cluster.relay is not None
        return self.cluster(relay=cluster.relay.model_copy(update=changes))

    def hybrid(self, name: str = PARIS) -> HybridConnection:
        found = self.sandbox.relays[name]
        assert isinstance(found, HybridConnection)
        return found

    def tunnels(self, name: str = PARIS) -> int:
        return len(self.sandbox.azure_relay.tunnels(self.hybrid(name).behind.path))

    @contextmanager
    def client(self, cluster: Cluster | None = None) -> Iterator[PrismClient]:
        with prism(self.resources, cluster or self.cluster(), self.keyring) as client:
            yield client

    def read(self, cluster: Cluster | None = None, **limits: Any) -> int:
        """How many VMs were listed."""
        bounds = Limits(Deadline.after(20), pause=lambda seconds: None, **limits)
        with self.client(cluster) as client:
            return len(client.vms(client.clusters(bounds).items, bounds).items)

    def refused(self, cluster: Cluster | None = None) -> PrismError:
        with pytest.raises(PrismError) as caught:
            self.read(cluster, **ONCE)
        return caught.value

    def check(self, name: str = f"{PARIS}/relay") -> Check:
        checks = {check.name: check for check in check_health(self.resources).checks}
        return checks[f"{self.profile.name}/{name}"]


Start = Callable[..., Site]


@pytest.fixture
def site_with(sandbox_for: Callable[..., Sandbox], monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    sites: list[Site] = []

    def start(relay: str, scenario: Any = SCENARIO, **options: Any) -> Site:
        sandbox = sandbox_for(scenario, relay=relay, **options)
        for name in ("IDENTITY_ENDPOINT", "IDENTITY_HEADER"):  # msal reads these itself
            monkeypatch.setenv(name, sandbox.environ[name])
        sites.append(Site(sandbox))
        return sites[-1]

    yield start
    for site in sites:
        site.resources.close()


@pytest.fixture(params=["hcm", "azbridge"])
def site(request: pytest.FixtureRequest, site_with: Start) -> Site:
    return site_with(request.param)


@pytest.fixture
def hcm(site_with: Start) -> Site:
    return site_with("hcm")


@pytest.fixture
def azbridge(site_with: Start) -> Site:
    return site_with("azbridge")


def told(error: PrismError, *parts: str) -> None:
    for part in (*parts, "prism-paris.corp.example", "/prism-paris"):
        assert part in str(error), str(error)


def test_a_prism_is_read_through_either_listener_and_its_name_is_in_no_dns(site: Site) -> None:
    assert site.read() == VMS
    assert site.cluster().host == "prism-paris.corp.example"


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
    hcm.read()
    assert all("relay" not in name for name in secret_names(hcm.profile))


def test_the_other_form_of_the_audience_is_tried_once_and_kept(hcm: Site) -> None:
    hcm.sandbox.azure_relay.gate.audience = "https://relay.azure.net/"
    assert hcm.read(**ONCE) == VMS
    before = hcm.sandbox.calls.count("relay", "GET", "connect")
    assert hcm.read(**ONCE) == VMS
    assert hcm.sandbox.calls.count("relay", "GET", "connect") == before + 1


# --- errors, each told apart


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
    hcm.sandbox.azure_relay.entity(hcm.hybrid().behind.path).roles = {}
    for status in (401, 403):
        hcm.sandbox.azure_relay.gate.missing_right = status
        told(hcm.refused(), f"refused the app's token (HTTP {status}", 'role "Azure Relay Sender"')


def test_an_identity_that_gets_no_token(hcm: Site) -> None:
    hcm.sandbox.identity.header = "another"  # and no longer that of the app's environment
    error = hcm.refused()
    assert "The app's managed identity got no token for https://relay.azure.net" in str(error)


def test_the_firewall_of_the_namespace(hcm: Site) -> None:
    hcm.sandbox.azure_relay.entity(hcm.hybrid().behind.path).firewall = True
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


# --- the two kinds of listener


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
    wrong = hcm.profile.model_copy(update={"clusters": (hcm.rerouted(listener="azbridge"),)})
    hcm.sandbox.profile_file.write_text(wrong.model_dump_json(by_alias=True, exclude_none=True))
    check = hcm.check()
    assert check.kind == "relay"
    assert 'Set relay.listener to "hcm"' in (check.remedy or "")


def test_a_port_name_that_azbridge_does_not_know(azbridge: Site) -> None:
    told(azbridge.refused(azbridge.rerouted(port_name="prism")), "hung up to the preamble", '"prism" was asked for')


# --- health


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


# --- connections


def test_connections_are_kept_and_each_costs_no_thread(hcm: Site) -> None:
    bounds = Limits(Deadline.after(30))
    with hcm.client() as client:
        threads = threading.active_count()
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: client.clusters(bounds), range(40)))
        names = [thread.name for thread in threading.enumerate() if thread.name.startswith("relay-tunnels")]
        assert threading.active_count() <= threads + 1
        assert len(names) == 1
        assert hcm.sandbox.calls.count("relay", "GET", "connect") <= shared.relay.transport.CONNECTIONS
    until(lambda: hcm.tunnels() == 0)


def test_an_idle_connection_is_dropped_before_the_listener_could_hang(
    hcm: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    bounds = Limits(Deadline.after(30))
    with hcm.client() as client:
        client.clusters(bounds)
        client.clusters(bounds)
        assert hcm.sandbox.calls.count("relay", "GET", "connect") == 1
        monkeypatch.setattr(shared.relay.transport, "MOST_IDLE", 0.0)
        client.clusters(bounds)
        assert hcm.sandbox.calls.count("relay", "GET", "connect") == 2
        until(lambda: hcm.tunnels() == 1)


def test_an_old_connection_is_replaced_although_it_is_in_use(hcm: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    bounds = Limits(Deadline.after(30))
    with hcm.client() as client:
        client.clusters(bounds)
        monkeypatch.setattr(shared.relay.transport, "OLDEST", 0.0)
        client.clusters(bounds)
    assert hcm.sandbox.calls.count("relay", "GET", "connect") == 2


def test_prism_is_told_goodbye_through_a_listener_that_passes_on_no_close(hcm: Site) -> None:
    assert hcm.read() == VMS
    until(lambda: hcm.hybrid().names.connections == 0)


def test_an_expired_token_is_renewed_once_and_open_connections_go_on(hcm: Site) -> None:
    bounds = Limits(Deadline.after(30), attempts=1)
    with hcm.client() as client:
        client.clusters(bounds)
        hcm.sandbox.faults.set("relay-token", f"{PARIS}:1")
        client.clusters(bounds)
        assert hcm.sandbox.faults.fired("relay-token") == 0, "what is open goes on"
        with hcm.client() as another:
            another.clusters(bounds)
        assert hcm.sandbox.faults.fired("relay-token") == 1


def test_a_token_that_is_refused_twice_is_not_asked_for_again(hcm: Site) -> None:
    hcm.sandbox.faults.set("relay-token", f"{PARIS}:5")
    told(hcm.refused(), "refused the app's token", "ExpiredToken")
    assert hcm.sandbox.faults.fired("relay-token") == 2


# --- dropped


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


# --- redundancy


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
