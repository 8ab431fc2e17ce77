"""The function host as a process of its own, so that a test can kill it as a crash would."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

ROOT = Path(__file__).parents[1]
START_SECONDS = 60.0
STOP_SECONDS = 20.0
LOG_TAIL = 4_000
ITSELF = (sys.executable, "-m", "sandbox.attached")


class HostError(Exception):
    """The host did not start; the message holds the end of its log."""


class HostProcess:
    """``python -m sandbox host`` with ``environ`` over this process's own environment. ``url`` is where it answers.

    ``sandbox`` is the command that stands for ``python -m sandbox``.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        app: str | os.PathLike[str] | None = None,
        port: int = 0,
        *,
        sandbox: Sequence[str] = ITSELF,
    ) -> None:
        self.url = ""
        self._environ = dict(environ)
        self._app = app
        self._port = port
        self._sandbox = sandbox
        self._process: subprocess.Popen[str] | None = None
        # A file by name: reading through the handle that the host writes with would move where it writes.
        self._folder = tempfile.TemporaryDirectory(prefix="realign-sandbox-host-")
        self._log = Path(self._folder.name, "log")
        self._said: list[str] = []
        self._reader: threading.Thread | None = None

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> str:
        """Returns the host's URL. Raises ``HostError`` where it does not come up within a minute."""
        command = [*self._sandbox, "host", "--port", str(self._port)]
        if self._app is not None:
            command += ["--app", str(self._app)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**os.environ, **self._environ},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        line = self._first_line(self._process)
        try:
            self.url = str(json.loads(line)["app"])
        except (ValueError, KeyError, TypeError) as error:
            self.kill()
            raise HostError(f"The function host did not start. The end of its log: {self.log()}") from error
        return self.url

    def stop(self) -> None:
        """Lets running functions finish, as a restart of the app does."""
        self._end("terminate")

    def kill(self) -> None:
        """A crash: nothing is finished."""
        self._end("kill")

    def restart(self) -> str:
        """Starts again after ``stop`` or ``kill``, on another port if none was asked for."""
        return self.start()

    def log(self) -> str:
        """The end of what the host wrote to its log."""
        return self._written()[-LOG_TAIL:]

    def full_log(self) -> str:
        """All that the host wrote, on standard output and in its log, over all its starts."""
        return "".join(self._said) + self._written()

    def close(self) -> None:
        self.stop()
        self._folder.cleanup()

    def _written(self) -> str:
        return self._log.read_text("utf-8", "replace") if self._log.exists() else ""

    def _end(self, how: str) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        getattr(process, how)()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if self._reader is not None:
            self._reader.join(STOP_SECONDS)  # it ends with the process, and a pipe that is being read cannot be closed
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()

    def _first_line(self, process: subprocess.Popen[str]) -> str:
        """Read in a thread: a host that says nothing must not hold its starter for ever."""
        lines: queue.Queue[str] = queue.Queue()
        out = process.stdout
        if out is None:
            return ""

        def read() -> None:
            line = out.readline()
            self._said.append(line)
            lines.put(line)
            while line:
                line = out.readline()
                self._said.append(line)

        self._reader = threading.Thread(target=read, daemon=True)
        self._reader.start()
        try:
            return lines.get(timeout=START_SECONDS)
        except queue.Empty:
            return ""

    def __enter__(self) -> HostProcess:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
