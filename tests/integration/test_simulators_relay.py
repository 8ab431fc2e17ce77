"""The simulated Azure Relay refuses, accepts and describes as the contract says (``relay.md``, sections 2 to 8)."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Callable, Iterator
from typing import Any
from xml.etree import ElementTree

import jwt
import pytest
import requests
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus

from sandbox.hybrid_connections import LISTENER, SENDER
from sandbox.relay import sas
from sandbox.relay.entity import Right
from sandbox.world import stable_uuid
from tests.integration.relay_bench import PATH, Bench, comes_true
from tests.integration.relay_sender import AUDIENCE, open_sender

CONNECT = "{http://schemas.microsoft.com/netservices/2010/10/servicebus/connect}"
CLIENT = stable_uuid("system-assigned identity")


@pytest.fixture
def bench() -> Iterator[Bench]:
    with Bench() as made:
        yield made


@pytest.fixture
def alone() -> Iterator[Bench]:
    """Nobody listens, and a sender is not kept waiting for long."""
    with Bench(listeners=0, accept_seconds=0.3) as made:
        yield made


def refusal(bench: Bench, path: str = PATH, **options: Any) -> tuple[int, str]:
    """Status and reason of a refused handshake."""

    async def attempt() -> tuple[int, str]:
        with pytest.raises(InvalidStatus) as refused:
            await open_sender(bench.namespace, path, **options)
        return refused.value.response.status_code, refused.value.response.reason_phrase

    return asyncio.run(attempt())


def echo(bench: Bench, path: str = PATH, **options: Any) -> bytes:
    """What comes back of four bytes."""

    async def attempt() -> bytes:
        async with open_sender(bench.namespace, path, **options) as ws:
            await ws.send(b"ping")
            received = b""
            while len(received) < 4:
                received += bytes(await ws.recv(decode=False))
            # the manager would answer a Close when the target has hung up
            ws.transport.abort()
            return received

    return asyncio.run(attempt())


def sas_token(bench: Bench, name: str, **other: Any) -> str:
    parts = {"resource": f"http://127.0.0.1/{PATH}", "expires": int(time.time()) + 60, "key": bench.key(name)} | other
    return sas.sign(parts["resource"], parts["expires"], name, parts["key"])


def sas_for(bench: Bench, resource: str) -> str:
    return sas_token(bench, SENDER, resource=f"http://{resource}")


def test_a_sender_with_an_entra_token_reaches_the_target(bench: Bench) -> None:
    assert echo(bench) == b"ping"
    assert bench.calls.count("relay", "GET", "connect") == 1


def test_a_token_may_stand_in_the_query(bench: Bench) -> None:
    token = bench.identity.issue(AUDIENCE)
    assert echo(bench, signed_in=False, query=f"&sb-hc-token={token}") == b"ping"


def test_a_path_is_found_whatever_its_case_and_what_follows_it_is_the_listeners_business(bench: Bench) -> None:
    assert echo(bench, "Prism-PARIS/some/where") == b"ping"


def test_no_listener_is_404_with_the_ids_that_support_asks_for(alone: Bench) -> None:
    status, reason = refusal(alone, correlation="5f0c-mine")
    assert status == 404
    wanted = (
        r"There are no listeners connected for the endpoint\. TrackingId:5f0c-mine\S*, "
        r"SystemTracker:\S+/prism-paris, Timestamp:\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d"
    )
    assert re.fullmatch(wanted, reason)


def test_an_unknown_path_is_404_too_and_says_so(bench: Bench) -> None:
    status, reason = refusal(bench, "prism-rome")
    assert (status, reason.startswith("Endpoint does not exist")) == (404, True)


@pytest.mark.parametrize("late", [504, 404])
def test_a_listener_that_does_not_accept_in_time_is_told_apart_from_none(late: int) -> None:
    with Bench(accept_seconds=0.2) as bench:
        bench.service.rendezvous.late = late
        bench.relay.listeners[0].deafen()
        status, reason = refusal(bench)
        assert (status, reason.startswith("None of the connected listeners accepted")) == (late, True)
        assert "within the allowed timeout" in reason
        bench.relay.restore()
        assert echo(bench) == b"ping"


def tampered(token: str) -> str:
    head, claims, signature = token.split(".")
    return f"{head}.{claims}.{signature[::-1]}"


@pytest.mark.parametrize(
    ("token", "text"),
    [
        pytest.param(lambda bench: tampered(bench.identity.issue(AUDIENCE)), "InvalidSignature", id="tampered"),
        pytest.param(lambda bench: bench.identity.issue(AUDIENCE, lifetime=-5), "ExpiredToken", id="expired"),
        pytest.param(lambda bench: "nonsense", "MalformedToken", id="nonsense"),
        pytest.param(lambda bench: f"Bearer {bench.identity.issue(AUDIENCE)}", "MalformedToken", id="bearer"),
        pytest.param(lambda bench: bench.identity.issue("https://vault.azure.net"), "InvalidAudience", id="audience"),
        pytest.param(lambda bench: bench.identity.issue(f"{AUDIENCE}/"), "InvalidAudience", id="closing-slash"),
        pytest.param(lambda bench: sas_token(bench, SENDER, key="other"), "InvalidSignature", id="sas-wrong-key"),
        pytest.param(lambda bench: sas_token(bench, SENDER, expires=9), "ExpiredToken", id="sas-expired"),
        pytest.param(lambda bench: sas_for(bench, "127.0.0.1/prism-rome"), "InvalidAudience", id="sas-path"),
        pytest.param(lambda bench: sas_for(bench, f"evil.example/{PATH}"), "InvalidAudience", id="sas-host"),
        pytest.param(lambda bench: "SharedAccessSignature sr=a&sig=b", "MalformedToken", id="sas-half"),
    ],
)  # fmt: skip
def test_a_bad_token_is_401_and_says_what_is_wrong(bench: Bench, token: Callable[[Bench], str], text: str) -> None:
    status, reason = refusal(bench, token=token(bench))
    assert (status, reason.startswith(text)) == (401, True)


def test_no_token_is_401(bench: Bench) -> None:
    status, reason = refusal(bench, signed_in=False)
    assert (status, reason.startswith("MissingToken")) == (401, True)


def test_an_entity_without_client_authorization_asks_for_none(bench: Bench) -> None:
    bench.relay.entity.requires_client_authorization = False
    assert echo(bench, signed_in=False) == b"ping"


def test_the_other_form_of_the_audience_can_be_the_one_that_is_taken(bench: Bench) -> None:
    bench.service.gate.audience = f"{AUDIENCE}/"
    assert refusal(bench)[1].startswith("InvalidAudience")
    assert echo(bench, token=bench.identity.issue(f"{AUDIENCE}/")) == b"ping"


def test_the_firewall_answers_before_anybody_looks_at_the_token(bench: Bench) -> None:
    bench.relay.entity.firewall = True
    status, reason = refusal(bench)
    assert (status, reason.startswith("Ip has been prevented to connect to the endpoint")) == (401, True)


@pytest.mark.parametrize("status", [403, 401])
def test_a_token_without_the_right_is_refused(bench: Bench, status: int) -> None:
    bench.service.gate.missing_right = status
    assert refusal(bench, token=sas_token(bench, LISTENER))[0] == status
    bench.relay.entity.roles = {CLIENT: frozenset({Right.LISTEN})}
    assert refusal(bench)[0] == status
    bench.relay.entity.roles = {CLIENT: frozenset({Right.SEND})}
    assert echo(bench) == b"ping"


def test_a_send_key_signs_in_as_the_vendors_libraries_sign(bench: Bench) -> None:
    for resource in (f"http://127.0.0.1/{PATH}", f"http://127.0.0.1/{PATH}/", "http://127.0.0.1/"):
        assert echo(bench, token=sas_token(bench, SENDER, resource=resource)) == b"ping"


def test_the_signature_is_that_of_microsofts_library() -> None:
    uri, key = "http://contoso.servicebus.windows.net/prism-par", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
    token = sas.sign(uri, 1893456000, "defaultSender", key)
    assert "&sig=q0pbwj2VT6nEr3mqlIPl7viTgIJU6Q8oA71HNdgD1ww%3D&" in token
    read = sas.parse(token)
    assert read is not None
    assert read.signed_with(key)
    assert read.resource == ("contoso.servicebus.windows.net", "prism-par")
    assert key not in repr(read)


def test_an_unknown_action_is_refused(bench: Bench) -> None:
    assert refusal(bench, action="listne")[0] == 400


def test_more_connections_than_the_namespace_has_are_refused(bench: Bench) -> None:
    bench.service.most_connections = 1

    async def two() -> int:
        async with open_sender(bench.namespace) as ws:
            with pytest.raises(InvalidStatus) as refused:
                await open_sender(bench.namespace)
            ws.transport.abort()
            return refused.value.response.status_code

    assert asyncio.run(two()) == 503
    assert comes_true(lambda: not bench.service.tunnels(PATH))
    assert echo(bench) == b"ping"


def test_what_identity_issues_for_the_relay_keeps_its_closing_slash(bench: Bench) -> None:
    for audience in (AUDIENCE, f"{AUDIENCE}/"):
        claims = jwt.decode(bench.identity.issue(audience), options={"verify_signature": False})
        assert claims["aud"] == audience


# --- the entity's document


def xml(text: bytes) -> ElementTree.Element:
    return ElementTree.fromstring(text)  # noqa: S314 - the sandbox's own answer


def described(bench: Bench, path: str = PATH, token: str | None = None, version: str = "2016-07") -> requests.Response:
    headers = {"Authorization": token or sas_token(bench, LISTENER), "X-PROCESS-AT": "ServiceBus"}
    with requests.Session() as session:
        session.trust_env = False
        url = f"https://{bench.namespace.host}/{path}?api-version={version}"
        return session.get(url, headers=headers, verify=str(bench.namespace.ca_file), timeout=20)


def test_the_entity_tells_its_metadata_and_how_many_listen(bench: Bench) -> None:
    for token in (None, sas_token(bench, SENDER), bench.identity.issue(AUDIENCE)):
        entry = xml(described(bench, token=token).content)
        assert entry.tag == "{http://www.w3.org/2005/Atom}entry"
        found = {part: entry.findtext(f".//{CONNECT}{part}") for part in ("UserMetadata", "ListenerCount")}
        target = [{"key": "endpoint", "value": "prism-paris.corp.example:9440"}]
        assert found == {"UserMetadata": json.dumps(target), "ListenerCount": "1"}
        assert entry.findtext(f".//{CONNECT}RequiresClientAuthorization") == "true"
    bench.relay.cut()
    assert "<ListenerCount>0</ListenerCount>" in described(bench).text


def test_an_entity_that_does_not_exist_is_a_feed(bench: Bench) -> None:
    answer = described(bench, "prism-rome")
    assert (answer.status_code, xml(answer.content).tag.endswith("feed")) == (200, True)


def test_who_may_not_read_the_entity_is_told_why(bench: Bench) -> None:
    answer = described(bench, token=sas_token(bench, LISTENER, expires=5))
    detail = xml(answer.content).findtext("Detail") or ""
    assert (answer.status_code, detail.startswith("ExpiredToken")) == (401, True)
    assert described(bench, version="2015-01").status_code == 400


# --- the listener's side of the protocol


async def accepted(control: ClientConnection) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(await asyncio.wait_for(control.recv(), 10))["accept"]
    return found


def rendezvous(bench: Bench, address: str, more: str = "") -> Any:
    """Connects to the address as it is, without a token."""
    where = f"wss://{bench.namespace.host}/$hc/{PATH}"
    assert address.startswith(where)
    path_and_query = address.removeprefix(f"wss://{bench.namespace.host}/$hc/")
    path, _, query = path_and_query.partition("?")
    action, correlation, rest = query.split("&", 2)
    assert action == "sb-hc-action=accept"
    identifier = correlation.removeprefix("sb-hc-id=")
    return open_sender(
        bench.namespace, path, action="accept", correlation=identifier, query=f"&{rest}{more}", signed_in=False
    )


def listening(bench: Bench, **options: Any) -> Any:
    """A control channel in the test's own hand."""
    return open_sender(bench.namespace, action="listen", token=sas_token(bench, LISTENER, **options))


