"""Resetting hosting connections, so that Citrix soon sees the power states of machines that moved to them.

Without a reset that takes five to ten minutes (contract ``citrix.md``, section 7.5).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from shared.citrix.writer import SiteWriter
from shared.errors import CitrixError

log = logging.getLogger(__name__)


def reset_connections(writer: SiteWriter, connections: Mapping[str, str]) -> tuple[str, bool]:
    """Reset hosting connections, names by ids; a sentence on what came of it, and whether all went well.

    The reset itself goes on at Citrix after its call (contract, section 7.1), so nothing is waited for.
    """
    done, failed = [], []
    for connection, name in connections.items():
        try:
            writer.reset(connection)
            done.append(name)
        except CitrixError as error:
            log.warning("connection not reset connection=%s: %s", name, error)
            failed.append(f"{name} was not reset: {error}")
    said = [f"Reset: {', '.join(done)}."] if done else []
    return " ".join([*said, *failed]) or "Nothing to reset.", not failed
