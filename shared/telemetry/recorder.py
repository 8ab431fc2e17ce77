"""Names, attributes and instruments: everything that leaves through OpenTelemetry is put together here.

Attributes are named one by one and hold names, ids, words and numbers of ours. No message of an error is among them,
no text of another side, and nothing of a single machine; docs/observability.md lists them.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TracerProvider,
    get_current_span,
    set_span_in_context,
)

from shared.errors import RealignError
from shared.model.run import Run, RunStatus
from shared.telemetry.call import Call
from shared.telemetry.subject import Subject, present

SCOPE = "realign"
ITSELF = "realign"  # who approves in mode auto
HTTP = 80
_HEX = re.compile(r"[0-9a-f]{16,32}")
_FIRST_WORK = frozenset({RunStatus.QUEUED, RunStatus.PLANNING})
_AT_WORK = _FIRST_WORK | {RunStatus.APPLYING, RunStatus.ROLLING_BACK}
_WENT_WRONG = frozenset({RunStatus.FAILED, RunStatus.COMPLETED_WITH_ERRORS})
# how storage says "not there" and "somebody was faster", and how a vault begins
_EVERY_DAY = {"storage": frozenset({404, 409, 412}), "vault": frozenset({401, 404})}


class _Latest:
    """A gauge's values since the last export, which takes them away: what nobody says again is not repeated for ever.

    A worker that has looked once would else go on telling what it saw, beside another one that knows better.
    """

    def __init__(self, *, largest: bool = False) -> None:
        self._pick = max if largest else _second
        self._lock = threading.Lock()
        self._said: dict[tuple[tuple[str, str], ...], float] = {}

    def tell(self, value: float, **attributes: str) -> None:
        key = tuple(attributes.items())
        with self._lock:
            self._said[key] = self._pick(self._said.get(key, value), value)

    def __call__(self, options: CallbackOptions) -> Iterable[Observation]:
        with self._lock:
            said, self._said = self._said, {}
        return [Observation(value, dict(key)) for key, value in said.items()]


def _second(_: float, value: float) -> float:
    return value


class Recorder:
    """Spans and metrics over the providers that it is given; threads may share it."""

    def __init__(self, tracers: TracerProvider, meters: MeterProvider) -> None:
        self._tracer = tracers.get_tracer(SCOPE)
        meter = meters.get_meter(SCOPE)
        self._runs = meter.create_counter("realign.runs", "{run}", "Runs that came to a rest")
        self._findings = meter.create_counter("realign.findings", "{finding}", "Findings of finished plans")
        self._remaps = meter.create_counter("realign.remaps", "{remap}", "Remaps that came to a state")
        self._seconds = meter.create_histogram("realign.run.seconds", "s", "Work of a run, up to a rest")
        self._calls = meter.create_counter("realign.calls", "{call}", "Attempts at outside calls")
        self._retries = meter.create_counter("realign.retries", "{call}", "Those that were not the first")
        self._poison = meter.create_counter("realign.poison", "{message}", "Messages that failed too often")
        self._queue_age, self._ready = _Latest(largest=True), _Latest()
        self._review, self._schedule = _Latest(), _Latest()
        for name, latest, unit, what in (
            ("realign.queue.age", self._queue_age, "s", "How long a message was due"),
            ("realign.dependency.ready", self._ready, "1", "1 ready, 0 not"),
            ("realign.review.waiting", self._review, "s", "How long drift has awaited a review"),
            ("realign.schedule.age", self._schedule, "s", "Since a profile's last scheduled run"),
        ):
            meter.create_observable_gauge(name, [latest], unit, what)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        subject = present()
        with self._tracer.start_as_current_span(
            f"step {name}",
            context=set_span_in_context(NonRecordingSpan(trace_of(subject.run))),
            attributes={"step": name},
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield
            except Exception as error:
                _mark_failed(span, type(error).__name__ if not isinstance(error, RealignError) else error.code)
                raise
            finally:
                span.set_attributes(_facts(subject))

    def waited(self, step: str, seconds: float) -> None:
        self._queue_age.tell(max(0.0, seconds), step=step)

    def called(self, call: Call) -> None:
        outcome = str(call.status) if call.status is not None and not call.failure else call.failure or "failed"
        self._calls.add(1, {"system": call.system, "host": call.host, "status": outcome})
        if call.repeats:
            self._retries.add(call.repeats, {"system": call.system, "host": call.host})
        failed = _is_failure(call)
        if not failed and not get_current_span().get_span_context().is_valid:
            return  # a look at the queue or a page of the API: counted, and no span each
        span = self._tracer.start_span(
            f"{call.system} {call.method}",
            kind=SpanKind.CLIENT,
            attributes=_facts(present()) | _call_facts(call),
            start_time=call.began,
            record_exception=False,
        )
        if failed:
            _mark_failed(span, outcome)
        span.end(call.ended)

    def changed(self, was: Run, run: Run, *, rests: bool) -> None:
        if run.planned_at is not None and run.planned_at != was.planned_at:
            for kind, number in run.findings.items():
                self._findings.add(number, {"profile": run.profile, "kind": kind})
        for state, number in run.states.items():
            more = number - was.states.get(state, 0)
            if more > 0:
                self._remaps.add(more, {"profile": run.profile, "state": state})
        if rests:
            self._rests(was, run)

    def _rests(self, was: Run, run: Run) -> None:
        status = run.status.value
        self._runs.add(1, {"profile": run.profile, "status": status, "trigger": run.trigger})
        if was.status not in _AT_WORK:
            return  # a person's word: nobody was at work
        began, ended = _began(was), run.updated_at or datetime.now(UTC)
        self._seconds.record(max(0.0, (ended - began).total_seconds()), {"profile": run.profile, "status": status})
        span = self._tracer.start_span(
            "run",
            context=set_span_in_context(NonRecordingSpan(trace_of(run.id))),
            attributes={
                "run.id": run.id,
                "profile": run.profile,
                "mode": run.mode.value,
                "trigger": run.trigger,
                "status": status,
                "machines": sum(run.findings.values()),
                "remaps": sum(run.states.values()),
            },
            start_time=_nanoseconds(min(began, ended)),
        )
        get_current_span().set_attribute("status", status)
        if run.status in _WENT_WRONG:
            _mark_failed(span, status)
            _mark_failed(get_current_span(), status)
        span.end(_nanoseconds(ended))

    def poisoned(self, step: str) -> None:
        self._poison.add(1, {"step": step})

    def dependency(self, name: str, kind: str, *, ready: bool) -> None:
        self._ready.tell(1 if ready else 0, name=name, kind=kind)

    def review_waits(self, profile: str, seconds: float) -> None:
        self._review.tell(max(0.0, seconds), profile=profile)

    def schedule_age(self, profile: str, seconds: float) -> None:
        self._schedule.tell(max(0.0, seconds), profile=profile)


def trace_of(run_id: str) -> SpanContext:
    """The trace that all of a run is in, whichever worker does it and however many days it takes.

    Its id is the run's, filled up with noughts, so whoever has the one can look for the other.
    """
    digest = hashlib.sha256(run_id.encode()).hexdigest()
    trace = int(run_id.ljust(32, "0"), 16) if _HEX.fullmatch(run_id) else int(digest[:32], 16)
    return SpanContext(trace, int(digest[:16], 16), is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))


def _began(was: Run) -> datetime:
    """When the work began that ends now: with the request, or when an approval or a roll back was taken up."""
    if was.status in _FIRST_WORK or (was.status is RunStatus.APPLYING and was.approved_by == ITSELF):
        return was.created_at
    return min(filter(None, (was.writing_since, present().began)))


def _is_failure(call: Call) -> bool:
    if call.failure or call.status is None:
        return True
    return call.status >= 400 and call.status not in _EVERY_DAY.get(call.system, ())


def _mark_failed(span: Span, kind: str) -> None:
    span.set_status(Status(StatusCode.ERROR))
    span.set_attribute("failure", kind)


def _facts(subject: Subject) -> dict[str, str | int]:
    known = {
        "run.id": subject.run, "profile": subject.profile, "mode": subject.mode, "trigger": subject.trigger
    }  # fmt: skip
    return {name: value for name, value in known.items() if value}


def _call_facts(call: Call) -> dict[str, str | int]:
    facts: dict[str, str | int] = {
        "system": call.system,
        "http.request.method": call.method,
        "server.address": call.server,
        "server.port": call.port,
        "url.scheme": "https" if call.port != HTTP else "http",
        "attempt": call.attempt,
    }
    if call.status is not None:
        facts["http.response.status_code"] = call.status
    if call.transaction:
        facts["transaction.id"] = call.transaction
    return facts


def _nanoseconds(at: datetime) -> int:
    return int(at.timestamp() * 1_000_000) * 1_000
