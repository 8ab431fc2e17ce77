"""A simulated Prism Central with two clusters, and a caller of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sandbox.sandbox import Sandbox
from tests.integration.callers import PrismCaller
from tests.integration.prism_central.central import two_clusters


@pytest.fixture
def sandbox(sandbox_for: Callable[..., Sandbox]) -> Sandbox:
    return sandbox_for(two_clusters())


@pytest.fixture
def central(sandbox: Sandbox, prism_of: Callable[[Sandbox, str], PrismCaller]) -> PrismCaller:
    return prism_of(sandbox, "central")
