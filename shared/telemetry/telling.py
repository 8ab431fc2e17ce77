"""What the app tells about itself, and to whom: nobody, until ``start`` names OpenTelemetry's providers.

Where nothing was started every function here returns at once, and OpenTelemetry is not even imported.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

    from shared.model.run import Run
    from shared.telemetry.call import Call
    from shared.telemetry.recorder import Recorder

_recorder: Recorder | None = None


def start(tracers: TracerProvider, meters: MeterProvider) -> None:
    """From now on tell these providers."""
    global _recorder
    from shared.telemetry.recorder import Recorder

    _recorder = Recorder(tracers, meters)


def stop() -> None:
    """From now on tell nobody."""
    global _recorder
    _recorder = None


def started() -> bool:
    return _recorder is not None


@contextmanager
def step(name: str, waited: float | None) -> Iterator[None]:
    """A step of the run that this context works on; ``waited``: seconds that its message was due before it came."""
    if _recorder is None:
        yield
        return
    if waited is not None:
        _recorder.waited(name, waited)
    with _recorder.step(name):
        yield


def called(call: Call) -> None:
    """An attempt at an outside call has ended, just now."""
    call.ended = time.time_ns()
    if _recorder is not None:
        _recorder.called(call)


def changed(was: Run, run: Run, *, rests: bool) -> None:
    """The row of a run was written; ``rests``: it has come to a rest, or from one to another."""
    if _recorder is not None:
        _recorder.changed(was, run, rests=rests)


def poisoned(name: str) -> None:
    """A message of step ``name`` failed too often."""
    if _recorder is not None:
        _recorder.poisoned(name)


def dependency(name: str, kind: str, *, ready: bool) -> None:
    if _recorder is not None:
        _recorder.dependency(name, kind, ready=ready)


def review_waits(profile: str, seconds: float) -> None:
    if _recorder is not None:
        _recorder.review_waits(profile, seconds)


def schedule_age(profile: str, seconds: float) -> None:
    if _recorder is not None:
        _recorder.schedule_age(profile, seconds)
