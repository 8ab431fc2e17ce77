"""Puts the app together: one set of resources, opened at the first call, and the blueprints that share it.

The triggers import what they call inside the call. The platform waits for this module at every cold start, and the
SDKs behind the use cases take longer to import than everything else.
"""

from __future__ import annotations

import logging
import os
import threading
from typing import TYPE_CHECKING

import azure.functions as func

from functions import (
    health,
    holds,
    hooks,
    me,
    openapi,
    profiles,
    queues,
    report,
    review,
    review_page,
    runs,
    start,
    timers,
)
from shared.telemetry.subject import mark_log_lines

if TYPE_CHECKING:
    from shared.runs.resources import Resources

# these log every request, with URLs
for noisy in ("azure", "msal"):
    logging.getLogger(noisy).setLevel(logging.WARNING)
# its warnings quote URLs too, of which a webhook's may be a secret
logging.getLogger("urllib3").setLevel(logging.ERROR)
mark_log_lines()


class _Opened:
    """The resources of this process. A failure is not kept: the next call tries again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._resources: Resources | None = None

    def __call__(self) -> Resources:
        from shared.runs.resources import Resources

        with self._lock:
            if self._resources is None:
                opened = Resources(os.environ)
                if opened.settings.telemetry.connection_string is not None:
                    from shared.azure.monitor import export

                    export(opened.settings, os.environ)
                self._resources = opened
            return self._resources


_resources = _Opened()

app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)
for triggers in (
    health, holds, hooks, me, openapi, profiles, queues, report, review, review_page, runs, start, timers
):  # fmt: skip
    app.register_functions(triggers.blueprint(_resources))
