"""Azurite, Microsoft's storage emulator: the sandbox's real Table, Queue and Blob protocol.

It is installed from ``azurite/package-lock.json``; ``python -m sandbox.azurite`` does so ahead of time.
"""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import IO

from sandbox import npm
from sandbox.certificates import ServerCertificate

HERE = Path(__file__).parent / "azurite"
ENTRY = HERE / "node_modules" / "azurite" / "dist" / "src" / "azurite.js"

# The emulator's account and key are public: every Azurite has them.
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="

START_ATTEMPTS = 5
START_SECONDS = 60.0
STOP_SECONDS = 10.0
KEEP_ALIVE_SECONDS = 600  # Azurite's own five end connections in the moment in which they are used again


class AzuriteError(Exception):
    """Azurite could not be installed or started; the message holds what it said."""


def ensure_installed() -> None:
    """Installs what the lock file names, once. Raises ``AzuriteError`` with npm's words where that fails."""
    try:
        npm.ensure_installed(HERE)
    except npm.NpmError as error:
        raise AzuriteError(
            f"Azurite could not be installed with npm. Check the way to the npm registry: {error}"
        ) from error


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]
    finally:
        for each in sockets:
            each.close()


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


class Azurite:
    """A running Azurite on free ports of 127.0.0.1: ``with Azurite() as storage: ... storage.connection_string``.

    Data lives in memory, or in ``directory``, where it survives a restart. With ``oauth`` it speaks HTTPS with
    ``certificate`` and accepts bearer tokens by issuer, audience and expiry (their signature is not checked).
    """

    def __init__(
        self,
        oauth: bool = False,
        certificate: ServerCertificate | None = None,
        directory: str | os.PathLike[str] | None = None,
    ) -> None:
        if oauth and certificate is None:
            raise ValueError("Azurite takes bearer tokens over HTTPS only: give it a certificate.")
        self._oauth = oauth
        self._certificate = certificate
        self._directory = None if directory is None else Path(directory)
        self._ports: list[int] = []
        self._process: subprocess.Popen[bytes] | None = None
        self._output: IO[bytes] | None = None

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    @property
    def blob_url(self) -> str:
        return self._url(0)

    @property
    def queue_url(self) -> str:
        return self._url(1)

    @property
    def table_url(self) -> str:
        return self._url(2)

    @property
    def connection_string(self) -> str:
        scheme = self.blob_url.split(":", 1)[0]
        return (
            f"DefaultEndpointsProtocol={scheme};AccountName={ACCOUNT};AccountKey={KEY};"
            f"BlobEndpoint={self.blob_url};QueueEndpoint={self.queue_url};TableEndpoint={self.table_url};"
        )

    def start(self) -> None:
        """Returns when all three ports answer. Raises ``AzuriteError`` where they do not within a minute."""
        ensure_installed()
        for attempt in range(START_ATTEMPTS):
            self._ports = _free_ports(3)
            self._launch()
            try:
                self._wait_until_it_answers()
            except AzuriteError as error:
                self.stop()
                # Another process may have taken a port between the choice and the start.
                if "EADDRINUSE" not in str(error) or attempt == START_ATTEMPTS - 1:
                    raise
            else:
                return

    def stop(self) -> None:
        """Ends the process; what a data directory must hold is written before that."""
        process, self._process = self._process, None
        if process is not None:
            # Closing its input is the one signal to end: a second one would stop it before it has written its data.
            if process.stdin is not None:
                process.stdin.close()
            try:
                process.wait(STOP_SECONDS if self._directory else 1.0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self._output is not None:
            self._output.close()
            self._output = None

    def _url(self, index: int) -> str:
        if not self._ports:
            raise AzuriteError("Azurite is not started.")
        return f"{'https' if self._certificate else 'http'}://127.0.0.1:{self._ports[index]}/{ACCOUNT}"

    def _launch(self) -> None:
        command = [npm.node(), "--require", str(HERE / "die-with-parent.cjs"), str(ENTRY)]
        command += ["--skipApiVersionCheck", "--silent", "--disableTelemetry"]
        for service, port in zip(("blob", "queue", "table"), self._ports, strict=True):
            command += [f"--{service}Host", "127.0.0.1", f"--{service}Port", str(port)]
            command += [f"--{service}KeepAliveTimeout", str(KEEP_ALIVE_SECONDS)]
        if self._directory is None:
            command += ["--inMemoryPersistence"]
        else:
            self._directory.mkdir(parents=True, exist_ok=True)
            command += ["--location", str(self._directory)]
        if self._certificate is not None:
            command += ["--cert", str(self._certificate.cert_file), "--key", str(self._certificate.key_file)]
        if self._oauth:
            command += ["--oauth", "basic"]
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - stop() closes it
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=self._output, stderr=subprocess.STDOUT, env=npm.environment()
        )

    def _wait_until_it_answers(self) -> None:
        if self._process is None:
            raise AzuriteError("Azurite is not started.")
        deadline = time.monotonic() + START_SECONDS
        waiting = list(self._ports)
        while waiting:
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise AzuriteError(f"Azurite did not start: {self._said()}")
            waiting = [port for port in waiting if not _answers(port)]
            time.sleep(0.05)

    def _said(self) -> str:
        if self._output is None:
            return ""
        self._output.seek(0)
        return self._output.read().decode("utf-8", "replace").strip()[-2000:]

    def __enter__(self) -> Azurite:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


if __name__ == "__main__":
    ensure_installed()
