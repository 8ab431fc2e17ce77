"""The stand-in for Easy Auth, in front of a small upstream that tells what reached it."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import pytest
import requests
from aiohttp import web

from sandbox.easy_auth import EasyAuthFront

LOGIN = "/.auth/login/aad"


@dataclass
class Upstream:
    """Runs front and upstream on a loop of their own; ``bodies`` are the sizes of the chunks that arrived."""

    front_url: str = ""
    url: str = ""
    chunk_arrived: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        match request.path:
            case "/status":
                response = web.Response(status=409, reason="Busy", text="no")
                response.headers.add("X-Twice", "1")
                response.headers.add("X-Twice", "2")
                response.set_cookie("theirs", "x")
                response.set_cookie("theirs2", "y")
                return response
            case "/redirect":
                return web.Response(status=303, headers={"Location": "/elsewhere"})
            case "/refuse":
                return web.Response(status=401)
            case "/slow-up":
                await request.content.readany()
                self.chunk_arrived.set()
                return web.Response(text=str(len(await request.read())))
            case "/slow-down":
                return await self.two_halves(request)
            case "/breaks":
                return await self.break_off(request)
            case _:
                body = (await request.read()).decode("latin-1")
                seen = {
                    "method": request.method,
                    "target": request.raw_path,
                    "body": body,
                    "headers": headers_of(request),
                }
                return web.json_response(seen)

    async def two_halves(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"first")
        await asyncio.get_running_loop().run_in_executor(None, self.go_on.wait, 10)
        await response.write(b"second")
        await response.write_eof()
        return response

    async def break_off(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(b"part")
        if request.transport is not None:
            request.transport.close()
        return response

    async def serve(self, ready: Future[None], stop: Future[None]) -> None:
        application = web.Application(client_max_size=2**24)
        application.router.add_route("*", "/{path:.*}", self.answer)
        runner = web.AppRunner(application, access_log=None, auto_decompress=False)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        front = EasyAuthFront()
        self.front_url = await front.start(self.url)
        ready.set_result(None)
        await asyncio.wrap_future(stop)
        await front.stop()
        await front.stop()
        await runner.cleanup()


def headers_of(request: web.Request) -> list[list[str]]:
    return [[name.lower(), value] for name, value in request.headers.items()]


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    served, ready, stop = Upstream(), Future[None](), Future[None]()
    thread = threading.Thread(target=lambda: asyncio.run(served.serve(ready, stop)))
    thread.start()
    ready.result(10)
    yield served
    stop.set_result(None)
    thread.join(15)
    assert not thread.is_alive()


@pytest.fixture
def browser() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        yield session


def seen(answer: requests.Response) -> dict[str, list[str]]:
    """The headers that reached the upstream."""
    headers: dict[str, list[str]] = {}
    for name, value in answer.json()["headers"]:
        headers.setdefault(name, []).append(value)
    return headers


def principal(answer: requests.Response) -> Any:
    return json.loads(base64.b64decode(seen(answer)["x-ms-client-principal"][0]))


def roles(decoded: Any) -> set[str]:
    return {claim["val"] for claim in decoded["claims"] if claim["typ"] in ("roles", decoded["role_typ"])}


def test_an_anonymous_call_passes_without_a_principal(upstream: Upstream, browser: requests.Session) -> None:
    answer = browser.get(f"{upstream.front_url}/api/x?y=%2F")
    assert answer.json()["target"] == "/api/x?y=%2F"
    assert not [name for name in seen(answer) if name.startswith("x-ms-")]


def test_a_forged_principal_never_passes(upstream: Upstream, browser: requests.Session) -> None:
    forged = {
        "X-MS-CLIENT-PRINCIPAL": "forged",
        "x-ms-client-principal-id": "forged",
        "X-Ms-Client-Principal-Name": "forged",
        "X-MS-CLIENT-PRINCIPAL-IDP": "forged",
        "X-MS-TOKEN-AAD-ID-TOKEN": "forged",
    }
    answer = browser.get(f"{upstream.front_url}/api/x", headers=forged)
    assert not [name for name in seen(answer) if name.startswith("x-ms-")]
    answer = browser.get(f"{upstream.front_url}/api/x", headers={**forged, "X-Sandbox-User": "ada"})
    assert "forged" not in answer.text


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ("riley", {"Realign.Reader"}),
        ("olive", {"Realign.Reader", "Realign.Operator"}),
        ("ada", {"Realign.Reader", "Realign.Operator", "Realign.Approver"}),
        ("none", set()),
    ],
)
def test_a_header_chooses_the_user(
    upstream: Upstream, browser: requests.Session, user: str, expected: set[str]
) -> None:
    answer = browser.get(f"{upstream.front_url}/api/x", headers={"X-Sandbox-User": user})
    decoded = principal(answer)
    assert decoded["auth_typ"] == "aad"
    assert roles(decoded) == expected
    headers = seen(answer)
    assert headers["x-ms-client-principal-idp"] == ["aad"]
    assert headers["x-ms-client-principal-name"][0].endswith("@corp.example")
    assert len(headers["x-ms-client-principal-id"]) == 1
    assert "x-sandbox-user" not in headers


def test_an_unknown_user_is_refused(upstream: Upstream, browser: requests.Session) -> None:
    answer = browser.get(f"{upstream.front_url}/api/x", headers={"X-Sandbox-User": "eve"})
    assert (answer.status_code, answer.text) == (400, "X-Sandbox-User is one of riley, olive, ada, none.\n")
    assert browser.get(f"{upstream.front_url}{LOGIN}?user=eve").status_code == 400


def test_the_sign_in_page_offers_every_user_and_keeps_where_to_go(
    upstream: Upstream, browser: requests.Session
) -> None:
    page = browser.get(f"{upstream.front_url}{LOGIN}", params={"post_login_redirect_uri": '/api/review/"><b>'}).text
    for name in ("Riley Reader", "Olive Operator", "Ada Approver", "No Role"):
        assert f">{name}</a>" in page
    assert "user=ada&amp;post_login_redirect_uri=%2Fapi%2Freview%2F%22%3E%3Cb%3E" in page
    assert "<b>" not in page


def test_signing_in_and_out(upstream: Upstream, browser: requests.Session) -> None:
    assert browser.get(f"{upstream.front_url}/.auth/me").status_code == 401
    answer = browser.get(f"{upstream.front_url}{LOGIN}?user=ada&post_login_redirect_uri=/api/review/runs%3Fa%3D1")
    assert answer.json()["target"] == "/api/review/runs?a=1"
    assert "Realign.Approver" in roles(principal(answer))
    me = browser.get(f"{upstream.front_url}/.auth/me").json()
    assert me[0]["user_id"] == "ada@corp.example"
    assert "not signed in" in browser.get(f"{upstream.front_url}/.auth/logout").text
    assert "x-ms-client-principal" not in seen(browser.get(f"{upstream.front_url}/api/x"))


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "/\t/evil.example",
        "evil",
        "javascript:alert(1)",
        "",
    ],
)
def test_the_sign_in_never_leads_off_the_site(upstream: Upstream, browser: requests.Session, target: str) -> None:
    for path, name in ((LOGIN, "post_login_redirect_uri"), ("/.auth/logout", "post_logout_redirect_uri")):
        query = {"user": "ada", name: target}
        answer = browser.get(f"{upstream.front_url}{path}", params=query, allow_redirects=False)
        assert (answer.status_code, answer.headers["Location"]) == (302, "/.auth/login/done")


def test_an_unknown_sign_in_route_never_reaches_the_app(upstream: Upstream, browser: requests.Session) -> None:
    assert browser.get(f"{upstream.front_url}/.auth/login/other").status_code == 404


def test_status_reason_and_repeated_headers_come_back(upstream: Upstream, browser: requests.Session) -> None:
    answer = browser.get(f"{upstream.front_url}/status")
    assert (answer.status_code, answer.reason, answer.text) == (409, "Busy", "no")
    assert answer.raw.headers.getlist("X-Twice") == ["1", "2"]
    assert len(answer.raw.headers.getlist("Set-Cookie")) == 2


def test_a_redirect_of_the_app_is_the_callers(upstream: Upstream, browser: requests.Session) -> None:
    answer = browser.get(f"{upstream.front_url}/redirect", allow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/elsewhere")


def test_host_and_origin_stay_so_that_the_app_can_compare_them(upstream: Upstream, browser: requests.Session) -> None:
    answer = browser.post(f"{upstream.front_url}/api/x", data=b"\x00\xff", headers={"Origin": upstream.front_url})
    assert seen(answer)["host"] == [upstream.front_url.removeprefix("http://")]
    assert seen(answer)["origin"] == [upstream.front_url]
    assert seen(answer)["content-length"] == ["2"]
    assert answer.json()["body"] == "\x00\xff"


def test_a_connection_header_is_not_passed_on_nor_what_it_names(upstream: Upstream, browser: requests.Session) -> None:
    answer = browser.get(f"{upstream.front_url}/api/x", headers={"Connection": "close, X-Hop", "X-Hop": "1"})
    assert "x-hop" not in seen(answer)


def test_head_has_no_body(upstream: Upstream, browser: requests.Session) -> None:
    answer = browser.head(f"{upstream.front_url}/status")
    assert (answer.status_code, answer.headers["Content-Length"], answer.content) == (409, "2", b"")


def test_a_request_body_is_streamed(upstream: Upstream, browser: requests.Session) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"first"
        assert upstream.chunk_arrived.wait(10)  # it is there before the rest was sent
        yield b"second"

    assert browser.post(f"{upstream.front_url}/slow-up", data=chunks(), timeout=20).text == "6"


def test_an_answer_is_streamed(upstream: Upstream, browser: requests.Session) -> None:
    with browser.get(f"{upstream.front_url}/slow-down", stream=True, timeout=20) as answer:
        chunks = answer.iter_content(None)
        assert next(chunks) == b"first"
        upstream.go_on.set()
        assert b"".join(chunks) == b"second"


def test_an_app_that_refuses_without_reading_the_body_is_heard(upstream: Upstream, browser: requests.Session) -> None:
    assert browser.post(f"{upstream.front_url}/refuse", data=b"x" * 1_000_000).status_code == 401
    assert browser.get(f"{upstream.front_url}/api/x").status_code == 200


def test_an_answer_that_breaks_off_breaks_off_here_too(upstream: Upstream, browser: requests.Session) -> None:
    with pytest.raises((requests.exceptions.ChunkedEncodingError, requests.exceptions.ConnectionError)):
        browser.get(f"{upstream.front_url}/breaks")


def test_an_app_that_is_away_is_a_502(browser: requests.Session) -> None:
    async def ask() -> requests.Response:
        front = EasyAuthFront()
        url = await front.start("http://127.0.0.1:9")
        try:
            return await asyncio.get_running_loop().run_in_executor(None, browser.get, url)
        finally:
            await front.stop()

    assert asyncio.run(ask()).status_code == 502


def test_a_port_that_is_taken_is_an_error_and_leaves_nothing_open(upstream: Upstream) -> None:
    port = int(upstream.front_url.rsplit(":", 1)[1])
    with pytest.raises(OSError, match="address already in use"):
        asyncio.run(EasyAuthFront().start(upstream.url, port))
