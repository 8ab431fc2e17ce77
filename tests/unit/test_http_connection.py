"""Real connections to a local server: whom a session trusts, which way it goes, and what hangs how long."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme

from shared.call_failure import CallFailed
from shared.errors import Upstream
from shared.http import Answer, Deadline, Limits, call, open_session
from shared.transport import CONNECTIONS_PER_HOST, Proxies

Script = Callable[[BaseHTTPRequestHandler], None]


def whole(handler: BaseHTTPRequestHandler) -> None:
    body = b'{"ok": true}'
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


class Server(ThreadingHTTPServer):
    """Speaks HTTP/1.1 over TLS (or plain, without ``certificate``) and plays its scripts, the last one for ever."""

    daemon_threads = True

    def __init__(self, certificate: trustme.LeafCert | None, *scripts: Script) -> None:
        self.scripts = list(scripts) or [whole]
        self.seen: list[str] = []
        self.connections = 0
        self.done = threading.Event()
        self._context: ssl.SSLContext | None = None
        if certificate is not None:
            self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            certificate.configure_cert(self._context)
        super().__init__(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    @property
    def url(self) -> str:
        return f"{'https' if self._context else 'http'}://localhost:{self.server_address[1]}/path"

    def finish_request(self, request: Any, client_address: Any) -> None:
        self.connections += 1
        if self._context is not None:
            request = self._context.wrap_socket(request, server_side=True)
        with contextlib.closing(request):
            self.RequestHandlerClass(request, client_address, self)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that refuses the certificate or hangs up is what these tests are about."""

    def stop(self) -> None:
        self.done.set()
        self.shutdown()
        self._thread.join()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        self.server.seen.append(self.path)
        script = self.server.scripts.pop(0) if len(self.server.scripts) > 1 else self.server.scripts[0]
        script(self)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def do_CONNECT(self) -> None:
        """A proxy's tunnel: bytes both ways until either side ends."""
        self.server.seen.append(f"CONNECT {self.path}")
        host, port = self.path.split(":")
        with socket.create_connection((host, int(port))) as target:
            self.send_response(200)
            self.end_headers()
            back = threading.Thread(target=pipe, args=(target, self.connection))
            back.start()
            pipe(self.connection, target)
            back.join()
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Not into the tests' output."""


