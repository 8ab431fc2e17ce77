"""Microsoft's own listener library against the simulated Azure Relay: what it understands was not made to fit."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from sandbox import npm
from sandbox.hybrid_connections import LISTENER, SENDER
from sandbox.relay.entity import SasKey
from sandbox.sandbox import Sandbox
from shared.http import Deadline, Limits
from shared.runs.clients.connect import prism
from shared.runs.clients.keyring import Keyring, secret_names
from shared.runs.resources import Resources
from tests.integration.relay_sender import namespace_of, open_sender, relay_of, tls_to

NODE = Path(__file__).parents[1] / "relay_listener"
VMS = "/PrismGateway/services/rest/v2.0/vms"


class NodeListener:
    """The library in a Node.js process of its own, as the only listener of ``prism-paris``."""

    def __init__(self, sandbox: Sandbox, key: SasKey) -> None:
        relay = relay_of(sandbox)
        environment = npm.environment() | {
            "NAMESPACE": sandbox.azure_relay_url.removeprefix("https://"),
            "ENTITY": relay.entity.path,
            "KEY_NAME": key.name,
            "KEY": key.text,
            "TARGET_PORT": str(relay.target_port),
            "NODE_EXTRA_CA_CERTS": str(sandbox.ca_file),
        }
        command = [npm.node(), "--no-deprecation", str(NODE / "listener.cjs")]
        self.process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def says(self) -> str:
        """Its next line."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


@pytest.fixture
def sandbox(sandbox_for: Callable[..., Sandbox]) -> Sandbox:
    """The Prisms behind the relay, and nobody listening before Paris."""
    running = sandbox_for("planned-migration", relay="hcm")
    relay_of(running).cut()
    return running


@pytest.fixture
def listen(sandbox: Sandbox) -> Iterator[Callable[[str], NodeListener]]:
    npm.ensure_installed(NODE)
    started: list[NodeListener] = []

    def start(key_name: str) -> NodeListener:
        started.append(NodeListener(sandbox, relay_of(sandbox).entity.keys[key_name]))
        return started[-1]

    yield start
    for each in started:
        each.close()


Listen = Callable[[str], NodeListener]


async def listing(sandbox: Sandbox, times: int = 1) -> Any:
    async with open_sender(namespace_of(sandbox)) as ws:
        tls = await tls_to(sandbox, ws)
        for _ in range(times):
            body = await tls.get(sandbox.world.prisms["paris"], VMS)
        await tls.say_goodbye()
    return json.loads(body)


def test_a_listing_of_prism_comes_through_it_with_tls_from_end_to_end(sandbox: Sandbox, listen: Listen) -> None:
    assert listen(LISTENER).says() == "listening"
    assert sandbox.azure_relay.listeners("prism-paris") == 1
    found = asyncio.run(listing(sandbox, times=2))
    right = sandbox.world.prisms["paris"].vms()
    assert sorted(vm["uuid"] for vm in found["entities"]) == sorted(vm.uuid for _, vm in right)


def test_realigns_own_sender_reads_a_prism_through_it(
    sandbox: Sandbox, listen: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert listen(LISTENER).says() == "listening"
    for name in ("IDENTITY_ENDPOINT", "IDENTITY_HEADER"):  # msal reads these itself
        monkeypatch.setenv(name, sandbox.environ[name])
    resources = Resources(sandbox.environ)
    profile = resources.profile(sandbox.scenario.profile_name)
    paris = next(cluster for cluster in profile.clusters if cluster.name == "paris")
    limits = Limits(Deadline.after(20), attempts=1)
    with prism(resources, paris, Keyring(resources.vault, secret_names(profile))) as client:
        found = client.vms(client.clusters(limits).items, limits)
    resources.close()
    assert found.whole
    assert {vm.uuid for vm in found.items} == {vm.uuid for _, vm in sandbox.world.prisms["paris"].vms()}


def test_sixteen_senders_at_once_each_get_their_own_answer(sandbox: Sandbox, listen: Listen) -> None:
    assert listen(LISTENER).says() == "listening"

    async def many() -> list[Any]:
        return await asyncio.gather(*(listing(sandbox) for _ in range(16)))

    found = asyncio.run(many())
    assert len({json.dumps(each, sort_keys=True) for each in found}) == 1


def test_it_is_told_the_senders_close_and_tells_its_own(sandbox: Sandbox, listen: Listen) -> None:
    listener = listen(LISTENER)
    assert listener.says() == "listening"

    async def close() -> None:
        async with open_sender(namespace_of(sandbox)):
            pass

    async def be_closed() -> int | None:
        async with open_sender(namespace_of(sandbox)) as ws:
            await ws.send(b"GET / HTTP/1.0\r\n\r\n")  # the target speaks TLS, and hangs up
            async for _ in ws:
                pass
            return ws.close_code

    asyncio.run(close())
    assert listener.says() == "closed 1000"
    assert asyncio.run(be_closed()) == 1000


def test_its_token_is_checked(sandbox: Sandbox, listen: Listen) -> None:
    """The library itself goes on trying at once and for ever."""
    listener = listen(SENDER)
    assert "(403)" in listener.says()
    assert sandbox.azure_relay.listeners("prism-paris") == 0


def test_a_killed_listener_is_no_listener(sandbox: Sandbox, listen: Listen) -> None:
    listener = listen(LISTENER)
    assert listener.says() == "listening"

    async def drop() -> None:
        async with open_sender(namespace_of(sandbox)) as ws:
            await tls_to(sandbox, ws)
            listener.close()
            with pytest.raises(ConnectionClosed):
                await ws.recv()
            with pytest.raises(InvalidStatus) as refused:
                await asyncio.wait_for(open_sender(namespace_of(sandbox)), 10)
        assert refused.value.response.status_code == 404

    asyncio.run(drop())
