"""One message to a receiver over TLS: what is sent, and that no receiver holds the sender longer than it may."""

from __future__ import annotations

import contextlib
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
import trustme

from shared.call_failure import CallFailed
from shared.runs.notifying.delivery import deliver
from tests.unit.test_http_connection import Script, Server, hang_up, pem, whole

Serve = Callable[..., Server]


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def serve() -> Iterator[Serve]:
    servers: list[Server] = []

    def start(certificate: trustme.LeafCert | None, script: Script = whole) -> Server:
        servers.append(Server(certificate, script))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


def post(
    server: Server, authority: trustme.CA, *, patience: float = 10.0, environ: dict[str, str] | None = None
) -> int:
    return deliver(
        f"{server.url}?sig=s3cr3t",
        b"{}",
        headers={"webhook-id": "m-1"},
        system="Webhook X",
        ca=pem(authority),
        ca_name="corp",
        environ=environ or {},
        patience=patience,
    )


def failure(server: Server, authority: trustme.CA, **options: float) -> CallFailed:
    with pytest.raises(CallFailed) as caught:
        post(server, authority, **options)
    return caught.value


def trickling(handler: BaseHTTPRequestHandler, pieces: Iterator[bytes]) -> None:
    """``pieces`` one by one, each soon enough for a time-out that counts from one byte to the next."""
    with contextlib.suppress(OSError):
        for piece in pieces:
            handler.wfile.write(piece)
            if handler.server.done.wait(0.02):  # type: ignore[attr-defined]
                return


def headers_without_end(handler: BaseHTTPRequestHandler) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\nX-Slow: "
        while True:
            yield b"x"

    trickling(handler, pieces())


def interim_answers_without_end(handler: BaseHTTPRequestHandler) -> None:
    def pieces() -> Iterator[bytes]:
        while True:
            yield b"HTTP/1.1 100 Continue\r\n\r\n"

    trickling(handler, pieces())


def body_without_end(handler: BaseHTTPRequestHandler) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"HTTP/1.1 202 Accepted\r\nContent-Length: 100000\r\n\r\n"
        while True:
            yield b"x"

    trickling(handler, pieces())


def silent(handler: BaseHTTPRequestHandler) -> None:
    handler.server.done.wait()  # type: ignore[attr-defined]


@pytest.mark.parametrize("script", [headers_without_end, interim_answers_without_end, silent])
def test_a_receiver_that_never_ends_its_answer_is_left_when_the_time_is_up(
    authority: trustme.CA, serve: Serve, script: Script
) -> None:
    late = failure(serve(authority.issue_cert("localhost"), script), authority, patience=0.3)
    assert (str(late), late.kind) == ("Webhook X did not answer in time.", "timeout")


@pytest.mark.parametrize("script", [whole, body_without_end])
def test_a_2xx_counts_and_its_body_is_not_waited_for(authority: trustme.CA, serve: Serve, script: Script) -> None:
    assert post(serve(authority.issue_cert("localhost"), script), authority) in (200, 202)


def test_it_goes_through_the_proxy_of_the_environment(authority: trustme.CA, serve: Serve) -> None:
    receiver, proxy = serve(authority.issue_cert("localhost")), serve(None)
    assert post(receiver, authority, environ={"HTTPS_PROXY": proxy.url.removesuffix("/path")}) == 200
    assert proxy.seen == [f"CONNECT localhost:{receiver.server_address[1]}"]


def odd_headers(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 500 No\r\nthis is no header\r\nContent-Length: 0\r\n\r\n")
    handler.close_connection = True


@pytest.mark.parametrize("script", [hang_up, odd_headers])
def test_the_address_stands_in_no_error(authority: trustme.CA, serve: Serve, script: Script) -> None:
    refused = failure(serve(authority.issue_cert("localhost"), script), authority)
    assert "s3cr3t" not in f"{refused}{refused.cause}{refused.said}"


def test_the_address_stands_in_no_log(authority: trustme.CA, serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """urllib3 warns of odd headers with the whole URL, so the app does not let it."""
    source = "import function_app, logging; print(logging.getLogger('urllib3.connection').getEffectiveLevel())"
    root = Path(__file__).parents[2]
    said = subprocess.run([sys.executable, "-c", source], cwd=root, capture_output=True, text=True, check=True)
    with caplog.at_level(int(said.stdout), logger="urllib3"):
        failure(serve(authority.issue_cert("localhost"), odd_headers), authority)
    assert "s3cr3t" not in caplog.text
    with caplog.at_level(logging.WARNING, logger="urllib3"):
        failure(serve(authority.issue_cert("localhost"), odd_headers), authority)
    assert "s3cr3t" in caplog.text, "otherwise this test proves nothing"
