"""A forward proxy for HTTPS: it notes each host that it is asked to reach, and passes bytes both ways."""

from __future__ import annotations

import contextlib
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Tunnel(ThreadingHTTPServer):
    """``asked``: ``host:port`` of every ``CONNECT``, in order; ``signed_in``: their ``Proxy-Authorization``."""

    daemon_threads = True

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.signed_in: set[str | None] = set()
        super().__init__(("127.0.0.1", 0), _Handler)
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def url(self, user: str = "") -> str:
        return f"http://{user}127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up in the middle is no concern of a proxy."""

    def stop(self) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Tunnel

    def do_CONNECT(self) -> None:
        self.server.asked.append(self.path)
        self.server.signed_in.add(self.headers.get("Proxy-Authorization"))
        host, port = self.path.split(":")
        with socket.create_connection((host, int(port))) as target:
            self.send_response(200)
            self.end_headers()
            back = threading.Thread(target=_pipe, args=(target, self.connection))
            back.start()
            _pipe(self.connection, target)
            back.join()
        self.close_connection = True

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self.send_error(502)

    def log_message(self, format: str, *args: Any) -> None:
        """Not into the tests' output."""


def _pipe(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