def test_a_listener_learns_of_a_sender_and_gets_its_101_after_the_rendezvous(alone: Bench) -> None:
    alone.service.rendezvous.seconds = 20.0

    async def meet() -> None:
        async with listening(alone) as control:
            sender = asyncio.ensure_future(
                open_sender(alone.namespace, f"{PATH}/deep", correlation="mine", query="&more=1").__aenter__()
            )
            accept = await accepted(control)
            assert accept["id"] == "mine"
            assert "/deep?" in accept["address"]
            assert "more=1" in accept["address"]
            headers = {name.lower() for name in accept["connectHeaders"]}
            assert "sec-websocket-key" in headers
            assert "servicebusauthorization" not in headers
            assert (accept["remoteEndpoint"]["address"], accept["remoteEndpoint"]["port"] > 0) == ("127.0.0.1", True)
            await asyncio.sleep(0.1)
            assert not sender.done()
            async with rendezvous(alone, accept["address"]) as ws:
                joined = await sender
                await ws.send(b"early")
                assert await joined.recv(decode=False) in (b"e", b"ea", b"ear", b"earl")
                await joined.close()
            with pytest.raises(InvalidStatus) as used:
                await rendezvous(alone, accept["address"])
            assert used.value.response.status_code == 410

    asyncio.run(meet())


