"""Connections through the relay are kept, retired and ended; each is a tunnel, and none a thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from aiohttp import web

import shared.relay.transport
from shared.http import Deadline, Limits, call, open_session
from shared.runs.clients.relayed import lead_through
from tests.integration.batches import until
from tests.integration.relay.site import PARIS, VMS, Site, told


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