def pipe(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


@pytest.fixture(scope="module")
def corporate() -> trustme.CA:
    return trustme.CA(organization_name="corporate")


@pytest.fixture(scope="module")
def public() -> trustme.CA:
    return trustme.CA(organization_name="public")


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def start(certificate: trustme.LeafCert | None, *scripts: Script) -> Server:
        servers.append(Server(certificate, *scripts))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


def pem(ca: trustme.CA) -> str:
    return ca.cert_pem.bytes().decode()


def bundle(ca: trustme.CA, folder: Path) -> str:
    path = folder / "bundle.pem"
    ca.cert_pem.write_to_path(str(path))
    return str(path)


def ask(
    url: str, *, ca: str | None = None, environ: dict[str, str] | None = None, limits: Limits | None = None
) -> Answer:
    with open_session(ca=ca, environ=environ or {}) as session:
        limits = limits or Limits(Deadline.after(10), backoff=0.01)
        return call(session, "GET", url, system="Prism X", limits=limits, repeatable=True)


def failure(url: str, **kwargs: Any) -> CallFailed:
    with pytest.raises(CallFailed) as caught:
        ask(url, **kwargs)
    return caught.value


def test_a_server_of_the_named_ca_is_trusted(corporate: trustme.CA, serve: Callable[..., Server]) -> None:
    assert ask(serve(corporate.issue_cert("localhost")).url, ca=pem(corporate)).json == {"ok": True}


def test_the_bundle_of_the_environment_is_no_trust_besides_a_named_ca(
    corporate: trustme.CA,
    public: trustme.CA,
    serve: Callable[..., Server],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = bundle(public, tmp_path)
    for name in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, path)
    server = serve(public.issue_cert("localhost"))
    refused = failure(server.url, ca=pem(corporate), environ={"REQUESTS_CA_BUNDLE": path})
    assert refused.kind == "tls"
    assert "not trusted" in str(refused)
    assert server.seen == []


def test_certifi_is_no_trust_besides_a_named_ca(
    corporate: trustme.CA,
    public: trustme.CA,
    serve: Callable[..., Server],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = bundle(public, tmp_path)
    monkeypatch.setattr("requests.adapters.DEFAULT_CA_BUNDLE_PATH", path)
    monkeypatch.setattr("shared.transport.DEFAULT_CA_BUNDLE_PATH", path)
    server = serve(public.issue_cert("localhost"))
    assert ask(server.url).json == {"ok": True}, "without a named CA certifi is the trust"
    assert failure(server.url, ca=pem(corporate)).kind == "tls"


def test_a_bundle_set_on_the_session_is_no_trust_besides_a_named_ca(
    corporate: trustme.CA, public: trustme.CA, serve: Callable[..., Server], tmp_path: Path
) -> None:
    server = serve(public.issue_cert("localhost"))
    with open_session(ca=pem(corporate), environ={}) as session:
        session.verify = bundle(public, tmp_path)
        with pytest.raises(CallFailed, match="not trusted"):
            call(session, "GET", server.url, system="X", limits=Limits(Deadline.after(10)), repeatable=True)


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"])
def test_without_a_named_ca_the_file_of_the_setting_is_the_trust(
    name: str, public: trustme.CA, corporate: trustme.CA, serve: Callable[..., Server], tmp_path: Path
) -> None:
    environ = {name: bundle(public, tmp_path)}
    assert ask(serve(public.issue_cert("localhost")).url, environ=environ).json == {"ok": True}
    assert failure(serve(corporate.issue_cert("localhost")).url, environ=environ).kind == "tls"


def test_without_a_named_ca_and_setting_an_unknown_ca_is_refused_once(
    corporate: trustme.CA, serve: Callable[..., Server]
) -> None:
    server = serve(corporate.issue_cert("localhost"))
    assert failure(server.url).kind == "tls"
    assert server.connections == 1


def test_a_certificate_for_another_name_is_refused(corporate: trustme.CA, serve: Callable[..., Server]) -> None:
    refused = failure(serve(corporate.issue_cert("other.example")).url, ca=pem(corporate))
    assert refused.kind == "tls"
    assert "localhost" in str(refused)


def test_an_issuing_ca_may_be_named_instead_of_its_root(corporate: trustme.CA, serve: Callable[..., Server]) -> None:
    issuing = corporate.create_child_ca()
    server = serve(issuing.issue_cert("localhost"))
    assert ask(server.url, ca=pem(issuing)).json == {"ok": True}


def test_a_server_that_speaks_no_tls_is_named_so(serve: Callable[..., Server], corporate: trustme.CA) -> None:
    refused = failure(serve(None).url.replace("http:", "https:"), ca=pem(corporate))
    assert refused.kind == "tls"
    assert "TLS" in str(refused)


@pytest.mark.parametrize("text", ["", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"])
def test_a_ca_that_is_no_pem_is_an_error_that_names_its_secret(text: str) -> None:
    with pytest.raises(Upstream, match="secret corp-root-ca cannot be read") as caught:
        open_session(ca=text, environ={}, ca_name="corp-root-ca")
    assert caught.value.kind == "misconfigured"


def test_a_bundle_that_is_not_there_is_an_error_that_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(Upstream, match="setting SSL_CERT_FILE"):
        open_session(ca=None, environ={"SSL_CERT_FILE": str(tmp_path / "gone.pem")})


def test_connections_are_used_again(corporate: trustme.CA, serve: Callable[..., Server]) -> None:
    server = serve(corporate.issue_cert("localhost"))
    with open_session(ca=pem(corporate), environ={}) as session:
        for _ in range(3):
            call(session, "GET", server.url, system="X", limits=Limits(Deadline.after(10)), repeatable=True)
    assert server.connections == 1


def test_a_host_gets_no_more_connections_than_the_pool_allows(
    corporate: trustme.CA, serve: Callable[..., Server]
) -> None:
    def slow(handler: BaseHTTPRequestHandler) -> None:
        time.sleep(0.02)
        whole(handler)

    server = serve(corporate.issue_cert("localhost"), slow)
    with open_session(ca=pem(corporate), environ={}) as session:
        limits = Limits(Deadline.after(20))
        threads = [
            threading.Thread(
                target=call,
                args=(session, "GET", server.url),
                kwargs={"system": "X", "limits": limits, "repeatable": True},
            )
            for _ in range(40)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(server.seen) == 40
    assert server.connections <= CONNECTIONS_PER_HOST


def cut_body(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"ok": ')
    handler.close_connection = True


def cut_chunk(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    handler.wfile.write(b'40\r\n{"ok": ')
    handler.close_connection = True


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    handler.close_connection = True


@pytest.mark.parametrize("broken", [cut_body, cut_chunk])
def test_a_body_that_breaks_off_is_asked_for_again(
    broken: Script, corporate: trustme.CA, serve: Callable[..., Server]
) -> None:
    certificate = corporate.issue_cert("localhost")
    assert ask(serve(certificate, broken, broken, whole).url, ca=pem(corporate)).json == {"ok": True}
    server = serve(certificate, broken)
    assert failure(server.url, ca=pem(corporate)).kind == "malformed"
    assert len(server.seen) == 3


def test_a_connection_that_is_closed_without_an_answer_is_tried_again(
    corporate: trustme.CA, serve: Callable[..., Server]
) -> None:
    certificate = corporate.issue_cert("localhost")
    assert ask(serve(certificate, hang_up, whole).url, ca=pem(corporate)).json == {"ok": True}
    assert failure(serve(certificate, hang_up).url, ca=pem(corporate)).kind == "unreachable"


def test_a_refused_connection_is_unreachable() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        refused = failure(f"https://127.0.0.1:{closed.getsockname()[1]}/")
    assert str(refused) == "Prism X could not be reached: the connection was refused."
    assert (refused.kind, refused.unsent) == ("unreachable", True)


def test_an_unknown_host_name_is_unreachable() -> None:
    assert "host name is not known" in str(failure("https://prism.invalid/"))


def test_a_host_name_that_cannot_be_one_is_a_mistake_in_the_profile() -> None:
    assert failure(f"https://{'x' * 70}.example/").kind == "misconfigured"


def test_a_silent_server_costs_no_more_than_the_silence_allowed(
    corporate: trustme.CA, serve: Callable[..., Server]
) -> None:
    def silent(handler: BaseHTTPRequestHandler) -> None:
        handler.server.done.wait(20)  # type: ignore[attr-defined]

    server = serve(corporate.issue_cert("localhost"), silent)
    began = time.monotonic()
    late = failure(server.url, ca=pem(corporate), limits=Limits(Deadline.after(60), attempts=9, silence=0.4))
    assert late.kind == "timeout"
    assert time.monotonic() - began < 3


def test_a_body_that_trickles_in_cannot_outlast_the_deadline(
    corporate: trustme.CA, serve: Callable[..., Server]
) -> None:
    def trickle(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "100000")
        handler.end_headers()
        with contextlib.suppress(OSError):
            while not handler.server.done.wait(0.05):  # type: ignore[attr-defined]
                handler.wfile.write(b" ")

    server = serve(corporate.issue_cert("localhost"), trickle)
    began = time.monotonic()
    late = failure(server.url, ca=pem(corporate), limits=Limits(Deadline.after(0.5)))
    assert late.kind == "timeout"
    assert time.monotonic() - began < 3


def test_a_connection_goes_through_the_proxy_of_the_environment_and_keeps_its_trust(
    corporate: trustme.CA, public: trustme.CA, serve: Callable[..., Server]
) -> None:
    proxy = serve(None)
    address = proxy.url.removesuffix("/path")
    trusted, other = serve(corporate.issue_cert("localhost")), serve(public.issue_cert("localhost"))
    environ = {"HTTPS_PROXY": address}
    assert ask(trusted.url, ca=pem(corporate), environ=environ).json == {"ok": True}
    assert failure(other.url, ca=pem(corporate), environ=environ).kind == "tls"
    assert proxy.seen == [f"CONNECT localhost:{server.server_address[1]}" for server in (trusted, other)]
    ask(trusted.url, ca=pem(corporate), environ={**environ, "no_proxy": "localhost"})
    assert len(proxy.seen) == 2


def test_a_proxy_of_the_process_is_not_used(
    corporate: trustme.CA, serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(os.environ, "https_proxy", "http://127.0.0.1:9")
    assert ask(serve(corporate.issue_cert("localhost")).url, ca=pem(corporate)).json == {"ok": True}


def test_a_proxy_that_is_down_is_named() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        refused = failure(
            "https://prism.invalid/", environ={"https_proxy": f"http://u:s3cret@127.0.0.1:{closed.getsockname()[1]}"}
        )
    assert str(refused) == "Prism X could not be reached through the proxy."
    assert refused.kind == "unreachable"


@pytest.mark.parametrize(
    ("no_proxy", "url", "direct"),
    [
        ("", "https://a.example/", False),
        ("a.example", "https://a.example/", True),
        ("a.example", "https://b.a.example/", True),
        (".a.example", "https://b.a.example/", True),
        ("*.a.example", "https://b.a.example/", True),
        ("a.example", "https://ba.example/", False),
        ("a.example:9440", "https://a.example:9440/", True),
        ("a.example:9440", "https://a.example:443/", False),
        ("10.0.0.0/8", "https://10.1.2.3:9440/", True),
        ("10.0.0.0/8", "https://11.1.2.3:9440/", False),
        ("127.0.0.1", "https://127.0.0.1/", True),
        ("x, *", "https://a.example/", True),
        ("A.EXAMPLE", "https://a.example/", True),
    ],
)
def test_no_proxy_is_honoured(no_proxy: str, url: str, direct: bool) -> None:
    proxies = Proxies.of({"https_proxy": "http://proxy:3128", "NO_PROXY": no_proxy})
    assert proxies.for_url(url) == ({} if direct else {"https": "http://proxy:3128"})


def test_a_lower_case_proxy_setting_wins_and_no_password_is_shown() -> None:
    proxies = Proxies.of(
        {"https_proxy": "http://u:s3cret@low:1", "HTTPS_PROXY": "http://up:1", "ALL_PROXY": "http://all:1"}
    )
    assert proxies.for_url("https://x/") == {"https": "http://u:s3cret@low:1"}
    assert proxies.for_url("http://x/") == {"http": "http://all:1"}
    assert "s3cret" not in repr(proxies)