@pytest.mark.parametrize(("said", "told"), [("503", 503), ("200", 400), ("soon", 400)])
def test_a_listener_that_rejects_chooses_what_the_sender_is_told(alone: Bench, said: str, told: int) -> None:
    description = "sb-hc-statusDescription=come%20back%20later"

    async def reject() -> tuple[int, int, str]:
        async with listening(alone) as control:
            sender = asyncio.ensure_future(open_sender(alone.namespace).__aenter__())
            address = (await accepted(control))["address"]
            with pytest.raises(InvalidStatus) as gone:
                await rendezvous(alone, address, f"&sb-hc-statusCode={said}&{description}")
            with pytest.raises(InvalidStatus) as refused:
                await sender
        response = refused.value.response
        return gone.value.response.status_code, response.status_code, response.reason_phrase

    gone, status, reason = asyncio.run(reject())
    assert (gone, status, reason.startswith("come back later")) == (410, told, True)


def test_a_rendezvous_that_comes_too_late_finds_nobody(alone: Bench) -> None:
    async def late() -> tuple[int, int]:
        async with listening(alone) as control:
            sender = asyncio.ensure_future(open_sender(alone.namespace).__aenter__())
            address = (await accepted(control))["address"]
            with pytest.raises(InvalidStatus) as refused:
                await sender
            with pytest.raises(InvalidStatus) as gone:
                await rendezvous(alone, address)
        return refused.value.response.status_code, gone.value.response.status_code

    assert asyncio.run(late()) == (504, 410)


