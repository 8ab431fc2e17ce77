"""The host's log: stderr, one line a message (a traceback follows its message), quiet libraries."""

from __future__ import annotations

import logging
import sys
from typing import Any


class OneLine(logging.Formatter):
    """Keeps a message on one line, so that nothing a caller sends can forge a line."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # logging's name
        return super().formatMessage(record).replace("\r", "\\r").replace("\n", "\\n")

    def formatException(self, ei: Any) -> str:  # noqa: N802
        # Indented, so that a line of an exception's text can't pass for a line of the log.
        return super().formatException(ei).replace("\n", "\n    ")


def configure() -> None:
    """Sets up the root logger. Azure's SDKs log requests with their headers below WARNING."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(OneLine("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for name in ("azure", "urllib3"):
        logging.getLogger(name).setLevel(logging.WARNING)
