"""Runs ``python -m sandbox ...`` as a child that ends with the process that started it.

Standard input is a pipe that the parent holds open and never writes to. When the parent ends, however it ends, the
pipe closes: the child asks itself to stop, and insists if that takes too long.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading
import time

GRACE_SECONDS = 15.0


def _end_with_parent() -> None:
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, name="end-with-parent", daemon=True).start()
    sys.argv[0] = "sandbox"
    runpy.run_module("sandbox", run_name="__main__", alter_sys=True)
