"""Exports telemetry to Application Insights, where its connection string is set.

The app sets up Microsoft's distribution of OpenTelemetry itself and says everything that it leaves to settings: no
span is sampled away, no library is instrumented (their spans would carry whole URLs), nothing else is sent anywhere.
Log lines go their way through the Functions host, which sends them to Application Insights too: exported here as well
they would be there twice. The import takes longer than all the rest of the app, so this module is imported only where
it is needed.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, MutableMapping
from typing import Any

from azure.monitor.opentelemetry import configure_azure_monitor
from opentelemetry import metrics, trace
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource

from shared.azure.identity import credential
from shared.azure.transport import open_transport
from shared.errors import RealignError
from shared.http import VERSION
from shared.settings.identity import IdentitySettings
from shared.settings.settings import Settings
from shared.settings.trust import TrustSettings
from shared.telemetry import telling

# What the distribution takes from the environment alone. It would sample to five traces a second, and tell Microsoft
# about itself at addresses that a closed network does not let through. Spans of the Azure SDK would have the keys of
# rows in their URLs. Away from App Service it would ask the address of a virtual machine's metadata who it is.
SWITCHES: Mapping[str, str] = {
    "OTEL_TRACES_SAMPLER": "always_on",
    "OTEL_LOGS_EXPORTER": "none",
    "AZURE_TRACING_ENABLED": "false",
    "OTEL_EXPERIMENTAL_RESOURCE_DETECTORS": "azure_app_service",
    "APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL": "true",
    "APPLICATIONINSIGHTS_SDKSTATS_DISABLED": "true",
    "APPLICATIONINSIGHTS_CONTROLPLANE_DISABLED": "true",
    "APPLICATIONINSIGHTS_OPENTELEMETRY_RESOURCE_METRIC_DISABLED": "true",
}
INSTRUMENTED_LIBRARIES = (
    "azure_sdk", "django", "fastapi", "flask", "httpx", "httpx2", "psycopg2", "requests", "urllib", "urllib3"
)  # fmt: skip

log = logging.getLogger(__name__)


def export(settings: Settings, environ: MutableMapping[str, str]) -> None:
    """Start to export, once a process. What is wrong with it is told to the log and stops no work.

    ``environ`` is the process's own: it gets the ``SWITCHES``.
    """
    wanted = settings.telemetry
    if telling.started() or wanted.connection_string is None:
        return
    if not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        log.error(
            "telemetry is set up by the Functions worker, so its sampling and its own spans count, with whole URLs. "
            "Remove PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY and PYTHON_ENABLE_OPENTELEMETRY."
        )
    else:
        environ.update(SWITCHES)
        try:
            _configure(wanted.connection_string, settings.identity if wanted.as_identity else None, settings.trust)
        except Exception as error:  # noqa: BLE001 - whatever a beta raises, runs go on without it
            # a text that is not ours may quote the connection string
            log.error(
                "telemetry is off, because it could not be set up: %s. Copy the connection string of Application "
                "Insights into APPLICATIONINSIGHTS_CONNECTION_STRING again, and look for wrong values of settings "
                "that begin with OTEL_.",
                error if isinstance(error, RealignError) else type(error).__name__,
            )
            return
    telling.start(trace.get_tracer_provider(), metrics.get_meter_provider())


def _configure(connection_string: str, identity: IdentitySettings | None, trust: TrustSettings) -> None:
    transport, _ = open_transport(connections=4, trust=trust, system=None)
    options: dict[str, Any] = {
        "connection_string": connection_string,
        # given even if None: the distribution would else make a credential of its own from the environment
        "credential": credential(identity) if identity is not None else None,
        "transport": transport,
        "resource": Resource({SERVICE_NAME: "realign", SERVICE_VERSION: VERSION}),
        "instrumentation_options": {library: {"enabled": False} for library in INSTRUMENTED_LIBRARIES},
        "enable_live_metrics": False,
        "enable_performance_counters": False,
    }
    configure_azure_monitor(**options)
    logging.getLogger("opentelemetry").setLevel(logging.WARNING)
