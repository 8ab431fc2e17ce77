"""OpenTelemetry's own in-memory exporters under the app, so that a test sees what would be exported."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, NumberDataPoint
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from shared.telemetry import telling


class Kept:
    """Everything that was told since it was opened. Metrics are read once: what was read is not there again."""

    def __init__(self) -> None:
        self._exporter, self._reader = InMemorySpanExporter(), InMemoryMetricReader()
        self.tracers = TracerProvider(shutdown_on_exit=False)
        self.tracers.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.meters = MeterProvider([self._reader], shutdown_on_exit=False)

    def spans(self, start: str = "") -> list[ReadableSpan]:
        """Those whose name begins so."""
        return [span for span in self._exporter.get_finished_spans() if span.name.startswith(start)]

    def points(self) -> dict[str, list[tuple[dict[str, Any], Any]]]:
        """Attributes and value (of a histogram its sum) of every point, by the metric's name."""
        data = self._reader.get_metrics_data()
        found: dict[str, list[tuple[dict[str, Any], Any]]] = {}
        for resource in data.resource_metrics if data is not None else ():
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    for point in metric.data.data_points:
                        value = point.value if isinstance(point, NumberDataPoint) else point.sum
                        found.setdefault(metric.name, []).append((dict(point.attributes or {}), value))
        return found

    def text(self) -> str:
        """All spans and metrics as JSON."""
        data = self._reader.get_metrics_data()
        return "\n".join([span.to_json() for span in self.spans()] + ([data.to_json()] if data is not None else []))


def by(points: list[tuple[dict[str, Any], Any]], name: str) -> Counter[str]:
    """The values of points, added up by one of their attributes."""
    total: Counter[str] = Counter()
    for attributes, value in points:
        total[str(attributes[name])] += value
    return total


@contextmanager
def kept_telemetry() -> Iterator[Kept]:
    kept = Kept()
    telling.start(kept.tracers, kept.meters)
    try:
        yield kept
    finally:
        telling.stop()
        kept.tracers.shutdown()
        kept.meters.shutdown()
