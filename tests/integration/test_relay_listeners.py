"""What goes through the simulated Azure Relay, and how each kind of listener behaves (``relay.md``, 3 and 6)."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus

from sandbox.relay.entity import target_metadata
from tests.integration.relay_bench import PATH, Bench, comes_true
from tests.integration.relay_sender import open_sender, preamble

QUIET_SECONDS = 0.3


@pytest.fixture
def hcm() -> Iterator[Bench]:
    with Bench("hcm") as made:
        yield made


@pytest.fixture
def azbridge() -> Iterator[Bench]:
    with Bench("azbridge") as made:
        yield made


async def receive(ws: ClientConnection, size: int) -> list[bytes]:
    """Messages until ``size`` bytes have come."""
    messages: list[bytes] = []
    while sum(map(len, messages)) < size:
        messages.append(bytes(await asyncio.wait_for(ws.recv(decode=False), 10)))
    return messages


async def is_quiet(ws: ClientConnection) -> bool:
    """Neither a byte nor a Close comes."""
    try:
        await asyncio.wait_for(ws.recv(), QUIET_SECONDS)
    except TimeoutError:
        return True
    except ConnectionClosed:
        return False
    return False


async def seen(condition: Callable[[], bool]) -> bool:
    return await asyncio.to_thread(comes_true, condition)


async def closed(ws: ClientConnection) -> tuple[int | None, bytes]:
    """The code of the Close that comes, and all that came before it."""
    received = b""
    try:
        while True:
            received += bytes(await asyncio.wait_for(ws.recv(decode=False), 10))
    except ConnectionClosed:
        return ws.close_code, received


# --- the pipe


def test_bytes_keep_their_order_and_messages_do_not_keep_their_ends(hcm: Bench) -> None:
    chance = random.Random(7)
    sizes = [1, 2, 3, 125, 126, 65_535, 65_536, 200_000]
    sent = [chance.randbytes(size) for size in sizes]

    async def there_and_back() -> list[bytes]:
        async with open_sender(hcm.namespace) as ws:
            for message in sent:
                await ws.send(message)
            messages = await receive(ws, sum(sizes))
            ws.transport.abort()
            return messages

    messages = asyncio.run(there_and_back())
    assert b"".join(messages) == b"".join(sent)
    assert len(messages) > len(sent)
    assert max(map(len, messages)) <= 16 * 1024


def test_pings_are_left_unanswered_unless_the_service_is_told_to(hcm: Bench) -> None:
    async def answered() -> bool:
        async with open_sender(hcm.namespace) as ws:
            pong = await ws.ping()
            await ws.send(b"x")
            await receive(ws, 1)
            ws.transport.abort()
            return pong.done()

    assert not asyncio.run(answered())
    hcm.service.answers_pings = True
    assert asyncio.run(answered())


def test_a_tunnel_that_breaks_on_one_side_breaks_on_the_other(hcm: Bench) -> None:
    async def break_off() -> int | None:
        async with open_sender(hcm.namespace) as ws:
            await ws.send(b"x")
            await receive(ws, 1)
            await asyncio.to_thread(hcm.relay.cut)
            with pytest.raises(ConnectionClosed):
                await ws.recv()
            return ws.close_code

    assert asyncio.run(break_off()) == 1006
    assert comes_true(lambda: hcm.target.connections == 0)


def test_a_listener_that_was_killed_comes_back(hcm: Bench) -> None:
    async def attempt() -> None:
        async with open_sender(hcm.namespace) as ws:
            await ws.send(b"x")
            await receive(ws, 1)
            ws.transport.abort()

    hcm.relay.cut()
    with pytest.raises(InvalidStatus):
        asyncio.run(attempt())
    hcm.relay.restore()
    asyncio.run(attempt())


def test_a_frozen_listener_accepts_and_says_nothing_until_it_is_restored(hcm: Bench) -> None:
    async def thaw() -> None:
        hcm.relay.listeners[0].freeze()
        async with open_sender(hcm.namespace) as ws:
            await ws.send(b"x")
            assert await is_quiet(ws)
            await asyncio.to_thread(hcm.relay.restore)
            assert await receive(ws, 1) == [b"x"]
            ws.transport.abort()

    asyncio.run(thaw())


# --- several listeners


def drawn(seed: int) -> list[int]:
    """How many of 24 senders each of three listeners had."""
    with Bench(listeners=3, seed=seed) as bench:

        async def ask() -> None:
            for _ in range(24):
                async with open_sender(bench.namespace) as ws:
                    ws.transport.abort()

        asyncio.run(ask())
        assert comes_true(lambda: sum(listener.accepted for listener in bench.relay.listeners) == 24)
        return [listener.accepted for listener in bench.relay.listeners]


def test_the_listener_of_a_sender_is_drawn_and_the_draw_can_be_repeated() -> None:
    first = drawn(seed=3)
    assert min(first) >= 3
    assert drawn(seed=3) == first


def test_one_listener_of_two_is_enough() -> None:
    with Bench(listeners=2) as bench:
        assert bench.service.listeners(PATH) == 2
        bench.relay.listeners[0].stop()
        assert comes_true(lambda: bench.service.listeners(PATH) == 1)

        async def ask() -> None:
            for _ in range(4):
                async with open_sender(bench.namespace) as ws:
                    await ws.send(b"x")
                    await receive(ws, 1)
                    ws.transport.abort()

        asyncio.run(ask())


# --- Hybrid Connection Manager


def test_the_manager_dials_after_the_rendezvous(hcm: Bench) -> None:
    """So that 101 says nothing of the target."""
    hcm.target.refuse()

    async def attempt() -> tuple[int | None, bytes]:
        async with open_sender(hcm.namespace) as ws:
            return await closed(ws)

    assert asyncio.run(attempt()) == (1000, b"")


def test_the_manager_hangs_up_on_a_name_that_does_not_resolve(hcm: Bench) -> None:
    hcm.relay.cut()
    hcm.relay.entity.user_metadata = target_metadata("prism-rome.corp.example:9440")
    hcm.relay.restore()

    async def attempt() -> tuple[int | None, bytes]:
        async with open_sender(hcm.namespace) as ws:
            return await closed(ws)

    assert asyncio.run(attempt()) == (1000, b"")
    assert hcm.target.dialled == 0


def test_the_manager_does_not_pass_on_that_the_target_hung_up(hcm: Bench) -> None:
    async def attempt() -> None:
        async with open_sender(hcm.namespace) as ws:
            await ws.send(b"x")
            await receive(ws, 1)
            hcm.target.hang_up()
            assert await seen(lambda: hcm.target.connections == 0)
            assert await is_quiet(ws)
            await ws.close()
            assert ws.close_code == 1000

    asyncio.run(attempt())


def test_the_manager_keeps_the_targets_connection_after_our_close(hcm: Bench) -> None:
    async def attempt() -> int | None:
        async with open_sender(hcm.namespace) as ws:
            await ws.send(b"x")
            await receive(ws, 1)
        return ws.close_code

    # nobody answers our Close, so that we drop the connection
    assert asyncio.run(attempt()) == 1006
    assert hcm.target.connections == 1
    hcm.target.hang_up()
    assert comes_true(lambda: hcm.target.connections == 0)


def test_the_manager_takes_an_empty_message_for_the_end(hcm: Bench) -> None:
    async def attempt() -> None:
        async with open_sender(hcm.namespace) as ws:
            await ws.send(b"x")
            await receive(ws, 1)
            await ws.send(b"")
            await ws.send(b"y")
            assert await is_quiet(ws)
            ws.transport.abort()

    asyncio.run(attempt())


def test_the_manager_passes_a_preamble_on_as_if_it_were_for_the_target(hcm: Bench) -> None:
    async def attempt() -> bytes:
        async with open_sender(hcm.namespace) as ws:
            await ws.send(b"\x01\x00\x00\x049440")
            received = b"".join(await receive(ws, 8))
            ws.transport.abort()
            return received

    assert asyncio.run(attempt()) == b"\x01\x00\x00\x049440"


# --- azbridge


def test_azbridge_answers_the_preamble_before_it_dials(azbridge: Bench) -> None:
    azbridge.target.refuse()

    async def attempt() -> tuple[bytes, tuple[int | None, bytes]]:
        async with open_sender(azbridge.namespace) as ws:
            return await preamble(ws), await closed(ws)

    assert asyncio.run(attempt()) == (b"\x01\x00\x00", (1000, b""))


def test_azbridge_carries_what_follows_the_preamble_however_it_is_cut(azbridge: Bench) -> None:
    async def attempt() -> None:
        async with open_sender(azbridge.namespace) as ws:
            for letter in b"\x01\x00\x00\x04944":
                await ws.send(bytes([letter]))
            await ws.send(b"0early")
            assert b"".join(await receive(ws, 8)) == b"\x01\x00\x00early"
            ws.transport.abort()

    asyncio.run(attempt())


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00", b"\x00\x00\x00", id="raw-tls"),
        pytest.param(b"\x02\x00\x00\x049440", b"\x00\x00\x00", id="another-version"),
        pytest.param(b"\x01\x00\x01\x049440", b"\x00\x00\x01", id="datagrams"),
        pytest.param(b"\x01\x00\x00\x05prism", b"", id="unknown-port-name"),
    ],
)
def test_azbridge_hangs_up_on_what_it_does_not_know(azbridge: Bench, said: bytes, answer: bytes) -> None:
    async def attempt() -> tuple[int | None, bytes]:
        async with open_sender(azbridge.namespace) as ws:
            await ws.send(said)
            return await closed(ws)

    assert asyncio.run(attempt()) == (1000, answer)
    assert azbridge.target.dialled == 0


def test_any_number_names_the_only_target_of_azbridge(azbridge: Bench) -> None:
    async def attempt() -> bytes:
        async with open_sender(azbridge.namespace) as ws:
            received = await preamble(ws, b"\x01\x00\x00\x03443")
            ws.transport.abort()
            return received

    assert asyncio.run(attempt()) == b"\x01\x00\x00"


def test_azbridge_passes_on_that_the_target_hung_up(azbridge: Bench) -> None:
    async def attempt() -> tuple[int | None, bytes]:
        async with open_sender(azbridge.namespace) as ws:
            await preamble(ws)
            await ws.send(b"x")
            await receive(ws, 1)
            azbridge.target.hang_up()
            return await closed(ws)

    assert asyncio.run(attempt()) == (1000, b"")


def test_azbridge_passes_on_our_close(azbridge: Bench) -> None:
    async def attempt() -> int | None:
        async with open_sender(azbridge.namespace) as ws:
            await preamble(ws)
            await ws.send(b"x")
            await receive(ws, 1)
        return ws.close_code

    assert asyncio.run(attempt()) == 1000
    assert comes_true(lambda: azbridge.target.connections == 0)