def test_a_sender_does_not_wait_for_a_listener_that_died(alone: Bench) -> None:
    alone.service.rendezvous.seconds = 20.0

    async def die() -> tuple[int, str]:
        async with listening(alone) as control:
            sender = asyncio.ensure_future(open_sender(alone.namespace).__aenter__())
            await accepted(control)
            control.transport.abort()
            with pytest.raises(InvalidStatus) as refused:
                await asyncio.wait_for(sender, 10)
        return refused.value.response.status_code, refused.value.response.reason_phrase

    status, reason = asyncio.run(die())
    assert (status, reason.startswith("There are no listeners")) == (404, True)


@pytest.mark.parametrize("good", [True, False], ids=["good", "bad"])
def test_a_control_channel_lives_as_long_as_its_token(alone: Bench, good: bool) -> None:
    """A second is the least that a token can live; ``renewToken`` has no answer."""

    async def live() -> int | None:
        async with listening(alone, expires=int(time.time()) + 2) as control:
            token = sas_token(alone, LISTENER if good else SENDER)
            await control.send(json.dumps({"renewToken": {"token": token}}))
            try:
                await asyncio.wait_for(control.recv(), 2.5)
            except ConnectionClosed:
                return control.close_code
            except TimeoutError:
                return None

    assert asyncio.run(live()) == (None if good else 1008)


def test_a_control_channel_whose_token_ends_is_closed_with_1008(alone: Bench) -> None:
    async def end() -> int | None:
        async with listening(alone, expires=int(time.time()) + 3) as control:
            with pytest.raises(ConnectionClosed):
                await asyncio.wait_for(control.recv(), 10)
            return control.close_code

    assert asyncio.run(end()) == 1008


def test_a_listener_without_the_right_to_listen_is_refused(bench: Bench) -> None:
    assert refusal(bench, action="listen", token=sas_token(bench, SENDER))[0] == 403


def test_more_listeners_than_an_entity_takes_are_refused(bench: Bench) -> None:
    bench.service.most_listeners = 1
    assert refusal(bench, action="listen", token=sas_token(bench, LISTENER))[0] == 503


def test_a_deleted_entity_says_1001_to_everybody(alone: Bench) -> None:
    async def delete() -> tuple[int | None, int | None]:
        async with listening(alone) as control:
            sender = asyncio.ensure_future(open_sender(alone.namespace).__aenter__())
            async with rendezvous(alone, (await accepted(control))["address"]) as ws:
                joined = await sender
                await asyncio.to_thread(alone.background.run, alone.service.remove(PATH))
                codes = []
                for each in (joined, ws, control):
                    with pytest.raises(ConnectionClosed):
                        await each.recv()
                    codes.append(each.close_code)
        assert codes[1] == 1001
        return codes[0], codes[2]

    assert asyncio.run(delete()) == (1001, 1001)
    assert refusal(alone)[1].startswith("Endpoint does not exist")
