"""Realign's own sender against the simulated Azure Relay: TLS runs end to end inside, and each trouble has its name."""

from __future__ import annotations

import socket
import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from aiohttp import web

import shared.relay.transport
from sandbox.certificates import CertificateAuthority
from sandbox.hybrid_connections import HybridConnection
from sandbox.identity import SYSTEM_IDENTITY
from sandbox.large_world import large_world
from sandbox.relay.entity import Right
from sandbox.relayed import Relayed
from sandbox.sandbox import Sandbox
from sandbox.scenario import load
from shared.errors import PrismError
from shared.http import Deadline, Limits, call, open_session
from shared.prism.client import PrismClient
from shared.profile.endpoints import Cluster, RelayRoute
from shared.profile.profile import Profile
from shared.relay.transport import RelayTransport
from shared.runs.clients.connect import prism
from shared.runs.clients.keyring import Keyring, secret_names
from shared.runs.clients.relayed import lead_through
from shared.runs.health import check_health
from shared.runs.probing.check import Check
from shared.runs.resources import Resources
from shared.telemetry import telling
from shared.telemetry.subject import working_on
from tests.integration.batches import until
from tests.integration.tunnel import Tunnel
from tests.telemetry import kept_telemetry

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

    def write_profile(self, cluster: Cluster) -> None:
        """The profile with one cluster, as ``cluster`` is."""
        changed = self.profile.model_copy(update={"clusters": (cluster,)})
        self.sandbox.profile_file.write_text(changed.model_dump_json(by_alias=True, exclude_none=True))

    def check(self, name: str = f"{PARIS}/relay") -> Check:
        checks = {check.name: check for check in check_health(self.resources).checks}
        return checks[f"{self.profile.name}/{name}"]


Start = Callable[..., Site]


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


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Time that the connections believe has passed, in seconds."""
    passed = [0.0]
    made = shared.relay.transport.RelayConnection.__init__

    def with_a_clock(self: Any, way: Any, **options: Any) -> None:
        made(self, way, clock=lambda: passed[0], **options)

    monkeypatch.setattr(shared.relay.transport.RelayConnection, "__init__", with_a_clock)

    def pass_by(seconds: float) -> None:
        passed[0] += seconds

    return pass_by


def test_an_idle_connection_is_dropped_before_the_listener_hangs(hcm: Site, later: Callable[[float], None]) -> None:
    bounds = Limits(Deadline.after(30))
    with hcm.client() as client:
        for _ in range(4):
            client.clusters(bounds)
            later(44)
        assert hcm.sandbox.calls.count("relay", "GET", "connect") == 1, "idle means since it was last used"
        later(2)
        client.clusters(bounds)
        assert hcm.sandbox.calls.count("relay", "GET", "connect") == 2
        until(lambda: hcm.tunnels() == 1)


def test_an_old_connection_is_replaced_although_it_is_in_use(hcm: Site, later: Callable[[float], None]) -> None:
    bounds = Limits(Deadline.after(30))
    with hcm.client() as client:
        for _ in range(46):  # times 40 seconds: a little more than half an hour
            client.clusters(bounds)
            later(40)
    assert hcm.sandbox.calls.count("relay", "GET", "connect") == 2


def test_an_answer_after_which_the_connection_closes_is_read_whole(hcm: Site) -> None:
    async def closing(request: web.Request) -> web.Response:
        answer = web.json_response({"entities": ["x" * 1_000] * 1_000})
        answer.force_close()
        return answer

    app = web.Application()
    app.router.add_get("/", closing)
    host = hcm.cluster().host or ""
    server = hcm.sandbox.serve(app, hcm.sandbox.corporate_certificate(host))
    hcm.hybrid().names.lead_to(server.port)
    ca = hcm.keyring.text(hcm.cluster().ca)
    with open_session(ca=ca, environ=hcm.sandbox.environ) as session:
        lead_through(hcm.resources, session, hcm.cluster().url, hcm.cluster().relay)
        bounds = Limits(Deadline.after(20), attempts=1)
        for _ in range(3):
            answer = call(session, "GET", f"{hcm.cluster().url}/", system="it", limits=bounds, repeatable=False)
            assert len(answer.json["entities"]) == 1_000
    until(lambda: hcm.tunnels() == 0)


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
