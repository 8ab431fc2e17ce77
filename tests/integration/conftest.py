"""Fixtures of the integration tests: Azurite and sandboxes, started once and shared."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from sandbox.azurite import Azurite
from sandbox.sandbox import Sandbox
from sandbox.scenario import load


@pytest.fixture(scope="session")
def azurite() -> Iterator[Azurite]:
    with Azurite() as running:
        yield running


@pytest.fixture
def sandbox_for(azurite: Azurite) -> Iterator[Callable[..., Sandbox]]:
    """``sandbox_for(scenario_name, **options)`` starts a sandbox of its own; all share one Azurite."""
    started: list[Sandbox] = []

    def start(name: str, **options: object) -> Sandbox:
        sandbox = Sandbox(load(name), azurite=azurite, **options)  # type: ignore[arg-type]
        sandbox.start()
        started.append(sandbox)
        return sandbox

    yield start
    for sandbox in reversed(started):
        sandbox.stop()
