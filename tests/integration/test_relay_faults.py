"""The faults of the simulated Azure Relay, and a sandbox that stands behind it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from sandbox.faults import KINDS, UnavailableFault, UnknownFault, parse
from sandbox.sandbox import Sandbox
from sandbox.scenario import load
from sandbox.world_builder import ScenarioError, WorldBuilder
from shared.profile.profile import Profile
from tests.integration.relay_bench import Bench
from tests.integration.relay_sender import Tls, namespace_of, open_sender, preamble, relay_of, tls_to

Start = Callable[..., Sandbox]
VMS = "/PrismGateway/services/rest/v2.0/vms"


@pytest.fixture
def bench() -> Iterator[Bench]:
    with Bench() as made:
        yield made


async def echo(bench: Bench, size: int = 4) -> int:
    """How many bytes came back, of ``size``."""
    received = 0
    async with open_sender(bench.namespace) as ws:
        await ws.send(bytes(size))
        try:
            while received < size:
                received += len(await ws.recv(decode=False))
        except ConnectionClosed:
            assert ws.close_code == 1006
        ws.transport.abort()
    return received


async def drain(ws: ClientConnection) -> None:
    while True:
        await ws.recv(decode=False)


def test_relay_drop_breaks_a_tunnel_in_the_middle_of_an_answer(bench: Bench) -> None:
    bench.faults.set("relay-drop", "paris:1")
    assert asyncio.run(echo(bench, 1_000)) == 1_000
    assert bench.faults.fired("relay-drop") == 0
    assert 0 < asyncio.run(echo(bench, 200_000)) < 200_000
    assert asyncio.run(echo(bench, 200_000)) == 200_000
    assert bench.faults.fired("relay-drop") == 1


def test_relay_drop_strikes_a_tunnel_that_was_open_before(bench: Bench) -> None:
    async def attempt() -> int | None:
        async with open_sender(bench.namespace) as ws:
            received = 0
            await ws.send(bytes(100_000))
            while received < 100_000:
                received += len(await ws.recv(decode=False))
            bench.faults.set("relay-drop")
            await ws.send(bytes(10_000))
            with pytest.raises(ConnectionClosed):
                await drain(ws)
            return ws.close_code

    assert asyncio.run(attempt()) == 1006


def test_relay_silent_accepts_and_sends_nothing(bench: Bench) -> None:
    async def attempt() -> None:
        async with open_sender(bench.namespace) as ws:
            await ws.send(b"x")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(ws.recv(), 0.3)
            ws.transport.abort()

    bench.faults.set("relay-silent", "paris:1")
    asyncio.run(attempt())
    assert asyncio.run(echo(bench)) == 4
    assert bench.faults.fired("relay-silent") == 1


@pytest.mark.parametrize(
    ("fault", "status", "text"),
    [("relay-503", 503, "Service Unavailable"), ("relay-token", 401, "ExpiredToken")],
)
def test_a_sender_is_refused_as_often_as_the_fault_says(bench: Bench, fault: str, status: int, text: str) -> None:
    bench.faults.set(fault, "paris:2")
    for _ in range(2):
        with pytest.raises(InvalidStatus) as refused:
            asyncio.run(echo(bench))
        response = refused.value.response
        assert (response.status_code, response.reason_phrase.startswith(text)) == (status, True)
    assert asyncio.run(echo(bench)) == 4
    assert bench.faults.fired(fault) == 2


def test_a_fault_for_another_prism_does_not_strike(bench: Bench) -> None:
    bench.faults.set("relay-503", "amsterdam")
    assert asyncio.run(echo(bench)) == 4


@pytest.mark.parametrize(
    ("kind", "status"), [pytest.param("redirect", 302, id="redirect"), pytest.param("no-upgrade", 200, id="no-upgrade")]
)
def test_a_rogue_answer_may_be_no_upgrade_at_all(bench: Bench, kind: str, status: int) -> None:
    bench.faults.set("relay-rogue", kind)
    with pytest.raises(InvalidStatus) as refused:
        asyncio.run(echo(bench))
    assert refused.value.response.status_code == status
    assert asyncio.run(echo(bench)) == 4


@pytest.mark.parametrize(
    ("kind", "text"), [("bad-accept", "Sec-WebSocket-Accept"), ("subprotocol", "no subprotocols supported")]
)
def test_a_rogue_upgrade_is_none_to_a_client_that_looks(bench: Bench, kind: str, text: str) -> None:
    bench.faults.set("relay-rogue", f"paris:{kind}:1")
    with pytest.raises(InvalidHandshake, match=text):
        asyncio.run(echo(bench))
    assert asyncio.run(echo(bench)) == 4
    assert bench.faults.fired("relay-rogue") == 1


def after_upgrade(bench: Bench, kind: str, **options: Any) -> Any:
    """What a client that accepted the upgrade gets: a message, or the code with which it hung up itself."""

    async def attempt() -> Any:
        async with open_sender(bench.namespace, **options) as ws:
            try:
                return await asyncio.wait_for(ws.recv(), 1)
            except ConnectionClosed as closed:
                return None if closed.sent is None else closed.sent.code
            finally:
                ws.transport.abort()

    bench.faults.set("relay-rogue", f"{kind}:1")
    return asyncio.run(attempt())


def test_a_rogue_frame_may_be_text(bench: Bench) -> None:
    assert after_upgrade(bench, "text") == "Welcome to the guest network"


def test_a_rogue_frame_may_be_masked(bench: Bench) -> None:
    assert after_upgrade(bench, "masked") == 1002


def test_a_rogue_frame_may_announce_what_never_comes(bench: Bench) -> None:
    assert after_upgrade(bench, "oversized", max_size=1 << 20) == 1009
    with pytest.raises(TimeoutError):
        after_upgrade(bench, "oversized")


@pytest.mark.parametrize(
    ("value", "only", "left", "kind"),
    [
        (None, None, 1, "redirect"),
        ("masked", None, 1, "masked"),
        ("masked:3", None, 3, "masked"),
        ("paris:masked", "paris", 1, "masked"),
        ("paris:masked:2", "paris", 2, "masked"),
        ("paris", "paris", 1, "redirect"),
        ("2", None, 2, "redirect"),
    ],
)
def test_a_rogue_answer_is_chosen_by_its_kind(value: str | None, only: str | None, left: int, kind: str) -> None:
    fault = parse("relay-rogue", value)
    assert (fault.only, fault.left, fault.kind) == (only, left, kind)


@pytest.mark.parametrize("value", ["masked:text", "paris:rome:masked:1", "paris:friendly", "masked:0"])
def test_a_rogue_answer_that_makes_no_sense_is_refused(value: str) -> None:
    with pytest.raises(UnknownFault, match="takes"):
        parse("relay-rogue", value)


def test_every_kind_of_rogue_answer_is_played(bench: Bench) -> None:
    for number, kind in enumerate(KINDS["relay-rogue"], start=1):
        bench.faults.set("relay-rogue", kind)
        came_back = 0
        # refused at once, broken off, or waited out: nothing of it is an echo
        with suppress(InvalidHandshake, ConnectionClosed, TimeoutError):
            came_back = asyncio.run(asyncio.wait_for(echo(bench, 40), 1))
        assert came_back < 40, kind
        assert bench.faults.fired("relay-rogue") == number, kind
        assert not bench.faults.is_on("relay-rogue")


# --- a sandbox behind the relay


async def listed(sandbox: Sandbox, name: str) -> set[str]:
    """The UUIDs of the VMs that the Prism ``name`` lists."""
    relay = relay_of(sandbox, name)
    async with open_sender(namespace_of(sandbox), relay.entity.path) as ws:
        if relay.route["listener"] == "azbridge":
            assert await preamble(ws) == b"\x01\x00\x00"
        tls = await tls_to(sandbox, ws, name)
        body = json.loads(await tls.get(sandbox.world.prisms[name], VMS))
        await tls.say_goodbye()
    # told close_notify, the target hangs up, so that even the manager answers a Close
    assert ws.close_code == 1000
    return {vm["uuid"] for vm in body["entities"]}


def has(sandbox: Sandbox, name: str) -> set[str]:
    return {vm.uuid for _, vm in sandbox.world.prisms[name].vms()}


@pytest.mark.parametrize("kind", ["hcm", "azbridge"])
def test_a_whole_estate_stands_behind_the_relay(sandbox_for: Start, kind: str) -> None:
    sandbox = sandbox_for("planned-migration", relay=kind)
    for name in ("paris", "amsterdam"):
        assert asyncio.run(listed(sandbox, name)) == has(sandbox, name)
    profile = Profile.model_validate_json(sandbox.profile_file.read_text())
    first = profile.clusters[0]
    assert first.url == "https://prism-paris.corp.example:9440"
    assert first.relay is not None
    assert (first.relay.path, first.relay.listener) == ("prism-paris", kind)
    assert first.relay.port_name == ("9440" if kind == "azbridge" else None)


def test_the_controllers_of_a_site_on_premises_stand_behind_the_relay_too(sandbox_for: Start) -> None:
    sandbox = sandbox_for("cvad-activation", relay="hcm")
    document = json.loads(sandbox.profile_file.read_text())
    Profile.model_validate(document, strict=False)
    dead, alive = document["site"]["hosts"]
    assert (dead["host"], alive["host"]) == ("ddc01.corp.example", "ddc02.corp.example")
    assert (alive["port"], alive["relay"]["path"]) == (443, "cvad-ddc02")
    counts = [sandbox.azure_relay.listeners(each["relay"]["path"]) for each in (dead, alive)]
    assert counts == [0, 1]

    async def reach() -> None:
        async with open_sender(namespace_of(sandbox), "cvad-ddc02") as ws:
            tls = Tls(ws, "ddc02.corp.example", sandbox.corporate_ca_pem)
            await tls.handshake()
            await tls.say_goodbye()

    asyncio.run(reach())


def test_the_controllers_beside_a_site_in_the_cloud_stay_where_they_are(sandbox_for: Start) -> None:
    sandbox = sandbox_for("planned-migration", relay="hcm")
    assert sandbox.cvad_urls["ddc01"].startswith("https://127.0.0.1:")


def test_relay_down_takes_the_listeners_and_what_is_open(sandbox_for: Start) -> None:
    sandbox = sandbox_for("planned-migration", relay="hcm")

    async def go_down() -> int:
        async with open_sender(namespace_of(sandbox)) as ws:
            await tls_to(sandbox, ws)
            await asyncio.to_thread(sandbox.faults.set, "relay-down", "paris")
            with pytest.raises(ConnectionClosed):
                await drain(ws)
        with pytest.raises(InvalidStatus) as refused:
            await open_sender(namespace_of(sandbox))
        assert "no listeners connected" in refused.value.response.reason_phrase
        return refused.value.response.status_code

    assert asyncio.run(go_down()) == 404
    assert asyncio.run(listed(sandbox, "amsterdam")) == has(sandbox, "amsterdam")
    sandbox.faults.clear("relay-down")
    assert asyncio.run(listed(sandbox, "paris")) == has(sandbox, "paris")
    assert sandbox.faults.fired("relay-down") == 1


@pytest.mark.parametrize("fault", ["relay-drop", "relay-silent", "relay-503", "relay-rogue", "relay-token"])
def test_a_fault_of_the_relay_is_refused_where_nothing_stands_behind_it(sandbox_for: Start, fault: str) -> None:
    sandbox = sandbox_for("planned-migration")
    with pytest.raises(UnavailableFault, match="Azure Relay"):
        sandbox.faults.set(fault)


STORY = """
name: behind
connections: [{name: AHV, zone: Paris}]
clusters: [{name: paris, api: element-v2, hostingConnection: AHV, relay: azbridge, listeners: 2}]
catalogs: []
machines: []
site: {kind: cvad, controllers: [{state: down, relay: hcm}, up]}
"""


def test_a_scenario_says_what_stands_behind_the_relay(sandbox_for: Start) -> None:
    scenario = load("healthy")
    scenario.world = WorldBuilder(yaml.safe_load(STORY), datetime.now(UTC)).build()
    sandbox = sandbox_for(scenario)
    assert sandbox.azure_relay.listeners("prism-paris") == 2
    assert sandbox.azure_relay.listeners("cvad-ddc01") == 0
    assert sandbox.cvad_url == sandbox.cvad_urls["ddc02"]


def test_a_scenario_with_another_kind_of_listener_is_refused() -> None:
    story = yaml.safe_load(STORY.replace("azbridge", "carrier-pigeon"))
    with pytest.raises(ScenarioError, match="hcm or azbridge"):
        WorldBuilder(story, datetime.now(UTC)).build()
