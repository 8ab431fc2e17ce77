"""Fixtures of the integration tests: Azurite once for all, and sandboxes on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sandbox.azurite import Azurite
from sandbox.sandbox import Sandbox
from sandbox.scenario import Scenario, load
from tests.integration.callers import CitrixCaller, PrismCaller


@pytest.fixture(scope="session")
def azurite() -> Iterator[Azurite]:
    with Azurite() as running:
        yield running


@pytest.fixture
def sandbox_for(azurite: Azurite) -> Iterator[Callable[..., Sandbox]]:
    """``sandbox_for(scenario, **options)``: a running sandbox for a scenario or its name; all share one Azurite."""
    started: list[Sandbox] = []

    def start(scenario: str | Scenario, **options: object) -> Sandbox:
        chosen = load(scenario) if isinstance(scenario, str) else scenario
        sandbox = Sandbox(chosen, azurite=azurite, **options)  # type: ignore[arg-type]
        sandbox.start()
        started.append(sandbox)
        return sandbox

    yield start
    for sandbox in reversed(started):
        sandbox.stop()


@pytest.fixture
def prism_of(tmp_path: Path) -> Callable[[Sandbox, str], PrismCaller]:
    """``prism_of(sandbox, name)``: a caller that trusts the Prisms' authority alone."""

    def caller(sandbox: Sandbox, name: str) -> PrismCaller:
        ca_file = tmp_path / "corporate.pem"
        ca_file.write_text(sandbox.corporate_ca_pem)
        return PrismCaller(sandbox, name, ca_file)

    return caller


@pytest.fixture
def citrix_of() -> Callable[[Sandbox], CitrixCaller]:
    """``citrix_of(sandbox)``: a caller that is signed in."""

    def caller(sandbox: Sandbox) -> CitrixCaller:
        citrix = CitrixCaller(sandbox)
        citrix.sign_in()
        return citrix

    return caller
